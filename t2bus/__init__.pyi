# What type checkers see of __init__.py, which imports each name when it is first used.

from . import status as status
from . import testing as testing
from . import tls as tls
from . import topic as topic
from .broker.statistics import BusStatistics as BusStatistics
from .client.client import Client as Client
from .client.connect import open_client as open_client
from .client.dialling import Reconnect as Reconnect
from .client.publisher import Publisher as Publisher
from .client.received import Received as Received
from .client.request import Request as Request
from .client.service import Requests as Requests
from .client.subscription import Subscription as Subscription
from .disconnected import Disconnected as Disconnected
from .errors import BindFailed as BindFailed
from .errors import BusError as BusError
from .errors import ConnectFailed as ConnectFailed
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
from .errors import ServiceRevoked as ServiceRevoked
from .errors import TlsFailed as TlsFailed
from .errors import TopicClaimed as TopicClaimed
from .errors import TopicTooBroad as TopicTooBroad
from .errors import Unconfirmed as Unconfirmed
from .federation.federation import Federation as Federation
from .limits import Limits as Limits
from .program.opening import client_of as client_of
from .program.options import add_arguments as add_arguments
from .protocol import PublishProtocol as PublishProtocol
from .protocol import RequestProtocol as RequestProtocol
from .protocol import Struct as Struct
from .protocol import register_scalar as register_scalar
from .server.bus import Bus as Bus
from .server.open import open_bus as open_bus
from .server.open import serve as serve
from .session.counters import ClientStatistics as ClientStatistics
from .session.receipt import Receipt as Receipt
from .transport.default_place import default_address as default_address

__version__: str

__all__ = [
    "BindFailed",
    "Bus",
    "BusError",
    "BusStatistics",
    "Client",
    "ClientStatistics",
    "ConnectFailed",
    "Disconnected",
    "Federation",
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
    "Receipt",
    "Received",
    "Reconnect",
    "RemoteError",
    "Request",
    "RequestProtocol",
    "RequestTimeout",
    "Requests",
    "ServiceBusy",
    "ServiceGone",
    "ServiceNotFound",
    "ServiceRevoked",
    "Struct",
    "Subscription",
    "TlsFailed",
    "TopicClaimed",
    "TopicTooBroad",
    "Unconfirmed",
    "__version__",
    "add_arguments",
    "client_of",
    "default_address",
    "open_bus",
    "open_client",
    "register_scalar",
    "serve",
    "status",
    "testing",
    "tls",
    "topic",
]
