"""The channel of a subscription, and what it gives.

::

    async with client.subscribe(Hello, "*") as messages:
        async for topic, hello in messages:
            print(topic, hello.text)

What has arrived waits in a window, ``Limits.subscription_messages`` and ``Limits.subscription_bytes`` of it at most.
Where the program takes too little of it the bus lets paced publishers wait, and drops what others publish; ``Lagged``
says where and how many.

The law of this module: messages are given in the order in which they came, each once; and none is lost by cancelling.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import repeat
from typing import TYPE_CHECKING, ClassVar

import trio
from attrs import define, field

from ..background import Resource
from ..errors import Lagged, MalformedMessage, anew
from ..session.latest import LatestWindow
from ..session.subscription_options import USUAL, SubscriptionOptions
from ..wire.compression import inflate
from ..wire.messages import Run
from ..wire.values import NO_HEADERS
from .batches import Batches, most_of
from .connection import ClientConnection, PendingAnswer
from .received import Body_co, Received

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..session.windows import ReceiveWindow
    from ..wire.messages import Publication
    from ..wire.values import Payload


@define(eq=False, slots=False)
class Subscription(Resource, trio.abc.ReceiveChannel[Received[Body_co]]):
    """The messages of one subscription: what :meth:`t2bus.Client.subscribe` gives.

    It is a ``trio.abc.ReceiveChannel``, so ``async for topic, body in messages`` will do; :meth:`items` is for a loop
    that is to go on over gaps. One task may receive at a time. What has arrived waits in the window of the
    subscription, and gives credit back when the program takes it.

    Attributes:
      topic: the full topic of the subscription.

    """

    _connection: ClientConnection
    _decode: Callable[[bytes], Body_co]
    _decode_all: Callable[[Sequence[bytes]], Iterable[Body_co]]
    """The same for many; raises if one cannot be read, without saying which."""
    topic: str
    _options: SubscriptionOptions = USUAL
    _window: ReceiveWindow = field(init=False)
    _news: trio.Event = field(factory=trio.Event, init=False)
    """Set when there is something new to take, or the end; whoever waits for it puts another in its place."""
    _receiving: bool = field(default=False, init=False)
    """Whether a task is receiving. A second one is refused: which of them got a message would be chance."""
    _closed: bool = field(default=False, init=False)
    _for_the_house: ClassVar = ("open",)

    def __repr__(self) -> str:
        return f"<t2bus.Subscription to {self.topic!r}>"

    # An interrupt between two lines of it would leave something open that nobody closes.
    @trio.lowlevel.enable_ki_protection
    async def open(self) -> None:
        """Subscribe; whatever goes wrong leaves nothing registered."""
        connection, answer = self._connection, PendingAnswer()
        self._window = connection.call(connection.session.subscribe, self.topic, answer, self._options)
        await connection.open(self._window, answer, self._wake, connection.session.unsubscribe)

    async def receive(self) -> Received[Body_co]:
        """Wait for the next message and return it.

        Cancelled, it loses nothing. After ``Lagged`` and ``MalformedMessage`` call it again: the subscription goes on.

        Returns:
          The message as :class:`t2bus.Received`, with ``topic``, ``body`` and ``headers``; it unpacks to the first two.

        Raises:
          Lagged: messages were dropped here; ``dropped`` says how many, and is None where the connection was lost.
          MalformedMessage: this one message cannot be read as the subscription's class; it has the topic and headers.
          Disconnected: the connection ended, and everything that had arrived was taken.
          trio.EndOfChannel: the client was drained, and everything was taken.
          PermissionDenied, LimitExceeded: the bus refused it after the connection was made again.
          trio.ClosedResourceError: the subscription, or its client, was closed here.
          trio.BusyResourceError: another task is receiving from this subscription.

        """
        if self._window.waiting and not self._receiving:
            # The usual case, without the coroutine in between that all other cases share: it would be a twentieth.
            self._receiving = True
            try:
                await trio.lowlevel.checkpoint()
            finally:
                self._receiving = False
            if self._closed:
                self._check_open()
        else:
            await self._wait_for_item()
        return self._take()

    async def receive_batch(self, most: int | None = None) -> list[Received[Body_co]]:
        """Wait for a message, and return all that have arrived, ``most`` at most, in a list that is never empty.

        It is one checkpoint, however many they are. What :meth:`receive` would raise in the place of a message stands
        between two batches: those before it are returned first, and the next call raises it. Cancelled, it loses
        nothing.

        Raises:
          ValueError: ``most`` is below 1.

        and as :meth:`receive`.

        """
        room = most_of(most)
        await self._wait_for_item()
        return self._take_batch(room)

    async def _wait_for_item(self) -> None:
        """Wait until there is something to take, by one checkpoint at least; raises what else there is to raise."""
        self._check_idle()
        window = self._window
        self._receiving = True
        try:
            # Whether it waits or not, this is one checkpoint, and what is taken is taken after it.
            if window.waiting:
                await trio.lowlevel.checkpoint()
            while not window.waiting:
                self._check_open()
                self._news = trio.Event()
                await self._news.wait()
        finally:
            self._receiving = False
        if self._closed:
            self._check_open()

    def receive_nowait(self) -> Received[Body_co]:
        """Return the next message if one has arrived, without a checkpoint.

        Raises:
          trio.WouldBlock: none has. Others arrive only while the program waits for something.

        and as :meth:`receive`.

        """
        self._check_idle()
        if self._closed or not self._window.waiting:
            self._check_open()
            raise trio.WouldBlock
        return self._take()

    def items(self) -> Items[Body_co]:
        """Return an iterator that gives ``Lagged`` and ``MalformedMessage`` in their places, and goes on.

        ::

            async for item in messages.items():
                match item:
                    case t2bus.Received(_, hello): ...
                    case t2bus.Lagged(dropped=count): ...
                    case t2bus.MalformedMessage(topic=topic): ...

        It raises what else :meth:`receive` raises, and ends at ``trio.EndOfChannel``. Cancelled, or left and begun
        again, it loses nothing.
        """
        return Items(self)

    def batches(self, most: int | None = None) -> Batches[Received[Body_co]]:
        """Return an iterator that gives what :meth:`receive_batch` does, and raises what it raises.

        ::

            async for batch in messages.batches():
                await database.insert([(topic, reading.value) for topic, reading in batch])

        It ends at ``trio.EndOfChannel``. Cancelled, or left and begun again, it loses nothing.
        """
        return Batches(self.receive_batch, most)

    @property
    def replaced(self) -> int:
        """How many messages a newer one of their topic has replaced; 0 without ``latest=True``."""
        window = self._window
        return window.replaced if isinstance(window, LatestWindow) else 0

    def _take(self) -> Received[Body_co]:
        """Take the next item, which must be there; raises it if it is an error."""
        window = self._window
        part = window.take_of_run()
        item = window.take() if part is None else None
        if window.wants_look:
            self._connection.look_at_credit(window)
        if part is not None:
            topic, payload = part
            try:
                return tuple.__new__(Received, (topic, self._decode(payload)))
            except MalformedMessage as error:
                error.at(topic, NO_HEADERS)
                raise
        if isinstance(item, Lagged):
            raise item
        assert item is not None
        return self._read(item)

    def _take_batch(self, most: int) -> list[Received[Body_co]]:
        """Take what there is up to the first that is an error, and so many at most; raises it if it stands first."""
        window = self._window
        batch: list[Received[Body_co]] = []
        while window.waiting and len(batch) < most:
            front = window.front(most - len(batch))
            if isinstance(front, Lagged):
                break
            if isinstance(front, Run):
                read = self._read_run(front)
                is_whole = len(read) == len(front.payloads)
                window.take_front(front if is_whole else Run(front.topic, front.payloads[: len(read)]))
                batch += read
                if not is_whole:
                    break
            else:
                try:
                    batch.append(self._read(front))
                except MalformedMessage:
                    break
                window.take()
        if window.wants_look:
            self._connection.look_at_credit(window)
        return batch or [self._take()]

    def _read(self, publication: Publication) -> Received[Body_co]:
        """Return a message for the program, or raise ``MalformedMessage``."""
        topic, headers = publication.topic, publication.headers
        try:
            body = self._decode(self._inflated(publication.payload))
        except MalformedMessage as error:
            error.at(topic, dict(headers))
            raise
        if headers:
            return Received(topic, body, dict(headers))
        # Without headers there is nothing to do for Received.__new__, and it would be a tenth of the rest.
        return tuple.__new__(Received, (topic, body))

    def _read_run(self, run: Run) -> list[Received[Body_co]]:
        """Return the messages of a run up to the first that cannot be read."""
        try:
            pairs = zip(repeat(run.topic), self._decode_all(run.payloads), strict=False)
            return [*map(tuple.__new__, repeat(Received), pairs)]
        except MalformedMessage:
            pass
        read: list[Received[Body_co]] = []
        for publication in run.publications:
            try:
                read.append(self._read(publication))
            except MalformedMessage:
                break
        return read

    def _inflated(self, payload: Payload) -> bytes:
        """Return a payload as it was published; most never were compressed, and cost no call here."""
        return payload if isinstance(payload, bytes) else inflate(payload, self._connection.session.welcome.frame)

    def _wake(self) -> None:
        self._news.set()
        window = self._window
        if self._options.latest and window.wants_look and window.closed is None:
            # What has arrived is credited whether the program takes it or not.
            self._connection.look_at_credit(window)

    def _check_idle(self) -> None:
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving from this subscription")

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this subscription was closed")
        if self._connection.has_all:
            raise trio.EndOfChannel
        self._connection.check_open()
        if (error := self._window.closed) is not None:
            raise anew(error)

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Close the subscription; returns when the bus sends nothing more for it. Leaving the block does so.

        What has arrived and was not taken is dropped. Cancelled, it is closed all the same, here at once and in the
        bus soon.
        """
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._connection.check_run()
        self._closed = True
        connection = self._connection
        await connection.end(self._window, connection.session.unsubscribe, "this subscription was closed")


@define(eq=False)
class Items(AsyncIterator[Received[Body_co] | Lagged | MalformedMessage]):
    """What a subscription receives, with what is missing or cannot be read in its place."""

    _subscription: Subscription[Body_co]

    async def __anext__(self) -> Received[Body_co] | Lagged | MalformedMessage:
        try:
            return await self._subscription.receive()
        except (Lagged, MalformedMessage) as error:
            return error
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
