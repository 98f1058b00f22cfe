"""The length of a message's way: `python -m benchmarks.trace [publish|request] [--list] [--of PYTHON]`.

A count of calls is the same in every run and on every machine, so it shows what a change costs where times cannot. The
way of a message is counted like this:

- A bus at a real unix socket, a client that publishes (or asks) and a client that subscribes (or serves) share one
  process. All have carried some messages before.
- Everything is at rest. Then one lone message of 100 bytes goes from ``publish_bytes`` to a program that waits in
  ``receive``, or one request from ``request_bytes`` to a program that answers it and back.
- Counted is until everything is at rest again: the way itself, the acknowledgement, the subscriber's program that waits
  for its next message, and the credit that the bus is given back for this one. The clock is Trio's mock clock. It moves
  by 0.3 s after the message, so that what is put off for a moment happens.
- A call is a ``call`` event of ``sys.setprofile`` in a file of t2bus: a function that is entered, or a coroutine or a
  generator that is entered or resumed. Left out are calls of Trio, cbor2 and the standard library, of compiled
  functions, of what attrs generates (it has no file), and of list comprehensions (Python 3.12 has no such calls).
- Trio shuffles the tasks that are ready, and the bus and its clients look at the clock once a second; so the figure is
  the least of twenty messages, and the range is given too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import t2bus

from .builds import installed_in
from .work import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from types import FrameType

    Act = Callable[[], Awaitable[object]]
    Calls = Counter[tuple[str, str]]
    """How often each function was called, by its file and its name."""

_HOME: Final = str(Path(t2bus.__file__).parent) + "/"
_PAYLOAD: Final = b"x" * 100
_WARM_UP: Final = 20
_TIMES: Final = 20
_LATER: Final = 0.3
"""Seconds of the mock clock: longer than credit is held back."""
_REST: Final = 0.002
"""Real seconds in which no task ran and nothing came: everything is at rest."""
_COMPREHENSIONS: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})


@asynccontextmanager
async def _publish(publisher: t2bus.Client, subscriber: t2bus.Client) -> AsyncGenerator[Act, None]:
    async def take(messages: t2bus.Subscription[bytes]) -> None:
        async for message in messages:
            assert message.body == _PAYLOAD

    async with subscriber.subscribe_bytes(SERVICE) as messages, trio.open_nursery() as nursery:
        nursery.start_soon(take, messages)
        yield lambda: publisher.publish_bytes(SERVICE, _PAYLOAD)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _request(requester: t2bus.Client, responder: t2bus.Client) -> AsyncGenerator[Act, None]:
    async def answer(requests: t2bus.Requests[bytes, bytes]) -> None:
        async for request in requests:
            await request.respond(request.body)

    async with responder.serve_bytes(SERVICE) as requests, trio.open_nursery() as nursery:
        nursery.start_soon(answer, requests)
        yield lambda: requester.request_bytes(SERVICE, _PAYLOAD)
        nursery.cancel_scope.cancel()


WAYS: Final = {"publish": _publish, "request": _request}


async def _count(clock: MockClock, act: Act) -> Calls:
    """Return the calls that one message causes, until everything is at rest again."""
    calls: Calls = Counter()

    def see(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_HOME) and code.co_name not in _COMPREHENSIONS:
            calls[code.co_filename.removeprefix(_HOME), code.co_qualname] += 1

    sys.setprofile(see)
    try:
        await act()
        await wait_all_tasks_blocked(_REST)
        clock.jump(_LATER)
        await wait_all_tasks_blocked(_REST)
    finally:
        sys.setprofile(None)
    return calls


async def _trace(clock: MockClock, way: str) -> list[Calls]:
    with tempfile.TemporaryDirectory(prefix="t2bus-bench-") as folder:
        async with (
            t2bus.open_bus(f"unix:{folder}/bus") as bus,
            t2bus.open_client(bus.addresses[0]) as first,
            t2bus.open_client(bus.addresses[0]) as second,
            WAYS[way](first, second) as act,
        ):
            for _ in range(_WARM_UP):
                await _count(clock, act)
            return [await _count(clock, act) for _ in range(_TIMES)]


def trace(way: str) -> list[Calls]:
    """Return the calls of some messages that went this way, the least first."""
    clock = MockClock()
    return sorted(trio.run(_trace, clock, way, clock=clock), key=Counter.total)


def files(calls: Calls) -> int:
    return len({file for file, _ in calls})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trace", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", nargs="?", choices=WAYS, help="what is counted (default: both)")
    parser.add_argument("--list", action="store_true", help="list the calls of each function")
    parser.add_argument(
        "--of", metavar="PYTHON", help="trace the t2bus in the environment of this interpreter, and not the checkout's"
    )
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    if arguments.of:
        build = installed_in(arguments.of)
        options = [*([arguments.way] if arguments.way else []), *(["--list"] if arguments.list else [])]
        done = subprocess.run([build.python, "-m", "benchmarks.trace", *options], env=build.environment, check=False)
        raise SystemExit(done.returncode)
    for way in [arguments.way] if arguments.way else WAYS:
        least, *_, most = trace(way)
        print(f"{way}: {least.total()} calls in {files(least)} files ({least.total()} to {most.total()} calls)")
        if arguments.list:
            for (file, function), number in sorted(least.items()):
                print(f"{number:6}  {file:28} {function}")


if __name__ == "__main__":
    main()
