"""``t2bus ping``: how long the bus takes to answer.

::

    $ t2bus ping -n 3
    1  0.412 ms
    2  0.371 ms
    3  0.388 ms
    3 sent, 3 answered, 0 lost; min 0.371, avg 0.390, max 0.412 ms

What is asked is ``bus/status``, which the router answers itself in its turn: so it is the time of the network and the
bus's own, without any program behind it.

The law of this module: a bus that comes back is found again. What was not answered is lost, and never asked twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from ..disconnected import Disconnected
from ..errors import ConnectFailed, RequestTimeout
from ..protocol import encode, prefix_of
from ..status import StatusRequest
from .connecting import open_client_of
from .console import Output, say
from .exits import Exit
from .looks import asked
from .notation import diagnostic
from .signals import run_until_signal

if TYPE_CHECKING:
    import argparse

    from ..client.client import Client

_REQUEST: Final = encode(StatusRequest())


async def ping(arguments: argparse.Namespace) -> int:
    """Ask as often as was said, or until a signal, and print a summary.

    The exit code is 0 if anything was answered; else 5 if it was not in time, and 3 if no bus could be reached.
    """
    pings = Pings(arguments, Output())
    code = await run_until_signal(pings.run)
    if not pings.sent:
        return code
    await pings.output.write(pings.summary())
    return Exit.OK if pings.times else code or pings.failure


@define(eq=False)
class Pings:
    """What was asked, and how long each answer took."""

    arguments: argparse.Namespace
    output: Output
    sent: int = field(default=0, init=False)
    times: list[float] = field(factory=list, init=False)
    """Milliseconds of each answer."""
    failure: Exit = field(default=Exit.OK, init=False)
    """Why the last one that was lost was."""

    @property
    def _has_more(self) -> bool:
        return bool(self.sent < self.arguments.count)

    async def run(self) -> int:
        """Ask in turn; by a new client where the last one has lost its bus.

        Raises:
          ConnectFailed: there was no bus in the beginning.

        """
        while self._has_more:
            try:
                async with open_client_of(self.arguments) as client:
                    # The first answer of a connection takes longer: what is needed for it is imported and allocated.
                    await asked(client, _ask_status, self.arguments.timeout)
                    while self._has_more:
                        await self._ask(client)
                        await self._wait()
            except (ConnectFailed, Disconnected, RequestTimeout) as error:
                if isinstance(error, ConnectFailed) and not self.sent:
                    raise
                if not isinstance(error, Disconnected) or not self.sent:
                    self.sent += 1
                await self._lose(error, Exit.TIMEOUT if isinstance(error, RequestTimeout) else Exit.UNREACHABLE)
                await self._wait()
        return Exit.OK

    async def _wait(self) -> None:
        if self._has_more:
            await trio.sleep(self.arguments.interval)

    async def _ask(self, client: Client) -> None:
        """Ask once. Raises ``Disconnected`` where the bus was lost, which counts as sent."""
        self.sent += 1
        begun = trio.current_time()
        try:
            await asked(client, _ask_status, self.arguments.timeout)
        except RequestTimeout as error:
            await self._lose(error, Exit.TIMEOUT)
        else:
            took = (trio.current_time() - begun) * 1000
            self.times.append(took)
            await self._tell(f"{took:.3f} ms", took)

    async def _lose(self, error: Exception, failure: Exit) -> None:
        self.failure = failure
        say(str(error))
        await self._tell("lost", None)

    async def _tell(self, text: str, took: float | None) -> None:
        """Print one line, of what was sent last."""
        document = {"number": self.sent, "ms": None if took is None else round(took, 3)}
        await self.output.write(self._json(document) if self.arguments.json else f"{self.sent}  {text}")

    def summary(self) -> str:
        """Return the last line."""
        answered = len(self.times)
        figures = {"sent": self.sent, "answered": answered, "lost": self.sent - answered}
        times = {"min": min(self.times), "avg": sum(self.times) / answered, "max": max(self.times)} if answered else {}
        if self.arguments.json:
            return self._json(figures | {f"{name}_ms": round(each, 3) for name, each in times.items()})
        counts = ", ".join(f"{number} {name}" for name, number in figures.items())
        return counts + (f"; {', '.join(f'{name} {each:.3f}' for name, each in times.items())} ms" if times else "")

    def _json(self, document: object) -> str:
        return diagnostic(document, ascii_only=self.output.ascii)


async def _ask_status(client: Client) -> bytes:
    """Ask, and leave the answer unread, for that takes time too."""
    return await client.request_bytes(prefix_of(StatusRequest), _REQUEST)
