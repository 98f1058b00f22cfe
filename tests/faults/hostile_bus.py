"""A hostile bus, as a program: it lets clients in and says one thing to them, as often as they listen.

``python tests/faults/hostile_bus.py PATH KIND`` listens at a unix socket, and prints ``ready``. A client that has said
HELLO and three operations is told that these are carried out, and then the flood of that kind.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import trio

sys.path.append(str(Path(__file__).parents[1]))

from faults.hostile import BUS_FLOODS, FRAME
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.framing import FrameDecoder

WELCOME = m.Welcome(native.VERSION, "a bus", ("zlib",), 1, FRAME, 2 * FRAME, 256, 16, 256, 1024, 256, 1000, FRAME)
LAST = 3
"""The operation that is not answered: a request."""
PIECE = 1 << 16


async def handle(data: bytes, stream: trio.SocketStream) -> None:
    """Let a client in, answer its operations, and say it all."""
    decoder, operation = FrameDecoder(FRAME), 0
    try:
        while operation < LAST:
            for message in native.decode_client_messages(decoder.feed(bytes(await stream.receive_some(PIECE)))):
                operation = getattr(message, "id", 0)
                await stream.send_all(native.encode(m.Accepted(operation, (0,)) if operation else WELCOME))
        for place in range(0, len(data), PIECE):
            await stream.send_all(data[place : place + PIECE])
        while await stream.receive_some(PIECE):
            pass
    except trio.BrokenResourceError:
        pass


async def main(path: str, kind: str) -> None:
    data = b"".join(map(native.encode, BUS_FLOODS[kind]()))
    socket = trio.socket.socket(trio.socket.AF_UNIX)
    await socket.bind(path)
    socket.listen()
    print("ready", flush=True)  # noqa: T201 -- whoever has started it waits for that
    await trio.serve_listeners(partial(handle, data), [trio.SocketListener(socket)])


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
