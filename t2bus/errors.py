"""What can go wrong on the bus: one root, and one child for each thing a caller does next.

::

    BusError
    ├── InvalidTopic        correct the topic (also a ValueError)
    ├── InvalidAddress      correct the address (also a ValueError)
    ├── InvalidAccess       correct the file of access rules (also a ValueError)
    ├── MalformedMessage    correct the message, or the class that it is read as
    ├── MessageTooLarge     send less at once
    ├── TopicTooBroad       publish to a narrower topic
    ├── LimitExceeded       use less of what the text names, or raise that limit
    ├── PermissionDenied    ask whoever keeps the access rules
    ├── TopicClaimed        serve another topic, or wait for its server to leave
    │   └── ServiceRevoked  claim it again, or leave it to whoever has it now
    ├── ServiceNotFound     start the service, or try later
    ├── ServiceBusy         try again soon, or add capacity
    ├── ServiceGone         decide whether the request may be repeated: it may have been carried out
    ├── RemoteError         read what the handler said
    ├── RequestTimeout      as ServiceGone
    ├── Lagged              go on: this many messages of this subscription were dropped
    ├── Unconfirmed         go on: of so many publications nobody knows whether they were published
    ├── ProtocolViolation   report it: one of the two ends has a bug
    ├── BindFailed          free the address or choose another (also an OSError)
    ├── ConnectFailed       check the address, start the bus
    │   └── TlsFailed       check certificates, keys and host names
    └── Disconnected        connect again (also a trio.BrokenResourceError, hence in a module of its own)

So a program catches what it has an answer to, and lets the rest end it::

    try:
        reading = await client.request("oven", Measure())
    except (t2bus.ServiceNotFound, t2bus.ServiceBusy):
        reading = None  # nothing was done: ask again in the next round
    except t2bus.BusError as error:
        sys.exit(f"cannot measure: {error}")

The text of each is one line for people, which names what is wrong and, where there is one, the remedy. It may change
between versions; the class and its attributes do not.

Misuse of an object in this process keeps Trio's own errors: ``trio.ClosedResourceError`` after closing,
``trio.BusyResourceError`` for two tasks in one ``receive``, and ``trio.EndOfChannel`` at the end. An argument of the
wrong type is a ``TypeError``.

The root and the two errors of topics are defined in :mod:`.topic`, which works without any other module.

The law of this module: standard library only.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from .topic import BusError, InvalidTopic, TopicTooBroad

if TYPE_CHECKING:
    from collections.abc import Mapping

ErrorKind = TypeVar("ErrorKind", bound=BusError)

__all__ = [
    "BindFailed",
    "BusError",
    "ConnectFailed",
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
    "ServiceRevoked",
    "TlsFailed",
    "TopicClaimed",
    "TopicTooBroad",
    "Unconfirmed",
]


def anew(error: ErrorKind) -> ErrorKind:
    """Return an error like this one, for one more caller: a raised exception gathers the traceback of who raises it."""
    return type(error)(*error.args)


class InvalidAddress(BusError, ValueError):
    """An address is of no kind that the bus speaks, lacks a part, or needs ``tls=`` and was given none.

    It is raised before anything is opened. Examples of addresses are ``unix:my_bus`` and ``tcp:127.0.0.1:4242``.
    """


class InvalidAccess(BusError, ValueError):
    """A file of access rules cannot be read or says what no rule may say; the text names the place in the file.

    ``open_bus`` raises it before anything is opened. ``bus.reload()`` raises it and leaves the old rules in force.
    """


class MalformedMessage(BusError):
    """A typed message cannot be written as, or read from, its payload; the text names the class and the field.

    Sending raises it before anything is sent. Where a payload is read, it stands for that one message: the subscription
    or the service goes on, and the next call receives the next message. A requester gets it, too, where the service
    cannot read the request, or the answer is not of the protocol's class.

    Attributes:
      topic: the full topic of the message, ``""`` for one that was never sent.
      headers: what its sender sent along.

    """

    # Of the class, and not of each instance: instances are pickled, and an empty mapping that is nobody's cannot be.
    topic: str = ""
    headers: Mapping[str, str] = MappingProxyType({})

    def at(self, topic: str, headers: Mapping[str, str]) -> None:
        """Say which message it is about."""
        self.topic = topic
        if headers:
            self.headers = headers


class MessageTooLarge(BusError):
    """A message does not fit in one frame: topic, payload and headers together, in bytes, before compression.

    It is raised in the caller, before anything is sent. The bound is ``Limits.frame`` of the bus, 1 MiB by default.
    """


class LimitExceeded(BusError):
    """A bound of :class:`t2bus.Limits` was reached; the text names it. What asked for more was not done."""


class PermissionDenied(BusError):
    """The access rules of the bus do not allow this on this topic; nothing was done. The text does not tell the rules.

    ``t2bus access explain`` says which rule decides, to whoever has the file.
    """


class TopicClaimed(BusError):
    """Another connection, or this one, serves the topic already; that service is untouched.

    If its holder gives no sign of life within a second, as after a lost connection, it has lost the topic then: who
    claims it again succeeds.
    """


class ServiceRevoked(TopicClaimed):
    """A service that was open has ended: somebody else serves its topic. Its channel receives nothing more.

    Another client claimed the topic while this one gave no sign of life for a second, or had lost the bus.
    """


class ServiceNotFound(BusError):
    """Nobody serves the topic of the request, so nothing was done. The bus answers so at once."""


class ServiceBusy(BusError):
    """The service has as many pending requests as it takes; this one was not handed to it. The bus answers so at once.

    The bounds are ``Limits.service_requests`` and ``Limits.service_bytes`` of the service's client, 1,024 and 8 MiB by
    default.
    """


class ServiceGone(BusError):
    """The service left with the request pending: it may or may not have been carried out.

    Only the caller knows whether to ask again. Reading a sensor may be repeated; moving an arm by a step may not.
    """


class RemoteError(BusError):
    """The handler of the request failed; the text is what it said, its first 4,096 characters at most.

    A handler raises it to send just its own text, ``raise t2bus.RemoteError("no such oven")``; of any other exception
    the requester gets the type too, ``KeyError: 'oven'``.
    """


class RequestTimeout(BusError):
    """The request was pending for ``Limits.request_lifetime`` of the bus, 300 s by default.

    It may or may not have been carried out. A caller's own deadline, ``trio.fail_after``, raises Trio's own
    ``trio.TooSlowError`` instead.
    """


class Lagged(BusError):
    """A subscription lost messages where this error stands in its stream; it goes on.

    ::

        try:
            message = await messages.receive()
        except t2bus.Lagged as lag:
            print(f"missed {lag.dropped or 'some'} messages")

    Attributes:
      dropped: how many messages were lost here, at least 1. None where nobody knows, as the connection was lost and
        made again: it may be none.

    """

    def __init__(self, dropped: int | None) -> None:
        super().__init__(dropped)
        self.dropped = dropped

    def __str__(self) -> str:
        if self.dropped is None:
            return "the connection was lost, and with it an unknown number of messages here; receive again to go on"
        return f"this subscription fell behind and {self.dropped} messages were dropped here; receive again to go on"


class Unconfirmed(BusError):
    """A publisher had publications on their way when the connection was lost; it goes on over the next one.

    Each of them may have been published or not: the bus has acknowledged none of them. Only the caller knows whether to
    send them again. It is raised once, by the next call of that publisher, which has sent nothing.

    Attributes:
      count: how many publications these are, at least 1.

    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count

    def __str__(self) -> str:
        return (
            f"the connection was lost with {self.count} publications on their way: they may have been published or "
            "not; send again to go on"
        )


class ProtocolViolation(BusError):
    """The peer sent what the wire forbids; its connection was closed, and no other is affected.

    Programs meet it in logs alone, or as the cause of a ``ConnectFailed``.
    """


class BindFailed(BusError, OSError):
    """A listener could not be opened at its address: it is in use, or may not be used. No bus is open then."""


class ConnectFailed(BusError):
    """No bus could be reached at the address, or it did not let this client in; the text says which, and why.

    Attributes:
      retryable: whether trying again later may help as things are: nothing listens there yet, or it gave no answer.
        Otherwise the bus did not let this client in, or what is there is no bus.

    """

    def __init__(self, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.retryable = retryable


class TlsFailed(ConnectFailed):
    """A certificate or key cannot be used, or the TLS handshake failed; the text names the likely cause.

    Where the other end refused this one, the text says so: ``the peer refused this end: ...``.
    """
