"""What the programs of the lab share: their messages, and how they begin and end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs
import trio

import t2bus

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable


@attrs.frozen
class Reading(t2bus.PublishProtocol, prefix="reading"):
    """How warm an instrument is."""

    celsius: float


@attrs.frozen
class Setpoint(t2bus.PublishProtocol, prefix="setpoint"):
    """How warm an instrument should be."""

    celsius: float


@attrs.frozen
class Measured:
    mean: float
    samples: int


@attrs.frozen
class Measure(t2bus.RequestProtocol[Measured], prefix="measure"):
    """Asks for the mean of so many samples."""

    samples: int = 1


def run(
    main: Callable[[t2bus.Client, argparse.Namespace], Awaitable[None]],
    parser: argparse.ArgumentParser,
    reconnect: t2bus.Reconnect | None = None,
) -> None:
    """Run ``main`` with a client, until it ends or Ctrl-C; errors of the bus are a line."""
    t2bus.add_arguments(parser)
    arguments = parser.parse_args()

    async def connect() -> None:
        opened = t2bus.client_of(arguments, name=parser.prog, reconnect=reconnect)
        async with opened as client:
            await main(client, arguments)

    reason = None
    try:
        trio.run(connect)
    except* KeyboardInterrupt:
        pass
    except* t2bus.BusError as group:
        reason = "; ".join(f"{type(error).__name__}: {error}" for error in group.exceptions)
    sys.exit(reason)
