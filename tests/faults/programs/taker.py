"""Take all that comes at a topic until the bus ends, and say how much it was.

::

    python taker.py unix:bus fault/all

It says ``ready``, and at the end how many messages it took and how the connection ended.
"""

from __future__ import annotations

import json
import sys

import trio

import t2bus


async def main(address: str, topic: str) -> None:
    taken = 0
    async with t2bus.open_client(address) as client, client.subscribe_bytes(topic) as messages:
        print("ready", flush=True)
        try:
            while True:
                taken += len(await messages.receive_batch())
        except t2bus.Disconnected as error:
            print(json.dumps({"taken": taken, "end": str(error)}), flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
