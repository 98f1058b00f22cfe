"""Processes that open a bus at one path, all at the same moment: ``python racers.py FOLDER``.

Each line of standard input is an order, and each order is answered by one line of JSON:

=============  =================================================================================================
``race N P``   start N processes at the path P; answered when each has opened the bus or failed: the winner's numbers as
               ``winners``, and as ``errors`` what the others said
``end``        the winner closes its bus and exits
``kill``       the winner is killed
=============  =================================================================================================

They are forked from this process, which has imported all that they need and runs no Trio then: starting Python takes a
hundred times as long as the race.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from contextlib import suppress

import trio

import t2bus


async def run(path: str, results: int, goes_on: int) -> None:
    """Open the bus, say so, and keep it open until something can be read."""
    async with t2bus.open_bus(f"unix:{path}"):
        os.write(results, f"{os.getpid()} won\n".encode())
        await trio.lowlevel.wait_readable(goes_on)


def race_once(path: str, starts: int, results: int, goes_on: int) -> None:
    """Be one racer, in a process of its own."""
    os.read(starts, 1)
    try:
        trio.run(run, path, results, goes_on)
    except t2bus.BusError as error:
        os.write(results, f"{os.getpid()} {error}\n".encode())


class Racers:
    """The processes of one race."""

    def __init__(self, path: str, count: int) -> None:
        self.starts, self.gun = os.pipe()
        self.reads, self.results = os.pipe()
        self.goes_on, self.stop = os.pipe()
        self.children = [self.fork(path) for _ in range(count)]
        os.close(self.starts)
        os.close(self.results)

    def fork(self, path: str) -> int:
        if child := os.fork():
            return child
        status = 1
        try:
            os.close(self.gun)
            os.close(self.stop)
            race_once(path, self.starts, self.results, self.goes_on)
            status = 0
        finally:
            os._exit(status)

    def race(self) -> dict[str, list[str]]:
        """Start all at once; return who won and what the others said."""
        os.close(self.gun)
        winners, errors = [], []
        with os.fdopen(self.reads, encoding="utf-8") as lines:
            for _ in self.children:
                who, _, what = lines.readline().strip().partition(" ")
                if what == "won":
                    winners.append(who)
                else:
                    errors.append(what or "a racer ended without a word")
        return {"winners": winners, "errors": errors}

    def end(self, *, kill: bool) -> dict[str, int]:
        """End whoever is left; return how many ended as they should."""
        if kill:
            for child in self.children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        os.close(self.stop)
        os.close(self.goes_on)
        statuses = [os.waitpid(child, 0)[1] for child in self.children]
        return {"well": sum(status in {0, signal.SIGKILL} for status in statuses)}


async def warm_up(folder: str) -> None:
    """Import what is imported when a bus opens, once for all racers."""
    async with t2bus.open_bus(f"unix:{folder}/warm"):
        pass


def main(folder: str) -> None:
    logging.disable()  # of those who look who has won, which nobody reads
    trio.run(warm_up, folder)
    racers: Racers | None = None
    print("ready", flush=True)
    for line in sys.stdin:
        order, *rest = line.split()
        if order == "race":
            racers = Racers(rest[1], int(rest[0]))
            answer: object = racers.race()
        else:
            assert racers is not None
            answer = racers.end(kill=order == "kill")
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
