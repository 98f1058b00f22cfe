"""What a subscription gives: a message, with the topic that it was published to.

::

    topic, hello = await messages.receive()

The law of this module: values only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ..documented import Documented
from ..wire.values import NO_HEADERS

if TYPE_CHECKING:
    from collections.abc import Mapping

Body_co = TypeVar("Body_co", covariant=True)


class Received(tuple[str, Body_co], metaclass=Documented):  # noqa: SLOT001 -- a tuple of variable size cannot have slots
    """A message that arrived; ``topic, body = received`` takes the two parts that most programs want.

    It is a pair, so it equals the bare pair; two of them are equal if their headers are as well. In a ``match`` it is
    taken apart as ``case t2bus.Received(topic, body)``.

    Attributes:
      headers: what the sender sent along, text to text.

    """

    __match_args__ = ("topic", "body")

    # A class that can be iterated over would do too, but type checkers would not know that the second part is the body.
    headers: Mapping[str, str] = NO_HEADERS

    def __new__(cls, topic: str, body: Body_co, headers: Mapping[str, str] = NO_HEADERS) -> Received[Body_co]:
        """Make a pair with headers."""
        self = tuple.__new__(cls, (topic, body))  # super() is half of the time of this
        if headers is not NO_HEADERS:
            self.headers = headers
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        # Those of a message without any are a view of a mapping, which cannot be pickled.
        return (*self, dict(self.headers)) if self.headers else tuple(self)

    @property
    def topic(self) -> str:
        """The full topic that was published, prefix and wildcards included."""
        return self[0]

    @property
    def body(self) -> Body_co:
        """The message, as the class that was subscribed to or, with ``subscribe_bytes``, as bytes."""
        return self[1]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Received):
            return tuple(self) == tuple(other) and self.headers == other.headers
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        headers = f", headers={dict(self.headers)!r}" if self.headers else ""
        return f"Received(topic={self.topic!r}, body={self.body!r}{headers})"
