"""A bus in memory, the clients around it, and the steps that happen to them.

The law of this module: a step only begins calls, or lets time pass; what they come to is noted by those who made them.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio
import trio.testing
from attrs import define, field, frozen

import t2bus
from faults.seats import GONE, Begun, Log, OpenPublisher, OpenService, OpenSubscription, Seat
from faults.told import Heard, Sent

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from t2bus.testing import UnsteadyBus

SUBSCRIBED: Final = ["a", "**", "*", "a/*", "a"]
PUBLISHED: Final = ["a", "a/b", "a", "**", "*"]
SERVED: Final = ["s", "s", "s", "r"]
OPTIONS: Final[list[dict[str, Any]]] = [
    {},
    {"messages": 1},
    {"messages": 3},
    {"latest": True},
    {"messages": 2, "latest": True},
]
LIMITS: Final = {"outbox_bytes": 1 << 21, "held_messages": 8}
OWN: Final = t2bus.Limits(service_requests=2, publisher_messages=6)
STEADY: Final = t2bus.Reconnect(first=0.1, longest=0.4, jitter=0.0)
KINDS: Final = ["steady", "steady", "plain", "local"]
SEATS: Final = 4

CUT: Final = 16
"""Of a step that waits for so much or more the call is cancelled then."""

LOSS_ENDS: Final = frozenset(["publish", "request", "subscribe", "serve", "flush", "answer"])
"""Calls that were put on a connection and end with it."""


@frozen
class Step:
    """What happens: a rule, two numbers that say to whom and how, and how long to wait behind it: until all are blocked
    (0 of 4), for one pass of the scheduler (1), for as many as it says (2) or not at all (3).
    """

    name: str
    who: int = 0
    how: int = 0
    wait: int = 0


@define(eq=False, repr=False)
class World:
    """All there is."""

    place: UnsteadyBus
    nursery: trio.Nursery
    log: Log = field(factory=lambda: Log(Sent()))
    seats: list[Seat] = field(factory=list)
    """Those whose clients are open."""
    all_seats: list[Seat] = field(factory=list)
    opening: int = 0
    subscriptions: list[OpenSubscription] = field(factory=list)
    services: dict[str, list[OpenService]] = field(factory=dict)

    async def begin(self) -> None:
        """Open what every run begins with."""
        for kind in (0, 0, 3):
            await self.connect(kind, 0)
        await trio.testing.wait_all_tasks_blocked()
        for who, how in ((0, 1), (1, 6), (2, 0)):
            await self.subscribe(who, how)
        await self.serve(1, 0)
        await trio.testing.wait_all_tasks_blocked()

    async def take(self, step: Step) -> None:
        """Let a step happen, and wait as it says."""
        await getattr(self, step.name)(step.who, step.how)
        match step.wait % 4:
            case 0:
                await trio.testing.wait_all_tasks_blocked()
                self.check_calls()
            case 1:
                await trio.lowlevel.checkpoint()
            case 2:
                for _ in range(step.wait):
                    await trio.lowlevel.checkpoint()
            case _:
                pass
        if step.wait >= CUT and self.log.last is not None:
            self.log.last.scope.cancel()

    def some_seat(self, who: int) -> Seat | None:
        return self.seats[who % len(self.seats)] if self.seats else None

    def __attrs_post_init__(self) -> None:
        self.log.heard = self._heard

    def _heard(self) -> list[Heard]:
        """Return the subscriptions that the bus certainly has."""
        return [each.heard for each in self.subscriptions if each.is_open and each.seat.is_there]

    def held(self, seat: Seat) -> set[Begun | None]:
        """Return the calls of a client that only hold something open."""
        return {each.begun for each in (*seat.subscriptions, *seat.services) if each.is_open}

    def check_calls(self) -> None:
        """Check that what was on its way at a loss has ended, and everything of a client that is closed."""
        for seat in self.all_seats:
            held = self.held(seat)
            for begun in seat.calls:
                is_lost = begun.epoch is not None and begun.epoch < self.log.epoch and begun.name in LOSS_ENDS
                is_over = seat.is_over or seat.client.state == "disconnected"
                assert begun in held or not (is_lost or is_over), f"{begun.name} waits behind the end"

    # --- the bus and its clients

    async def lose(self, *_: int) -> None:
        if self.place.bus is not None:
            self._note_loss()
            await self.place.lose()
            self.log.epoch += 1

    def _note_loss(self) -> None:
        assert self.place.bus is not None
        assert self.place.bus.statistics().violations == 0
        self.log.epoch += 1
        self.log.losses += 1
        for seat in self.seats:
            seat.epoch = None

    async def drain_bus(self, *_: int) -> None:
        if (bus := self.place.bus) is not None:
            self._note_loss()
            started = trio.current_time()
            await bus.drain()
            assert trio.current_time() - started < 5 + 1e-6
            await self.place.lose()
            self.log.epoch += 1

    async def restore(self, *_: int) -> None:
        if self.place.bus is None:
            await self.place.restore()

    async def restart(self, *_: int) -> None:
        await self.lose()
        await self.restore()

    async def wait(self, who: int, _how: int) -> None:
        await trio.sleep([0.1, 0.1, 0.2, 1.5, 5.0][who % 5])

    async def connect(self, who: int, _how: int) -> None:
        for seat in self.seats:
            if seat.client.state in ("disconnected", "closed"):
                seat.leave.set()
        if len(self.seats) + self.opening < SEATS:
            self.opening += 1
            self.nursery.start_soon(self._hold_seat, KINDS[who % len(KINDS)])

    def _open_client(self, kind: str) -> AbstractAsyncContextManager[t2bus.Client]:
        if kind != "local":
            return self.place.open_client(reconnect=STEADY if kind == "steady" else None, limits=OWN)
        if self.place.bus is None:
            raise trio.ClosedResourceError
        return self.place.bus.open_client(limits=OWN)

    async def _hold_seat(self, kind: str) -> None:
        seat = None
        try:
            async with self._open_client(kind) as client, trio.open_nursery() as nursery:
                seat = Seat(self.log, self.nursery, kind, client)
                self.seats.append(seat)
                self.all_seats.append(seat)
                self.opening -= 1
                nursery.start_soon(seat.watch)
                await seat.leave.wait()
                await client.aclose()
        except (t2bus.ConnectFailed, *GONE):
            self.opening -= 1
            assert seat is None
            return
        seat.is_over = True
        self.seats.remove(seat)

    async def leave(self, who: int, _how: int) -> None:
        if (seat := self.some_seat(who)) is not None:
            self._note_leaving(seat)
            seat.leave.set()

    def _note_leaving(self, seat: Seat) -> None:
        seat.is_leaving = True

    async def leave_at_return(self, who: int, how: int) -> None:
        """Close a client at the moment at which it comes back."""
        await self.restart()
        if (seat := self.some_seat(who)) is not None:
            for opened in seat.subscriptions:
                self._receive(opened, 0)
            await trio.sleep(STEADY.first)
            for _ in range(2 * how):
                await trio.lowlevel.checkpoint()
            self._note_leaving(seat)
            seat.leave.set()

    async def drain(self, who: int, _how: int) -> None:
        if (seat := self.some_seat(who)) is not None:
            self._note_leaving(seat)
            seat.begin("drain", partial(self._drain, seat))

    async def _drain(self, seat: Seat, _begun: Begun) -> None:
        started = trio.current_time()
        await seat.client.drain()
        assert trio.current_time() - started < 5 + 1e-6
        assert seat.client.state == "closed"
        seat.is_over = True

    async def cancel(self, who: int, how: int) -> None:
        if (seat := self.some_seat(who)) is not None:
            held = self.held(seat) if how < 7 else ()
            if calls := [begun for begun in seat.calls if begun not in held]:
                calls[how % len(calls)].scope.cancel()

    # --- subscriptions

    async def subscribe(self, who: int, how: int) -> None:
        if (seat := self.some_seat(who)) is None or len(seat.subscriptions) > 5:
            return
        topic, options = SUBSCRIBED[how % 5], OPTIONS[(how // 5 + how) % 5]
        heard = Heard(topic, "latest" in options, seat, self.log.sent.now())
        opened = OpenSubscription(seat, topic, heard=heard, by_number=self.log.sent.all)
        seat.subscriptions.append(opened)
        self.subscriptions.append(opened)
        seat.begin("subscribe", partial(opened.hold, seat.client.subscribe_bytes(topic, **options)))

    def some_subscription(self, who: int) -> OpenSubscription | None:
        there = [each for each in self.subscriptions if each.channel is not None]
        return there[who % len(there)] if there else None

    async def unsubscribe(self, who: int, _how: int) -> None:
        if (opened := self.some_subscription(who)) is not None:
            opened.end()

    async def receive(self, who: int, how: int) -> None:
        opened = self.some_subscription(who)
        if opened is None:
            return
        if how % 4 < 3:
            self._receive(opened, how % 4)
        elif not opened.is_receiving:
            opened.receive_all()

    def _receive(self, opened: OpenSubscription, most: int) -> None:
        if opened.channel is not None and not opened.is_receiving:
            opened.is_receiving = True
            opened.seat.begin("receive", partial(opened.receive, most))

    async def receive_everything(self, *_: int) -> None:
        for opened in self.subscriptions:
            if opened.channel is not None and not opened.is_receiving:
                opened.receive_all()

    # --- publications

    async def publish(self, who: int, how: int) -> None:
        if (seat := self.some_seat(who)) is not None:
            seat.begin("publish", partial(seat.publish, PUBLISHED[how % 5]))

    def some_publisher(self, who: int, how: int) -> OpenPublisher | None:
        if (seat := self.some_seat(who)) is None:
            return None
        key = PUBLISHED[how % 2], how % 4 != 3
        if (opened := seat.publishers.get(key)) is None:
            channel = seat.client.open_bytes_publisher(key[0], paced=key[1])
            opened = seat.publishers[key] = OpenPublisher(seat, channel)
        return opened

    async def send(self, who: int, how: int) -> None:
        if (opened := self.some_publisher(who, how)) is not None:
            opened.seat.begin("send", partial(opened.send, 0))

    async def send_several(self, who: int, how: int) -> None:
        for _ in range(2 + how % 3):
            await self.send(who, how)
            await trio.lowlevel.checkpoint()

    async def send_batch(self, who: int, how: int) -> None:
        if (opened := self.some_publisher(who, how)) is not None:
            opened.seat.begin("send", partial(opened.send, 1 + how % 6))

    async def flush(self, who: int, how: int) -> None:
        if (opened := self.some_publisher(who, how)) is not None:
            opened.seat.begin("flush", opened.flush)

    async def close_publisher(self, who: int, how: int) -> None:
        if (opened := self.some_publisher(who, how)) is not None:
            del opened.seat.publishers[opened.channel.topic, opened.channel.paced]
            opened.seat.begin("flush", opened.aclose)

    # --- requests

    async def serve(self, who: int, how: int) -> None:
        if (seat := self.some_seat(who)) is not None:
            topic = SERVED[how % 4]
            others = self.services.setdefault(topic, [])
            opened = OpenService(seat, topic, others=others)
            others.append(opened)
            seat.services.append(opened)
            seat.begin("serve", partial(opened.hold, seat.client.serve_bytes(topic)))

    def some_service(self, who: int) -> OpenService | None:
        there = [each for others in self.services.values() for each in others if each.channel is not None]
        return there[who % len(there)] if there else None

    async def unserve(self, who: int, _how: int) -> None:
        if (opened := self.some_service(who)) is not None:
            opened.end()

    async def request(self, who: int, how: int) -> None:
        if (seat := self.some_seat(who)) is not None:
            topic = SERVED[how % 4]
            holders = [each for each in self.services.get(topic, ()) if each.is_sure]
            seat.begin("request", partial(seat.request, topic, holders, 0.5 if how % 8 > 5 else math.inf))

    async def take_request(self, who: int, how: int) -> None:
        if (opened := self.some_service(who)) is not None:
            opened.seat.begin("take", partial(opened.take, how % 3))

    async def answer(self, who: int, how: int) -> None:
        if (opened := self.some_service(who)) is not None:
            opened.take_now()
            if opened.pending:
                request = opened.pending.pop(how % len(opened.pending))
                opened.seat.begin("answer", partial(opened.answer, request, how % 4 == 3))

    async def nothing(self, *_: int) -> None:
        """Happens first when a failing example is made smaller."""
