"""``t2bus request`` and ``t2bus reply``: the two ends of a service."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from ..errors import RequestTimeout
from .connecting import address_of, open_client_of
from .console import Output, say
from .exits import Exit
from .notation import encode_value, show_message, show_payload
from .signals import run_until_signal
from .stdin import read_all

if TYPE_CHECKING:
    import argparse

__all__ = ["reply", "request"]


async def request(arguments: argparse.Namespace) -> int:
    """Send one request and print what is answered."""
    return await run_until_signal(partial(_request, arguments))


async def _request(arguments: argparse.Namespace) -> int:
    output = Output()
    payload = await _payload(arguments, absent="{}")
    with trio.move_on_after(arguments.timeout) as scope:
        async with open_client_of(arguments) as client:
            answer = await client.request_bytes(arguments.topic, payload, headers=dict(arguments.header))
        await output.write(show_payload(answer, ascii_only=output.ascii))
    if scope.cancelled_caught:
        raise RequestTimeout(f"no answer within {arguments.timeout:g} s: try a longer --timeout")
    return Exit.OK


async def reply(arguments: argparse.Namespace) -> int:
    """Answer requests and print them, until a signal or as many as were asked for."""
    await run_until_signal(partial(_reply, arguments))
    return Exit.OK


async def _reply(arguments: argparse.Namespace) -> int:
    address = address_of(arguments)
    output = Output()
    response = await _payload(arguments, absent="null")
    async with open_client_of(arguments) as client, client.serve_bytes(arguments.topic) as requests:
        say(f"answering {arguments.topic} at {address}")
        left = arguments.count
        while left > 0:
            received = await requests.receive()
            await received.respond(received.body if arguments.echo else response)
            await output.write(show_message(received, headers=arguments.headers, ascii_only=output.ascii))
            left -= 1
    return Exit.OK


async def _payload(arguments: argparse.Namespace, *, absent: str) -> bytes:
    """Return the payload of the VALUE, with ``-`` for standard input."""
    if arguments.value is None:
        return encode_value(absent, text=False)
    value = await read_all() if arguments.value == "-" else arguments.value
    return encode_value(value, text=arguments.text)
