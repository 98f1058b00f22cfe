"""``t2bus status``, ``clients``, ``services``, ``subs``, ``members`` and ``ls``: what a bus says of itself, as tables.

::

    $ t2bus clients
    NAME               IDENTITY  IN/S  OUT/S  BYTES-IN/S  BYTES-OUT/S  WAITING  DROPPED  SUBS  SERVICES  AGE
    oven.py[4711]      uid:1000  9.98      0       419 B          0 B      0 B        0     0         1  12s
    recorder.py[4712]  uid:1000     0   9.98         0 B        419 B      0 B        0     1         0   8s

    $ t2bus subs --all --once
    SERVER  TOPIC    NAME               IDENTITY  FREE  WINDOW  HELD  DROPPED  MSGS
    north   oven/**  recorder.py[4712]  uid:1000  16384  16384     0        0   120

    $ t2bus ls 'oven/**' --json | jq .topic
    "oven/temperature"

The law of this module: standard output has entries alone, in a pipe with whole figures, and nothing of it is cut there.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import trio

from ..background import open_background_nursery
from ..topic import intersects
from .connecting import open_client_of
from .console import Output, say
from .everywhere import Everywhere
from .exits import Exit
from .figures import Unit, show
from .looks import INTERVAL, PATIENCE, Looks
from .notation import diagnostic
from .refreshing import InPlace
from .signals import run_until_signal
from .table import Column, table
from .views import SERVER, VIEWS, Seen, View

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from typing import Any

    from ..client.client import Client
    from .everywhere import Unanswered

    _Verb = Callable[[argparse.Namespace], Coroutine[Any, Any, int]]


async def show_view(arguments: argparse.Namespace) -> int:
    """Print what the view of the verb has now."""
    return await run_until_signal(partial(_print_once, arguments))


status: _Verb = show_view
clients: _Verb = show_view
services: _Verb = show_view
subs: _Verb = show_view
members: _Verb = show_view


async def ls(arguments: argparse.Namespace) -> int:
    """Print which topics there are, once or until a signal, which is the usual end of ``--watch``."""
    if not arguments.watch:
        return await show_view(arguments)
    await run_until_signal(partial(_watch, arguments))
    return Exit.OK


async def _print_once(arguments: argparse.Namespace) -> int:
    """Look twice, or once if that is enough, and print."""
    output, view = Output(), VIEWS[arguments.verb]
    async with open_client_of(arguments) as client:
        looks = _looks_of(arguments, client)
        found = await looks.next()
        if not arguments.once:
            await trio.sleep(INTERVAL)
            found = await looks.next()
    found = _asked_for(arguments, found)
    if found:
        await output.write("\n".join(_lines(arguments, output, view, found)))
    else:
        say(view.none)
    failures = _failures_of(looks)
    for failure in failures:
        say(str(failure))
    return failures[0].code if failures else Exit.OK


def _looks_of(arguments: argparse.Namespace, client: Client) -> Looks | Everywhere:
    """Return looks at the servers that were asked for."""
    view, patience = VIEWS[arguments.verb], PATIENCE if arguments.timeout is None else arguments.timeout
    if getattr(arguments, "all", False):
        return Everywhere(client, view, patience)
    return Looks(client, view, arguments.at, patience)


def _failures_of(looks: Looks | Everywhere) -> Sequence[Unanswered]:
    return looks.failures if isinstance(looks, Everywhere) else ()


async def _watch(arguments: argparse.Namespace) -> int:
    """Print what is there, and each second what has changed; on a terminal all of it in the place of the last."""
    output, view = Output(), VIEWS[arguments.verb]
    screen = InPlace(output) if output.is_terminal and not arguments.json else None
    async with open_client_of(arguments) as client, open_background_nursery() as nursery:
        nursery.start_soon(output.wait_until_unread)
        looks = _looks_of(arguments, client)
        title: list[str] = []
        failed: set[str] = set()
        while True:
            found = _asked_for(arguments, await looks.next())
            failures = {failure.server: str(failure) for failure in _failures_of(looks)}
            if screen is not None:
                lines = _lines(arguments, output, view, found) if found else [view.none]
                await screen.show([*lines, *_in_the_width(output, failures.values())])
            else:
                for server in failures.keys() - failed:
                    say(failures[server])
                if changed := [row for row in found if row.is_changed]:
                    lines = _lines(arguments, output, view, changed)
                    # The title stands above the first lines only: what follows is a stream.
                    await output.write("\n".join(lines if arguments.json or not title else lines[1:]))
                    title = lines[:1]
            failed = {*failures}
            await trio.sleep_until(looks.due)


def _in_the_width(output: Output, texts: Iterable[str]) -> list[str]:
    """Return texts as lines, each cut to the width of the screen."""
    return table([Column("", "", Unit.TEXT)], [[text] for text in texts], width=output.width, ascii_only=output.ascii)[
        1:
    ]


def _asked_for(arguments: argparse.Namespace, found: list[Seen]) -> list[Seen]:
    """Return the rows whose topics the TOPIC meets, where there is one."""
    pattern = getattr(arguments, "topic", None)
    if pattern is None:
        return found
    # The bus has taken these topics, whatever its bounds are.
    meets = partial(intersects, pattern, length=sys.maxsize, depth=sys.maxsize)
    return [row for row in found if meets(row.entry.topic)]


def _lines(arguments: argparse.Namespace, output: Output, view: View, found: Sequence[Seen]) -> list[str]:
    """Return what is printed of these rows."""
    if arguments.json:
        return [diagnostic(row.document(), ascii_only=output.ascii) for row in found]
    if arguments.verb == "status":
        return _one_below_the_other(view, found[0], output)
    columns = view.columns_with(rates=not arguments.once)
    if found[0].place:
        columns = [SERVER, *columns]
    return lines_of(columns, found, output)


def lines_of(columns: Sequence[Column], found: Sequence[Seen], output: Output) -> list[str]:
    """Return a table of rows: for people and as wide as the screen, or for programs and whole."""
    cells = [row.cells(columns, human=output.is_terminal) for row in found]
    return table(columns, cells, width=output.width, ascii_only=output.ascii)


def _one_below_the_other(view: View, row: Seen, output: Output) -> list[str]:
    """Return a line for each attribute of one entry that is anything, with its rate behind it."""
    human, rates, width = output.is_terminal, row.rates or {}, max(len(column.title) for column in view.columns)
    texts = []
    columns = [column for column in view.columns if row.value(column) not in (None, "", [])]
    for column, cell in zip(columns, row.cells(columns, human=human), strict=True):
        rate = f"  {show(rates[column.field], column.unit, human=human)}/s" if column.field in rates else ""
        texts.append([f"{column.title:<{width}}  {cell}{rate}"])
    return table([Column("", "", Unit.TEXT)], texts, width=None, ascii_only=output.ascii)[1:]
