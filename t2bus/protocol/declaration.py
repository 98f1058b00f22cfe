"""Declarations: how a program says which messages it has, each an attrs class with a prefix.

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

The theory. A protocol is a kind of message. Its prefix begins the topics of its messages: ``Hello("hi")`` published to
``alice`` is on the bus as ``hello/alice``. Its class says what their payloads hold. Publications and requests do not
interact, so a publication and a request may have the same prefix.

A message travels as a map of its fields. Peers may expect another **shape**, as Rust's tuple structs and newtypes have,
and the class line asks for it: ``as_array=True`` is an array of the values in the order of the fields, and
``transparent=True`` the only value, with nothing around it. :class:`Struct` gives these options to responses and to the
classes of fields, which are no protocols.

A protocol may be generic. ``class Event(PublishProtocol, Generic[T], prefix="event")`` is published as it is, and is
subscribed to as ``Event[int]``. An instance does not say what ``T`` is, so what is published is read as plain values
where only ``T`` says more; an ``open_publisher(Event[Point], ...)`` knows.

The law of this module: a flaw in a protocol is found before anything is sent. Prefix, role and shape are checked where
the class is defined. Its decorator and its annotations are checked on first use, because an annotation may name what is
defined later.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_origin

from ..errors import InvalidTopic
from ..topic import DEPTH, LENGTH, is_concrete, validate
from .adapters import name_of
from .annotations import Reference, default_of, has_default, look_up, names_around, scopes_of, variables_in
from .classes import Shape, check_annotations, check_shape, shape_of
from .compiler import adapter_of, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
"""Covariant: a request of an ``int`` is one of an ``object`` too, so its response may stand wherever one is taken."""


class Struct:
    """The base of attrs classes that are parts of messages, or responses, and do not travel as a map of their fields.

    ::

        @attrs.frozen
        class Point(t2bus.Struct, as_array=True):  # [1.0, 2.0]
            x: float
            y: float

        @attrs.frozen
        class UserId(t2bus.Struct, transparent=True):  # 4711
            number: int

    The class line asks for the shape, which subclasses inherit: ``as_array=True`` for an array of the values in the
    order of the fields, ``transparent=True`` for the only value with nothing around it. A class that travels as a map
    needs no base.

    Raises:
      TypeError: where the class is defined. It asks for both shapes; or it is transparent, and ``__init__`` does not
        take exactly one field; or a field has no annotation, or one that Python took for its default.

    """

    __slots__ = ()
    _t2bus_shape: ClassVar[Shape] = Shape.MAP
    _t2bus_names: ClassVar[Mapping[str, Any]] = {}
    """Those of the function around the class."""

    def __init_subclass__(cls, *, transparent: bool = False, as_array: bool = False, **kwargs: object) -> None:
        """Take the shape from the class line."""
        super().__init_subclass__(**kwargs)
        if transparent and as_array:
            raise TypeError(f"{cls.__name__} cannot be transparent and an array: choose one of them")
        cls._t2bus_names = names_around(cls)
        if transparent or as_array:
            cls._t2bus_shape = Shape.TRANSPARENT if transparent else Shape.ARRAY

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        """Check the fields, which are known once attrs has decorated the class."""
        others = getattr(super(), "__attrs_init_subclass__", None)
        if others is not None:
            others()
        check_shape(cls)
        check_annotations(cls)


class PublishProtocol(Struct):
    """The base of messages to publish.

    ::

        @attrs.frozen
        class Setpoint(t2bus.PublishProtocol, prefix="setpoint"):
            celsius: float
            ramp: list[float] = []

    The class line names the prefix, with which the topics of the messages begin on the bus, and ``@attrs.frozen`` or
    ``@attrs.define`` makes the class. A subclass names a prefix of its own. The class line may ask for a shape, as that
    of a :class:`t2bus.Struct` does. A class may be generic.

    Annotations are read when the class is used for the first time, so what they name has to be there then. A class that
    cannot travel raises ``TypeError`` in that call; nothing is sent.

    Raises:
      TypeError: where the class is defined. It names no prefix, is a request too, or has not the fields that its shape
        needs.
      InvalidTopic: there too. The prefix is not a topic, or has wildcards.

    """

    __slots__ = ()
    _t2bus_prefix: ClassVar[str]

    def __init_subclass__(
        cls, *, prefix: str | None = None, transparent: bool = False, as_array: bool = False, **kwargs: object
    ) -> None:
        """Take from the class line the prefix, and the shape."""
        super().__init_subclass__(transparent=transparent, as_array=as_array, **kwargs)
        _declare(cls, prefix, "t2bus.PublishProtocol")


class RequestProtocol(Struct, Generic[R_co]):
    """The base of requests; the class line names the type of the response too.

    ::

        @attrs.frozen
        class Measure(t2bus.RequestProtocol[Reading], prefix="measure"):
            samples: int = 1

    The response is an attrs class, or any type that a field may have; ``None`` for an empty one. It may be quoted and
    defined later, in the same module: ``RequestProtocol["Reading"]``. To name none is a ``TypeError``. Otherwise what
    :class:`t2bus.PublishProtocol` says holds here.
    """

    __slots__ = ()
    _t2bus_prefix: ClassVar[str]

    def __init_subclass__(
        cls, *, prefix: str | None = None, transparent: bool = False, as_array: bool = False, **kwargs: object
    ) -> None:
        """Take from the class line the prefix, and the shape."""
        super().__init_subclass__(transparent=transparent, as_array=as_array, **kwargs)
        response = _response(cls)
        if not variables_in(response) <= set(getattr(cls, "__parameters__", ())):
            line = _class_line(cls, f"t2bus.RequestProtocol[{cls.__name__}Response]", prefix)
            raise TypeError(f"{cls.__name__} names no response type: write `{line}`, or [None] for an empty response")
        spelt = repr(response.text) if isinstance(response, Reference) else name_of(response)
        _declare(cls, prefix, f"t2bus.RequestProtocol[{spelt}]")


def _declare(cls: type[PublishProtocol | RequestProtocol[Any]], prefix: str | None, base: str) -> None:
    """Check and keep the prefix of a class that is being defined. ``base`` is the base class as its user writes it."""
    if issubclass(cls, PublishProtocol) and issubclass(cls, RequestProtocol):
        raise TypeError(f"{cls.__name__} cannot be published and requested: write two classes; they may share a prefix")
    if prefix is None:
        # For slots, attrs makes the class a second time: without the keywords of its line, but with its attributes.
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
    """Write the class line as it should be, with a valid prefix that is close to the one given, or to the name."""

    def mended(text: str) -> str:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text[:LENGTH]).lower()
        return "/".join(re.findall(r"[a-z0-9][a-z0-9_]*", words)[:DEPTH])

    shape = shape_of(cls).value
    options = f", {shape}=True" if shape else ""
    return f'class {cls.__name__}({base}, prefix="{mended(prefix or "") or mended(cls.__name__)}"{options}):'


def _response(protocol: Any) -> Any:
    """Return the response type of a request; a type variable stands for itself where nothing says more."""

    def fill(variable: TypeVar) -> Any:
        return default_of(variable) if has_default(variable) else variable

    scope = scopes_of(protocol, {}, fill)[RequestProtocol]
    return dict(scope.variables)[R_co]


def prefix_of(protocol: type) -> str:
    """Return the prefix that a protocol was defined with. Raises TypeError for anything that is no protocol."""
    prefix: str | None = getattr(protocol, "_t2bus_prefix", None)
    if prefix is None or not (issubclass(type(protocol), type) or isinstance(get_origin(protocol), type)):
        raise TypeError(
            f"expected a subclass of t2bus.PublishProtocol or t2bus.RequestProtocol, got {_given(protocol)}"
        )
    return prefix


def _given(protocol: object) -> str:
    """Name what was given in place of a protocol. It is often an instance, which may be large, so only its class."""
    is_type = isinstance(get_origin(protocol) or protocol, type)
    return name_of(protocol) if is_type else f"an instance of {type(protocol).__name__}"


def full_topic(protocol: type, topic: str) -> str:
    """Return the topic that a message has on the bus: ``prefix/topic``, or the prefix alone for ``""``.

    This checks the whole protocol, so that a class that cannot be sent shows before anything is sent. Of the topic it
    checks the type only.

    Raises:
      TypeError: it is no protocol, is not decorated, or has a field that cannot travel; or the topic is no str.

    """
    prefix = prefix_of(protocol)
    adapter_of(protocol)
    if not issubclass(type(topic), str):
        raise TypeError(f"the topic is a str, not {type(topic).__name__}")
    return f"{prefix}/{topic}" if topic else prefix


def response_type(protocol: type[RequestProtocol[R]]) -> type[R]:
    """Return the type of the responses to a request, for :func:`.encode_as` and :func:`.decode`.

    Raises:
      TypeError: it is no request; or its response type is not found in its module, or cannot travel.

    """
    prefix_of(protocol)
    response: type[R] = _prepared_response(protocol)  # type: ignore[arg-type] # mypy looks for the hash of an instance
    return response


@cache
def _prepared_response(protocol: Any) -> Any:
    """Find and check a response type. What fails is tried again on the next call: the name may be defined by then."""
    if RequestProtocol not in (get_origin(protocol) or protocol).__mro__:
        raise TypeError(f"expected a subclass of t2bus.RequestProtocol, got {_given(protocol)}")
    response = _response(protocol)
    if variables_in(response):
        name = name_of(protocol)
        raise TypeError(
            f"the response type of {name} is {name_of(response)}, and its instances do not tell which that is: request "
            f'with a class of its own, such as `class My{name}({name}[int], prefix="my"):`'
        )
    try:
        response = look_up(response)
    except TypeError as error:
        raise TypeError(f"the response type of {name_of(protocol)} is not found: {error}") from error
    try:
        prepare(response, protocol)
    except TypeError as error:
        raise TypeError(f"the response type of {name_of(protocol)}: {error}") from error
    return response
