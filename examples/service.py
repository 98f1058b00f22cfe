"""An instrument that measures on request: handlers side by side, errors, and deadlines that travel.

Start a bus with `python -m t2bus serve`, then, each in a terminal of its own:

    python examples/service.py serve
    python examples/service.py ask oven
    python examples/service.py ask oven --samples 100               takes 10 s; a second `ask` meanwhile is answered
    python examples/service.py ask oven --samples 100 --within 2    gives up after 2 s, and the handler with it
    python examples/service.py ask fridge                           fails: there is no such channel

A second `serve` fails at once with TopicClaimed, and leaves the first one untouched. If `serve` is stopped while an
`ask` waits, that fails at once with ServiceGone.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys

import trio
from attrs import frozen

import t2bus

CHANNELS = {"oven": 180.0, "room": 21.0}
SECONDS_PER_SAMPLE = 0.1


@frozen
class Reading:
    mean: float
    samples: int


@frozen
class Measure(t2bus.RequestProtocol[Reading], prefix="measure"):
    channel: str
    samples: int = 1


async def measure(request: Measure) -> Reading:
    """Answer one request. It is cancelled when its requester gives up or the requester's deadline passes."""
    if request.channel not in CHANNELS:
        raise t2bus.RemoteError(f"no channel {request.channel!r}, only {', '.join(CHANNELS)}")
    print(f"measuring {request.channel}", flush=True)
    values = []
    try:
        for _ in range(request.samples):
            await trio.sleep(SECONDS_PER_SAMPLE)
            values.append(random.gauss(CHANNELS[request.channel], 0.1))
    except trio.Cancelled:
        print(f"gave up {request.channel} after {len(values)} samples", flush=True)
        raise
    return Reading(statistics.fmean(values), len(values))


async def serve(client: t2bus.Client) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Measure, "", measure)
        print("serving", flush=True)


async def ask(client: t2bus.Client, request: Measure, within: float) -> None:
    try:
        with trio.fail_after(within):
            reading = await client.request("", request)
    except trio.TooSlowError:
        sys.exit(f"no answer within {within:g} s")
    print(f"{request.channel}: {reading.mean:.1f} degrees, mean of {reading.samples}", flush=True)


async def main(arguments: argparse.Namespace) -> None:
    async with t2bus.open_client(arguments.addr) as client:
        if arguments.role == "serve":
            await serve(client)
        else:
            await ask(client, Measure(arguments.channel, arguments.samples), arguments.within)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve an instrument, or ask it.")
    parser.add_argument("--addr", default=t2bus.default_address(), help="the bus (default: %(default)s)")
    roles = parser.add_subparsers(dest="role", required=True)
    roles.add_parser("serve", help="answer requests, until Ctrl-C")
    asker = roles.add_parser("ask", help="ask for one reading")
    asker.add_argument("channel", help=" or ".join(CHANNELS))
    asker.add_argument("--samples", type=int, default=1, help="samples to take (default: %(default)s)")
    asker.add_argument("--within", type=float, default=60.0, help="seconds to wait (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    reason = None
    try:
        trio.run(main, parse_arguments())
    except* KeyboardInterrupt:
        pass
    except* t2bus.BusError as group:  # as groups, because `serve` has a nursery
        reason = "; ".join(f"{type(error).__name__}: {error}" for error in group.exceptions)
    sys.exit(reason)
