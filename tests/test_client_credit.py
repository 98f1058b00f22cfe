"""Credit of a program that takes little: it goes back soon, without the program taking more, and only what is owed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import define, field

import t2bus
from bus_helpers import Count, Site
from pure_helpers import of_kind, publication
from session_helpers import Program
from t2bus.session.windows import PROMPT, UNSEEN
from t2bus.wire import messages as m
from tap_helpers import Tap, open_tapped_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from t2bus.session.windows import ReceiveWindow

WINDOW = 16
"""Messages. What goes back at once, in bulk, is two of them."""

LIMITS = t2bus.Limits(subscription_messages=WINDOW)
SOON = 2 * PROMPT
"""Seconds; those that are owed for :data:`PROMPT` when the keeper looks are given back by then."""
LATER = UNSEEN + SOON
LONG = 5.0
"""Seconds, in which nobody is asked for a sign of life."""

# --- over a bus


@define(eq=False)
class Flow:
    """A subscription, and one who publishes to it without waiting for it."""

    publisher: t2bus.Client
    client: t2bus.Client
    messages: t2bus.Subscription[bytes]

    async def publish(self, count: int) -> None:
        for _ in range(count):
            assert await self.publisher.publish_bytes("x", b"payload") == 1

    async def credit(self) -> int:
        """Use up what credit the bus has, and return how many messages it was."""
        count = 0
        while await self.publisher.publish_bytes("x", b"payload"):
            count += 1
        return count


@pytest.fixture
async def flow(memory: Site) -> AsyncGenerator[Flow, None]:
    """Open a subscription whose last credit went back just now."""
    async with (
        memory.connect() as publisher,
        memory.connect(limits=LIMITS) as client,
        client.subscribe_bytes("x") as messages,
    ):
        flow = Flow(publisher, client, messages)
        await flow.publish(1)
        await messages.receive()
        await trio.sleep(LONG)
        await flow.publish(1)
        await messages.receive()
        # Half of the time that has to pass, so that nothing is asked for just when it does.
        await trio.sleep(PROMPT / 2)
        yield flow


async def test_one_message_of_a_spent_window_goes_back_soon(clock: trio.testing.MockClock, flow: Flow) -> None:
    """A program that takes one message and then nothing gives its credit back, though it takes no other."""
    assert await flow.credit() == WINDOW
    await flow.messages.receive()
    await trio.sleep(SOON)
    assert await flow.credit() == 1


async def test_credit_does_not_go_back_for_each_message(clock: trio.testing.MockClock, flow: Flow) -> None:
    """What was taken just now is owed for a while: no time, no credit."""
    assert await flow.credit() == WINDOW
    await flow.messages.receive()
    assert await flow.credit() == 0


@pytest.mark.parametrize(("wait", "back"), [(SOON, 0), (LATER, 1)])
async def test_one_message_of_an_open_window_goes_back_later(
    clock: trio.testing.MockClock, flow: Flow, wait: float, back: int
) -> None:
    """While the bus is not known to have no credit left it gets back what was taken, but not quite as soon."""
    await flow.publish(8)
    await flow.messages.receive()
    await trio.sleep(wait)
    assert await flow.credit() == WINDOW - 8 + back


async def test_a_slow_program_loses_nothing(clock: trio.testing.MockClock, memory: Site) -> None:
    """A program that takes a message within each stall time is seen to be alive, however large its window is."""
    async with (
        memory.connect() as publisher,
        memory.connect(limits=LIMITS) as client,
        client.subscribe(Count, "x") as messages,
        trio.open_nursery() as nursery,
    ):

        async def publish() -> None:
            async with publisher.open_publisher(Count, "x") as channel:
                for number in range(2 * WINDOW):
                    await channel.send(Count(number))

        nursery.start_soon(publish)
        for number in range(2 * WINDOW):
            await trio.sleep(memory.bus.limits.stall - 2 * PROMPT)
            assert (await messages.receive()).body.number == number


# --- as a bus hears it

GRANT = (1, len("x") + len(b"payload"))
"""What one message gives back."""


@define(eq=False)
class Tapped:
    """A client whose every word is heard, and which hears what a test says."""

    client: t2bus.Client
    tap: Tap[m.ClientMessage]

    @asynccontextmanager
    async def subscribe(self) -> AsyncGenerator[t2bus.Subscription[bytes], None]:
        """Subscribe, and accept that and the end of it."""
        accepted = m.Accepted(1, (0,) * 10)
        self.tap.say(accepted)
        async with self.client.subscribe_bytes("x") as messages:
            yield messages
            self.tap.say(accepted)

    def deliver(self, count: int, *subscriptions: int) -> None:
        run = m.Run("x", [b"payload"] * count)
        self.tap.say(m.DeliverRun(subscriptions or (1,), run))

    @property
    def credit(self) -> list[tuple[tuple[int, int, int], ...]]:
        """What was given back by each message that gave any."""
        return [tuple(message.grants) for message in self.tap.of_kind(m.Credit)]


@pytest.fixture
async def tapped() -> AsyncGenerator[Tapped, None]:
    # Of a larger window a message alone is too little to be given back.
    async with open_tapped_client(limits=t2bus.Limits(subscription_messages=1000)) as (client, tap):
        yield Tapped(client, tap)


async def test_what_is_owed_goes_back_once(clock: trio.testing.MockClock, tapped: Tapped) -> None:
    """All that was taken meanwhile goes back as one message, and nothing more is said after that."""
    async with tapped.subscribe() as messages:
        tapped.deliver(5)
        for _ in range(3):
            await messages.receive()
        assert tapped.credit == []
        await trio.sleep(LATER)
        assert tapped.credit == [((1, 3, 3 * GRANT[1]),)]
        await trio.sleep(LONG)
        assert len(tapped.credit) == 1


async def test_each_time_something_is_owed_it_goes_back(clock: trio.testing.MockClock, tapped: Tapped) -> None:
    """When nothing was owed for a while, what is taken then goes back as well."""
    async with tapped.subscribe() as messages:
        for count in range(1, 4):
            tapped.deliver(1)
            await messages.receive()
            await trio.sleep(LATER)
            assert tapped.credit == [((1, *GRANT),)] * count
            await trio.sleep(1)


async def test_credit_of_several_subscriptions_goes_back_together(
    clock: trio.testing.MockClock, tapped: Tapped
) -> None:
    """Each subscription gives back its own, also one that began to owe while another did."""
    async with tapped.subscribe() as one, tapped.subscribe() as other:
        tapped.deliver(2, 1, 2)
        await one.receive()
        await trio.sleep(PROMPT / 2)
        await other.receive()
        await other.receive()
        await trio.sleep(LATER)
        assert tapped.credit == [((1, *GRANT), (2, 2, 2 * GRANT[1]))]


async def test_nothing_goes_back_that_was_not_taken(clock: trio.testing.MockClock, tapped: Tapped) -> None:
    """Messages that wait for the program, however long, give no credit back."""
    async with tapped.subscribe():
        tapped.deliver(5)
        await trio.sleep(LONG)
        assert tapped.client.statistics().messages_waiting == 5
        assert tapped.credit == []


async def test_what_was_unsubscribed_owes_nothing(clock: trio.testing.MockClock, tapped: Tapped) -> None:
    """After its end a subscription gives nothing back, and others do."""
    async with tapped.subscribe() as one:
        async with tapped.subscribe() as other:
            tapped.deliver(1, 1, 2)
            await one.receive()
            await other.receive()
        await trio.sleep(LONG)
        assert tapped.credit == [((1, *GRANT),)]
    await trio.sleep(1)
    assert len(tapped.credit) == 1


# --- in the session


@define(eq=False)
class Debtor:
    """A session whose subscriptions owe, and the credit that it gives back."""

    program: Program = field(factory=lambda: Program(LIMITS))

    def subscribe(self) -> ReceiveWindow:
        window = self.program.session.subscribe("a", self.program.done)
        self.program.read()
        return window

    def take(self, *windows: ReceiveWindow, now: float = 0.0) -> None:
        """Have each receive a message that its program takes."""
        for window in windows:
            window.put(publication())
            self.take_next(window, now)

    def take_next(self, window: ReceiveWindow, now: float = 0.0) -> None:
        window.take()
        if window.wants_look:
            self.program.session.credit.look_at(window, now)

    def give_back(self, now: float) -> list[m.Credit]:
        self.program.session.credit.give_back(now)
        return of_kind(self.program.read(), m.Credit)

    def owes(self) -> bool:
        return bool(self.program.session.credit)


def test_a_session_says_whether_it_owes() -> None:
    """With the first message that is taken it owes, and when all of it has gone back it does not."""
    debtor = Debtor()
    one, other = debtor.subscribe(), debtor.subscribe()
    assert not debtor.owes()
    debtor.take(one, other)
    assert debtor.owes()
    debtor.give_back(100)
    assert not debtor.owes()
    debtor.take(other)
    assert debtor.owes()


def test_it_owes_until_it_gives_back() -> None:
    """What has not been owed for long enough stays owed, and is given back once, when it has."""
    debtor = Debtor()
    window = debtor.subscribe()
    debtor.take(window)
    assert debtor.give_back(100) == [m.Credit((1, 1, 2))]
    debtor.take(window, now=100)
    assert debtor.give_back(100 + UNSEEN / 2) == []
    assert debtor.owes()
    assert debtor.give_back(100 + 2 * UNSEEN) == [m.Credit((1, 1, 2))]
    assert debtor.give_back(200) == []
    assert not debtor.owes()


def test_a_spent_window_is_given_back_to_sooner() -> None:
    """To a bus that is known to have no credit left it goes back after the shorter of the two times."""
    debtor = Debtor()
    one, other = debtor.subscribe(), debtor.subscribe()
    debtor.take(one, other)
    debtor.give_back(100)
    for _ in range(WINDOW):
        other.put(publication())
    debtor.take(one, now=100)
    debtor.take_next(other, now=100)
    assert debtor.give_back(100 + PROMPT / 2) == []
    assert debtor.give_back(100 + 2 * PROMPT) == [m.Credit((other.id, 1, 2))]
    assert debtor.owes()
    assert debtor.give_back(100 + 2 * UNSEEN) == [m.Credit((one.id, 1, 2))]


def test_a_subscription_that_ended_owes_nothing() -> None:
    """Unsubscribing forgets the debt of that subscription and of no other."""
    debtor = Debtor()
    one, other = debtor.subscribe(), debtor.subscribe()
    debtor.take(one, other)
    debtor.program.session.unsubscribe(one, None)
    assert debtor.give_back(100) == [m.Credit((other.id, 1, 2))]
    assert not debtor.owes()


def test_nothing_is_owed_after_the_end() -> None:
    """When the connection has ended nothing is owed, and giving back gives nothing."""
    debtor = Debtor()
    debtor.take(debtor.subscribe())
    debtor.program.session.close(t2bus.Disconnected("gone"))
    assert not debtor.owes()
    assert debtor.give_back(100) == []


def test_what_went_back_in_bulk_is_not_owed() -> None:
    """When all that was taken has gone back in bulk nothing is given back any more, not even credit of nothing."""
    debtor = Debtor()
    window = debtor.subscribe()
    debtor.take(window, window)
    assert of_kind(debtor.program.read(), m.Credit) == [m.Credit((1, 2, 4))]
    assert debtor.give_back(100) == []
    assert not debtor.owes()
