"""Subscribers that take nothing, and do just enough not to be closed: ``python stalled.py unix:bus 100``.

Each subscribes to ``stalled/N`` with the largest window that there is. It gives no credit back, reads 4 KiB a second,
which is progress, and says PING, which is a sign of life. So what the bus keeps for it is kept for as long as it likes.
"""

from __future__ import annotations

import sys

import trio

from t2bus.wire import messages as m
from t2bus.wire import native

WINDOW = 1 << 62


async def stall(path: str, topic: str, task_status: trio.TaskStatus[None]) -> None:
    stream = await trio.open_unix_socket(path)
    await stream.send_all(native.encode(m.Hello(native.VERSION, "stalled")))
    await stream.receive_some(65_536)
    await stream.send_all(native.encode(m.Subscribe(1, topic, WINDOW, WINDOW)))
    await stream.receive_some(65_536)
    task_status.started()
    while True:
        await trio.sleep(1)
        await stream.send_all(native.encode(m.Ping(0)))
        assert await stream.receive_some(4096), f"the bus closed the subscriber of {topic}"


async def main(path: str, count: int) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(count):
            await nursery.start(stall, path, f"stalled/{number}")
        print("ready", flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1].removeprefix("unix:"), int(sys.argv[2]))
