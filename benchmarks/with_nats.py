"""The roles on nats-server with nats-py.

Settings: loopback TCP, since the server has no unix sockets; no JetStream, so at most once, as t2bus; what may wait for
a subscriber is not bounded in the client and 1 GB in the server, so that nothing is lost. Core NATS acknowledges no
publication: a pipelined publisher waits for PONG after each ``flight`` messages, tasks publish without an answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import nats

from .work import SERVICE, Meter, Work, gather_tasks, next_burst, ready, say, time_requests

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

RUN = asyncio.run

_PATIENCE = 60


def _subject(topic: str) -> str:
    return topic.replace("**", ">").replace("/", ".")


async def publish(address: str, work: Work) -> None:
    clients = [await nats.connect(address) for _ in range(work.connections)]
    payload = work.payload

    async def one(number: int) -> None:
        client, subject = clients[number], _subject(work.topic_of(number))
        if work.tasks:

            async def act() -> int:
                await client.publish(subject, payload)
                return 0

            await gather_tasks(work.flight, work.share, act)
        else:
            for sent in range(1, work.share + 1):
                await client.publish(subject, payload)
                if sent % work.flight == 0:
                    await client.flush(_PATIENCE)
        await client.flush(_PATIENCE)

    ready()
    while await next_burst(asyncio.to_thread):
        await asyncio.gather(*(one(number) for number in range(work.connections)))
        say({})


async def subscribe(address: str, work: Work) -> None:
    clients = [await nats.connect(address) for _ in range(work.connections)]
    subscriptions = [
        await client.subscribe(_subject(work.topic), pending_msgs_limit=0, pending_bytes_limit=0) for client in clients
    ]
    for client in clients:
        await client.flush(_PATIENCE)
    meter = Meter(work.size, work.connections)

    async def take(subscription: Subscription) -> None:
        left = work.count
        async for message in subscription.messages:
            meter.take(len(message.data))
            left -= 1
            if not left:
                meter.stop()
                left = work.count

    ready()
    await asyncio.gather(*map(take, subscriptions))


async def answer(address: str, _work: Work) -> None:
    client = await nats.connect(address)
    subscription = await client.subscribe(_subject(SERVICE))
    await client.flush(_PATIENCE)
    ready()
    async for message in subscription.messages:
        await message.respond(message.data)


async def ask(address: str, work: Work) -> None:
    client, payload = await nats.connect(address), work.payload

    async def one() -> int:
        return len((await client.request(_subject(SERVICE), payload, timeout=_PATIENCE)).data)

    ready()
    await time_requests(work, one)
