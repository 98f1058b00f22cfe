"""A client of the Rust wire that sends just what a test wants, frame by frame."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import cbor2
import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


def frame(item: Any) -> bytes:
    """Return one frame as the crate writes it."""
    content = cbor2.dumps(item)
    return len(content).to_bytes(4, "big") + content


def payload(data: bytes) -> dict[str, Any]:
    """Return a payload as serde writes it: the bytes are an array of numbers."""
    return {"data": list(data), "is_compressed": False}


@define(eq=False)
class RawClient:
    """One end of a socket."""

    stream: trio.SocketStream
    _buffer: bytes = field(default=b"", init=False)
    _last_id: int = field(default=0, init=False)

    async def send(self, content: Any) -> int:
        """Send a message and return its id."""
        self._last_id += 1
        await self.stream.send_all(frame({"id": self._last_id, "content": content}))
        return self._last_id

    async def send_bytes(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def receive(self) -> Any:
        """Return the next message; None when the other end has closed."""
        while len(self._buffer) < 4 or len(self._buffer) < 4 + int.from_bytes(self._buffer[:4], "big"):
            try:
                data = await self.stream.receive_some()
            except trio.BrokenResourceError:
                return None
            if not data:
                return None
            self._buffer += data
        end = 4 + int.from_bytes(self._buffer[:4], "big")
        content, self._buffer = self._buffer[4:end], self._buffer[end:]
        return cbor2.loads(content)

    async def answer(self, content: Any) -> Any:
        """Send a message and return its acknowledgement, skipping what else arrives."""
        number = await self.send(content)
        while (message := await self.receive()) is not None:
            match message["content"]:
                case {"Ack": {"msg_id": found} as acknowledgement} if found == number:
                    return acknowledgement
        raise AssertionError("the connection was closed before the acknowledgement came")

    async def expect(self, kind: str) -> Any:
        """Return the next message of this kind, skipping others."""
        while (message := await self.receive()) is not None:
            if kind in message["content"]:
                return message
        raise AssertionError(f"the connection was closed before a {kind} came")


@asynccontextmanager
async def open_raw_client(address: str) -> AsyncGenerator[RawClient, None]:
    """Connect to a bus at a unix socket and say nothing yet."""
    with trio.fail_after(30):
        async with await trio.open_unix_socket(address.removeprefix("unix:")) as stream:
            yield RawClient(stream)
