"""The screen of ``t2bus top``: urwid draws the picture and gives it the keys.

::

    await run_screen(Watch(arguments, Picture(ascii_only=False)))

It is the only module that needs urwid, which the extra ``t2bus[cli]`` brings. What urwid is asked for is little: the
terminal in its raw mode and back, keys by name, sizes, and writing what has changed.

The law of this module: however it ends, the terminal is as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
import urwid

from ..background import open_background_nursery
from .exits import Exit
from .table import width_of

if TYPE_CHECKING:
    from .top_watch import Watch

_PALETTE: Final = [
    ("head", "", ""),
    ("tabs", "bold", ""),
    ("title", "standout", ""),
    ("body", "", ""),
    ("foot", "bold", ""),
    ("problem", "standout", ""),
]
"""Attributes of text alone, so that any colours of the terminal will do."""


class PictureWidget(urwid.Widget):
    """The whole screen."""

    _sizing = frozenset([urwid.BOX])
    _selectable = True

    def __init__(self, watch: Watch, done: trio.Event) -> None:
        super().__init__()
        self._watch = watch
        self._done = done

    async def redraw(self) -> None:
        """Have it drawn anew, as soon as there is nothing else to do."""
        self._invalidate()
        await trio.lowlevel.checkpoint()

    def render(self, size: tuple[int, int], focus: bool = False) -> urwid.Canvas:  # type: ignore[override]  # noqa: ARG002, FBT001, FBT002 -- it is always a box
        """Return what stands on the screen."""
        columns, height = size
        # Filled up, so that a line that stands out does so over its whole width.
        lines = [
            urwid.Text((style, text + " " * (columns - width_of(text))), wrap="clip")
            for style, text in self._watch.picture.lines(columns, height)
        ]
        return urwid.Filler(urwid.Pile(lines), "top").render(size)

    def keypress(self, size: tuple[int, int], key: str) -> str | None:  # type: ignore[override]  # noqa: ARG002 -- as urwid calls it
        """Give a key to the picture."""
        view = self._watch.picture.view
        if self._watch.picture.press(key):
            self._done.set()
        if self._watch.picture.view != view:
            self._watch.switch()
        self._invalidate()
        return None


async def run_screen(watch: Watch) -> int:
    """Take the terminal when there is a bus, and give it back at the end: ``q``, or as many looks as were asked for.

    Raises:
      BusError: there is no bus, or it does not answer.

    """
    done = trio.Event()
    widget = PictureWidget(watch, done)
    first = trio.Event()

    async def show() -> None:
        first.set()
        await widget.redraw()

    async def look() -> None:
        await watch.run(show)
        done.set()

    async with open_background_nursery() as nursery:
        nursery.start_soon(look)
        await first.wait()
        events = urwid.TrioEventLoop()
        loop = urwid.MainLoop(widget, _PALETTE, event_loop=events, handle_mouse=False)
        with loop.start():
            nursery.start_soon(events.run_async)
            await done.wait()
    return Exit.OK
