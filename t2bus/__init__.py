"""t2bus: a message bus for Trio programs. The names here are the public ones; ``docs/`` explains them.

They are imported when they are first used, so that ``import t2bus.topic`` and ``t2bus --help`` pay for nothing else.
Type checkers read ``__init__.pyi`` instead.
"""

from __future__ import annotations

from importlib import import_module

_NAMES = {
    "broker.statistics": "BusStatistics",
    "client.client": "Client",
    "client.connect": "open_client",
    "client.dialling": "Reconnect",
    "client.publisher": "Publisher",
    "client.received": "Received",
    "client.request": "Request",
    "client.service": "Requests",
    "client.subscription": "Subscription",
    "disconnected": "Disconnected",
    "federation.options": "Federation",
    "limits": "Limits",
    "program.opening": "client_of",
    "program.options": "add_arguments",
    "protocol": "PublishProtocol RequestProtocol Struct register_scalar",
    "server.bus": "Bus",
    "server.open": "open_bus serve",
    "session.counters": "ClientStatistics",
    "session.receipt": "Receipt",
    "transport.default_place": "default_address",
    "errors": (
        "BindFailed BusError ConnectFailed InvalidAccess InvalidAddress InvalidTopic Lagged "
        "LimitExceeded MalformedMessage MessageTooLarge PermissionDenied ProtocolViolation RemoteError "
        "RequestTimeout ServiceBusy ServiceGone ServiceNotFound ServiceRevoked TlsFailed TopicClaimed TopicTooBroad "
        "Unconfirmed"
    ),
}
"""The public names, by the module that each lives in."""

_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}
_MODULES = ("status", "testing", "tls", "topic")

__version__ = "0.1.0"
__all__ = sorted([*_HOMES, *_MODULES, "__version__"])  # noqa: PLE0605 -- made of the table, so that none is missing


def __getattr__(name: str) -> object:
    """Import a public name on its first use."""
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
