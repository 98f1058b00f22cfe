"""What a program of the model holds: a client, its subscriptions, services and publishers, and the calls it makes.

The law of this module: what a call may raise is written beside it; everything else ends the run.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, field

import t2bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from faults.told import Heard, Sent, Told

GONE: Final = (t2bus.Disconnected, trio.ClosedResourceError)
"""What any call may raise when its client has no bus any more, or is closed."""


@define(eq=False, repr=False)
class Log:
    """What all clients have in common: the time, the epoch of the bus, and who asked what."""

    sent: Sent
    epoch: int = 0
    losses: int = 0
    questions: dict[bytes, bool] = field(factory=dict)
    """Each question that a service was given, and whether it was answered, or may have been."""
    asked: int = 0
    last: Begun | None = None
    """The call that was begun last."""
    heard: Callable[[], list[Heard]] = list
    """Return the subscriptions that the bus certainly has."""


@define(eq=False, repr=False)
class Begun:
    """A call that was begun, and can be cancelled."""

    name: str
    seat: Seat
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    epoch: int | None = None
    """That in which it was put on a connection, if it was at once."""
    is_over: bool = False


@define(eq=False, repr=False)
class Seat:
    """One client."""

    log: Log
    nursery: trio.Nursery
    kind: str
    client: t2bus.Client
    epoch: int | None = None
    """The epoch in which it is known to be connected, with all that it had open."""
    is_leaving: bool = False
    is_over: bool = False
    """Whether the client has been closed."""
    leave: trio.Event = field(factory=trio.Event)
    calls: list[Begun] = field(factory=list)
    subscriptions: list[OpenSubscription] = field(factory=list)
    services: list[OpenService] = field(factory=list)
    publishers: dict[tuple[str, bool], OpenPublisher] = field(factory=dict)

    @property
    def is_there(self) -> bool:
        """Whether what is begun now goes to the bus at once."""
        return self.epoch == self.log.epoch and not self.is_leaving

    def begin(self, name: str, call: Callable[[Begun], Awaitable[None]]) -> None:
        """Begin a call, which goes on beside others."""
        begun = self.log.last = Begun(name, self)
        self.calls.append(begun)
        self.nursery.start_soon(self._run, begun, call)

    async def _run(self, begun: Begun, call: Callable[[Begun], Awaitable[None]]) -> None:
        begun.epoch = self.log.epoch if self.is_there else None
        with begun.scope:
            await call(begun)
        begun.is_over = True
        self.calls.remove(begun)

    async def watch(self) -> None:
        """Take note of when the client is connected."""
        async for state in self.client.states():
            assert state in ("connected", "closed") or self.epoch is None or self.is_leaving, f"{state} for no reason"
            self.epoch = self.log.epoch if state == "connected" and self.log.epoch % 2 == 0 else None
        self.epoch = None

    # --- publications

    def tell(self, topic: str, batch: object = None) -> Told:
        return self.log.sent.begin(self, topic, self.log.heard(), self.log.epoch, batch)

    async def publish(self, topic: str, _begun: Begun) -> None:
        told = self.tell(topic)
        with suppress(*GONE):
            receipt = await self.client.publish_bytes(topic, payload(told))
            told.end(self.log.sent.now(), self.log.epoch)
            told.settled = told.put
            if told.is_of_one_epoch:
                still = {*self.log.heard()}
                sure = {each.owner for each in told.sure if each in still}
                assert len(sure) <= receipt + receipt.missed, "a receipt that counts too few"

    # --- requests

    async def request(self, topic: str, holders: list[OpenService], seconds: float, begun: Begun) -> None:
        self.log.asked += 1
        question = b"%d" % self.log.asked
        try:
            with trio.move_on_after(seconds):
                response = await self.client.request_bytes(topic, question)
                assert response == b"to " + question
                assert self.log.questions[question], "an answer that nobody gave"
        except t2bus.ServiceNotFound:
            still = [each for each in holders if each.is_sure and each.epoch == begun.epoch]
            assert not still, "a service that is there was not found"
        except (t2bus.ServiceGone, t2bus.RemoteError, t2bus.ServiceBusy, t2bus.LimitExceeded, *GONE):
            pass


@define(eq=False, repr=False)
class Opened:
    """What an ``async with`` holds open."""

    seat: Seat
    topic: str
    channel: Any = None
    epoch: int | None = None
    is_open: bool = False
    close: trio.Event = field(factory=trio.Event)
    begun: Begun | None = None

    async def hold(self, opened: AbstractAsyncContextManager[Any], begun: Begun) -> None:
        self.begun = begun
        try:
            async with opened as self.channel:
                self.epoch = self.seat.epoch
                self.entered()
                self.set_open(is_open=not self.close.is_set())
                try:
                    await self.close.wait()
                finally:
                    self.set_open(is_open=False)
        except (t2bus.TopicClaimed, t2bus.LimitExceeded, *GONE):
            pass

    def entered(self) -> None:
        """Do what is to be done when it is open."""

    def set_open(self, *, is_open: bool) -> None:
        """Take note of whether the program has it open."""
        self.is_open = is_open

    def end(self) -> None:
        """Have it closed."""
        self.set_open(is_open=False)
        self.close.set()


@define(eq=False, repr=False)
class OpenSubscription(Opened):
    heard: Heard = field(kw_only=True)
    is_receiving: bool = False
    is_at_end: bool = False
    by_number: list[Told] = field(kw_only=True)

    def set_open(self, *, is_open: bool) -> None:
        self.is_open = self.heard.is_open = is_open

    async def receive(self, most: int, _begun: Begun) -> None:
        """Receive one, if ``most`` is 0, or so many."""
        self.is_receiving = True
        try:
            if most:
                self.take(await self.channel.receive_batch(most))
            else:
                self.take([await self.channel.receive()])
        except t2bus.Lagged as lag:
            self.heard.note(lag.dropped)
        except (trio.EndOfChannel, *GONE):
            self.is_at_end = True
        finally:
            self.is_receiving = False

    def receive_all(self) -> int:
        """Receive what there is, and return how many items that was."""
        for count in range(10_000):
            try:
                self.take([self.channel.receive_nowait()])
            except t2bus.Lagged as lag:
                self.heard.note(lag.dropped)
            except trio.WouldBlock:
                return count
            except (trio.EndOfChannel, *GONE):
                self.is_at_end = True
                return count
        raise AssertionError("it never ends")

    def take(self, messages: list[t2bus.Received[bytes]]) -> None:
        assert messages
        for topic, body in messages:
            told = self.by_number[int(body)]
            assert topic == told.topic
            self.heard.note(told)


@define(eq=False, repr=False)
class OpenService(Opened):
    pending: list[t2bus.Request[bytes, bytes]] = field(factory=list)
    is_revoked: bool = False

    @property
    def is_sure(self) -> bool:
        """Whether the bus certainly has it: it was open before, and over this connection."""
        return self.is_open and self.seat.is_there and self.epoch == self.seat.epoch

    def entered(self) -> None:
        for other in self.others:
            if other.is_open and other.seat.is_there:
                other.take_now()
                assert other.is_revoked, "two clients serve one topic"

    others: list[OpenService] = field(factory=list)
    """All that serve this topic, or did."""

    def take_now(self) -> None:
        """Take all requests that wait, and see whether the service is still open."""
        with suppress(trio.WouldBlock):
            try:
                while True:
                    self.note(self.channel.receive_nowait())
            except t2bus.ServiceRevoked:
                self.is_revoked = True
                self.end()
            except (trio.EndOfChannel, *GONE):
                pass

    async def take(self, most: int, _begun: Begun) -> None:
        try:
            for request in await self.channel.receive_batch(most) if most else [await self.channel.receive()]:
                self.note(request)
        except t2bus.ServiceRevoked:
            self.is_revoked = True
            self.end()
        except (trio.EndOfChannel, *GONE):
            pass

    def note(self, request: t2bus.Request[bytes, bytes]) -> None:
        assert request.body not in self.seat.log.questions, "a request was given twice"
        self.seat.log.questions[request.body] = False
        self.pending.append(request)

    async def answer(self, request: t2bus.Request[bytes, bytes], fails: bool, _begun: Begun) -> None:
        with suppress(*GONE):
            if fails:
                await request.fail("no")
            else:
                self.seat.log.questions[request.body] = True
                await request.respond(b"to " + request.body)


@define(eq=False, repr=False)
class OpenPublisher:
    """A publisher, and what is known of what it has sent."""

    seat: Seat
    channel: t2bus.Publisher[bytes]
    sent: int = 0
    unsettled: list[Told] = field(factory=list)
    settled: int = 0
    """Those that were acknowledged, or of which it was said that nobody knows."""

    async def send(self, count: int, _begun: Begun) -> None:
        """Send one, or a batch if ``count`` is above 0."""
        log, batch = self.seat.log, object() if count else None
        told = [self.seat.tell(self.channel.topic, batch) for _ in range(max(count, 1))]
        try:
            if count:
                await self.channel.send_batch([payload(each) for each in told])
            else:
                await self.channel.send(payload(told[0]))
        except t2bus.Unconfirmed as error:
            self.note(error)
        except GONE:
            pass
        else:
            now = log.sent.now()
            for each in told:
                each.end(now, log.epoch)
            self.sent += len(told)
            self.unsettled += told
        finally:
            for each in told:
                each.is_void = each.put == math.inf

    def note(self, error: t2bus.Unconfirmed) -> None:
        assert 0 < error.count <= self.sent - self.settled, "more are not known than there are"
        self.settled += error.count

    async def flush(self, _begun: Begun) -> None:
        try:
            await self.channel.flush()
        except t2bus.Unconfirmed as error:
            self.note(error)
        except GONE:
            pass
        else:
            self.settled = self.sent
            for told in self.unsettled:
                told.settled = self.seat.log.sent.now()
            self.unsettled = []

    async def aclose(self, _begun: Begun) -> None:
        try:
            await self.channel.aclose()
        except t2bus.Unconfirmed as error:
            self.note(error)
        except GONE:
            pass


def payload(told: Told) -> bytes:
    return b"%d" % told.number
