"""The roles on redis-server with redis.asyncio and hiredis.

Settings: a unix socket, no persistence, and no bound on what waits for a subscriber, so that nothing is lost. PUBLISH
is answered with its receivers. A pipelined publisher sends pipelines of ``flight`` commands, or of as many as a batch
has; tasks take a connection of the pool each, since one connection of redis.asyncio carries one command at a time.
"""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from .work import Meter, Work, gather_tasks, next_burst, ready, say

RUN = asyncio.run

_POOL = 1024


async def publish(address: str, work: Work) -> None:
    clients = [Redis(unix_socket_path=address, max_connections=_POOL) for _ in range(work.connections)]
    payload = work.payload

    async def one(number: int) -> int:
        client, topic = clients[number], work.topic_of(number)
        if work.tasks:

            async def act() -> int:
                return int(await client.publish(topic, payload))

            return await gather_tasks(work.flight, work.share, act)
        accepted, length = 0, work.batch or work.flight
        for begin in range(0, work.share, length):
            pipeline = client.pipeline(transaction=False)
            for _ in range(min(length, work.share - begin)):
                pipeline.publish(topic, payload)
            accepted += sum(await pipeline.execute())
        return accepted

    for client in clients:
        await client.ping()
    ready()
    while await next_burst(asyncio.to_thread):
        say({"accepted": sum(await asyncio.gather(*(one(number) for number in range(work.connections))))})


async def subscribe(address: str, work: Work) -> None:
    meter = Meter(work.size, work.connections)
    subscribed = asyncio.Semaphore(0)

    async def take() -> None:
        client = Redis(unix_socket_path=address)
        async with client.pubsub() as pubsub:
            if "**" in work.topic:
                await pubsub.psubscribe(work.topic.replace("**", "*"))
            else:
                await pubsub.subscribe(work.topic)
            left = work.count
            async for message in pubsub.listen():
                if message["type"] in {"subscribe", "psubscribe"}:
                    subscribed.release()
                    continue
                meter.take(len(message["data"]))
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
