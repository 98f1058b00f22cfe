"""The roles on pyzmq's asyncio sockets, through a proxy in a process of its own.

Settings: unix sockets (``ipc``), XSUB and XPUB in the proxy, which runs in libzmq; high-water marks of 0 everywhere,
since at a mark messages are lost without a word. Nothing is acknowledged. The publisher is an XPUB socket, so that it
can wait for the subscription to reach it.
"""

from __future__ import annotations

import asyncio

import zmq
import zmq.asyncio

from .work import Meter, Work, gather_tasks, next_burst, ready, say

RUN = asyncio.run


async def serve(address: str, _work: Work) -> None:
    context = zmq.Context()
    publishers, subscribers = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    for socket, end in ((publishers, "in"), (subscribers, "out")):
        socket.set_hwm(0)
        socket.bind(f"ipc://{address}.{end}")
    ready(address)
    await asyncio.to_thread(zmq.proxy, publishers, subscribers)


async def publish(address: str, work: Work) -> None:
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.XPUB)
    socket.set_hwm(0)
    socket.connect(f"ipc://{address}.in")
    await socket.recv()
    topic, payload = work.topic.encode(), work.payload
    ready()

    async def act() -> int:
        await socket.send_multipart([topic, payload])
        return 0

    while await next_burst(asyncio.to_thread):
        await gather_tasks(work.flight if work.tasks else 1, work.count, act)
        say({})


async def subscribe(address: str, work: Work) -> None:
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.SUB)
    socket.set_hwm(0)
    socket.connect(f"ipc://{address}.out")
    socket.subscribe(work.topic.encode())
    ready()
    meter = Meter(work.size, 1)
    while True:
        for _ in range(work.count):
            _, payload = await socket.recv_multipart()
            meter.take(len(payload))
        meter.stop()
