"""What ``t2bus top`` looks at, and when: all of it once a second or less often, a view at once when it is switched to.

::

    await Watch(arguments, picture).run(show)  # until it is cancelled, or has looked as often as was asked

The bus may restart meanwhile: then a new client is opened, again and again, until it is back.

The law of this module: once it has seen a bus, losing it ends nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define, field

from ..disconnected import Disconnected
from ..errors import ConnectFailed, RequestTimeout
from .connecting import open_client_of
from .looks import INTERVAL, Looks
from .views import VIEWS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from ..client.client import Client
    from .top_picture import Picture


@define(eq=False)
class Watch:
    """Looks at the bus again and again, and puts what it sees into the picture."""

    arguments: argparse.Namespace
    picture: Picture
    _left: float = field(init=False)
    _is_seen: bool = field(default=False, init=False)
    """Whether there was a bus."""
    _switched: trio.Event = field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.arguments.count

    def switch(self) -> None:
        """Look at once, for the picture wants another view."""
        self._switched.set()

    async def run(self, show: Callable[[], Awaitable[None]]) -> None:
        """Look as often as was said, and call ``show`` when there is something new.

        Raises:
          BusError: there was no bus in the beginning, or it does not answer.

        """
        while self._left > 0:
            try:
                async with open_client_of(self.arguments) as client:
                    await self._look_on(client, show)
            except (ConnectFailed, Disconnected, RequestTimeout) as error:
                if not self._is_seen:
                    raise
                self.picture.problem = str(error)
                await show()
                await trio.sleep(INTERVAL)

    async def _look_on(self, client: Client, show: Callable[[], Awaitable[None]]) -> None:
        about, looks = Looks(client, VIEWS["status"]), Looks(client, VIEWS[self.picture.view])
        due = trio.current_time()
        while True:
            self._switched = trio.Event()
            if trio.current_time() >= due:
                (status,) = await about.next()
                self.picture.take_status(status)
                self._left -= status.rates is not None
            if looks.view is not VIEWS[self.picture.view]:
                looks = Looks(client, VIEWS[self.picture.view])
            rows = await looks.next()
            due = max(about.due, looks.due)
            if looks.view is VIEWS[self.picture.view]:  # it may have been switched meanwhile
                self.picture.take_rows(rows)
                self._is_seen = True
                await show()
            if self._left <= 0:
                return
            with trio.move_on_at(due):
                await self._switched.wait()
