"""What a supervisor such as systemd is told: that the bus is ready, reads its files again, stops, and lives.

::

    notifier = take_notifier()
    async with open_bus_somehow(looked=notifier.looked) as bus:
        notifier.ready(bus)

It is a datagram of lines to the socket that ``NOTIFY_SOCKET`` names, by its path or, with ``@`` in front, by its
abstract name (``sd_notify(3)``)::

    READY=1
    STATUS=unix:/run/t2bus/bus: 12 connections, 340 messages/s

``WATCHDOG=1`` is sent only when the bus has looked at all its connections, by its own timer. So one that hangs, for
whatever reason, is missed within ``WATCHDOG_USEC`` and restarted, and says on standard error where each thread was.

The law of this module: the bus never waits for its supervisor. What cannot be sent at once is dropped.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from ..liveness import TICK
from ..text import printable
from .console import counted, file_number, say

if TYPE_CHECKING:
    from ..broker.statistics import BusStatistics
    from ..server.bus import Bus

_REFRESH: Final = 5.0
"""Seconds between two lines of status."""

_LONGEST: Final = 1000
"""Characters of a line of status, of which systemd shows one screen's width."""

_MICROSECONDS: Final = 1_000_000


def take_notifier() -> Notifier:
    """Return the notifier that the environment asks for, which no child inherits; it does nothing without one."""
    place = os.environ.pop("NOTIFY_SOCKET", "")
    microseconds, owner = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
    if not place.startswith(("/", "@")):
        return Notifier(None)
    notifier = Notifier(os.fsencode(f"\0{place[1:]}" if place.startswith("@") else place))
    if microseconds.isascii() and microseconds.isdigit() and int(microseconds) and owner in {"", str(os.getpid())}:
        notifier.watchdog = int(microseconds) / _MICROSECONDS
        if notifier.watchdog < 2 * TICK:
            say(f"warning: a watchdog of {notifier.watchdog:g} s is too short, the bus looks at itself once a second")
    return notifier


def show_stacks_when_aborted() -> None:
    """Have each thread's place written to standard error at SIGABRT, by which a watchdog ends what hangs."""
    if sys.stderr is not None and (number := file_number(sys.stderr)) is not None:
        faulthandler.enable(number)


@define(eq=False)
class Notifier:
    """The one to whom a supervisor listens; all its methods return at once."""

    _place: bytes | None
    """The address of the supervisor's socket, None if there is none."""
    watchdog: float | None = field(default=None, init=False)
    """Seconds after which the supervisor gives up a bus that says nothing."""
    _bus: Bus | None = field(default=None, init=False)
    _fed_at: float = field(default=0.0, init=False)
    _status: str = field(default="", init=False)
    """What was said last."""
    _counted_at: float = field(default=0.0, init=False)
    _count: int = field(default=0, init=False)
    """Messages that the bus had carried when they were last counted."""
    _rate: float = field(default=0.0, init=False)
    """Messages a second, when they were last counted."""
    _trouble: str = field(default="", init=False)
    """What became of the last reload, where that failed."""

    def ready(self, bus: Bus) -> None:
        """Say that the bus serves: all its listeners are open."""
        self._bus = bus
        statistics = bus.statistics()
        self._count, self._counted_at = _carried(statistics), trio.current_time()
        self._status = self._describe(bus, statistics)
        self._send("READY=1", f"STATUS={self._status}")
        self._feed(trio.current_time())

    def reloading(self) -> None:
        """Say that files are read again; :meth:`reloaded` has to follow."""
        # The supervisor compares it with the time of its signal, so it is the clock of the system and not Trio's.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self, trouble: str = "") -> None:
        """Say that the reload is over, and if it changed nothing, why; that stays in the status until the next one."""
        self._trouble = trouble
        self._send("READY=1")
        self._refresh(trio.current_time())

    def stopping(self) -> None:
        """Say that the bus shuts down."""
        self._send("STOPPING=1", "STATUS=shutting down")
        self._bus = None

    def looked(self) -> None:
        """Take note that the bus lives; say so, and what it does, where that is due."""
        now = trio.current_time()
        if self.watchdog is not None and now + TICK > self._fed_at + self.watchdog / 2:
            self._feed(now)
        if now >= self._counted_at + _REFRESH:
            self._refresh(now)

    def _feed(self, now: float) -> None:
        if self.watchdog is not None:
            self._send("WATCHDOG=1")
            self._fed_at = now

    def _refresh(self, now: float) -> None:
        """Send the status if it is another one than before."""
        if self._bus is None or self._place is None:
            return
        statistics = self._bus.statistics()
        if (seconds := now - self._counted_at) >= TICK:
            count = _carried(statistics)
            self._rate = (count - self._count) / seconds
            self._count, self._counted_at = count, now
        status = self._describe(self._bus, statistics)
        if status != self._status:
            self._status = status
            self._send(f"STATUS={status}")

    def _describe(self, bus: Bus, statistics: BusStatistics) -> str:
        """Return the line of status, with the rate in two figures: a third would change it at every look."""
        connections = counted(statistics.connections, "connection", "connections")
        text = f"{' '.join(bus.addresses)}: {connections}, {float(f'{self._rate:.2g}'):,.10g} messages/s"
        return printable(text + (f"; not reloaded: {self._trouble}" if self._trouble else ""), _LONGEST)

    def _send(self, *lines: str) -> None:
        """Send lines in one datagram, or drop them where that has to wait or nobody listens."""
        if self._place is None:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0)
            sock.sendto("\n".join(lines).encode(), self._place)


def _carried(statistics: BusStatistics) -> int:
    """Return how many messages the bus has been given, for subscribers and for services."""
    return statistics.published + statistics.requests
