"""Subscribe to one topic with several connections, and see that nothing is missing without a word.

::

    python subscriber.py unix:bus fault/stopped 10

It says ``ready``. Each message begins with its number, counted from 0, in eight bytes, and has a byte behind these that
is 1 in the last. So before message 12 there must have been 12 that were received, or told as lost. At the last each
connection prints what it had, in JSON.
"""

from __future__ import annotations

import json
import sys

import trio

import t2bus


async def follow(address: str, topic: str, task_status: trio.TaskStatus[None]) -> None:
    received = dropped = 0
    async with t2bus.open_client(address) as client, client.subscribe_bytes(topic) as messages:
        task_status.started()
        while True:
            try:
                batch = await messages.receive_batch()
            except t2bus.Lagged as lagged:
                dropped += lagged.dropped or 0
                continue
            for message in batch:
                number = int.from_bytes(message.body[:8], "big")
                if number != received + dropped:
                    raise SystemExit(f"message {number} came when {received} had come and {dropped} were told as lost")
                received += 1
                if message.body[8]:
                    print(json.dumps({"received": received, "dropped": dropped}), flush=True)
                    return


async def main(address: str, topic: str, count: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            await nursery.start(follow, address, topic)
        print("ready", flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
