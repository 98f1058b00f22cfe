"""Every bound of the bus and its default, each with the precedent or the arithmetic it was chosen from.

A bus is opened with one :class:`Limits`, and so is a client. What a client must know of the bus's travels in the
WELCOME of the handshake, so that a client refuses an argument before anything is sent. The windows of a subscription
and of a service belong to the client that opens them; the bus caps them with its own.

Sizes are in bytes, times in seconds, the rest are counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import ge, gt, le

if TYPE_CHECKING:
    from attrs import Attribute

from .documented import Documented

__all__ = ["Limits"]

_KIB = 1024
_MIB = 1024 * _KIB

_LARGEST = 2**63
"""Bounds that a client is told of are numbers of 64 bits on the wire."""


def _check_whole(_: Limits, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{attribute.name}={value!r} has to be a whole number")


def _check_number(_: Limits, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{attribute.name}={value!r} has to be a number of seconds")


def _count(default: int, most: int = _LARGEST) -> int:
    """Declare a bound that is a whole number and at least 1: a bound of nothing would be a bus that does nothing."""
    return field(default=default, validator=[_check_whole, ge(1), le(most)])


def _seconds(default: float) -> float:
    """Declare a bound in seconds."""
    return field(default=default, validator=[_check_number, gt(0)])


@frozen(kw_only=True)
class Limits(metaclass=Documented):
    """The bounds of a bus, or of a client; each has a default. Sizes are in bytes, times in seconds, others are counts.

    ::

        async with t2bus.open_bus("unix:my_bus", limits=t2bus.Limits(connections=100, frame=65_536)) as bus: ...

    A client is told the bounds of its bus when it connects. Of its own it goes by the windows (``subscription_``,
    ``service_`` and ``publisher_…``), ``outbox_bytes``, ``handshake_time`` and the times from ``ping_interval`` on.

    Raises:
      TypeError: a count is no whole number, or a time no number.
      ValueError: a count is below 1 or more than the wire can say, a time is not above 0, or one bound contradicts
        another; the text names both.

    """

    # --- who may be connected
    connections: int = _count(1024)
    """Connections of one bus; one more is not let in. The usual soft limit of open files is 1,024 as well."""
    connections_per_identity: int = _count(256)
    """Connections of one identity, so that one program gone wild leaves room for the others."""
    accepts: int = _count(1000)
    """Connections let in per second; more wait in the kernel's queue. A handshake of TLS takes about 2 ms."""
    handshakes: int = _count(64)
    """Peers that have connected and not said HELLO yet; one more waits, and takes the place of one that is stuck.
    sshd's MaxStartups is 100."""
    tls_handshakes: int = _count(16)
    """Handshakes of TLS at once; one more waits, and takes the place of one that is stuck."""
    handshake_bytes: int = _count(4 * _KIB)
    """Bytes that a peer may send before its WELCOME, the handshake of TLS aside. A HELLO takes under 100."""
    handshake_time: float = _seconds(5.0)
    """Seconds that a peer may take for the handshake of TLS, then for HELLO, and a bus for WELCOME. NATS allows 2."""

    # --- how large a thing may be
    frame: int = _count(_MIB, most=2**31)
    """Bytes of the largest frame that a client may send, as in NATS (``max_payload``) and in the Rust crate. It bounds
    the payload before compression too, with room for the topic, the headers and 64 bytes around them; more raises
    ``MessageTooLarge``."""
    topic_length: int = _count(256)
    """Characters of a full topic, prefix included; more raises ``InvalidTopic``."""
    topic_depth: int = _count(16)
    """Fragments of a full topic; more raises ``InvalidTopic``. MQTT brokers commonly allow 7 to 128 levels."""

    # --- what one connection may hold
    subscriptions: int = _count(1024)
    """Subscriptions of a connection; one more raises ``LimitExceeded``."""
    services: int = _count(256)
    """Topics that a connection serves; one more raises ``LimitExceeded``."""
    requests: int = _count(256)
    """Requests of a connection that are not answered yet; one more raises ``LimitExceeded``."""

    # --- flow control
    subscription_messages: int = _count(16_384)
    """The credit window of a subscription, in messages: 0.1 s at the pace of a fast publisher."""
    subscription_bytes: int = _count(8 * _MIB)
    """The credit window of a subscription, in bytes of topics, payloads and headers; the last message may run over
    it."""
    service_requests: int = _count(1024)
    """Requests handed to a service and not answered yet. The next one is answered ``ServiceBusy`` at once."""
    service_bytes: int = _count(8 * _MIB)
    """Bytes of requests handed to a service and not answered yet; the last one may run over it."""
    publisher_messages: int = _count(1024)
    """Publications of a publisher that are not acknowledged yet; the next ``send`` waits."""
    publisher_bytes: int = _count(8 * _MIB)
    """Bytes of publications of a publisher that are not acknowledged yet; the last one may run over it."""
    held_messages: int = _count(16_384)
    """Paced publications of a connection that the bus holds for subscribers whose window is spent: 16 publishers'
    windows. One more is dropped for such a subscriber, and counted there."""
    stall: float = _seconds(1.0)
    """Seconds that a subscriber which takes nothing may hold paced publishers up."""

    # --- memory
    outbox_bytes: int = _count(16 * _MIB)
    """Bytes that wait to be written to a connection: two full subscription windows."""
    control_bytes: int = _count(_MIB)
    """Bytes of acknowledgements, refusals, gaps and cancellations that wait to be written to a connection. One that
    needs more is closed, since these cannot be dropped."""
    total_bytes: int = _count(256 * _MIB)
    """Bytes that wait for all connections together; a publication counts once, however many it waits for. An eighth is
    for shares: each connection has one, 32 KiB by default, that others never take. A quarter is for what is held for
    paced publishers. This and ``outbox_bytes`` bound the memory beside the bytes too, at 64 bytes a cell."""
    incoming_bytes: int = _count(64 * _MIB)
    """Bytes that may have come of frames above 64 KiB that are not complete, over all connections; one frame at least.
    One more waits, and takes the place of one that comes slower than 100 kB/s, or stands still for a second: that
    connection is closed. Who waits is not read from, but what one read has brought is kept beside: 320 KiB at most."""
    inbox: int = _count(64)
    """Batches, each what one read brought, that wait for the router. When it is full the readers wait, and so do the
    peers, by the flow control of their streams."""
    turn_steps: int = _count(4096)
    """Steps of work that the messages of one connection may take before it is another's turn: matching a fragment,
    looking at a subscription, taking a publication out of a run. So many took 5 to 12 ms in CPython 3.11. What a
    connection leaves to be done, held for it or asked of it, is done in turns as well."""
    routes: int = _count(4096)
    """Topics whose receivers are remembered from one publication to the next. Twice as many are counted for
    ``bus/topics``, those that were published to last."""
    matching_steps: int = _count(32_768)
    """Work for matching one publication with wildcards; more raises ``TopicTooBroad``. So many took 13 to 33 ms in
    CPython 3.11, for which everybody waits: it is not parted into turns."""

    # --- time
    request_lifetime: float = _seconds(300.0)
    """Seconds that a request without a deadline waits for a responder that lives; then it is ``RequestTimeout``."""
    ping_interval: float = _seconds(10.0)
    """Seconds without a byte from the peer, or to it, after which it is asked for a sign of life."""
    silence: float = _seconds(20.0)
    """Seconds without a byte after which the peer is taken for gone. MQTT takes 1.5 times a keep-alive of 60 s."""
    write_stall: float = _seconds(10.0)
    """Seconds without progress of a write after which the connection is closed."""
    drain: float = _seconds(5.0)
    """Seconds that a shutdown waits for what was accepted to be written."""

    def __attrs_post_init__(self) -> None:
        """Refuse bounds that contradict each other."""
        for other in ("outbox_bytes", "total_bytes"):
            if getattr(self, other) < self.frame:
                raise ValueError(
                    f"frame={self.frame} needs {other} of at least as much, not {getattr(self, other)}: "
                    "what fits nowhere reaches nobody"
                )
        if self.ping_interval >= self.silence:
            raise ValueError(
                f"ping_interval={self.ping_interval:g} has to be below silence={self.silence:g}: a peer that is idle "
                "would be given up before it is asked for a sign of life"
            )
