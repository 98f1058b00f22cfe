"""The roles on mosquitto with aiomqtt.

Settings: a unix socket; publications of quality 1, which the broker acknowledges, with as many in flight as the work
says; subscriptions of quality 0, at most once as t2bus's; no bound on what waits in the broker or in the client, so
that nothing is lost. aiomqtt has no pipelined publisher: there, as many tasks publish as may be in flight.
"""

from __future__ import annotations

import asyncio

import aiomqtt

from .work import Meter, Work, gather_tasks, ready, say

RUN = asyncio.run


def _client(address: str, flight: int = 20) -> aiomqtt.Client:
    return aiomqtt.Client(
        address, transport="unix", timeout=60, max_inflight_messages=flight, max_concurrent_outgoing_calls=flight
    )


async def publish(address: str, work: Work) -> None:
    payload = work.payload
    connected = asyncio.Barrier(work.connections + 1)

    async def one(number: int) -> None:
        topic = work.topic_of(number)
        async with _client(address, work.flight) as client:
            await connected.wait()

            async def act() -> int:
                await client.publish(topic, payload, qos=1)
                return 0

            await gather_tasks(work.flight, work.share, act)

    async with asyncio.TaskGroup() as group:
        for number in range(work.connections):
            group.create_task(one(number))
        await connected.wait()
        ready()
    say({})


async def subscribe(address: str, work: Work) -> None:
    meter = Meter(work.size)
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
                    break
            meter.stop()

    async with asyncio.TaskGroup() as group:
        for _ in range(work.connections):
            group.create_task(take())
        for _ in range(work.connections):
            await subscribed.acquire()
        ready()
    meter.report()
