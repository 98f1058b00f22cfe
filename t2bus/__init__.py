"""t2bus: a message bus for Trio programs. The names here are the public ones; ``docs/`` explains them.

They are imported when they are first used, so that ``import t2bus.topic`` and ``t2bus --help`` pay for nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import testing as testing
    from . import tls as tls
    from . import topic as topic
    from .broker.statistics import BusStatistics as BusStatistics
    from .client.client import Client as Client
    from .client.connect import open_client as open_client
    from .client.publisher import Publisher as Publisher
    from .client.received import Received as Received
    from .client.service import Request as Request
    from .client.service import Requests as Requests
    from .client.subscription import Subscription as Subscription
    from .errors import BindFailed as BindFailed
    from .errors import BusError as BusError
    from .errors import ConnectFailed as ConnectFailed
    from .errors import Disconnected as Disconnected
    from .errors import InvalidAccess as InvalidAccess
    from .errors import InvalidAddress as InvalidAddress
    from .errors import InvalidTopic as InvalidTopic
    from .errors import Lagged as Lagged
    from .errors import LimitExceeded as LimitExceeded
    from .errors import MalformedMessage as MalformedMessage
    from .errors import MessageTooLarge as MessageTooLarge
    from .errors import PermissionDenied as PermissionDenied
    from .errors import ProtocolViolation as ProtocolViolation
    from .errors import RemoteError as RemoteError
    from .errors import RequestTimeout as RequestTimeout
    from .errors import ServiceBusy as ServiceBusy
    from .errors import ServiceGone as ServiceGone
    from .errors import ServiceNotFound as ServiceNotFound
    from .errors import TlsFailed as TlsFailed
    from .errors import TopicClaimed as TopicClaimed
    from .errors import TopicTooBroad as TopicTooBroad
    from .limits import Limits as Limits
    from .protocol import PublishProtocol as PublishProtocol
    from .protocol import RequestProtocol as RequestProtocol
    from .protocol import Struct as Struct
    from .server.bus import Bus as Bus
    from .server.bus import open_bus as open_bus
    from .server.bus import serve as serve
    from .session.counters import ClientStatistics as ClientStatistics
    from .transport.address import default_address as default_address

__all__ = [
    "BindFailed",
    "Bus",
    "BusError",
    "BusStatistics",
    "Client",
    "ClientStatistics",
    "ConnectFailed",
    "Disconnected",
    "InvalidAccess",
    "InvalidAddress",
    "InvalidTopic",
    "Lagged",
    "LimitExceeded",
    "Limits",
    "MalformedMessage",
    "MessageTooLarge",
    "PermissionDenied",
    "ProtocolViolation",
    "PublishProtocol",
    "Publisher",
    "Received",
    "RemoteError",
    "Request",
    "RequestProtocol",
    "RequestTimeout",
    "Requests",
    "ServiceBusy",
    "ServiceGone",
    "ServiceNotFound",
    "Struct",
    "Subscription",
    "TlsFailed",
    "TopicClaimed",
    "TopicTooBroad",
    "__version__",
    "default_address",
    "open_bus",
    "open_client",
    "serve",
    "testing",
    "tls",
    "topic",
]

__version__ = "0.1.0"

_ERRORS = (
    "BindFailed BusError ConnectFailed Disconnected InvalidAccess InvalidAddress InvalidTopic Lagged LimitExceeded "
    "MalformedMessage MessageTooLarge PermissionDenied ProtocolViolation RemoteError RequestTimeout ServiceBusy "
    "ServiceGone ServiceNotFound TlsFailed TopicClaimed TopicTooBroad"
)

_HOMES: dict[str, str] = {
    "BusStatistics": "broker.statistics",
    "Bus": "server.bus",
    "Client": "client.client",
    "ClientStatistics": "session.counters",
    "Limits": "limits",
    "Publisher": "client.publisher",
    "PublishProtocol": "protocol",
    "Received": "client.received",
    "Request": "client.service",
    "RequestProtocol": "protocol",
    "Requests": "client.service",
    "Struct": "protocol",
    "Subscription": "client.subscription",
    "default_address": "transport.address",
    "open_bus": "server.bus",
    "open_client": "client.connect",
    "serve": "server.bus",
    **dict.fromkeys(_ERRORS.split(), "errors"),
}
"""Where each public name lives."""


def __getattr__(name: str) -> object:
    """Import a public name on its first use."""
    if name in {"testing", "tls", "topic"}:
        return import_module(f".{name}", __name__)
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
