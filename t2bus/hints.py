"""What to write instead, where the arguments of a call are not what it takes.

::

    publish("oven", Setpoint)             Setpoint is a class: publish an instance, Setpoint(...)
    subscribe("oven", Setpoint)           the class comes first: subscribe(Setpoint, topic)
    open_client(place, reconnect=True)    reconnect cannot be of type bool: write reconnect=t2bus.Reconnect()

The law of this module: it is asked where something is wrong already, or once for what is opened, never for a message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_origin

from .protocol import PublishProtocol, RequestProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")

_ONE_THAT_FITS: Final = {
    "publish": "request",
    "open_publisher": "request",
    "subscribe": "serve",
    "subscribe_into": "serve",
    "subscribe_with": "serve_with",
    "request": "publish",
    "serve": "subscribe",
    "serve_with": "subscribe_with",
}
"""The call for protocols of the other role."""

_ABSENT: Final = object()


def class_of(protocol: Any, role: type) -> type | None:
    """Return the class of a protocol if it is of this role; of ``Event[int]`` it is ``Event``."""
    cls = protocol if isinstance(protocol, type) else get_origin(protocol)
    return cls if isinstance(cls, type) and issubclass(cls, role) else None


def why_no_protocol(call: str, protocol: Any, role: type, topic: Any, body: Any = _ABSENT) -> str:
    """Say what is wrong with a typed call, whose protocol is not of the role that it takes.

    Args:
      call: its name.
      protocol: what it was given, or the class of its body.
      role: what it takes.
      topic: the argument in the place of the topic.
      body: its message, for calls that take one.

    """
    takes_body = body is not _ABSENT
    named = protocol if not takes_body else body
    name = getattr(class_of(named, object), "__name__", type(named).__name__)
    if takes_body and class_of(body, role):
        return f"{name} is a class: {call} an instance, {name}(...)"
    if isinstance(topic, role):
        return f"the topic comes first: {call}(topic, {type(topic).__name__}(...))"
    if not takes_body and isinstance(protocol, role):
        return f"name the class {name}, not an instance: {call}({name}, topic)"
    if not takes_body and (swapped := class_of(topic, role)):
        return f"the class comes first: {call}({swapped.__name__}, topic)"
    if class_of(protocol, RequestProtocol):
        return f"{name} is not a t2bus.{role.__name__} but a request: call {_ONE_THAT_FITS[call]}()"
    if class_of(protocol, PublishProtocol):
        return f"{name} is not a t2bus.{role.__name__}, as it is published: call {_ONE_THAT_FITS[call]}()"
    if isinstance(body, bytes):
        return f"bytes have no class and no prefix: call {call}_bytes(), with the full topic"
    return f"{name} is not a t2bus.{role.__name__}: derive its class from it, with a prefix"


def require(option: str, value: Value | None, kind: type | tuple[type, ...], example: str) -> Value | None:
    """Return an option of a call if it is None or of a type.

    Raises:
      TypeError: it is not; the text has an example.

    """
    if value is None or isinstance(value, kind):
        return value
    raise TypeError(f"{option} cannot be of type {type(value).__name__}: write {option}={example}")


def require_callable(function: Value, what: str) -> Value:
    """Return a function of the program.

    Raises:
      TypeError: it is none.

    """
    if callable(function):
        return function
    if isinstance(function, Coroutine):
        function.close()
        raise TypeError(f"the {what} is a coroutine: pass the function itself, without calling it")
    raise TypeError(f"the {what} has to be a function, not of type {type(function).__name__}")


def require_awaitable(function: Callable[..., Any], result: Any) -> Awaitable[Any]:
    """Return what a handler has returned, to be awaited.

    Raises:
      TypeError: it is nothing to be awaited: it is a function without ``async``.

    """
    if isinstance(result, Awaitable):
        return result
    name = getattr(function, "__name__", type(function).__name__)
    kind = type(result).__name__
    raise TypeError(f"the handler {name} returned {kind} and not a coroutine: write `async def {name}`")


def require_send_channel(channel: Value) -> Value:
    """Return a channel into which a subscription goes.

    Raises:
      TypeError: nothing can be sent into it.

    """
    if callable(getattr(channel, "send", None)):
        return channel
    given = type(channel).__name__
    raise TypeError(
        f"{given} has no send: pass the first of `send_channel, receive_channel = trio.open_memory_channel(1)`"
    )
