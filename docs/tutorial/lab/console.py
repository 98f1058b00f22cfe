"""A console: asks one instrument, and sets one or many.

python console.py measure north/oven --samples 10
python console.py set '*/oven' 180
"""

from __future__ import annotations

import argparse
import sys

import trio

import t2bus

from lab import Measure, Setpoint, run


async def measure(client: t2bus.Client, arguments: argparse.Namespace) -> None:
    try:
        with trio.fail_after(arguments.within):
            measured = await client.request(arguments.place, Measure(arguments.samples))
    except t2bus.ServiceNotFound:
        sys.exit(f"no instrument is at {arguments.place}")
    except trio.TooSlowError:
        sys.exit(f"no answer within {arguments.within:g} s")
    print(f"{arguments.place}: {measured.mean:.1f} degrees, mean of {measured.samples}")


async def set_(client: t2bus.Client, arguments: argparse.Namespace) -> None:
    accepted = await client.publish(arguments.places, Setpoint(arguments.celsius))
    plural = "" if accepted == 1 else "s"
    print(f"accepted for {accepted} instrument{plural}")


def parser() -> argparse.ArgumentParser:
    console = argparse.ArgumentParser(prog="console", description="Uses instruments.")
    verbs = console.add_subparsers(required=True)
    asker = verbs.add_parser("measure", help="ask one instrument")
    asker.set_defaults(verb=measure)
    asker.add_argument("place", help="such as north/oven")
    asker.add_argument("--samples", type=int, default=1, help="how many to take")
    asker.add_argument("--within", type=float, default=5.0, help="seconds to wait")
    setter = verbs.add_parser("set", help="set one or many instruments")
    setter.set_defaults(verb=set_)
    setter.add_argument("places", help="such as north/oven, '*/oven' or '**'")
    setter.add_argument("celsius", type=float)
    return console


async def main(client: t2bus.Client, arguments: argparse.Namespace) -> None:
    await arguments.verb(client, arguments)


if __name__ == "__main__":
    run(main, parser())
