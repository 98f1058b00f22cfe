"""What is said first: by a bus to a client that it lets in, and by its servers to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import ProtocolViolation
from ..text import printable
from ..wire.compression import ZLIB
from ..wire.messages import Hello, Welcome
from ..wire.native import VERSION
from ..wire.values import FRAME_OVERHEAD, NAME_LENGTH

if TYPE_CHECKING:
    from ..limits import Limits
    from ..wire.messages import ClientMessage

AGENT: Final = "t2bus"

_ID_SIZE: Final = 9
"""The bytes of one subscription id in a delivery, at most."""


def name_in(hello: ClientMessage) -> str:
    """Return what a client or another server calls itself, made fit to be shown; ``hello`` is its first message.

    Raises:
      ProtocolViolation: it is no HELLO of a version that is spoken here.

    """
    if not isinstance(hello, Hello):
        raise ProtocolViolation("the first message is not HELLO")
    if hello.version != VERSION:
        raise ProtocolViolation(f"version {hello.version} of the wire is not spoken here, only {VERSION}")
    return printable(hello.name, NAME_LENGTH)


def introduction(name: str) -> Hello:
    """Return what a server of this name says first to another one."""
    return Hello(VERSION, AGENT, (), name)


def welcome(limits: Limits, number: int) -> Welcome:
    """Return the WELCOME of the connection with this number."""
    return Welcome(
        version=VERSION,
        agent=AGENT,
        compressions=(ZLIB,),
        connection=number,
        frame=limits.frame,
        delivery=limits.frame + FRAME_OVERHEAD + _ID_SIZE * limits.subscriptions,
        topic_length=limits.topic_length,
        topic_depth=limits.topic_depth,
        requests=limits.requests,
        subscriptions=limits.subscriptions,
        services=limits.services,
        subscription_messages=limits.subscription_messages,
        subscription_bytes=limits.subscription_bytes,
    )
