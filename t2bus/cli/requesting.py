"""``t2bus request`` and ``t2bus reply``: the two ends of a service.

::

    $ t2bus reply hello '{"text": "Hello"}'
    t2bus: answering hello at unix:/run/user/1000/t2bus.sock
    hello	{"name": "Alice"}

    $ t2bus request hello '{"name": "Alice"}' --timeout 2
    {"text": "Hello"}

    $ t2bus request hello '{"name": "Alice"}' --json
    {"topic": "hello", "value": {"text": "Hello"}}

The law of this module: standard output has payloads and requests only, so that a script can read it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from ..errors import RequestTimeout
from .connecting import address_of, headers_of, open_client_of
from .console import Output, may_colour, say
from .exits import Exit
from .message_lines import Records, show_object
from .notation import encode_value, show_payload
from .payloads import Payloads
from .signals import run_until_signal
from .stdin import read_all

if TYPE_CHECKING:
    import argparse

_BATCH: Final = 256
"""Requests that are answered, and printed, at once."""


async def request(arguments: argparse.Namespace) -> int:
    """Send one request and print what is answered.

    Exit codes beside the usual ones: 4 if nobody serves the topic, 5 if there was no answer in time, and 128 and the
    signal's number if one stopped it.
    """
    return await run_until_signal(partial(_request, arguments))


async def _request(arguments: argparse.Namespace) -> int:
    """Send the request; the timeout begins when the value has been read, and includes connecting and printing."""
    output = Output()
    payload, headers = await _payload(arguments, absent="{}"), headers_of(arguments)
    with trio.move_on_after(arguments.timeout) as scope:
        async with open_client_of(arguments) as client:
            answer = await client.request_bytes_received(arguments.topic, payload, headers=headers)
        if arguments.json:
            await output.write(show_object(answer, ascii_only=output.ascii))
        else:
            await output.write(show_payload(answer.body, ascii_only=output.ascii))
    if scope.cancelled_caught:
        raise RequestTimeout(f"no answer within {arguments.timeout:g} s: try a longer --timeout")
    return Exit.OK


async def reply(arguments: argparse.Namespace) -> int:
    """Answer requests and print them, until a signal or as many as were asked for; a signal is the usual end."""
    await run_until_signal(partial(_reply, arguments))
    return Exit.OK


async def _reply(arguments: argparse.Namespace) -> int:
    """Answer what has come at once, and print it then: a requester waits."""
    records = Records(arguments, Output(), may_colour(arguments.color))
    response = await _payload(arguments, absent="null")
    async with open_client_of(arguments) as client, client.serve_bytes(arguments.topic) as requests:
        say(f"answering {arguments.topic} at {address_of(arguments)}")
        left = arguments.count
        while left > 0:
            batch = await requests.receive_batch(min(left, _BATCH))
            await requests.respond_batch([(each, each.body if arguments.echo else response) for each in batch])
            await records.write_messages(batch)
            left -= len(batch)
    return Exit.OK


async def _payload(arguments: argparse.Namespace, *, absent: str) -> bytes:
    """Return the payload of the VALUE: ``absent`` is the JSON where there is none, and ``-`` is standard input."""
    if arguments.value is None:
        return encode_value(absent, text=False)
    payloads = Payloads(arguments)
    if arguments.value == "-":
        return payloads.encode(await read_all(), "standard input")
    return payloads.encode(arguments.value)
