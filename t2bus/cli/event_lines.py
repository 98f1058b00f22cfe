"""``t2bus events``: what happens on a bus, a line for each.

::

    $ t2bus events claimed lagging
    t2bus: listening to bus/event/* at unix:/run/user/1000/t2bus.sock
    13:27:31  claimed       oven.py[4711] (uid:1000)  oven/measure
    13:27:40  lagging       plot.py[4712] (uid:1000)  oven/temperature  1 dropped

The law of this module: what was missed is told where it is missing, on standard error, and it goes on.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from attrs import asdict

from ..errors import Lagged, MalformedMessage, PermissionDenied
from ..status import Event
from ..text import printable
from .connecting import address_of, open_client_of
from .console import Output, counted, say, say_here
from .exits import Exit
from .looks import asked
from .notation import diagnostic
from .signals import run_until_signal
from .views import VIEWS

if TYPE_CHECKING:
    import argparse


async def events(arguments: argparse.Namespace) -> int:
    """Print events until a signal, which is the usual end, or as many as were asked for."""
    await run_until_signal(partial(_events, arguments))
    return Exit.OK


async def _events(arguments: argparse.Namespace) -> int:
    output, left = Output(), arguments.count
    # One kind alone may be all that access rules allow.
    topic = arguments.kinds[0] if len(arguments.kinds) == 1 else "*"
    async with open_client_of(arguments) as client:
        # A bus without events would be silent for ever.
        with contextlib.suppress(PermissionDenied):
            await asked(client, VIEWS["status"].ask)
        async with client.subscribe(Event, topic) as received:
            say(f"listening to bus/event/{topic} at {address_of(arguments)}")
            while left > 0:
                try:
                    event = (await received.receive()).body
                except Lagged as error:
                    dropped = counted(error.dropped, "event was", "events were")
                    await say_here(f"{dropped} dropped here: the output is taken too slowly")
                    continue
                except MalformedMessage as error:
                    await say_here(f"an event cannot be read: {error}")
                    continue
                if not arguments.kinds or event.kind in arguments.kinds:
                    now = datetime.now().astimezone()
                    await output.write(_json(event, now, output) if arguments.json else line_of(event, now, output))
                    left -= 1
    return Exit.OK


def _json(event: Event, now: datetime, output: Output) -> str:
    return diagnostic({"time": now.isoformat(timespec="milliseconds"), **asdict(event)}, ascii_only=output.ascii)


def line_of(event: Event, now: datetime, output: Output) -> str:
    """Return an event as one printable line."""
    who = f"{event.name or f'client {event.client}'} ({event.identity})"
    dropped = f"{event.dropped} dropped" if event.dropped else ""
    parts = [f"{now:%H:%M:%S}", f"{event.kind:<12}", who, event.topic or "", event.text, dropped]
    line = printable("  ".join(part for part in parts if part))
    return line.encode("ascii", "backslashreplace").decode() if output.ascii else line
