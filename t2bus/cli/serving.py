"""``t2bus serve``: a bus in a process of its own.

::

    $ t2bus serve unix:my_bus tcp:127.0.0.1:4242
    t2bus: warning: every user of this machine can use the bus at tcp:127.0.0.1:4242; unix:PATH is for this user alone
    t2bus: serving at unix:my_bus
    t2bus: serving at tcp:127.0.0.1:4242
    t2bus: to listen: python -m t2bus sub 'hello/**' --addr unix:my_bus
    t2bus: to talk:   python -m t2bus pub hello/alice '{"text": "Hello Alice"}' --addr unix:my_bus

The first SIGINT or SIGTERM shuts the bus down in an orderly way, a second one ends it at once. SIGHUP reads
certificates and access rules again, beside what the bus does; where one of them cannot be used, what was in force stays
so.

The law of this module: an address that other machines can reach without TLS is refused, unless an option insists, and
one that all users of this machine can reach is warned of.
"""

from __future__ import annotations

import logging
import shlex
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import trio

from ..background import open_background_nursery
from ..errors import InvalidAccess, TlsFailed
from ..server.bus import Bus, open_judged_bus
from ..server.files import raise_soft_limit
from ..server.warnings import is_exposed, warn_of_exposure
from ..text import printable
from ..tls import server_context
from ..transport.address import TcpAddress, TlsAddress, parse
from ..transport.default_place import default_address
from .connecting import context_of
from .console import say, write_line
from .exits import Exit
from .settings import BadSetting, read_settings
from .signals import run_until_signal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Sequence
    from contextlib import AbstractAsyncContextManager

    from ..transport.address import Address
    from .settings import Settings


_HELLO: Final = '{"text": "Hello Alice"}'


class _OneLine(logging.Formatter):
    """Escapes what is not printable, so that text of a peer cannot write lines of its own into the log."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's name
        return printable(super().formatMessage(record))


class _ToStandardError(logging.Handler):
    """Writes the log where :func:`.say` writes."""

    def emit(self, record: logging.LogRecord) -> None:
        write_line(self.format(record))


@contextmanager
def _log_to_stderr(verbosity: int) -> Generator[None, None, None]:
    """Send the log of t2bus to standard error: warnings, with a verbosity of 1 also information, with 2 everything."""
    handler = _ToStandardError()
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger(__name__.partition(".")[0])
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


async def serve(arguments: argparse.Namespace) -> int:
    """Serve until a signal, then shut down in an orderly way within ``Limits.drain``; a second signal ends at once.

    Returns:
      0 after the first signal, 128 and the number of the second if that ended it.

    Raises:
      BadSetting: the options or the configuration file say what cannot be; nobody was let in.
      InvalidAddress, InvalidAccess, LimitExceeded, BindFailed: as ``t2bus.open_bus``.

    """
    settings = read_settings(arguments)
    addresses = settings.addresses or (default_address(),)
    asked = trio.Event()
    hangups, to_reload = trio.open_memory_channel[None](1)

    async def run() -> int:
        async with _open(settings, addresses) as bus, open_background_nursery() as nursery:
            nursery.start_soon(_reload, bus, to_reload)
            _introduce(bus.addresses, settings)
            await asked.wait()
            say(f"shutting down, in at most {settings.limits.drain:g} s; a second signal ends at once")
        return Exit.OK

    def reload() -> None:
        with suppress(trio.WouldBlock):  # one waits already
            hangups.send_nowait(None)

    with _log_to_stderr(arguments.verbose):
        return await run_until_signal(run, asked=asked, on_hangup=reload)


def _open(settings: Settings, addresses: tuple[str, ...]) -> AbstractAsyncContextManager[Bus]:
    """Open the bus that the settings describe; certificates that its clients would refuse are wrong usage here."""
    context = context_of(addresses, settings.files, server_context)
    raise_soft_limit(settings.limits)
    judge = partial(_judge, insecure=settings.insecure_no_auth)
    return open_judged_bus(
        judge, *addresses, tls=context, access=settings.access, peers=settings.peers, limits=settings.limits
    )


async def _reload(bus: Bus, hangups: trio.MemoryReceiveChannel[None]) -> None:
    """Read certificates and access rules again for each SIGHUP, and say how that went."""
    async for _ in hangups:
        try:
            await bus.reload_in_thread()
        except (TlsFailed, InvalidAccess) as error:
            say(f"not reloaded, what was in force stays so: {error}")
        else:
            say("reloaded certificates and access rules")


def _judge(asked: Address, bound: Sequence[Address], *, insecure: bool) -> None:
    """Refuse an address that other machines can reach without TLS, and warn of one that this machine's users can.

    What counts is what is bound: names, and ``*``, tell nothing by themselves. With ``insecure`` nothing is refused.

    Raises:
      BadSetting: other machines can reach it.

    """
    if not isinstance(asked, TcpAddress):
        return
    if not any(map(is_exposed, bound)):
        say(f"warning: every user of this machine can use the bus at {asked}; unix:PATH is for this user alone")
    elif insecure:
        warn_of_exposure(bound)
    else:
        raise BadSetting(
            f"{asked} can be reached from other machines, without encryption or identities: use tls: instead, "
            "for which `t2bus certs init` makes certificates, or insist with --insecure-no-auth"
        )


def _introduce(addresses: tuple[str, ...], settings: Settings) -> None:
    """Say where the bus is, with port 0 resolved, and by which commands to listen and to talk there.

    The commands work as they are, for this user in this folder. At an address of TLS they are those of the client
    that README and manual call alice, or of the one that makes her certificate.
    """
    for address in addresses:
        say(f"serving at {address}")
    options: list[str] = []
    if settings.addresses:
        chosen = next((address for address in addresses if not address.startswith("tls:")), addresses[0])
        options = ["--addr", _from_here(chosen)]
        if chosen.startswith("tls:"):
            ca = Path(settings.files["ca"])
            alice, key = ca.with_name("alice.pem"), ca.with_name("alice.key")
            if not (alice.exists() and key.exists()):
                issue = _command("certs", "issue", "alice", "--folder", str(ca.parent))
                how = f": `{issue}` makes one" if ca.with_name("ca.key").exists() else ""
                say(f"clients need a certificate of the authority in {ca}{how}")
                return
            options += ["--ca", str(ca), "--certificate", str(alice), "--key", str(key)]
    say(f"to listen: {_command('sub', 'hello/**', *options)}")
    say(f"to talk:   {_command('pub', 'hello/alice', _HELLO, *options)}")


def _command(*words: str) -> str:
    """Return a command of t2bus as a shell reads it."""
    return shlex.join(["python", "-m", "t2bus", *words])


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
