"""The length of a message's way: `python -m benchmarks.trace [publish|request] [--list]`.

A bus at a real unix socket and two clients of it run in one process. When all are warm, one lone message (or one lone
request) goes its way, and each call of a function of t2bus on it is counted, and in how many files those lie.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import trio
import trio.testing

import t2bus

from .work import SERVICE

_HOME = str(Path(t2bus.__file__).parent)
_WARM_UP = 200
_TIMES = 20

class Tracer:
    def __init__(self):
        self.calls = Counter()
    def hook(self, frame, event, arg):
        if event == "call":
            code = frame.f_code
            if code.co_filename.startswith(_HOME):
                self.calls[code.co_filename[len(_HOME)+1:], code.co_qualname, code.co_firstlineno] += 1
    def __enter__(self):
        sys.setprofile(self.hook); return self
    def __exit__(self, *a):
        sys.setprofile(None)

async def publish(a, b):
    async with b.subscribe_bytes(SERVICE) as messages, trio.open_nursery() as n:
        async def take():
            async for m in messages: pass
        n.start_soon(take)
        async def once(full):
                await trio.testing.wait_all_tasks_blocked(0.01)
                with Tracer() as t:
                    await a.publish_bytes(SERVICE, b"x"*100)
                    if full:
                        await trio.testing.wait_all_tasks_blocked(0.01)
                await trio.testing.wait_all_tasks_blocked(0.01)
                return t.calls
        for _ in range(_WARM_UP):
            await once(True)
        for full in (False, True):
            r=[await once(full) for _ in range(_TIMES)]
            print("publish", full, [ (sum(c.values()), len({k[0] for k in c})) for c in r])
        n.cancel_scope.cancel()
        return r[-1]

async def request(a, b):
    async with trio.open_nursery() as n, b.serve_bytes(SERVICE) as requests:
        async def answer():
            async for r in requests:
                await r.respond(r.body)
        n.start_soon(answer)
        async def once(full):
            await trio.testing.wait_all_tasks_blocked(0.01)
            with Tracer() as t:
                await a.request_bytes(SERVICE, b"x"*100)
                if full:
                    await trio.testing.wait_all_tasks_blocked(0.01)
            await trio.testing.wait_all_tasks_blocked(0.01)
            return t.calls
        for _ in range(_WARM_UP):
            await a.request_bytes(SERVICE, b"x"*100)
        for full in (False, True):
            r=[await once(full) for _ in range(_TIMES)]
            print("request", full, [ (sum(c.values()), len({k[0] for k in c})) for c in r])
        n.cancel_scope.cancel()
        return r[-1]

async def main():
    with tempfile.TemporaryDirectory() as d:
        async with t2bus.open_bus(f"unix:{d}/b") as bus:
            async with t2bus.open_client(bus.addresses[0]) as a, t2bus.open_client(bus.addresses[0]) as b:
                r = await (publish if sys.argv[1]=="publish" else request)(a,b)
    if "--list" in sys.argv:
        for (f,q,l),n in sorted(r.items()): print(f"{n:4} {f}:{l} {q}")

trio.run(main)
