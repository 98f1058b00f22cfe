"""``t2bus top``: a bus live, on a terminal by urwid, elsewhere as one table each second.

::

    $ t2bus top
    $ t2bus top -n 10 | tee the_last_ten_seconds.txt

What is looked at, and when, is in :mod:`.top_watch`; what it looks like in :mod:`.top_picture`.

The law of this module: what is printed in a pipe needs nothing that is not in the core.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..called import install
from .console import Output, say
from .exits import Exit
from .lists import lines_of
from .signals import run_until_signal
from .stdin import is_terminal
from .top_picture import Picture
from .top_watch import Watch
from .views import VIEWS

if TYPE_CHECKING:
    import argparse


async def top(arguments: argparse.Namespace) -> int:
    """Show the bus until ``q`` or a signal, or as often as was said; on a terminal that needs urwid."""
    output = Output()
    if not (output.is_terminal and is_terminal()):
        await run_until_signal(partial(_print, arguments, output))
        return Exit.OK
    try:
        from .top_screen import run_screen
    except ModuleNotFoundError as error:
        if error.name not in ("urwid", "wcwidth"):
            raise
        say(f"top on a terminal needs the package urwid: run `{install('cli')}`; `t2bus top | cat` works without it")
        return Exit.ERROR
    watch = Watch(arguments, Picture(output.ascii))
    await run_until_signal(partial(run_screen, watch))
    return Exit.OK


async def _print(arguments: argparse.Namespace, output: Output) -> int:
    """Print a table of the clients each second, and say it when the bus has gone."""
    picture = Picture(output.ascii)
    columns = VIEWS[picture.view].columns_with(rates=True)

    async def show() -> None:
        rows = picture.rows or []
        if picture.problem:
            say(f"no bus, trying again: {picture.problem}")
        elif rows and rows[0].rates is not None:
            await output.write("\n".join([*lines_of(columns, rows, output), ""]))

    await Watch(arguments, picture).run(show)
    return Exit.OK
