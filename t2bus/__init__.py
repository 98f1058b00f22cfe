"""A message bus for Trio programs: publish/subscribe and request/response between tasks, processes and hosts.

::

    @attrs.frozen
    class Hello(t2bus.PublishProtocol, prefix="hello"):
        text: str

    async with t2bus.open_bus() as bus, bus.open_client() as client:
        async with client.subscribe(Hello, "*") as messages:
            await client.publish("alice", Hello("Hello Alice"))
            topic, hello = await messages.receive()  # hello/alice

===================  ============================================================================================
for                  there is
===================  ============================================================================================
a bus                ``open_bus`` or ``serve`` gives a ``Bus``; ``BusStatistics``, ``Federation``, ``Limits``
a client             ``open_client`` gives a ``Client``, which has all calls; ``ClientStatistics``, ``Reconnect``
publishing           ``Client.publish`` returns a ``Receipt``, ``Client.open_publisher`` a ``Publisher``
subscribing          ``Client.subscribe`` gives a ``Subscription`` of ``Received``
asking               ``Client.request`` returns the response
serving              ``Client.serve`` gives ``Requests``, each a ``Request``
classes of messages  ``PublishProtocol``, ``RequestProtocol``, ``Struct``, ``register_scalar``
command lines        ``add_arguments``, ``client_of``, ``default_address``
errors               ``BusError`` is the root of all; the tree is in ``t2bus.errors``
===================  ============================================================================================

Modules: ``t2bus.topic`` matches topics, ``t2bus.tls`` makes contexts of mutual TLS and ``t2bus.certs`` certificates,
``t2bus.status`` is what a bus says of itself, ``t2bus.testing`` is for tests of programs.
"""

# Names are imported when they are first used, so that ``import t2bus.topic`` and ``t2bus --help`` pay for nothing else.
# Type checkers read ``__init__.pyi`` instead.

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
    "federation.federation": "Federation",
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
