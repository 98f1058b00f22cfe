"""``t2bus serve``: a bus in a process of its own."""

from __future__ import annotations

import logging
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from ..limits import Limits
from ..server.bus import open_bus
from ..transport.address import default_address
from .console import printable, say
from .exits import Exit
from .signals import run_until_signal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator

__all__ = ["serve"]


class _OneLine(logging.Formatter):
    """Keeps what peers sent from writing lines of its own into the log."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's name
        return printable(super().formatMessage(record))


@contextmanager
def _log_to_stderr(verbosity: int) -> Generator[None, None, None]:
    """Send the log to standard error: warnings, or with a verbosity of 1 also information, of 2 everything."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger(__name__.partition(".")[0])
    logger.addHandler(handler)
    logger.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
    try:
        yield
    finally:
        logger.removeHandler(handler)


async def serve(arguments: argparse.Namespace) -> int:
    """Serve until a signal, then shut down in an orderly way; a second signal ends at once.

    Raises:
      InvalidAddress, BindFailed: as ``t2bus.open_bus``.

    """
    asked = trio.Event()

    async def run() -> int:
        async with open_bus(*(arguments.addresses or [default_address()])) as bus:
            _introduce(bus.addresses, is_default=not arguments.addresses)
            await asked.wait()
            say(f"shutting down, in at most {Limits().drain:g} s; a second signal ends at once")
        return Exit.OK

    with _log_to_stderr(arguments.verbose):
        return await run_until_signal(run, asked=asked)


def _introduce(addresses: tuple[str, ...], *, is_default: bool) -> None:
    """Say where the bus is and how to talk to it."""
    for address in addresses:
        say(f"serving at {address}")
    option = "" if is_default else f" --addr {shlex.quote(addresses[0])}"
    say(f"to listen: python -m t2bus sub 'hello/**'{option}")
    say(f'to talk:   python -m t2bus pub hello/alice \'{{"text": "Hello Alice"}}\'{option}')
