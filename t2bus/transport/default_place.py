"""Where a bus is that was given no address, and what to say to a client that finds none there.

::

    unix:/run/user/1000/t2bus.sock    in the user's runtime folder, which XDG_RUNTIME_DIR names
    unix:/tmp/t2bus-1000/t2bus.sock   where it names none

A terminal usually has that variable; a service, a job of cron and ``sudo`` have not. So the bus and the client of one
user may look at two places, and whoever finds nobody at one of them is told of the other.

The law of this module: a place in which another user could put a socket is never used.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import InvalidAddress
from .address import UnixAddress

if TYPE_CHECKING:
    from .address import Address

_NAME: Final = "t2bus.sock"


def default_address() -> str:
    """Return the address that ``t2bus serve`` without an address uses: a unix socket that only this user can reach.

    It is in the user's runtime folder (``XDG_RUNTIME_DIR``), as ``unix:/run/user/1000/t2bus.sock``. Where there is
    none, it is in a folder of mode 0700 below the one for temporary files, which is made if need be. So a program and
    its bus find the same address if they have the same user and environment.

    Raises:
      InvalidAddress: that folder exists and is not this user's own.

    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return f"unix:{runtime}/{_NAME}"
    folder = _own_folder()
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise InvalidAddress(f"{folder} is not a folder that only this user can use: remove it or name an address")
    return f"unix:{folder}/{_NAME}"


def other_place(address: Address) -> str | None:
    """Return what to say of the other default place to who finds no bus at this address; None if this is neither.

    Nothing is made or opened.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    with_it = f"{runtime or f'/run/user/{os.getuid()}'}/{_NAME}"
    without_it = f"{_own_folder()}/{_NAME}"
    match address:
        case UnixAddress(path) if path == with_it:
            return f"a bus that was started without XDG_RUNTIME_DIR is at {UnixAddress(without_it)}"
        case UnixAddress(path) if path == without_it:
            usually = "" if runtime else "usually "
            return f"a bus that was started with XDG_RUNTIME_DIR is {usually}at {UnixAddress(with_it)}"
        case _:
            return None


def _own_folder() -> Path:
    """Return the folder of the default place where the environment names none."""
    return Path(tempfile.gettempdir()) / f"t2bus-{os.getuid()}"
