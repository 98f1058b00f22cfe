"""``t2bus pub``: messages from the command line or a pipe.

::

    $ t2bus pub hello/alice '{"text": "Hello Alice"}'
    t2bus: accepted for 1 connection

    $ tail -f readings.jsonl | t2bus pub readings
    $ t2bus pub clock/tick --count 60 --interval 1 now

Many go as fast as their subscribers take them. With ``--interval`` or ``--require`` each is acknowledged before the
next one is sent: so the time of one is exact, and the first that too few have accepted is the last that was sent.

The law of this module: what stands before a message that cannot be sent is published, and nothing behind it.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from ..errors import MessageTooLarge
from .connecting import headers_of, open_client_of
from .console import counted, say
from .exits import Exit
from .notation import BadValue
from .payloads import Payloads
from .progress import Progress
from .settings import BadSetting
from .signals import run_until_signal
from .stdin import LineReader, is_regular_file, is_terminal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ..client.client import Client
    from ..client.publisher import Publisher

_BATCH: Final = 256
"""Messages that are published at once."""


class TooFew(Exception):
    """A message was accepted for fewer connections than ``--require`` asks for. Exit code 8."""


async def pub(arguments: argparse.Namespace) -> int:
    """Publish one value, once or several times, or each line of standard input.

    It is done when the bus has accepted all. Stopped by a signal, the exit code is 128 and the signal's number; it is 8
    if a message was accepted for too few.
    """
    try:
        return await run_until_signal(partial(_publish, arguments))
    except TooFew as error:
        say(str(error))
        return Exit.TOO_FEW


async def _publish(arguments: argparse.Namespace) -> int:
    """Publish; a value is encoded before connecting, so that a wrong one is reported without a bus."""
    if arguments.value is None or arguments.value == "-":
        if arguments.count is not None:
            raise BadSetting("--count repeats a VALUE, and there is none: standard input is published once")
        async with open_client_of(arguments) as client:
            await _publish_lines(client, arguments)
        return Exit.OK
    payload = Payloads(arguments).encode(arguments.value)
    if arguments.count is not None:
        async with open_client_of(arguments) as client:
            await _publish_often(client, payload, arguments)
        return Exit.OK
    headers = headers_of(arguments)
    async with open_client_of(arguments) as client:
        receipt = await client.publish_bytes(arguments.topic, payload, headers=headers)
    too_few = arguments.require is not None and receipt < arguments.require
    unmet = f", fewer than the {arguments.require} of --require" if too_few else ""
    unheard = "" if receipt or receipt.missed else f": nobody subscribes to {arguments.topic}"
    told = f"accepted for {counted(receipt, 'connection', 'connections')}{unmet}{_missed(receipt.missed)}{unheard}"
    if too_few:
        raise TooFew(told)
    say(told)
    return Exit.OK


def _missed(missed: int) -> str:
    """Say how many connections a publication did not reach, if any."""
    return f", missed by {missed} that {'does' if missed == 1 else 'do'} not keep up" if missed else ""


async def _publish_often(client: Client, payload: bytes, arguments: argparse.Namespace) -> None:
    """Publish a payload as often as was asked for."""
    left, headers = arguments.count, headers_of(arguments)
    async with client.open_bytes_publisher(arguments.topic) as publisher:
        feed = PacedInput(publisher, arguments, headers, Progress("published", total=left))
        async with feed.progress.shown():
            while left:
                batch = [payload] * min(left, _BATCH)
                await feed.send(batch)
                left -= len(batch)
            await publisher.flush()
    feed.tell()


async def _publish_lines(client: Client, arguments: argparse.Namespace) -> None:
    """Publish each line as it comes, in order, at the pace of the subscribers."""
    if is_terminal():
        say("each line is published as one message; Ctrl-D ends")
    reader, payloads = LineReader(b"\0" if arguments.null else b"\n"), Payloads(arguments)
    headers = headers_of(arguments)
    fault: BadValue | None = None
    async with client.open_bytes_publisher(arguments.topic) as publisher:
        feed = PacedInput(publisher, arguments, headers, Progress("published"))
        async with feed.progress.shown() if is_regular_file() else nullcontext():
            while fault is None:
                batch, fault = await _next_batch(reader, payloads)
                if not batch:
                    break
                await feed.send(batch)
        if fault is not None:
            raise fault
    payloads.tell_rest()
    feed.tell()


async def _next_batch(reader: LineReader, payloads: Payloads) -> tuple[list[bytes], BadValue | None]:
    """Return the payloads of the lines that are there, of one at least but at the end, and what is wrong with the line
    behind them, if that cannot be sent.
    """
    batch: list[bytes] = []
    try:
        while len(batch) < _BATCH and (reader.has_line or not batch) and (line := await reader.read()) is not None:
            batch.append(payloads.encode(line, reader.place))
    except BadValue as error:
        return batch, error
    return batch, None


@define(eq=False)
class PacedInput:
    """Sends the messages of one command to one topic, as ``--header``, ``--interval`` and ``--require`` say."""

    publisher: Publisher[bytes]
    arguments: argparse.Namespace
    headers: dict[str, str]
    progress: Progress
    _due: float = field(default=-math.inf, init=False)
    """When the next message may go, by Trio's clock."""

    async def send(self, batch: Sequence[bytes]) -> None:
        """Publish a batch; where one of it is too large, those before it all the same.

        Raises:
          TooFew: a message was accepted for fewer connections than it has to be; none behind it was sent.

        and as :meth:`.Publisher.send`.

        """
        if self.arguments.interval is not None or self.arguments.require is not None:
            for payload in batch:
                await self._send_one(payload)
            return
        try:
            await self.publisher.send_batch(batch, headers=self.headers)
        except MessageTooLarge:
            for payload in batch:
                await self.publisher.send(payload, headers=self.headers)
        self.progress.done += len(batch)

    async def _send_one(self, payload: bytes) -> None:
        """Publish one message when it is due, and wait until it is accepted."""
        await trio.sleep_until(self._due)
        interval, now = self.arguments.interval or 0, trio.current_time()
        # Counted from when it was due, so that being late adds up only where the pace cannot be held at all.
        self._due = (self._due if now - self._due < interval else now) + interval
        accepted = self.publisher.accepted
        await self.publisher.send(payload, headers=self.headers)
        await self.publisher.flush()
        accepted = self.publisher.accepted - accepted
        self.progress.done += 1
        if self.arguments.require is not None and accepted < self.arguments.require:
            connections = counted(accepted, "connection", "connections")
            raise TooFew(
                f"message {self.progress.done} was accepted for {connections}, fewer than the "
                f"{self.arguments.require} of --require: nothing behind it was published"
            )

    def tell(self) -> None:
        """Say how much was published and accepted."""
        deliveries = counted(self.publisher.accepted, "delivery", "deliveries")
        missed = f", {self.publisher.missed} missed" if self.publisher.missed else ""
        say(f"{counted(self.progress.done, 'message', 'messages')} published, {deliveries} accepted{missed}")
