"""What a client is told of the bus when it is let in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..wire.compression import ZLIB
from ..wire.messages import Welcome
from ..wire.native import VERSION
from ..wire.values import FRAME_OVERHEAD

if TYPE_CHECKING:
    from ..limits import Limits

AGENT: Final = "t2bus"

_ID_SIZE: Final = 9
"""The bytes of one subscription id in a delivery, at most."""


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
