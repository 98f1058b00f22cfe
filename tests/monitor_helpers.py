"""For the tests of the monitor: a bus with one, and requests to it over a real connection."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import h11
import trio
from attrs import frozen

import t2bus
from t2bus.monitor.serve import open_monitor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@frozen
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@frozen
class Monitored:
    """A bus, and the port of its monitor."""

    bus: t2bus.Bus
    port: int

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def get(self, path: str, host: str | None = None, method: str = "GET", body: bytes = b"") -> Answer:
        """Ask once, on a connection of its own, by a parser that is strict."""
        async with await self.connect() as stream:
            return await ask(stream, path, host or f"127.0.0.1:{self.port}", method, body)


async def ask(stream: trio.abc.Stream, path: str, host: str, method: str = "GET", body: bytes = b"") -> Answer:
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", host), ("Connection", "close"), *([("Content-Length", str(len(body)))] if body else [])]
    for sent in (h11.Request(method=method, target=path, headers=headers), h11.Data(body), h11.EndOfMessage()):
        await stream.send_all(connection.send(sent) or b"")
    answer: h11.Response | None = None
    content = b""
    while True:
        match connection.next_event():
            case h11.Response() as event:
                answer = event
            case h11.Data(data=data):
                content += bytes(data)
            case h11.EndOfMessage():
                assert answer is not None
                headers_back = {name.decode(): value.decode() for name, value in answer.headers}
                return Answer(answer.status_code, headers_back, content)
            case _:
                connection.receive_data(bytes(await stream.receive_some()))


@asynccontextmanager
async def monitored_bus(**arguments: Any) -> AsyncGenerator[Monitored, None]:
    """Open a bus with a monitor at any port."""
    async with t2bus.open_bus(**arguments) as bus, open_monitor(bus, "127.0.0.1:0") as (place,):
        yield Monitored(bus, int(place.rstrip("/").rpartition(":")[2]))
