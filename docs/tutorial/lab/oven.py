"""An oven: publishes readings, measures on request, and follows its setpoint.

python oven.py north/oven
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics

import attrs
import trio

import t2bus

from lab import Measure, Measured, Reading, Setpoint, run

DEGREES_PER_READING = 5.0
SECONDS_PER_SAMPLE = 0.1


@attrs.define
class Oven:
    place: str
    celsius: float = 20.0
    setpoint: float = 20.0

    async def work(
        self,
        client: t2bus.Client,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(client.serve_with, Measure, self.place, self.measure)
            await nursery.start(client.subscribe_with, Setpoint, self.place, self.follow)
            print(f"{self.place} works", flush=True)
            task_status.started()
            while True:
                self.heat()
                # With the bus this reading is lost; the next one waits until it is back.
                with contextlib.suppress(t2bus.Disconnected):
                    await client.publish(self.place, Reading(self.celsius))
                await trio.sleep(0.5)

    async def measure(self, request: Measure) -> Measured:
        """Answer one request; its requester may give up meanwhile, which cancels this."""
        print(f"{self.place} begins to measure", flush=True)
        values: list[float] = []
        try:
            for _ in range(request.samples):
                await trio.sleep(SECONDS_PER_SAMPLE)
                values.append(random.gauss(self.celsius, 0.01))
        except trio.Cancelled:
            print(f"{self.place} stops after {len(values)} samples", flush=True)
            raise
        return Measured(statistics.fmean(values), len(values))

    async def follow(self, setpoint: Setpoint) -> None:
        self.setpoint = setpoint.celsius
        print(f"{self.place} goes to {setpoint.celsius:g} degrees", flush=True)

    def heat(self) -> None:
        """Come nearer to the setpoint."""
        step = self.setpoint - self.celsius
        self.celsius += max(-DEGREES_PER_READING, min(DEGREES_PER_READING, step))


async def main(client: t2bus.Client, arguments: argparse.Namespace) -> None:
    await Oven(arguments.place).work(client)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="oven", description="An oven.")
    parser.add_argument("place", help="such as north/oven")
    run(main, parser, reconnect=t2bus.Reconnect())
