"""What ``t2bus serve`` says when it serves: where, and by which commands to listen and to talk there.

::

    t2bus: serving at unix:my_bus
    t2bus: to listen: python -m t2bus sub 'hello/**' --addr unix:my_bus
    t2bus: to talk:   python -m t2bus pub hello/alice '{"text": "Hello Alice"}' --addr unix:my_bus

The law of this module: the commands work as they are, for this user in this folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from ..called import command
from ..transport.address import TcpAddress, TlsAddress, parse
from .console import say

if TYPE_CHECKING:
    from collections.abc import Mapping

_HELLO: Final = '{"text": "Hello Alice"}'


def introduce(addresses: tuple[str, ...], files: Mapping[str, str], *, is_default: bool) -> None:
    """Say where the bus is, with port 0 resolved, and the commands.

    At an address of TLS they are those of the client that README and manual call alice, or of the one that makes her
    certificate, beside the bus's own ``files``. Where the address ``is_default`` they name none.
    """
    for address in addresses:
        say(f"serving at {address}")
    options: list[str] = []
    if not is_default:
        chosen = next((address for address in addresses if not address.startswith("tls:")), addresses[0])
        options = ["--addr", _from_here(chosen)]
        if chosen.startswith("tls:"):
            ca = Path(files["ca"])
            alice, key = ca.with_name("alice.pem"), ca.with_name("alice.key")
            if not (alice.exists() and key.exists()):
                issue = command("certs", "issue", "alice", "--folder", str(ca.parent))
                how = f": `{issue}` makes one" if ca.with_name("ca.key").exists() else ""
                say(f"clients need a certificate of the authority in {ca}{how}")
                return
            options += ["--ca", str(ca), "--certificate", str(alice), "--key", str(key)]
    say(f"to listen: {command('sub', 'hello/**', *options)}")
    say(f"to talk:   {command('pub', 'hello/alice', _HELLO, *options)}")


def _from_here(address: str) -> str:
    """Return where a client of this machine finds a listener: one at all addresses is at those of loopback too."""
    parsed = parse(address)
    match parsed:
        case TcpAddress("0.0.0.0") | TlsAddress("0.0.0.0"):  # noqa: S104 -- nothing is bound here
            return str(attrs.evolve(parsed, host="127.0.0.1"))
        case TcpAddress("::") | TlsAddress("::"):
            return str(attrs.evolve(parsed, host="::1"))
        case _:
            return address
