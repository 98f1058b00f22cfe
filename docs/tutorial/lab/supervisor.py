"""A supervisor: starts instruments, and starts those again that have ended or hang.

python supervisor.py north/oven south/oven
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial

import trio

import t2bus

from lab import Measure, run

PATIENCE = 2.0
"""Seconds in which an instrument has to answer."""


async def keep(client: t2bus.Client, place: str) -> None:
    """Have one instrument work, whatever happens to it."""
    while True:
        async with trio.open_nursery() as nursery:
            command = [sys.executable, "oven.py", place]
            run_quietly = partial(trio.run_process, stdout=subprocess.DEVNULL, check=False)
            process = await nursery.start(run_quietly, command)
            print(f"{place} is process {process.pid}", flush=True)
            nursery.start_soon(check, client, place, process)
            code = await process.wait()
            nursery.cancel_scope.cancel()
        print(f"{place} ended with {code}", flush=True)
        await trio.sleep(1)


async def check(client: t2bus.Client, place: str, process: trio.Process) -> None:
    """Kill an instrument that does not answer."""
    while True:
        await trio.sleep(PATIENCE)
        await client.connected()  # while the bus is away nobody can answer
        try:
            with trio.fail_after(PATIENCE):
                await client.request(place, Measure())
        except trio.TooSlowError:
            print(f"{place} hangs", flush=True)
            process.kill()
        except (t2bus.ServiceNotFound, t2bus.ServiceGone, t2bus.Disconnected):
            pass  # it has not begun yet, or has just ended, or the bus is away


async def watch(client: t2bus.Client) -> None:
    """Tell which instruments come and go, these and all others."""
    async with client.subscribe(t2bus.status.Event, "*") as events:
        async for item in events.items():
            match item:
                case t2bus.Received(_, event) if event.kind in {"claimed", "released"}:
                    print(f"{event.kind} {event.topic}", flush=True)
                case t2bus.Lagged():
                    print("who came and went meanwhile is not known", flush=True)


async def main(client: t2bus.Client, arguments: argparse.Namespace) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, client)
        for place in arguments.places:
            nursery.start_soon(keep, client, place)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="supervisor", description="Keeps instruments.")
    parser.add_argument("places", nargs="+", help="such as north/oven south/oven")
    run(main, parser, reconnect=t2bus.Reconnect())
