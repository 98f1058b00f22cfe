"""How one server joins the others of its bus.

The law of this module: what is wrong and can be known without opening a file or a socket is refused here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from socket import gethostname
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from ..documented import Documented
from ..errors import InvalidAddress
from ..text import printable, quote
from ..topic import DEPTH, InvalidTopic, is_concrete, validate
from ..transport.address import TcpAddress, TlsAddress, UnixAddress, is_loopback, parse
from ..wire.values import NAME_LENGTH

if TYPE_CHECKING:
    from ..transport.address import Address

LONGEST_NAME: Final = 64
"""Characters of the name of a bus. It is a part of every key of the engine, which does not survive very long keys."""

SHORTEST_LEASE: Final = 0.5
"""Seconds. There are four signs of life in a lease, and more of them would take a busy host for a dead one."""

LONGEST_LEASE: Final = 60.0


def place_of(text: str) -> TcpAddress | TlsAddress:
    """Return the address at which a server listens for the others, or meets one of them.

    Raises:
      InvalidAddress: the text is no address, or none for servers.

    """
    match _parse(text):
        case UnixAddress():
            raise InvalidAddress(f"{quote(text)} is for this machine alone: servers meet at tls:HOST:PORT")
        case TcpAddress(host, port) if host != "localhost" and not is_loopback(host):
            raise InvalidAddress(
                f"{quote(text)} is open to anybody on the way: write {TlsAddress(host, port)}, "
                "tcp: is for loopback addresses such as tcp:127.0.0.1:7447"
            )
        case place:
            return place


def _parse(text: str) -> Address:
    """Parse an address. What lacks the kind is meant for TLS here, where clients would be told to write ``tcp:``."""
    try:
        return parse(text)
    except InvalidAddress as error:
        try:
            meant = parse(f"tls:{text}")
        except InvalidAddress:
            raise error from None
        raise InvalidAddress(f"{quote(text)} is no address: write {meant}") from error


def _seeds(seeds: Sequence[str]) -> tuple[str, ...]:
    if isinstance(seeds, str):
        raise TypeError(f"seeds are several addresses: write [{quote(seeds)}]")
    return tuple(seeds)


def _host() -> str:
    return printable(gethostname(), NAME_LENGTH)


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


@frozen(kw_only=True)
class Federation(metaclass=Documented):
    """What makes a server one of several that are one bus: for ``federation=`` of :func:`t2bus.open_bus`.

    ::

        federation = t2bus.Federation(
            bus="plant",
            endpoint="tls:north.example:7447",
            seeds=["tls:north.example:7447", "tls:south.example:7447"],
            ca="certs/ca.pem",
            cert="certs/north.pem",
            key="certs/north.key",
        )

    All servers may be given the same seeds: each passes over its own endpoint among them. No file is read here.

    Raises:
      InvalidAddress: the endpoint or a seed is no address, or none for servers.
      ValueError: another value is wrong; the text names it.
      TypeError: the seeds are one text, or a number is of another type than its field.

    """

    bus: str
    """The name of the bus: ``a-z``, ``0-9`` and ``_``, 64 of them at most. Servers of other names are never met."""
    endpoint: str
    """Where this server listens for the others: ``tls:HOST:PORT``, or among loopback addresses ``tcp:HOST:PORT``."""
    seeds: Sequence[str] = field(default=(), converter=_seeds)
    """Endpoints of servers to look for, for ever, from whom this one hears of all others. One that nobody listens at
    does no harm."""
    ca: str | None = field(default=None, converter=_path)
    """With ``tls:``, the file with the certificate of the authority that all servers trust."""
    cert: str | None = field(default=None, converter=_path)
    """With ``tls:``, the file with this server's own certificate, which is shown to whoever it is connected with."""
    key: str | None = field(default=None, converter=_path)
    """With ``tls:``, the file with its private key."""
    min_members: int = 1
    """Servers, this one too, without which it serves no new topic, 1 to 1,000: the majority of a fixed number lets no
    two servers have one topic's service in a network that has come apart."""
    group_depth: int = 1
    """Fragments at the front of a topic by which servers tell each other what they want, 1 to 16."""
    lease: float = 2.0
    """Seconds that a server may be silent before the others go on without it, 0.5 to 60."""
    name: str = field(factory=_host)
    """What this server is called, for people who look at the bus: 1 to 64 printable characters, by default the name of
    its host."""

    def __attrs_post_init__(self) -> None:
        _check_bus(self.bus)
        place = place_of(self.endpoint)
        for seed in self.seeds:
            _check_seed(seed, place)
        _check_files(place, [self.ca, self.cert, self.key])
        _check_range("min_members", self.min_members, 1, 1000, is_whole=True)
        _check_range("group_depth", self.group_depth, 1, DEPTH, is_whole=True)
        _check_range("lease", self.lease, SHORTEST_LEASE, LONGEST_LEASE)
        if not (0 < len(self.name) <= NAME_LENGTH and self.name.isprintable()):
            raise ValueError(f"{quote(self.name)} is no name of a server: use 1 to {NAME_LENGTH} printable characters")


def _check_bus(name: str) -> None:
    try:
        is_valid = is_concrete(validate(name, length=LONGEST_NAME, depth=1))
    except InvalidTopic:
        is_valid = False
    if not is_valid:
        bound = f"at most {LONGEST_NAME} of them"
        raise ValueError(f"{quote(name)} is no name of a bus: use a-z, 0-9 and _ only, and {bound}")


def _check_seed(seed: str, own: TcpAddress | TlsAddress) -> None:
    place = place_of(seed)
    if place.port == 0:
        raise InvalidAddress(f"nobody can be met at port 0 of the seed {quote(seed)}: write the port")
    if type(place) is not type(own):
        kinds = "write tls: in both, or on one machine tcp: in both"
        raise InvalidAddress(f"the seed {quote(seed)} is of another kind than the endpoint {own}: {kinds}")


def _check_files(place: TcpAddress | TlsAddress, files: list[str | None]) -> None:
    if isinstance(place, TlsAddress) and None in files:
        raise ValueError(f"the endpoint {place} needs all of ca, cert and key: `t2bus certs` makes such files")
    if isinstance(place, TcpAddress) and files != [None, None, None]:
        secure = TlsAddress(place.host, place.port)
        raise ValueError(f"certificates are of no use at the endpoint {place}: write {secure}, or leave them out")


def _check_range(name: str, value: float, least: float, most: float, *, is_whole: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, int if is_whole else int | float):
        raise TypeError(f"{name} is {value!r}: set it to a {'whole number' if is_whole else 'number of seconds'}")
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}: set it from {least} to {most}")
