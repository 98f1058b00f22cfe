"""The live picture of a bus, without a screen: what is shown, and what each key does to it.

::

    picture = Picture(ascii_only=False)
    picture.take_status(status_row)
    picture.take_rows(client_rows)
    picture.press("right")                  # sort by the next column
    for style, line in picture.lines(columns=80, height=24): ...

The law of this module: pure. A picture is as wide and as high as it is asked to be, and every line printable.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from attrs import define, evolve, field

from ..text import printable
from .figures import Unit, show
from .table import Column, cut, table
from .views import VIEWS, Seen, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Line = tuple[str, str]
"""The name of a style, and the text."""

SHOWN: Final = ("clients", "services", "subs", "ls", "members")
"""The views, by the keys 1 to 5."""

_HISTORY: Final = 60
"""Seconds of the small plot."""
_BARS: Final = "▁▂▃▄▅▆▇█"
_ASCII_BARS: Final = "_.:-=+*#"
_KEYS: Final = "q quit  h help  tab view  <- -> sort  r reverse  / filter"
_HELP: Final = (
    "1 2 3 4 5, tab     clients, services, subscriptions, topics, other servers",
    "left, right, s     sort by another column",
    "r                  reverse the order",
    "up, down, page up, page down, home, end",
    "                   scroll",
    "/                  filter by name or topic: enter keeps it, esc clears it",
    "h                  this help",
    "q                  quit",
)


def plot(values: Iterable[float], *, ascii_only: bool) -> str:
    """Return a character for each value, as high as it is among them; the lowest is nothing at all.

    >>> plot([0, 50, 100], ascii_only=False)
    '▁▅█'
    """
    bars, heights = _ASCII_BARS if ascii_only else _BARS, [*values]
    most = max(heights, default=0)
    return "".join(bars[round(each / most * (len(bars) - 1))] if most else bars[0] for each in heights)


@define(eq=False)
class _Order:
    """How one view is sorted."""

    column: int
    is_reversed: bool = False


def _first_order(view: View) -> _Order:
    """Sort by the first rate: what is busy is looked for."""
    return _Order(next(at for at, column in enumerate(view.columns) if column.per_second))


@define(eq=False)
class Picture:
    """What is looked at, how, and what has been seen."""

    ascii_only: bool
    view: str = field(default=SHOWN[0], init=False)
    problem: str = field(default="", init=False)
    """Why nothing new is seen, or nothing."""
    _status: Seen | None = field(default=None, init=False)
    rows: Sequence[Seen] | None = field(default=None, init=False)
    """The entries of the view; None until they were looked at."""
    _history: deque[float] = field(factory=lambda: deque(maxlen=_HISTORY), init=False)
    """Publications in each second."""
    _orders: dict[str, _Order] = field(factory=lambda: {name: _first_order(VIEWS[name]) for name in SHOWN}, init=False)
    _filter: str = field(default="", init=False)
    _is_typing: bool = field(default=False, init=False)
    """Whether keys are letters of the filter."""
    _is_help: bool = field(default=False, init=False)
    _top: int = field(default=0, init=False)
    """The first row that is shown."""
    _page: int = field(default=1, init=False)

    # --- what is seen

    def take_status(self, row: Seen) -> None:
        """Show this status of the bus, with its rates."""
        self._status, self.problem = row, ""
        if row.rates is not None:
            self._history.append(row.rates["published"])

    def take_rows(self, rows: Sequence[Seen]) -> None:
        """Show these entries of the view."""
        self.rows, self.problem = rows, ""

    # --- keys

    def press(self, key: str) -> bool:
        """Do what a key says; return whether it is to end. Keys have the names that urwid gives them."""
        if self._is_typing:
            self._type(key)
            return False
        match key:
            case "q" | "Q":
                return True
            case "h" | "?":
                self._is_help = not self._is_help
            case "esc":
                self._is_help, self._filter = False, ""
            case "/":
                self._is_typing, self._filter = True, ""
            case "1" | "2" | "3" | "4" | "5":
                self._switch(int(key) - 1)
            case "tab" | "shift tab":
                step = 1 if key == "tab" else -1
                self._switch((SHOWN.index(self.view) + step) % len(SHOWN))
            case "right" | "s" | "left":
                order = self._orders[self.view]
                order.column = (order.column + (-1 if key == "left" else 1)) % len(VIEWS[self.view].columns)
                order.is_reversed = False
            case "r":
                self._orders[self.view].is_reversed ^= True
            case _:
                self._scroll(key)
        return False

    def _type(self, key: str) -> None:
        """Take a key of the filter."""
        if key in ("enter", "esc"):
            self._is_typing = False
            self._filter = "" if key == "esc" else self._filter
        elif key == "backspace":
            self._filter = self._filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self._filter += key
        self._top = 0

    def _switch(self, number: int) -> None:
        if SHOWN[number] != self.view:
            self.view, self.rows, self._top = SHOWN[number], None, 0

    def _scroll(self, key: str) -> None:
        """Move the first row that is shown; how far it can move is known when it is drawn."""
        page = self._page
        steps = {
            "up": -1,
            "down": 1,
            "page up": -page,
            "page down": page,
            "home": -self._top,
            "end": len(self.rows or ()),
        }
        self._top = max(0, self._top + steps.get(key, 0))

    # --- drawing

    def lines(self, columns: int, height: int) -> list[Line]:
        """Return what is shown on so many columns and so many lines."""
        head = [("head", self._about()), ("head", self._rates(columns)), ("tabs", self._tabs())]
        foot = ("problem", f"no bus, trying again: {self.problem}") if self.problem else ("foot", self._foot())
        room = max(height - len(head) - 1, 0)
        body = [("body", text) for text in _HELP] if self._is_help else self._table(columns, room)
        body = body[:room]
        body += [("body", "")] * (room - len(body))
        lines = [*head, *body, foot][: max(height, 0)]
        return [(style, cut(self._shown(text), columns, "~" if self.ascii_only else "…")) for style, text in lines]

    def _shown(self, text: str) -> str:
        text = printable(text)
        return text.encode("ascii", "backslashreplace").decode() if self.ascii_only else text

    def _about(self) -> str:
        if self._status is None:
            return "t2bus"
        bus = self._status.entry
        counts = ", ".join(
            f"{show(number, Unit.COUNT, human=True)} {name[:-1] if number == 1 else name}"
            for name in ("connections", "subscriptions", "services")
            for number in [getattr(bus, name)]
        )
        if bus.node:
            counts += f"; {bus.members} other {'server' if bus.members == 1 else 'servers'} of {bus.bus}"
        up = show(bus.age, Unit.SECONDS, human=True)
        return f"t2bus {bus.version}, process {bus.process}, up {up}; {counts}; {' '.join(bus.addresses)}"

    def _rates(self, columns: int) -> str:
        """Say what the bus does in a second, with the plot of the last minute as far as there is room."""
        if self._status is None or self._status.rates is None:
            return ""
        rates = self._status.rates
        words = [f"{show(rates[name], Unit.COUNT, human=True)}/s {name}" for name in rates]
        waiting = show(self._status.entry.buffered_bytes, Unit.BYTES, human=True)
        text = ", ".join([*words, f"{waiting} waiting"])
        room = columns - len(text) - 2
        bars = plot(self._history, ascii_only=self.ascii_only)
        return f"{text}  {bars[-room:]}" if room > 0 else text

    def _tabs(self) -> str:
        names = [f"{number} {VIEWS[name].title}" for number, name in enumerate(SHOWN, 1)]
        here = SHOWN.index(self.view)
        names[here] = f"[{names[here]}]"
        return "  ".join(names)

    def _foot(self) -> str:
        if self._is_typing:
            return f"filter: {self._filter}_"
        return f"filter: {self._filter} (esc clears it)  {_KEYS}" if self._filter else _KEYS

    def _table(self, columns: int, height: int) -> list[Line]:
        """Return the titles and the rows that are to be seen."""
        if self.rows is None:
            return []
        view, order = VIEWS[self.view], self._orders[self.view]
        found = [row for row in self.rows if self._passes(row)] if self._filter else [*self.rows]
        found.sort(key=lambda row: _rank(row.value(view.columns[order.column])), reverse=self._is_falling)
        self._page = max(height - 1, 1)
        self._top = min(self._top, max(0, len(found) - self._page))
        seen = found[self._top : self._top + self._page]
        titled = [evolve(each, title=self._title(at, each)) for at, each in enumerate(view.columns)]
        cells = [row.cells(view.columns, human=True) for row in seen]
        title, *texts = table(titled, cells, width=columns, ascii_only=self.ascii_only)
        nothing = [] if texts else [("body", "nothing passes the filter" if self.rows else view.none)]
        return [("title", title), *(("body", text) for text in texts), *nothing]

    @property
    def _is_falling(self) -> bool:
        """Whether the largest is the first, as it is for figures unless that was reversed."""
        order = self._orders[self.view]
        return (VIEWS[self.view].columns[order.column].unit is not Unit.TEXT) is not order.is_reversed

    def _title(self, number: int, column: Column) -> str:
        """Return the title of a column, with an arrow if it is the one that sorts."""
        if number != self._orders[self.view].column:
            return column.title
        falling, rising = "v^" if self.ascii_only else "▼▲"
        return f"{column.title}{falling if self._is_falling else rising}"

    def _passes(self, row: Seen) -> bool:
        """Whether the filter is in a name, an identity, a topic or a node."""
        texts = (getattr(row.entry, name, None) for name in ("name", "identity", "topic", "node", "server"))
        return any(self._filter.casefold() in text.casefold() for text in texts if text is not None)


def _rank(value: Any) -> Any:
    """Return what sorts a value; what there is nothing of is less than all else."""
    return (value is not None, value or 0) if not isinstance(value, str) else (True, value.casefold())
