"""The roles on mosquitto with aiomqtt.

Settings: a unix socket; publications of quality 1, which the broker acknowledges, with as many in flight as the work
says; subscriptions of quality 0, at most once as t2bus's; no bound on what waits in the broker or in the client, so
that nothing is lost. aiomqtt has no pipelined publisher: there, as many tasks publish as may be in flight.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import aiomqtt

from .work import Meter, Work, gather_tasks, next_burst, ready, say

RUN = asyncio.run


def _client(address: str, flight: int = 20) -> aiomqtt.Client:
    return aiomqtt.Client(
        address, transport="unix", timeout=60, max_inflight_messages=flight, max_concurrent_outgoing_calls=flight
    )


async def publish(address: str, work: Work) -> None:
    payload = work.payload

    async def one(client: aiomqtt.Client, topic: str) -> None:
        async def act() -> int:
            await client.publish(topic, payload, qos=1)
            return 0

        await gather_tasks(work.flight, work.share, act)

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_client(address, work.flight)) for _ in range(work.connections)]
        ready()
        while await next_burst(asyncio.to_thread):
            await asyncio.gather(*(one(client, work.topic_of(number)) for number, client in enumerate(clients)))
            say({})


async def subscribe(address: str, work: Work) -> None:
    meter = Meter(work.size, work.connections)
    subscribed = asyncio.Semaphore(0)

    async def take() -> None:
        async with _client(address) as client:
            await client.subscribe(work.topic.replace("**", "#"), qos=0)
            subscribed.release()
            left = work.count
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                meter.take(len(message.payload))
                left -= 1
                if not left:
                    meter.stop()
                    left = work.count

    async with asyncio.TaskGroup() as group:
        for _ in range(work.connections):
            group.create_task(take())
        for _ in range(work.connections):
            await subscribed.acquire()
        ready()
