"""As much of the wire as a bare stream needs, written from docs/wire.md: a client here is a few bytes."""

from __future__ import annotations

from typing import Any, Final

import cbor2

WELCOME: Final = 2
PING: Final = 13
_HELLO: Final = 1
_PONG: Final = 14
_VERSION: Final = 1
_LENGTH: Final = 4
"""Bytes of the length before each frame."""


def hello() -> bytes:
    """Return what a client says first."""
    return _frame(_HELLO, _VERSION, "benchmark", [])


def pong(token: int) -> bytes:
    return _frame(_PONG, token)


def take_messages(received: bytearray) -> list[list[Any]]:
    """Take the whole frames out of what was received; return their messages, each as ``[kind, ...]``."""
    messages = []
    while len(received) >= _LENGTH:
        end = _LENGTH + int.from_bytes(received[:_LENGTH], "big")
        if len(received) < end:
            break
        messages.append(cbor2.loads(bytes(received[_LENGTH:end])))
        del received[:end]
    return messages


def _frame(*message: object) -> bytes:
    body = cbor2.dumps(message)
    return len(body).to_bytes(_LENGTH, "big") + body
