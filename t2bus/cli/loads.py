"""The loads of ``t2bus bench``: publishing, receiving and requesting as fast as it goes.

::

    load = {"pub": _publish, "sub": _receive, "request": _request}[arguments.action]
    code = await run_until_signal(partial(load, arguments, measurement, progress))

Payloads are byte strings of CBOR with random bytes in them, so that no compression helps.

The law of this module: nothing is sent to a topic outside ``bench/**`` unless that was insisted on.
"""

from __future__ import annotations

import os
import secrets
import shlex
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from ..background import leaves
from ..errors import Lagged, MalformedMessage, ServiceNotFound
from ..topic import includes
from .bench import MESSAGES
from .connecting import address_of, open_client_of
from .console import Output, say, write_line
from .exits import Exit
from .measurement import Measurement
from .progress import Progress
from .settings import BadSetting
from .signals import run_until_signal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Sequence

    from ..client.client import Client
    from ..client.publisher import Publisher

_OWN: Final = "bench/**"
"""The topics that nobody but a benchmark has something to do with."""

_SHORT: Final = 24
"""The longest byte string of CBOR that has a head of one byte."""

_OPTIONS: Final = ("addr", "wire", "ca", "certificate", "key")
"""What another command needs too, to come to the same bus."""


async def bench(arguments: argparse.Namespace) -> int:
    """Put a load on the bus and print what was measured, also if a signal stopped it: exit code 128 and its number.

    Raises:
      BadSetting: the topic is one where programs may get what is sent.

    """
    output = Output()
    topic = arguments.topic or f"bench/{secrets.token_hex(4)}"
    load, verb = {"pub": (_publish, "sent"), "sub": (_receive, "received"), "request": (_request, "answered")}[
        arguments.action
    ]
    if arguments.action != "sub":
        _check_topic(topic, arguments)
    measurement = Measurement(arguments.action, topic)
    progress = Progress(verb, total=arguments.count)
    code = await run_until_signal(partial(load, arguments, measurement, progress))
    if measurement.has_begun:
        await output.write(measurement.as_json() if arguments.json else measurement.as_text())
    return code


def _check_topic(topic: str, arguments: argparse.Namespace) -> None:
    if not (arguments.any_topic or _is_own(topic)):
        remedy = "take a topic below bench/, or insist with --any-topic"
        raise BadSetting(f"programs may get what is sent to {topic}: {remedy}")


def _is_own(topic: str) -> bool:
    """Whether only benchmarks have to do with a topic; how long one may be is for the bus to say."""
    return includes(_OWN, topic, length=sys.maxsize, depth=sys.maxsize)


def _payload(size: int) -> bytes:
    """Return a byte string of CBOR that is so many bytes long, with its head."""
    head = bytes([0x40 + size - 1]) if size <= _SHORT else b"\x5a" + (size - 5).to_bytes(4, "big")
    return head + os.urandom(size - len(head))


async def _together(tasks: Sequence[Callable[[], Awaitable[Any]]]) -> None:
    """Run tasks at once; the first error of one ends all and leaves bare, for the command shows one."""
    try:
        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)
    except BaseExceptionGroup as group:
        errors = leaves(group)
        error = next((error for error in errors if not isinstance(error, trio.Cancelled)), errors[0])
    else:
        return
    raise error


# --- pub


async def _publish(arguments: argparse.Namespace, measurement: Measurement, progress: Progress) -> int:
    """Publish by several connections, each its share, until the bus has accepted all."""
    payload = _payload(arguments.size)
    left = arguments.count

    async def publish(publisher: Publisher[bytes]) -> None:
        nonlocal left
        while left:
            batch = [payload] * min(left, arguments.batch)
            left -= len(batch)
            await publisher.send_batch(batch)
            measurement.count(len(batch), len(batch) * len(payload))
            progress.done += len(batch)
        await publisher.flush()

    async with AsyncExitStack() as stack:
        publishers = []
        for _ in range(arguments.clients):
            client = await stack.enter_async_context(open_client_of(arguments))
            publisher = client.open_bytes_publisher(measurement.topic, paced=not arguments.unpaced)
            publishers.append(await stack.enter_async_context(publisher))
        measurement.begin()
        try:
            async with progress.shown():
                await _together([partial(publish, publisher) for publisher in publishers])
            measurement.count(0, 0)
        finally:
            accepted, missed = sum(each.accepted for each in publishers), sum(each.missed for each in publishers)
            measurement.counts |= {"accepted": accepted, "missed": missed}
    if not accepted and not missed:
        say(f"nobody subscribes to {measurement.topic}: `t2bus bench sub` does")
    return Exit.OK


# --- sub


async def _receive(arguments: argparse.Namespace, measurement: Measurement, progress: Progress) -> int:
    """Receive until so many have come or were lost, or none came for ``--wait``; the first ones start the clocks."""
    async with open_client_of(arguments) as client, client.subscribe_bytes(measurement.topic) as messages:
        say(f"subscribed to {measurement.topic} at {address_of(arguments)}; publish there with:")
        write_line(f"  {_command_of_publisher(arguments, measurement.topic)}")
        lost = 0
        async with AsyncExitStack() as stack:
            while progress.done < arguments.count:
                batch = []
                with trio.move_on_after(arguments.wait) as scope:
                    try:
                        batch = await messages.receive_batch(arguments.count - progress.done)
                    except Lagged as error:
                        lost += error.dropped or 0
                        progress.done += error.dropped or 0
                    except MalformedMessage:
                        lost += 1
                        progress.done += 1
                if scope.cancelled_caught:
                    say(f"no message for {arguments.wait:g} s")
                    return Exit.TIMEOUT
                progress.done += len(batch)
                size = sum(len(message.body) for message in batch)
                if measurement.has_begun:
                    measurement.count(len(batch), size)
                else:
                    measurement.begin(len(batch), size)
                    await stack.enter_async_context(progress.shown())
                measurement.counts["lost"] = lost
    return Exit.OK


def _command_of_publisher(arguments: argparse.Namespace, topic: str) -> str:
    """Return the command that publishes what this one waits for, as a shell reads it."""
    words = ["t2bus", "bench", "pub", topic]
    if arguments.count != MESSAGES:
        words += ["--count", str(arguments.count)]
    if not _is_own(topic):
        words.append("--any-topic")
    for name in _OPTIONS:
        value = getattr(arguments, name)
        if value is not None and (name, value) != ("wire", "t2bus"):
            words += [f"--{name}", value]
    for peer in arguments.peer:
        words += ["--peer", peer]
    return shlex.join(words)


# --- request


async def _request(arguments: argparse.Namespace, measurement: Measurement, progress: Progress) -> int:
    """Have so many requests on their way at once, until all are answered.

    Raises:
      ServiceNotFound: nobody serves the topic; the text says what does.

    """
    payload = _payload(arguments.size)
    left = arguments.count

    async def request(client: Client) -> None:
        nonlocal left
        while left:
            left -= 1
            sent = time.perf_counter()
            await client.request_bytes(measurement.topic, payload)
            measurement.latencies.append(time.perf_counter() - sent)
            measurement.count(1, len(payload))
            progress.done += 1

    async with open_client_of(arguments) as client:
        measurement.begin()
        try:
            async with progress.shown():
                await _together([partial(request, client)] * min(arguments.in_flight, arguments.count))
        except ServiceNotFound as error:
            service = f"`t2bus reply {measurement.topic} --echo >/dev/null` does"
            raise ServiceNotFound(f"nobody serves {measurement.topic}: {service}") from error
    return Exit.OK
