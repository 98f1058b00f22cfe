"""``t2bus sub``: what is published to topics, in a terminal or a pipe.

::

    $ t2bus sub 'hello/**' 'oven/*/temperature' --ignore 'oven/test/**'
    t2bus: subscribed to hello/**, oven/*/temperature at unix:/run/user/1000/t2bus.sock
    hello/alice	{"text": "Hello Alice"}

    $ t2bus sub '**' --rate
    **	18210 messages/s	2331904 bytes/s

Each subscription has a task, which hands over what has arrived in batches and waits until they are taken. So each has
its turn, none runs ahead of the output, and a message that two subscriptions match is printed twice.

The law of this module: standard output has what was asked for only, one record each. What a subscription lost is told
on standard error, and it goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, TypeAlias

import trio
from attrs import define, field

from ..background import open_background_nursery
from ..errors import BusError, Lagged, MalformedMessage
from ..topic import includes
from .connecting import address_of, open_client_of
from .console import Output, counted, may_colour, say, say_here
from .exits import SIGNALLED, Exit
from .message_lines import Records
from .notation import diagnostic
from .signals import run_until_signal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ..client.received import Received
    from ..client.subscription import Subscription

_BATCH: Final = 256
"""Messages that are printed at once."""

_TOPICS: Final = 4096
"""Topics of which is remembered whether they are ignored."""


@define(eq=False)
class Arrival:
    """What a subscription has received at once: messages, or what it raised in the place of one."""

    topic: str
    """The topic of the subscription."""
    what: Sequence[Received[bytes]] | BusError


Judge: TypeAlias = Callable[[str], bool]
"""Says whether a topic is ignored."""


async def sub(arguments: argparse.Namespace) -> int:
    """Print what is published, until a signal, which is the usual end, or as many messages as were asked for.

    The exit code is 5 if no message came for as long as ``--wait`` says.
    """
    code = await run_until_signal(partial(_subscribe, arguments))
    return Exit.OK if code > SIGNALLED else code


async def _subscribe(arguments: argparse.Namespace) -> int:
    """Open all subscriptions, and have what they receive printed."""
    records = Records(arguments, Output(), may_colour(arguments.color))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_client_of(arguments))
        opened = [await stack.enter_async_context(client.subscribe_bytes(topic)) for topic in arguments.topics]
        nursery = await stack.enter_async_context(open_background_nursery())
        # Without room: who hands over waits, and they are served in the order in which they came.
        send, receive = trio.open_memory_channel[Arrival](0)
        for subscription in opened:
            nursery.start_soon(_hand_over, subscription, send)
        say(f"subscribed to {', '.join(arguments.topics)} at {address_of(arguments)}")
        arrivals = Arrivals(receive, _judge(arguments.ignore), arguments.wait)
        if await (_print_rates if arguments.rate else _print_messages)(arrivals, arguments, records):
            return Exit.OK
    say(f"no message for {arguments.wait:g} s")
    return Exit.TIMEOUT


async def _hand_over(messages: Subscription[bytes], send: trio.MemorySendChannel[Arrival]) -> None:
    """Send what a subscription receives, until the connection ends, which is the last arrival."""
    goes_on = True
    while goes_on:
        what: Sequence[Received[bytes]] | BusError
        try:
            what = await messages.receive_batch(_BATCH)
        except BusError as error:
            what, goes_on = error, isinstance(error, Lagged | MalformedMessage)
        await send.send(Arrival(messages.topic, what))


def _judge(ignored: Sequence[str]) -> Judge:
    """Return what says whether one of these topics includes another; what was said is remembered."""
    bound = sys.maxsize  # how long a topic may be has been judged by the bus
    return lru_cache(_TOPICS)(
        lambda topic: any(includes(pattern, topic, length=bound, depth=bound) for pattern in ignored)
    )


@define(eq=False)
class Arrivals:
    """What arrives, without what is ignored, until it fails to come for so many seconds."""

    _channel: trio.MemoryReceiveChannel[Arrival]
    _is_ignored: Judge
    _wait: float
    _deadline: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin to wait."""
        self.go_on()

    def go_on(self) -> None:
        """Begin to wait anew: what has come was dealt with, however long that took."""
        self._deadline = trio.current_time() + self._wait

    async def next(self) -> Arrival | None:
        """Return what is next, a message at least or an error that does not end the subscription; None if none came.

        Cancelled, it loses nothing.

        Raises:
          BusError: the connection ended.

        """
        while True:
            with trio.move_on_at(self._deadline) as scope:
                arrival = await self._channel.receive()
            if scope.cancelled_caught:
                return None
            what = arrival.what
            if isinstance(what, Lagged | MalformedMessage):
                return arrival
            if isinstance(what, BusError):
                raise what
            if kept := [message for message in what if not self._is_ignored(message.topic)]:
                return Arrival(arrival.topic, kept)


# --- messages


async def _print_messages(arrivals: Arrivals, arguments: argparse.Namespace, records: Records) -> bool:
    """Print messages; return whether they were as many as were asked for, before they failed to come.

    More are taken when the last ones have been written: a slow reader of the output makes the subscriptions lag.
    """
    left = arguments.count
    while left > 0:
        arrival = await arrivals.next()
        if arrival is None:
            return False
        match arrival.what:
            case Lagged(dropped=dropped):
                number = counted(dropped, "message was", "messages were")
                of = f" of {arrival.topic}" if len(arguments.topics) > 1 else ""
                await say_here(f"{number} dropped here{of}: the output is taken too slowly")
            case BusError() as error:
                await say_here(f"a message cannot be read: {error}")
            case messages:
                taken = messages[: min(left, _BATCH)]
                await records.write_messages(taken)
                left -= len(taken)
        arrivals.go_on()
    return True


# --- rates


@define(eq=False)
class Tally:
    """What a subscription has received since the last line."""

    messages: int = 0
    size: int = 0
    """Bytes of payloads."""
    dropped: int = 0

    def count(self, arrival: Arrival) -> None:
        """Count what has arrived; a message that cannot be read is one."""
        match arrival.what:
            case Lagged(dropped=dropped):
                self.dropped += dropped or 0
            case BusError():
                self.messages += 1
            case messages:
                self.messages += len(messages)
                self.size += sum(len(message.body) for message in messages)


async def _print_rates(arrivals: Arrivals, arguments: argparse.Namespace, records: Records) -> bool:
    """Print once a second how much came, for each subscription; return whether it was as often as was asked for.

    What failed to come for ``--wait`` seconds ends it, as with messages.
    """
    left = arguments.count
    begun = trio.current_time()
    tallies = {topic: Tally() for topic in arguments.topics}
    while left > 0:
        with trio.move_on_at(begun + 1):
            arrival = await arrivals.next()
            if arrival is None:
                return False
            tallies[arrival.topic].count(arrival)
            arrivals.go_on()
        if (seconds := trio.current_time() - begun) >= 1:
            begun += seconds
            await records.write(_rates(tallies, seconds, records))
            tallies = {topic: Tally() for topic in arguments.topics}
            left -= 1
    return True


def _rates(tallies: dict[str, Tally], seconds: float, records: Records) -> list[str]:
    """Return a record for each subscription and, if there are several, one for the sum, which has no topic."""
    rows: list[tuple[str | None, Tally]] = [*tallies.items()]
    if len(rows) > 1:
        parts = tallies.values()
        total = Tally(sum(x.messages for x in parts), sum(x.size for x in parts), sum(x.dropped for x in parts))
        rows.append((None, total))
    show = _rate_in_json if records.arguments.json else _rate_in_line
    now = datetime.now().astimezone()
    return [show(topic, tally, seconds, now, records) for topic, tally in rows]


def _rate_in_line(topic: str | None, tally: Tally, seconds: float, now: datetime, records: Records) -> str:
    messages, size = f"{tally.messages / seconds:.0f} messages/s", f"{tally.size / seconds:.0f} bytes/s"
    line = f"{topic or '(total)'}\t{messages}\t{size}"
    dropped = f"\t{tally.dropped} dropped" if tally.dropped else ""
    return f"{records.time_in_line(now)}{line}{dropped}"


def _rate_in_json(topic: str | None, tally: Tally, seconds: float, now: datetime, records: Records) -> str:
    of = {} if topic is None else {"topic": topic}
    rates = {"messages_per_second": round(tally.messages / seconds), "bytes_per_second": round(tally.size / seconds)}
    members = diagnostic({**of, **rates, "dropped": tally.dropped}, ascii_only=True)
    return f"{{{records.time_in_json(now)}{members[1:]}"
