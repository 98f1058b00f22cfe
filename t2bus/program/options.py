"""The options that say where a bus is and whom to trust there, for any program made with argparse.

::

    parser = argparse.ArgumentParser()
    parser.add_argument("room")
    t2bus.add_arguments(parser)
    arguments = parser.parse_args()

    async with t2bus.client_of(arguments) as client: ...

They are ``--addr``, ``--wire``, ``--peer``, ``--ca``, ``--certificate`` and ``--key``. The verbs of ``t2bus`` that are
clients have the same ones.

The law of this module: standard library only, so that the program's ``--help`` is instant.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, Final

from ..transport.peer_name import check_peer
from .environment import from_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    Options = argparse.ArgumentParser | argparse._ArgumentGroup  # noqa: SLF001 -- argparse gives it no public name

_ABOUT: Final = "Each can be given in the environment too, as T2BUS_ADDR for example; the command line wins."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options that say where a bus is and whom to trust there; :func:`t2bus.client_of` obeys them.

    They are ``--addr``, ``--wire``, ``--peer``, ``--ca``, ``--certificate`` and ``--key``. Each can be given in the
    environment too, as ``T2BUS_ADDR`` for example, which is read by this call; the command line wins. A value there
    that is wrong ends the program by ``SystemExit``, as one on the command line does.
    """
    for option in add_client_options(parser.add_argument_group("where the bus is", _ABOUT)):
        try:
            for value in from_environment(option, os.environ):
                option.default = value
        except argparse.ArgumentTypeError as error:
            parser.error(str(error))


def add_client_options(parser: Options) -> list[argparse.Action]:
    """Add the options of a client, and return them."""
    place = "unix:PATH, tcp:HOST:PORT, tls:HOST:PORT, or name:NAME of a context"
    text = f"where the bus is: {place}; by default the default context, else where `t2bus serve` is"
    addr = parser.add_argument("--addr", type=plain, metavar="ADDR", help=text)
    return [addr, add_wire(parser), *add_certificates(parser, "client"), add_bus_peer(parser)]


def add_wire(parser: Options) -> argparse.Action:
    """Add ``--wire``."""
    text = "t2 for a bus of the Rust crate t2_bus, which has no headers; by default t2bus"
    return parser.add_argument("--wire", choices=["t2bus", "t2"], help=text)


def add_certificates(parser: Options, whose: str) -> list[argparse.Action]:
    """Add the three files of mutual TLS; which of them are needed depends on the address."""
    ca = "for tls: the certificate of the authority that both ends trust"
    key = "for tls: its private key, unless that is in --certificate"
    return [
        parser.add_argument("--ca", metavar="FILE", help=ca),
        parser.add_argument("--certificate", metavar="FILE", help=f"for tls: the {whose}'s own certificate"),
        parser.add_argument("--key", metavar="FILE", help=key),
    ]


def add_bus_peer(parser: Options) -> argparse.Action:
    """Add ``--peer`` of a client."""
    return add_peer(parser, "whose bus it may be at a unix socket beside this user's and root's, uid:N or gid:N")


def add_peer(parser: Options, text: str) -> argparse.Action:
    """Add ``--peer``: on either side of a unix socket, who beside this user may be at the other end."""
    return parser.add_argument("--peer", action=_InsteadOfDefault, type=peer, default=[], metavar="ID", help=text)


class _InsteadOfDefault(argparse.Action):
    """Gathers values, as argparse's ``append`` does, but in the place of the default and not behind it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 -- argparse's signature
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        gathered = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*([] if gathered is self.default else gathered), values])


# --- types: what argparse shows of an ArgumentTypeError is its text


def plain(argument: str) -> str:
    r"""Return the argument without what Windows adds to text: a byte order mark, and a CR at the end of a line.

    A shell takes the line's end from ``$(cat value.json)`` and leaves the CR::

        >>> plain("\ufeffa\r\nb\r")
        'a\nb'

    """
    return argument.removeprefix("\ufeff").replace("\r\n", "\n").removesuffix("\r")


def peer(argument: str) -> str:
    """Return the argument if it is a peer of a unix socket, ``uid:N`` or ``gid:N``."""
    try:
        check_peer(argument)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return argument
