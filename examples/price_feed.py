"""Prices on topics such as price/eth/eur, published by one process and watched by any number of others.

Start a bus with `python -m t2bus serve`, then, each in a terminal of its own:

    python examples/price_feed.py watch '*/eur'         price/*/eur: all that is priced in euros
    python examples/price_feed.py watch '**'            price/**: everything
    python examples/price_feed.py publish eth/eur

A watcher that takes prices more slowly than they come fills its window; what finds no room there is dropped for this
watcher alone, and it is told how many, where they are missing. A small window shows it soon: `watch '**' --window 10`.
With `publish --paced` the watchers that are alive set the pace instead, and miss nothing.
"""

from __future__ import annotations

import argparse
import math
import random
import sys

import trio
from attrs import frozen

import t2bus


@frozen
class Price(t2bus.PublishProtocol, prefix="price"):
    number: int
    amount: float


async def publish(client: t2bus.Client, pair: str, count: int, interval: float, *, paced: bool) -> None:
    amount = 2000.0
    async with client.open_publisher(Price, pair, paced=paced) as publisher:
        print(f"publishing {publisher.topic}", flush=True)
        for number in range(1, count + 1):
            amount *= random.uniform(0.999, 1.001)
            await publisher.send(Price(number, round(amount, 2)))
            await trio.sleep(interval)
    # Leaving the block has waited until the bus acknowledged all of them.
    print(f"published {count}, accepted for {publisher.accepted} deliveries", flush=True)


async def watch(client: t2bus.Client, pairs: str, count: float) -> None:
    async with client.subscribe(Price, pairs) as prices:
        print(f"watching {prices.topic}", flush=True)
        while count > 0:
            try:
                received = await prices.receive()
            except t2bus.Lagged as lag:
                print(f"missed {lag.dropped} prices", flush=True)
            else:
                price = received.body
                print(f"{received.topic} #{price.number} {price.amount:.2f}", flush=True)
                count -= 1


async def main(arguments: argparse.Namespace) -> None:
    if arguments.role == "publish":
        async with t2bus.open_client(arguments.addr) as client:
            await publish(client, arguments.pair, arguments.count, arguments.interval, paced=arguments.paced)
    else:
        limits = t2bus.Limits(subscription_messages=arguments.window)
        async with t2bus.open_client(arguments.addr, limits=limits) as client:
            await watch(client, arguments.pairs, arguments.count)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Publish or watch prices.")
    parser.add_argument("--addr", default=t2bus.default_address(), help="the bus (default: %(default)s)")
    roles = parser.add_subparsers(dest="role", required=True)
    publisher = roles.add_parser("publish", help="publish prices that move at random")
    publisher.add_argument("pair", help="such as eth/eur")
    publisher.add_argument("--count", type=int, default=1000, help="how many prices (default: %(default)s)")
    publisher.add_argument("--interval", type=float, default=0.5, help="seconds between two (default: %(default)s)")
    publisher.add_argument("--paced", action="store_true", help="wait for watchers that are slow")
    watcher = roles.add_parser("watch", help="print prices, until Ctrl-C or as many as asked for")
    watcher.add_argument("pairs", help="such as eth/eur, '*/eur' or '**'")
    watcher.add_argument("--count", type=float, default=math.inf, help="how many prices (default: no end)")
    watcher.add_argument("--window", type=int, default=1024, help="prices on their way to it (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        trio.run(main, parse_arguments())
    except KeyboardInterrupt:
        pass
    except (t2bus.BusError, ValueError) as error:  # a window of 0 is a ValueError
        sys.exit(f"{type(error).__name__}: {error}")
