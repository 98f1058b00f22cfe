"""Serve one topic and answer each request with what it brings: ``python responder.py unix:bus fault/echo``.

It says ``ready``, and why its connection ended if it does.
"""

from __future__ import annotations

import sys

import trio

import t2bus


async def main(address: str, topic: str) -> None:
    try:
        async with t2bus.open_client(address) as client, client.serve_bytes(topic) as requests:
            print("ready", flush=True)
            async for request in requests:
                await request.respond(request.body)
    except t2bus.Disconnected as error:
        print(error, flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
