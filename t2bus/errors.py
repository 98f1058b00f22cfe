"""What can go wrong on the bus: one root, and one child for each thing a caller does next.

::

    BusError
    ├── InvalidTopic        mend the topic (also a ValueError)
    ├── InvalidAddress      mend the address (also a ValueError)
    ├── InvalidAccess       mend the file of access rules (also a ValueError)
    ├── MalformedMessage    mend the message, or the class it is read as
    ├── MessageTooLarge     send less at once
    ├── TopicTooBroad       publish to a narrower topic
    ├── LimitExceeded       use less of what the text names, or raise that limit
    ├── PermissionDenied    ask whoever keeps the access rules
    ├── TopicClaimed        serve another topic, or wait for its server to leave
    ├── ServiceNotFound     start the service, or try later
    ├── ServiceBusy         try again soon, or add capacity
    ├── ServiceGone         decide whether the request may be repeated: it may have been carried out
    ├── RemoteError         read what the handler said
    ├── RequestTimeout      as ServiceGone
    ├── Lagged              go on: this many messages of this subscription were dropped
    ├── ProtocolViolation   report it: one of the two ends has a bug
    ├── BindFailed          free the address or choose another (also an OSError)
    ├── ConnectFailed       check the address, start the bus
    │   └── TlsFailed       check certificates, keys and host names
    └── Disconnected        connect again

Misuse of an object in this process keeps Trio's own errors: ``trio.ClosedResourceError``, ``trio.BusyResourceError``
and ``trio.EndOfChannel``.

The law of this module: standard library only, so that :mod:`t2bus.topic` stands alone with it.
"""

from __future__ import annotations

__all__ = [
    "BindFailed",
    "BusError",
    "ConnectFailed",
    "Disconnected",
    "InvalidAccess",
    "InvalidAddress",
    "InvalidTopic",
    "Lagged",
    "LimitExceeded",
    "MalformedMessage",
    "MessageTooLarge",
    "PermissionDenied",
    "ProtocolViolation",
    "RemoteError",
    "RequestTimeout",
    "ServiceBusy",
    "ServiceGone",
    "ServiceNotFound",
    "TlsFailed",
    "TopicClaimed",
    "TopicTooBroad",
]


class BusError(Exception):
    """The root of every error that t2bus raises of its own."""


class InvalidTopic(BusError, ValueError):
    """A topic is not of the grammar, is longer than allowed, or has a wildcard where none may be."""


class InvalidAddress(BusError, ValueError):
    """An address is of no kind that the bus speaks, or lacks a part."""


class InvalidAccess(BusError, ValueError):
    """A file of access rules cannot be read or says what no rule may say; the text names the place."""


class MalformedMessage(BusError):
    """A typed message cannot be written as, or read from, its payload; the text names the field."""


class MessageTooLarge(BusError):
    """A message does not fit in one frame."""


class TopicTooBroad(BusError):
    """A topic with wildcards would cost more matching work than one publication may."""


class LimitExceeded(BusError):
    """A bound of :class:`t2bus.Limits` was reached; the text names it."""


class PermissionDenied(BusError):
    """The access rules of the bus forbid this verb on this topic."""


class TopicClaimed(BusError):
    """Another connection, or this one, serves the topic already; that service is untouched."""


class ServiceNotFound(BusError):
    """Nobody serves the topic of the request."""


class ServiceBusy(BusError):
    """The service has as many pending requests as it takes; this one was not handed to it."""


class ServiceGone(BusError):
    """The service left with the request pending: it may or may not have been carried out."""


class RemoteError(BusError):
    """The handler of the request failed; the text is what it said."""


class RequestTimeout(BusError):
    """The request was pending for the bus's ``Limits.request_lifetime``."""


class Lagged(BusError):
    """A subscription fell behind and lost messages where this error stands in its stream; it goes on.

    ``dropped`` is how many messages were lost at this place, at least 1.
    """

    def __init__(self, dropped: int) -> None:
        super().__init__(dropped)
        self.dropped = dropped

    def __str__(self) -> str:
        return f"this subscription fell behind and {self.dropped} messages were dropped here; receive again to go on"


class ProtocolViolation(BusError):
    """The peer sent what the wire forbids; its connection was closed."""


class BindFailed(BusError, OSError):
    """A listener could not be opened at its address."""


class ConnectFailed(BusError):
    """No bus could be reached at the address, or it did not let this client in."""


class TlsFailed(ConnectFailed):
    """A certificate or key cannot be used, or the TLS handshake failed; the text names the likely cause."""


class Disconnected(BusError):
    """The connection to the bus ended; the text says why. Calls that were pending may or may not have had effect."""
