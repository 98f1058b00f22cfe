"""The file of contexts: where it is, read, and changed.

::

    find("name:lab")                                   # what is known of it
    change(lambda known: known.using("lab"))           # the file has another default

It is ``t2bus/contexts.toml`` in the user's configuration folder, as platformdirs knows it, or what ``T2BUS_CONTEXTS``
names. A file that does not exist knows nothing.

The law of this module: the file is never half written. A change is written to a new file, which takes the place of the
old one, while no other change is under way.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..called import install
from ..errors import InvalidAddress
from .document import PREFIX, BusContext, Contexts, document_of, read_contexts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_VARIABLE: Final = "T2BUS_CONTEXTS"
_LONGEST: Final = 1 << 20
"""Bytes of a file; what has more is none, such as a device."""


class NoContexts(InvalidAddress):
    """A package is missing without which there are no contexts; the text says how to get it."""


def contexts_path() -> Path:
    """Return where the file is, or would be.

    Raises:
      NoContexts: there is no platformdirs to ask, and no file is named.

    """
    if named := os.environ.get(_VARIABLE):
        return Path(named)
    folder: Path = _package("platformdirs").user_config_path("t2bus", appauthor=False)
    return folder / "contexts.toml"


def _package(name: str) -> Any:
    """Import a package of the extra ``t2bus[cli]``."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        remedy = f"run `{install('cli')}`"
        raise NoContexts(f"contexts need the package {name.replace('_', '-')}: {remedy}") from error


def load(path: Path) -> Contexts:
    """Return what a file knows; nothing if it does not exist.

    Raises:
      InvalidAddress: it cannot be read or says what cannot be; the text names it, the line and the remedy.

    """
    remedy = f"name a bus with --addr, or another file in {_VARIABLE}"
    try:
        is_fifo = path.is_fifo()
    except OSError as error:  # the folder is closed to this user
        raise _unreadable(path, error, remedy) from error
    if is_fifo:  # whoever reads it may wait for ever
        raise InvalidAddress(f"{path} is a pipe: name a file in {_VARIABLE}")
    return read_file(path, lambda text: read_contexts(text, path.parent), remedy) or Contexts()


def read_file(
    path: Path, read: Callable[[str], Contexts], remedy: str = "name a file that can be read"
) -> Contexts | None:
    """Read a file in some form; None if it does not exist. Errors are those of :func:`load`."""
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
        if len(data) > _LONGEST:
            raise InvalidAddress(f"it has more than {_LONGEST} bytes")  # noqa: TRY301
        return read(data.decode("utf-8-sig"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error, remedy) from error
    except (UnicodeDecodeError, InvalidAddress) as error:
        where = ", " if str(error).startswith("line ") else ": "
        raise InvalidAddress(f"{path}{where}{error}; correct that line, or remove the file") from error


def _unreadable(path: Path, error: OSError, remedy: str) -> InvalidAddress:
    return InvalidAddress(f"{path} cannot be read: {error.strerror or error}; {remedy}")


def find(address: str) -> BusContext:
    """Return what is known of ``name:NAME``.

    Raises:
      InvalidAddress: there is no such context, or no file of contexts can be read.

    """
    return load(contexts_path()).find(address.removeprefix(PREFIX))


def find_default() -> BusContext | None:
    """Return the default context; None if there is none, as without platformdirs.

    Raises:
      InvalidAddress: the file of contexts cannot be read.

    """
    with contextlib.suppress(NoContexts):
        contexts = load(contexts_path())
        return None if contexts.default is None else contexts.find(contexts.default)
    return None


def change(edit: Callable[[Contexts], Contexts]) -> None:
    """Change the file to what ``edit`` returns for what it knows.

    Raises:
      InvalidAddress: as :func:`load`; and what ``edit`` raises. The file is as it was.
      OSError: it cannot be written; the text names it and the remedy. The file is as it was.

    """
    # Where the file is a link, as it is for whoever keeps such files elsewhere, the link stays.
    path = Path(os.path.realpath(contexts_path()))
    dumps = _package("tomli_w").dumps
    try:
        if path.exists() and not path.is_file():  # as /dev/null is, which must not be replaced
            raise OSError("it is no regular file")  # noqa: TRY301
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path.parent):
            _replace(path, dumps(document_of(edit(load(path)))))
    except OSError as error:
        remedy = f"make its folder writable, or name another file in {_VARIABLE}"
        raise OSError(f"{path} cannot be written: {error.strerror or error}: {remedy}") from error


@contextmanager
def _locked(folder: Path) -> Generator[None, None, None]:
    """Wait until nobody else changes a file of this folder, and keep others waiting meanwhile."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _replace(path: Path, text: str) -> None:
    """Write a new file of mode 600 and put it in the place of another, or leave nothing behind."""
    number, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(number, "w", encoding="utf-8") as file:  # noqa: PTH123 -- it is open already
            file.write(text)
            file.flush()
            os.fsync(number)
        Path(new).replace(path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise
