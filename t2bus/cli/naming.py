"""``t2bus register``, ``unregister`` and ``context``: buses that are known by name.

::

    $ t2bus register lab tls:bus.example:4242 --ca ca.pem --certificate alice.pem --key alice.key --default
    t2bus: name:lab is tls:bus.example:4242 now, and the default
    $ t2bus context ls
    lab	tls:bus.example:4242	default
    $ t2bus sub 'hello/**' --addr name:lab

What is written down, and where, is said in :mod:`t2bus.contexts`.

The law of this module: what is written down means the same in every folder, so paths are written whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..program.options import add_bus_peer, add_certificates, add_wire, plain
from ..text import printable
from . import arguments as types
from .arguments import add_group, add_verb
from .console import Output, counted, say
from .exits import Exit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ..contexts.document import BusContext, Contexts
    from .arguments import VerbParser, Verbs

_UNIX: Final = "unix:"
_NOT_ONE: Final = "there is no default context: name one, or make one the default with `t2bus context use NAME`"


def add_names(verbs: Verbs) -> None:
    """Add the three verbs to the grammar."""
    more = "Certificates and peers that are given belong to it. A name that exists is given its new address."
    example = "lab tls:bus.example:4242 --ca ca.pem --certificate alice.pem --key alice.key"
    verb = add_verb(verbs, "register", "give a bus a name, by which all clients find it", more, example)
    _add_name(verb)
    verb.add_argument("address", type=plain, metavar="ADDR", help="unix:PATH, tcp:HOST:PORT or tls:HOST:PORT")
    add_certificates(verb, "client")
    add_wire(verb)
    add_bus_peer(verb)
    verb.add_argument("--default", action="store_true", help="use it where no address is given")
    more = "If it was the default, there is none any more."
    _add_name(add_verb(verbs, "unregister", "forget the name of a bus", more, "lab"))
    more = "They are in contexts.toml in the user's configuration folder, or in the file that T2BUS_CONTEXTS names."
    group = add_group(verbs, "context", "list, show and choose the buses that have names", more)
    verb = add_verb(group, "ls", "list all contexts", "Each is one line: name, address, and whether it is default.", "")
    _add_json(verb)
    more = "Each line is a word and its value."
    verb = add_verb(group, "show", "show a context and its certificates", more, "lab")
    _add_name(verb, "; by default the default context", nargs="?")
    _add_json(verb)
    _add_name(add_verb(group, "use", "make a context the default", "It is used where no address is given.", "lab"))
    more = "A name that exists stays as it is. The first becomes the default if there is none, as it is in that file."
    verb = add_verb(group, "import", "take over the names of the Rust crate's tool t2", more, "~/.t2")
    file = "a file of that tool; by default .t2 in the home folder"
    verb.add_argument("file", nargs="?", metavar="FILE", help=file)


def _add_name(verb: VerbParser, more: str = "", nargs: str | None = None) -> None:
    """Add NAME; what a name may be is checked where it is looked up."""
    verb.add_argument("name", nargs=nargs, type=types.text, metavar="NAME", help=f"a name, such as lab{more}")


def _add_json(verb: VerbParser) -> None:
    verb.add_argument("--json", action="store_true", help="print JSON, one object a line")


async def register(arguments: argparse.Namespace) -> int:  # noqa: ASYNC124 -- a verb is async
    """Write a name down.

    Raises:
      InvalidAddress: the name, the address or the combination with certificates or peers is invalid, or the file.
      BadSetting: the certificates cannot be used.
      OSError: the file cannot be written.

    """
    from ..contexts.document import BusContext
    from ..contexts.file import change
    from ..program.opening import files_of
    from ..tls import client_context
    from .connecting import context_of

    name, address = arguments.name, _whole(arguments.address)
    bus = BusContext(address, _whole_paths(files_of(arguments)), arguments.wire or "t2bus", tuple(arguments.peer))
    bus.check()
    if bus.files:
        context_of([address], bus.files, client_context)

    elif address.startswith("tls:"):
        say(f"warning: {address} needs certificates, and name:{name} has none: each command has to name them")
    before: BusContext | None = None

    def edit(contexts: Contexts) -> Contexts:
        nonlocal before
        before = contexts.known.get(name)
        contexts = contexts.adding(name, bus)
        return contexts.using(name) if arguments.default else contexts

    change(edit)
    replaced = "" if before is None or before == bus else f", in the place of {before.address}"
    say(f"name:{name} is {address} now{replaced}{', and the default' if arguments.default else ''}")
    return Exit.OK


def _whole(address: str) -> str:
    """Return an address whose path, if it has one, does not count from the working directory."""
    from pathlib import Path

    path = address.removeprefix(_UNIX)
    return f"{_UNIX}{Path(path).absolute()}" if path and path != address else address


def _whole_paths(files: Mapping[str, str]) -> dict[str, str]:
    from pathlib import Path

    return {name: str(Path(path).absolute()) for name, path in files.items()}


async def unregister(arguments: argparse.Namespace) -> int:  # noqa: ASYNC124 -- as register
    """Forget a name; the errors are those of :func:`register`."""
    from ..contexts.file import change

    change(lambda contexts: contexts.removing(arguments.name))
    say(f"name:{arguments.name} is forgotten")
    return Exit.OK


async def context(arguments: argparse.Namespace) -> int:
    """Do what the action says; the errors are those of :func:`register`."""
    match arguments.action:
        case "ls":
            await _list(arguments)
        case "show":
            await _show(arguments)
        case "use":
            _use(arguments)
        case _:
            _import(arguments)
    return Exit.OK


async def _list(arguments: argparse.Namespace) -> None:
    """Print each context in a line."""
    from ..contexts.file import contexts_path, load

    output, contexts = Output(), load(contexts_path())
    for name, bus in contexts.known.items():
        is_default = name == contexts.default
        words = [name, bus.address, *(["default"] if is_default else [])]
        line = _as_json(name, bus, is_default=is_default) if arguments.json else "\t".join(map(printable, words))
        await output.write(line)
    if not contexts.known:
        say("no context is registered: `t2bus register NAME ADDR` makes one")


async def _show(arguments: argparse.Namespace) -> None:
    """Print all that is known of one context."""
    from ..contexts.document import table_of
    from ..contexts.file import contexts_path, load
    from .settings import BadSetting

    output, contexts = Output(), load(contexts_path())
    name = arguments.name or contexts.default
    if name is None:
        raise BadSetting(_NOT_ONE)
    bus, is_default = contexts.find(name), name == contexts.default
    if arguments.json:
        await output.write(_as_json(name, bus, is_default=is_default))
        return
    for word, value in {"name": name, **table_of(bus), "default": "yes" if is_default else "no"}.items():
        text = " ".join(value) if isinstance(value, list) else value
        await output.write(f"{word}\t{printable(text)}")


def _as_json(name: str, bus: BusContext, *, is_default: bool) -> str:
    import json

    from ..contexts.document import table_of

    return json.dumps({"name": name, **table_of(bus), "default": is_default})


def _use(arguments: argparse.Namespace) -> None:
    """Make a context the default."""
    from ..contexts.file import change

    change(lambda contexts: contexts.using(arguments.name))
    say(f"name:{arguments.name} is the default now")


def _import(arguments: argparse.Namespace) -> None:
    """Take over what the Rust crate's tool knows, but for names that are known already."""
    from pathlib import Path

    from ..contexts.document import read_crate_file
    from ..contexts.file import change, read_file
    from .settings import BadSetting

    path = Path.home() / ".t2" if arguments.file is None else Path(arguments.file)
    found = read_file(path, read_crate_file)
    if found is None:
        raise BadSetting(f"{path} does not exist: name the file in which the tool t2 keeps its names")
    before: set[str] = set()

    def edit(contexts: Contexts) -> Contexts:
        before.update(contexts.known)
        for name, bus in found.known.items():
            contexts = contexts if name in before else contexts.adding(name, bus)
        return contexts.using(found.default) if contexts.default is None and found.default else contexts

    change(edit)
    for name in found.known:
        if name in before:
            say(f"name:{name} is known already and stays as it is")
    say(f"{counted(len(found.known.keys() - before), 'context', 'contexts')} imported from {path}")
