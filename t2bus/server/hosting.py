"""What a bus that has a process of its own asks of that process, and tells it.

::

    host = Host(judge, inherited=listeners, looked=notifier.looked)
    async with open_hosted_bus(host, "unix:my_bus") as bus: ...

The law of this module: nothing here waits, so a host never holds its bus up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from attrs import frozen

from ..endpoints import Listener
from ..transport.address import Address

Judge: TypeAlias = Callable[[Address, Sequence[Address]], None]
"""Called with an address that was asked for and all that it is bound to, before anybody is let in there."""


def _ignore() -> None:
    """Take no notice."""


@frozen
class Host:
    """Who runs a bus."""

    judge: Judge
    """What it raises closes the bus and leaves as it is."""
    inherited: tuple[Listener, ...] = ()
    """Listeners that were open before the bus; it closes them, and leaves their files where they are."""
    looked: Callable[[], None] = _ignore
    """Called about once a second, when the bus has looked at all its connections: a bus that hangs does not call it."""
