"""``t2bus sub`` and ``t2bus pub``: messages to and from a terminal or a pipe.

::

    $ t2bus sub 'hello/**'
    t2bus: subscribed to hello/** at unix:/run/user/1000/t2bus.sock
    hello/alice	{"text": "Hello Alice"}

    $ t2bus pub hello/alice '{"text": "Hello Alice"}'
    t2bus: accepted for 1 connection

    $ tail -f readings.jsonl | t2bus pub readings

The law of this module: standard output has messages only, one a line. What a subscription lost is told on standard
error, and it goes on.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from ..errors import Lagged, MalformedMessage, MessageTooLarge
from .connecting import address_of, headers_of, open_client_of
from .console import Output, counted, say, say_here
from .exits import Exit
from .notation import BadValue, show_message
from .payloads import Payloads
from .signals import run_until_signal
from .stdin import LineReader, is_terminal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from ..client.client import Client
    from ..client.publisher import Publisher

_BATCH: Final = 256
"""Messages that are published, or written, at once."""


async def sub(arguments: argparse.Namespace) -> int:
    """Print what is published, until a signal or as many messages as were asked for; a signal is the usual end."""
    await run_until_signal(partial(_subscribe, arguments))
    return Exit.OK


async def _subscribe(arguments: argparse.Namespace) -> int:
    """Take messages when the last ones have been written: a slow reader of the output makes the subscription lag."""
    output = Output()
    async with open_client_of(arguments) as client, client.subscribe_bytes(arguments.topic) as messages:
        say(f"subscribed to {arguments.topic} at {address_of(arguments)}")
        left = arguments.count
        while left > 0:
            try:
                batch = await messages.receive_batch(min(left, _BATCH))
            except Lagged as error:
                dropped = counted(error.dropped, "message was", "messages were")
                await say_here(f"{dropped} dropped here: the output is taken too slowly")
            except MalformedMessage as error:
                await say_here(f"a message cannot be read: {error}")
            else:
                show = partial(show_message, headers=arguments.headers, ascii_only=output.ascii)
                await output.write("\n".join(map(show, batch)))
                left -= len(batch)
    return Exit.OK


async def pub(arguments: argparse.Namespace) -> int:
    """Publish one value, or each line of standard input.

    It is done when the bus has accepted all. Stopped by a signal, the exit code is 128 and the signal's number.
    """
    return await run_until_signal(partial(_publish, arguments))


async def _publish(arguments: argparse.Namespace) -> int:
    """Publish; a value is encoded before connecting, so that a wrong one is reported without a bus."""
    if arguments.value is None or arguments.value == "-":
        async with open_client_of(arguments) as client:
            await _publish_lines(client, arguments)
        return Exit.OK
    payload = Payloads(arguments).encode(arguments.value)
    headers = headers_of(arguments)
    async with open_client_of(arguments) as client:
        receipt = await client.publish_bytes(arguments.topic, payload, headers=headers)
    unheard = "" if receipt or receipt.missed else f": nobody subscribes to {arguments.topic}"
    say(f"accepted for {counted(receipt, 'connection', 'connections')}{_missed(receipt.missed)}{unheard}")
    return Exit.OK


def _missed(missed: int) -> str:
    """Say how many connections a publication did not reach, if any."""
    return f", missed by {missed} that {'does' if missed == 1 else 'do'} not keep up" if missed else ""


async def _publish_lines(client: Client, arguments: argparse.Namespace) -> None:
    """Publish each line as it comes, in order, at the pace of the subscribers."""
    if is_terminal():
        say("each line is published as one message; Ctrl-D ends")
    headers, reader, payloads, published = headers_of(arguments), LineReader(), Payloads(arguments), 0
    fault: BadValue | None = None
    async with client.open_bytes_publisher(arguments.topic) as publisher:
        while fault is None:
            batch, fault = await _next_batch(reader, payloads)
            if not batch:
                break
            await _send(publisher, batch, headers)
            published += len(batch)
        if fault is not None:
            raise fault
    payloads.tell_rest()
    deliveries = counted(publisher.accepted, "delivery", "deliveries")
    missed = f", {publisher.missed} missed" if publisher.missed else ""
    say(f"{counted(published, 'message', 'messages')} published, {deliveries} accepted{missed}")


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


async def _send(publisher: Publisher[bytes], batch: Sequence[bytes], headers: Mapping[str, str] | None) -> None:
    """Publish a batch; where one of it is too large, those before it all the same."""
    try:
        await publisher.send_batch(batch, headers=headers)
    except MessageTooLarge:
        for payload in batch:
            await publisher.send(payload, headers=headers)
