"""What is known of buses by name, as values, and as the text of a file and back.

The file is TOML::

    default = "lab"

    [contexts.lab]
    address = "tls:bus.example:4242"
    ca = "ca.pem"
    certificate = "alice.pem"
    key = "alice.key"

    [contexts.old]
    address = "tcp:127.0.0.1:4242"
    wire = "t2"

    [contexts.oven]
    address = "unix:/run/oven/bus"
    peers = ["uid:1000"]

Certificates count from the folder of the file. ``name:lab`` is an address then.

The tool ``t2`` of the Rust crate keeps ``NAME ADDRESS`` in a line, the default first; such a text can be read too.

The law of this module: no file is opened, and what cannot be is refused with the line that says it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import attrs
from attrs import field, frozen

from ..errors import InvalidAddress
from ..mistakes import line_of, read_toml, require_known, texts, typed
from ..text import quote
from ..transport.address import TlsAddress, UnixAddress, parse
from ..transport.peer_name import check_peer

if TYPE_CHECKING:
    from pathlib import Path

Wire = Literal["t2bus", "t2"]

PREFIX: Final = "name:"
FILES: Final[tuple[str, ...]] = ("ca", "certificate", "key")
_NAME: Final = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")


@frozen
class BusContext:
    """Where a bus is, how it is spoken to, and what is shown there; it may have a name, by which it is found."""

    address: str
    files: Mapping[str, str] = field(factory=dict)
    """The paths of certificates under ``ca``, ``certificate`` and ``key``; empty, or the first two at least."""
    wire: Wire = "t2bus"
    peers: tuple[str, ...] = ()
    """Whose bus it may be at a unix socket, beside this user's and root's."""

    def check(self) -> None:
        """Raise ``InvalidAddress`` for an address that is none, and for certificates and peers that are incomplete,
        useless or none.
        """
        place = parse(self.address)
        if self.peers and not isinstance(place, UnixAddress):
            raise InvalidAddress(f"peers are for unix: addresses, and {self.address} is not one: nobody says who it is")
        try:
            for peer in self.peers:
                check_peer(peer)
        except ValueError as error:
            raise InvalidAddress(str(error)) from error
        if self.files and not isinstance(place, TlsAddress):
            raise InvalidAddress(f"certificates are for tls: addresses, and {self.address} is not one")
        if self.files and not {"ca", "certificate"} <= self.files.keys():
            raise InvalidAddress(
                "certificates need ca and certificate, and key unless that is in the certificate's file"
            )


@frozen
class Contexts:
    """All that is known, in its order, and which of it is meant where no address is given."""

    known: Mapping[str, BusContext] = field(factory=dict)
    default: str | None = None

    def find(self, name: str) -> BusContext:
        """Return what is known by this name, or raise ``InvalidAddress`` with the nearest name that is known."""
        check_name(name)
        if (context := self.known.get(name)) is None:
            raise InvalidAddress(f"{quote(PREFIX + name)} is not known: {self._hint(name)}")
        return context

    def _hint(self, name: str) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 -- only for an error

        if not self.known:
            return "no context is registered; `t2bus register NAME ADDR` makes one"
        near = get_close_matches(name, self.known, 1)
        return f"did you mean {PREFIX}{near[0]}?" if near else f"there are {', '.join(self.known)}"

    def adding(self, name: str, context: BusContext) -> Contexts:
        """Return this with a context more, or another one in the place of its name."""
        check_name(name)
        context.check()
        return attrs.evolve(self, known={**self.known, name: context})

    def removing(self, name: str) -> Contexts:
        """Return this without a context; if that was the default, there is none."""
        self.find(name)
        known = {each: context for each, context in self.known.items() if each != name}
        return Contexts(known, None if self.default == name else self.default)

    def using(self, name: str) -> Contexts:
        """Return this with another default."""
        self.find(name)
        return attrs.evolve(self, default=name)


def check_name(name: str) -> None:
    """Raise ``InvalidAddress`` unless this may be the name of a context."""
    if not _NAME.fullmatch(name):
        rule = "use a-z, 0-9, _ and -, with no - in front and 64 characters at most"
        raise InvalidAddress(f"{quote(name)} is no name of a context: {rule}")


# --- as TOML

_of_type = partial(typed, error=InvalidAddress)
_texts = partial(texts, error=InvalidAddress)
_require_known = partial(require_known, error=InvalidAddress)


def read_contexts(text: str, folder: Path) -> Contexts:
    """Return what a text says; certificates count from the folder.

    Raises:
      InvalidAddress: it is not TOML or says what cannot be; the error begins with the line, if that is known.

    """
    try:
        document = read_toml(text)
    except ValueError as error:
        reason, _, place = str(error).partition(" (at ")
        line = re.match(r"line ([0-9]+)", place)
        number = line[1] if line else max(1, len(text.splitlines()))  # else it is the end of the document
        raise InvalidAddress(f"line {number}: {reason}" if place else f"it is no TOML: {reason}") from error
    key: tuple[str, ...] = ()
    try:
        _require_known(document, ("default", "contexts"), "key")
        tables = _of_type(document, "contexts", dict, {})
        known = {}
        for name in tables:
            key = ("contexts", name)
            check_name(name)
            known[name] = _context(_of_type(tables, name, dict, {}), folder)
        key = ("default",)
        contexts = Contexts(known)
        default = _of_type(document, "default", str, None)
        return contexts if default is None else contexts.using(default)
    except InvalidAddress as error:
        where = f"line {number}: " if (number := line_of(text, key)) else ""
        raise InvalidAddress(f"{where}{_shown(key)}{error}") from error


def _context(table: dict[str, Any], folder: Path) -> BusContext:
    """Read the table of one context."""
    _require_known(table, ("address", "wire", "peers", *FILES), "key")
    address = _of_type(table, "address", str, None)
    if address is None:
        raise InvalidAddress("it has no address")
    wire = _of_type(table, "wire", str, "t2bus")
    if wire not in get_args(Wire):
        raise InvalidAddress(f"there is no wire {quote(wire)}: it is {' or '.join(get_args(Wire))}")
    files = {name: str(folder / _of_type(table, name, str, "")) for name in FILES if name in table}
    context = BusContext(address, files, wire, _texts(table, "peers"))
    context.check()
    return context


def _shown(key: tuple[str, ...]) -> str:
    """Return the name of a table, to stand before what is wrong with it."""
    return f"[{'.'.join(key)}] " if len(key) > 1 else ""


def document_of(contexts: Contexts) -> dict[str, Any]:
    """Return what is known as a document of TOML."""
    document: dict[str, Any] = {} if contexts.default is None else {"default": contexts.default}
    return document | {"contexts": {name: table_of(context) for name, context in contexts.known.items()}}


def table_of(context: BusContext) -> dict[str, Any]:
    """Return what is known of one bus as a table, without what is as usual."""
    wire = {} if context.wire == "t2bus" else {"wire": context.wire}
    peers = {"peers": list(context.peers)} if context.peers else {}
    return {"address": context.address, **wire, **peers, **context.files}


# --- as the tool of the Rust crate keeps it


def read_crate_file(text: str) -> Contexts:
    """Return what a ``.t2`` file of the Rust crate's tool says. Its buses speak the crate's wire; the first is default.

    Raises:
      InvalidAddress: a line is not ``NAME tcp:HOST:PORT`` or ``NAME unix:PATH``; the error begins with its number.

    """
    contexts = Contexts()
    for number, line in enumerate(text.splitlines(), 1):
        name, separator, address = line.strip().partition(" ")
        if not name:
            continue
        try:
            if not separator:
                raise InvalidAddress(f"{quote(name)} has no address: write NAME tcp:HOST:PORT or NAME unix:PATH")  # noqa: TRY301
            contexts = contexts.adding(name, BusContext(address, wire="t2"))
        except InvalidAddress as error:
            raise InvalidAddress(f"line {number}: {error}") from error
    first = next(iter(contexts.known), None)
    return attrs.evolve(contexts, default=first)
