"""The protocols of a program: what their classes say, as far as it is seen on the bus.

::

    class Hello(PublishProtocol, prefix="hello")       publish hello: Hello
    class Measure(RequestProtocol[Reading], ...)       request measure: Measure -> Reading

The law of this module: what a class says is asked of :mod:`t2bus.protocol`, so a flaw in a class is the same TypeError
that its first use would raise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_origin

import attrs

from ..protocol import PublishProtocol, RequestProtocol, full_topic, prefix_of, response_type
from ..protocol.adapters import name_of
from ..protocol.compiler import adapter_of
from ..protocol.layouts import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType


PUBLISH: Final = "publish"
REQUEST: Final = "request"


@attrs.frozen(eq=False)
class ProtocolLayout:
    """One protocol, as it is seen on the bus."""

    role: str
    """``publish`` or ``request``."""
    prefix: str
    name: str
    """That of the class."""
    message: Layout
    response: Layout | None = None
    """Of a request; None for what is published."""
    type_: Any = None


def layout_of(protocol: Any) -> ProtocolLayout:
    """Return what a protocol looks like on the bus.

    Raises:
      TypeError: it is no protocol, or one that cannot travel.

    """
    prefix = prefix_of(protocol)
    full_topic(protocol, "")
    message, name = adapter_of(protocol).layout, name_of(protocol)
    if issubclass(get_origin(protocol) or protocol, RequestProtocol):
        return ProtocolLayout(REQUEST, prefix, name, message, adapter_of(response_type(protocol)).layout, protocol)
    return ProtocolLayout(PUBLISH, prefix, name, message, None, protocol)


def layouts_of(protocols: Iterable[Any]) -> list[ProtocolLayout]:
    """Return what protocols look like, in the order of their prefixes. Raises as :func:`layout_of`."""
    return sorted(map(layout_of, protocols), key=lambda each: (each.prefix, each.role, each.name))


def protocols_in(module: ModuleType) -> list[Any]:
    """Return the protocols that a module has, its own and those that it imports, each once.

    A generic request whose response is not known before a class of its own says it is left out, for nobody can send it.
    """
    found: dict[Any, None] = {}
    for value in vars(module).values():
        is_protocol = isinstance(value, type) and issubclass(value, (PublishProtocol, RequestProtocol))
        if is_protocol and value not in (PublishProtocol, RequestProtocol) and not _is_open(value):
            found[value] = None
    return list(found)


def _is_open(protocol: Any) -> bool:
    """Whether it is a generic request without a response type."""
    if not issubclass(protocol, RequestProtocol) or not getattr(protocol, "__parameters__", ()):
        return False
    try:
        response_type(protocol)
    except TypeError:
        return True
    return False
