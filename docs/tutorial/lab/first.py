"""One program that is a bus, an oven and somebody who watches it."""

import attrs
import trio

import t2bus


@attrs.frozen
class Reading(t2bus.PublishProtocol, prefix="reading"):
    celsius: float


async def heat(client: t2bus.Client) -> None:
    for celsius in (20.0, 25.0, 30.0):
        await client.publish("north/oven", Reading(celsius))
        await trio.sleep(0.5)


async def main() -> None:
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as oven,
        bus.open_client() as watcher,
        watcher.subscribe(Reading, "*/oven") as readings,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(heat, oven)
        for _ in range(3):
            topic, reading = await readings.receive()
            print(topic, reading.celsius, flush=True)


trio.run(main)
