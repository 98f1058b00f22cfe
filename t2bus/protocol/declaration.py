"""Protocols: the kinds of messages that a program declares, each an attrs class with a prefix.

::

    @frozen
    class Hello(PublishProtocol, prefix="hello"):
        text: str

    @frozen
    class HelloRequest(RequestProtocol[HelloResponse], prefix="hello"):
        name: str

    @frozen
    class UserId(Struct, transparent=True):
        number: int

The theory. A protocol is half of an address and all of a payload: on the bus its messages have topics that begin with
its prefix, and bytes that :mod:`.payload` reads as its class. Publications and requests do not interact, so that a
protocol of either role may use the same prefix.

A message is a map of its fields. For peers that expect another **shape**, Rust's tuple structs and newtypes among them,
the class line asks for it: ``as_array=True`` for an array of the values in their order, and ``transparent=True`` for
the only value without anything around it. :class:`Struct` gives these options to what is no protocol: responses, and
the classes of fields.

The law of this module: a flawed protocol is found out where it is written, or else on its first use, before anything is
sent. Its definition checks prefix, role and shape; its first use checks decorator and annotations, which may look
ahead.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from types import SimpleNamespace
from typing import Any, ClassVar, ForwardRef, Generic, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from ..errors import InvalidTopic
from ..topic import DEPTH, LENGTH, is_concrete, validate
from .adapters import name_of
from .classes import Shape, check_shape, shape_of
from .payload import prepare

__all__ = ["PublishProtocol", "RequestProtocol", "Struct", "full_topic", "prefix_of", "response_type"]

R = TypeVar("R")


class Struct:
    """The base of attrs classes within messages whose shape on the wire is not a map.

    Ask for the shape in the class line: ``as_array=True`` or ``transparent=True``. Subclasses inherit it.

    Raises, where the class is defined:
      TypeError: it asks for both; or it is transparent, and ``__init__`` takes another number of fields than one.

    """

    __slots__ = ()
    _t2bus_shape: ClassVar[Shape] = Shape.MAP

    def __init_subclass__(cls, *, transparent: bool = False, as_array: bool = False, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if transparent and as_array:
            raise TypeError(f"{cls.__name__} cannot be transparent and an array: choose one of them")
        if transparent or as_array:
            cls._t2bus_shape = Shape.TRANSPARENT if transparent else Shape.ARRAY

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        """Check the fields, which are known once attrs has been over the class."""
        others = getattr(super(), "__attrs_init_subclass__", None)
        if others is not None:
            others()
        check_shape(cls)


class PublishProtocol(Struct):
    """The base of messages to publish.

    Name the prefix in the class line and decorate the class with ``@attrs.frozen`` or ``@attrs.define``. A subclass of
    a protocol names a prefix of its own. The class line may ask for a shape too, as :class:`Struct` has it.

    Raises, where the class is defined:
      TypeError: it names no prefix, or is a request as well; or it has not the fields that its shape asks for.
      InvalidTopic: its prefix is not a topic, or has wildcards.

    """

    __slots__ = ()
    _t2bus_prefix: ClassVar[str]

    def __init_subclass__(
        cls, *, prefix: str | None = None, transparent: bool = False, as_array: bool = False, **kwargs: object
    ) -> None:
        super().__init_subclass__(transparent=transparent, as_array=as_array, **kwargs)
        _declare(cls, prefix, "t2bus.PublishProtocol")


class RequestProtocol(Struct, Generic[R]):
    """The base of requests whose response is of type ``R``: an attrs class, or whatever else a field may be.

    As :class:`PublishProtocol`; it is a TypeError too if no response type is named. ``R`` may be quoted and defined
    later, in the same module.
    """

    __slots__ = ()
    _t2bus_prefix: ClassVar[str]

    def __init_subclass__(
        cls, *, prefix: str | None = None, transparent: bool = False, as_array: bool = False, **kwargs: object
    ) -> None:
        super().__init_subclass__(transparent=transparent, as_array=as_array, **kwargs)
        _, response = _written_response(cls)
        if response is None:
            line = _class_line(cls, f"t2bus.RequestProtocol[{cls.__name__}Response]", prefix)
            raise TypeError(f"{cls.__name__} names no response type: write `{line}`, or [None] for an empty response")
        _declare(cls, prefix, f"t2bus.RequestProtocol[{_spelling(response)}]")


_Protocol: TypeAlias = type[PublishProtocol] | type[RequestProtocol[Any]]


def _declare(cls: _Protocol, prefix: str | None, base: str) -> None:
    """Check and keep the prefix of a class that is being defined; ``base`` is its role as the class line has it."""
    if issubclass(cls, PublishProtocol) and issubclass(cls, RequestProtocol):
        raise TypeError(f"{cls.__name__} cannot be published and requested: write two classes; they may share a prefix")
    if prefix is None:
        # With slots, attrs makes the class anew without the keywords of its line, but with all that the first one held.
        prefix = vars(cls).get("_t2bus_prefix")
    if not isinstance(prefix, str):
        raise TypeError(f"{cls.__name__} names no prefix: write `{_class_line(cls, base, None)}`")
    try:
        flaw = None if is_concrete(validate(prefix)) else f"{prefix!r} has a wildcard"
    except InvalidTopic as error:
        flaw = str(error)
    if flaw is not None:
        line = _class_line(cls, base, prefix)
        raise InvalidTopic(f"the prefix of {cls.__name__} is not valid: {flaw}; write `{line}`")
    cls._t2bus_prefix = prefix


def _class_line(cls: type, base: str, prefix: str | None) -> str:
    """Write the first line of a class as it should be, with the nearest valid prefix to the one that is there."""

    def mended(text: str) -> str:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text[:LENGTH]).lower()
        return "/".join(re.findall(r"[a-z0-9][a-z0-9_]*", words)[:DEPTH])

    shape = shape_of(cls).value
    options = f", {shape}=True" if shape else ""
    return f'class {cls.__name__}({base}, prefix="{mended(prefix or "") or mended(cls.__name__)}"{options}):'


def _written_response(cls: type) -> tuple[type, Any]:
    """Find the response type as it was written, and the class that it was written in; None if there is none."""
    for owner in cls.__mro__:
        for base in vars(owner).get("__orig_bases__", ()):
            if get_origin(base) is RequestProtocol and not isinstance(get_args(base)[0], TypeVar):
                return owner, get_args(base)[0]
    return cls, None


def _spelling(response: Any) -> str:
    """Write a response type as its user did."""
    return repr(response.__forward_arg__) if isinstance(response, ForwardRef) else name_of(response)


def prefix_of(protocol: type) -> str:
    """Return the prefix that a protocol was defined with. Raises TypeError for anything else than a protocol."""
    prefix: str | None = getattr(protocol, "_t2bus_prefix", None)
    if prefix is None or not issubclass(type(protocol), type):
        raise TypeError(
            f"expected a subclass of t2bus.PublishProtocol or t2bus.RequestProtocol, got {_given(protocol)}"
        )
    return prefix


def _given(protocol: object) -> str:
    """Name what was given for a protocol. Instances are likely, and may be large."""
    return name_of(protocol) if isinstance(protocol, type) else f"an instance of {type(protocol).__name__}"


def full_topic(protocol: type, topic: str) -> str:
    """Return the topic that a message has on the bus: ``prefix/topic``, or the prefix alone for ``""``.

    The topic is not validated, but the protocol is: whatever makes its messages impossible to send or to read shows
    here, before anything is sent.

    Raises:
      TypeError: the protocol is none, is not decorated, or has a field that cannot travel; or the topic is no str.

    """
    prefix = prefix_of(protocol)
    prepare(protocol)
    if not issubclass(type(topic), str):
        raise TypeError(f"the topic is a str, not {type(topic).__name__}")
    return f"{prefix}/{topic}" if topic else prefix


def response_type(protocol: type[RequestProtocol[R]]) -> type[R]:
    """Return the type of the responses to a request, which may be any that :func:`.decode` takes.

    Raises:
      TypeError: the protocol is no request, or its response type is not found in its module or cannot travel.

    """
    prefix_of(protocol)
    if RequestProtocol not in protocol.__mro__:
        raise TypeError(f"expected a subclass of t2bus.RequestProtocol, got {_given(protocol)}")
    response: type[R] = _response(protocol)  # type: ignore[arg-type] # mypy looks for the hash of an instance
    return response


@cache
def _response(protocol: type[RequestProtocol[Any]]) -> Any:
    """Resolve and check a response type, once."""
    owner, written = _written_response(protocol)
    holder = SimpleNamespace(__annotations__={"response": written})
    try:
        hints = get_type_hints(holder, vars(sys.modules[owner.__module__]), {owner.__name__: owner})
    except Exception as error:  # whatever the evaluation of an annotation raises
        where = f"{error}; quoted names are looked for in {owner.__module__}, outside functions"
        raise TypeError(f"the response type of {protocol.__name__} is not found: {where}") from error
    prepare(hints["response"])
    return hints["response"]
