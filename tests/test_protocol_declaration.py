"""What a protocol is: its prefix and role, when a flaw in them is found, and what becomes of topics and responses."""

from __future__ import annotations

import re
import sys
import types
from typing import Any, TypeVar, assert_type

import attrs
import pytest
from attrs import frozen

from t2bus import protocol as protocols
from t2bus.errors import BusError, InvalidTopic, MalformedMessage
from t2bus.protocol import PublishProtocol, RequestProtocol, full_topic, prefix_of, response_type

T = TypeVar("T")


@frozen
class Hello(PublishProtocol, prefix="hello"):
    text: str


@frozen
class HelloResponse:
    text: str


@frozen
class HelloRequest(RequestProtocol[HelloResponse], prefix="hello"):
    name: str


@frozen
class LaterRequest(RequestProtocol["list[LaterResponse] | None"], prefix="later"):
    name: str


@frozen
class LaterResponse:
    text: str


@frozen
class NothingRequest(RequestProtocol[None], prefix="nothing"):
    name: str


class Query(RequestProtocol[T], prefix="generic"):
    """A class for each response type is derived from it."""


@frozen
class EchoRequest(RequestProtocol["EchoRequest"], prefix="echo"):
    name: str


def defined(source: str) -> Any:
    """Run a class statement and return the class."""
    names: dict[str, Any] = {**globals()}
    exec(source, names)
    return names[re.split(r"\W", source)[1]]


# --- roles and prefixes


@pytest.mark.parametrize("decorate", [attrs.frozen, attrs.define, attrs.define(slots=False), attrs.frozen(slots=False)])
def test_protocols_are_attrs_classes_of_every_kind(decorate: Any) -> None:
    """Decorating keeps the prefix, whether or not attrs makes the class anew."""

    class Message(PublishProtocol, prefix="a/b"):
        x: int

    assert prefix_of(decorate(Message)) == "a/b"


@pytest.mark.parametrize("decorate", [attrs.frozen, attrs.define, attrs.define(slots=False)])
def test_decorating_keeps_the_response_type(decorate: Any) -> None:
    """A request class that attrs makes anew has the response type that was written."""

    class Request(RequestProtocol[int], prefix="a"):
        x: int

    assert response_type(decorate(Request)) is int


def test_slots_are_kept() -> None:
    """The bases add no dict to the instances of a slotted class."""
    assert not hasattr(Hello("x"), "__dict__")


def test_a_publication_and_a_request_may_share_a_prefix() -> None:
    """The two roles do not interact."""
    assert prefix_of(Hello) == prefix_of(HelloRequest) == "hello"


def test_a_protocol_may_be_defined_again() -> None:
    """A notebook cell may be run twice."""
    assert prefix_of(defined("class Hello(PublishProtocol, prefix='hello'): pass")) == prefix_of(Hello)


def test_a_prefix_may_have_fragments() -> None:
    """A prefix is a topic: fragments of letters, digits and underscores."""
    assert prefix_of(defined("class A(PublishProtocol, prefix='a_1/b/2'): pass")) == "a_1/b/2"


MISSING_PREFIXES = {
    "class Hello(PublishProtocol): pass": 'class Hello(t2bus.PublishProtocol, prefix="hello"):',
    "class BigHello2You(PublishProtocol): pass": 'class BigHello2You(t2bus.PublishProtocol, prefix="big_hello2_you"):',
    "class _A(PublishProtocol, prefix=None): pass": 'class _A(t2bus.PublishProtocol, prefix="a"):',
    "class A(PublishProtocol, prefix=5): pass": 'class A(t2bus.PublishProtocol, prefix="a"):',
    "class Child(Hello): pass": 'class Child(t2bus.PublishProtocol, prefix="child"):',
    "class A(RequestProtocol[HelloResponse]): pass": 'class A(t2bus.RequestProtocol[HelloResponse], prefix="a"):',
    "class A(RequestProtocol[int | None]): pass": 'class A(t2bus.RequestProtocol[int | None], prefix="a"):',
    "class A(RequestProtocol['Later']): pass": "class A(t2bus.RequestProtocol['Later'], prefix=\"a\"):",
    "class A(HelloRequest): pass": 'class A(t2bus.RequestProtocol[HelloResponse], prefix="a"):',
    "class A(PublishProtocol, as_array=True): pass": 'class A(t2bus.PublishProtocol, prefix="a", as_array=True):',
}


@pytest.mark.parametrize(("source", "line"), MISSING_PREFIXES.items())
def test_a_class_without_a_prefix_fails_where_it_is_written(source: str, line: str) -> None:
    """A class line without a prefix is a TypeError that shows the line as it should be."""
    with pytest.raises(TypeError, match=rf" names no prefix: write `{re.escape(line)}`$"):
        defined(source)


BAD_PREFIXES = {
    "": "the topic is empty",
    "hello/*": 'has a wildcard; write `class Greeting(t2bus.PublishProtocol, prefix="hello"):`',
    "**": 'has a wildcard; write `class Greeting(t2bus.PublishProtocol, prefix="greeting"):`',
    "Hello": 'write `class Greeting(t2bus.PublishProtocol, prefix="hello"):`',
    "/hello//you/": 'write `class Greeting(t2bus.PublishProtocol, prefix="hello/you"):`',
    "hello-you": 'write `class Greeting(t2bus.PublishProtocol, prefix="hello/you"):`',
    "\u00e9": 'write `class Greeting(t2bus.PublishProtocol, prefix="greeting"):`',
    "a" * 1000: "shorten it",
}


@pytest.mark.parametrize(("prefix", "text"), BAD_PREFIXES.items())
def test_a_bad_prefix_fails_where_it_is_written(prefix: str, text: str) -> None:
    """A prefix that is no concrete topic is an InvalidTopic that shows the line as it might be."""
    with pytest.raises(InvalidTopic) as caught:
        defined(f"class Greeting(PublishProtocol, prefix={prefix!r}): pass")
    assert str(caught.value).startswith("the prefix of Greeting is not valid: ")
    assert text in str(caught.value)


@pytest.mark.parametrize("bases", ["PublishProtocol, RequestProtocol[int]", "RequestProtocol[int], PublishProtocol"])
def test_a_class_has_one_role(bases: str) -> None:
    """What is published cannot be requested as well."""
    with pytest.raises(TypeError, match=r"A cannot be published and requested: write two classes"):
        defined(f"class A({bases}, prefix='a'): pass")


@pytest.mark.parametrize("base", ["RequestProtocol", "Query"])
def test_a_request_names_its_response_type(base: str) -> None:
    """A request class without a response type is a TypeError that shows the line as it should be."""
    with pytest.raises(TypeError) as caught:
        defined(f"class Ask({base}, prefix='ask'): pass")
    line = 'class Ask(t2bus.RequestProtocol[AskResponse], prefix="ask"):'
    assert str(caught.value) == f"Ask names no response type: write `{line}`, or [None] for an empty response"


def test_a_request_of_a_request_has_its_response_type() -> None:
    """A subclass of a request is answered as the request is."""
    assert response_type(defined("class A(HelloRequest, prefix='a'): pass")) is HelloResponse


def test_other_keywords_of_the_class_line_are_handed_on() -> None:
    """A protocol may have other bases that take keywords of their own."""
    seen: list[object] = []

    class Base:
        def __init_subclass__(cls, *, other: int, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            seen.append(other)

    class Message(PublishProtocol, Base, prefix="a", other=5):
        pass

    assert (prefix_of(Message), seen) == ("a", [5])


def test_fields_may_be_called_as_what_protocols_have() -> None:
    """A field named prefix has nothing to do with the prefix."""
    body = attrs.frozen(defined("class A(PublishProtocol, prefix='a'): prefix: str"))("b")
    assert (prefix_of(type(body)), body.prefix) == ("a", "b")


# --- topics


def test_a_topic_follows_the_prefix() -> None:
    """On the bus a topic stands below the prefix of its protocol."""
    assert full_topic(Hello, "alice/*") == "hello/alice/*"


def test_the_empty_topic_is_the_prefix() -> None:
    """A protocol that needs no topics uses the prefix alone."""
    assert full_topic(HelloRequest, "") == "hello"


@pytest.mark.parametrize(
    "protocol", [int, HelloResponse, PublishProtocol, RequestProtocol, Hello("x"), "hello", None, []]
)
@pytest.mark.parametrize("function", [prefix_of, response_type, lambda protocol: full_topic(protocol, "a")])
def test_only_protocols_are_protocols(function: Any, protocol: Any) -> None:
    """What is no subclass of one of the bases is a TypeError."""
    with pytest.raises(
        TypeError, match=r"^expected a subclass of t2bus.PublishProtocol or t2bus.RequestProtocol, got "
    ):
        function(protocol)


def test_an_instance_is_named_by_its_class() -> None:
    """A message in the place of its class is not quoted."""
    with pytest.raises(TypeError, match=r"got an instance of Hello$"):
        prefix_of(Hello("secret"))  # type: ignore[arg-type]


@pytest.mark.parametrize("topic", [None, 5, b"a", Hello("x")])
def test_a_topic_is_text(topic: Any) -> None:
    """A topic of another type is a TypeError."""
    with pytest.raises(TypeError, match=r"^the topic is a str, not "):
        full_topic(Hello, topic)


class Undecorated(PublishProtocol, prefix="undecorated"):
    text: str


def test_an_undecorated_class_fails_on_first_use() -> None:
    """A class without fields that attrs knows is a TypeError that says how to mend it."""
    with pytest.raises(TypeError, match=r"^Undecorated is neither .* decorate it with @attrs\.frozen$"):
        full_topic(Undecorated, "a")


def test_a_class_that_cannot_travel_fails_on_first_use() -> None:
    """A field of a type that cannot travel is a TypeError before anything is sent."""
    cls = attrs.frozen(defined("class A(PublishProtocol, prefix='a'): x: complex"))
    with pytest.raises(TypeError, match=r"^A\.x: complex is neither"):
        full_topic(cls, "a")


# --- responses


def test_a_response_type_is_what_was_written() -> None:
    """The response type of a request is its argument, for type checkers too."""
    assert assert_type(response_type(HelloRequest), type[HelloResponse]) is HelloResponse


def test_a_response_may_be_empty() -> None:
    """A request may be answered with None."""
    assert (
        protocols.decode(protocols.encode_as(None, response_type(NothingRequest)), response_type(NothingRequest))
        is None
    )


def test_a_response_type_may_be_defined_later() -> None:
    """A quoted response type is looked up on first use, with all that is quoted around it."""
    assert response_type(LaterRequest) == list[LaterResponse] | None


def test_a_request_may_be_its_own_response() -> None:
    """A quoted response type may be the class itself."""
    assert response_type(EchoRequest) is EchoRequest


@pytest.mark.parametrize("response", ["Missing", "sys.missing"])
def test_a_response_type_that_is_not_found_is_a_type_error(response: str) -> None:
    """A quoted response type that its module does not hold is found out on first use."""
    cls = defined(f"class A(RequestProtocol[{response!r}], prefix='a'): pass")
    with pytest.raises(TypeError, match=r"^the response type of A is not found: "):
        response_type(cls)


def test_a_response_type_is_found_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed search for a response type does not stop the next."""
    module = types.ModuleType("late")
    monkeypatch.setitem(sys.modules, "late", module)
    cls = defined("class A(RequestProtocol['Later'], prefix='a'): __module__ = 'late'")
    with pytest.raises(TypeError, match=r"name 'Later' is not defined; names are looked for in late "):
        response_type(cls)
    module.Later = HelloResponse  # type: ignore[attr-defined]
    assert response_type(cls) is HelloResponse


def test_a_module_that_is_gone_is_a_type_error() -> None:
    """A class may name a module that is not imported."""
    text = r"the response type of A is not found: 'Later' is not found in nowhere: KeyError: nowhere$"
    with pytest.raises(TypeError, match=text):
        response_type(defined("class A(RequestProtocol['Later'], prefix='a'): __module__ = 'nowhere'"))


def test_a_response_type_that_cannot_travel_is_a_type_error() -> None:
    """A response type that cannot travel is found out before anything is sent."""
    with pytest.raises(TypeError, match=r"^the response type of A: complex is neither"):
        response_type(defined("class A(RequestProtocol[complex], prefix='a'): pass"))


def test_publications_have_no_response() -> None:
    """The response type of what is not requested is a TypeError."""
    with pytest.raises(TypeError, match=r"^expected a subclass of t2bus\.RequestProtocol, got Hello$"):
        response_type(Hello)  # type: ignore[arg-type]


# --- messages


def test_messages_travel() -> None:
    """A message comes back from its payload."""
    assert protocols.decode(protocols.encode(HelloRequest("a")), HelloRequest) == HelloRequest("a")


def test_messages_are_read_by_their_fields_not_by_name() -> None:
    """Two classes with the same fields read each other's payloads."""
    assert protocols.decode(protocols.encode(Hello("a")), HelloResponse) == HelloResponse("a")


def test_malformed_messages_are_errors_of_the_bus() -> None:
    """A payload that is none of the class names it."""
    with pytest.raises(MalformedMessage, match=r"^Hello\.text: is missing$") as caught:
        protocols.decode(protocols.encode(HelloRequest("a")), Hello)
    assert isinstance(caught.value, BusError)


def test_types_are_known_to_type_checkers() -> None:
    """A decoded message has the type that was asked for."""
    assert_type(protocols.decode(protocols.encode(Hello("a")), Hello), Hello)
