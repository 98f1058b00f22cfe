"""What messages are made of: codes that are exceptions, and sizes that are counted."""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import given

from t2bus import errors
from t2bus.disconnected import Disconnected
from t2bus.wire import messages as m
from t2bus.wire.values import NO_HEADERS, Deflated, ErrorCode, size_in_frame, size_of
from wire_corpus import DIRECTIONS, SPECIFICATION, Message, any_client_message, any_server_message, body_of

NEVER_TRAVEL = [
    errors.ProtocolViolation("a rule was broken"),
    Disconnected("the bus has gone"),
    errors.ConnectFailed("no bus there"),
    errors.TlsFailed("no certificate"),
    errors.Lagged(1),
    errors.BusError("some error"),
]


def specified_codes() -> dict[int, str]:
    listed = SPECIFICATION.partition("Codes of REFUSED and FAIL: ")[2].partition(".")[0]
    return {int(number): name for number, name in re.findall(r"(\d+) ([a-z\s]+)", listed)}


# --- codes


def test_the_codes_are_those_of_the_specification() -> None:
    """Every code has the number and the name that the specification gives it."""
    assert {code.value: code.name.lower().replace("_", " ") for code in ErrorCode} == specified_codes()


@pytest.mark.parametrize("code", ErrorCode)
def test_a_code_is_an_exception_and_back(code: ErrorCode) -> None:
    """Each code is one exception with the text that came with it, and that exception is this code."""
    error = code.error("why")
    assert str(error) == "why"
    assert type(error).__name__ == code.name.title().replace("_", "")
    assert ErrorCode.of(error) is code


@pytest.mark.parametrize("error", NEVER_TRAVEL, ids=lambda error: type(error).__name__)
def test_errors_of_this_process_have_no_code(error: errors.BusError) -> None:
    """An error that is no answer of a bus cannot be sent."""
    with pytest.raises(KeyError):
        ErrorCode.of(error)


# --- sizes


@pytest.mark.parametrize(
    ("payload", "headers", "size"),
    [
        (b"", {}, 5),
        (b"payload", {}, 12),
        (Deflated(zlib.compress(b"p" * 1000)), {}, 5 + len(zlib.compress(b"p" * 1000))),
        (b"", {"key": "value", "": ""}, 13),
        (b"", {"ключ": "\N{BUS}"}, 5 + 8 + 4),
    ],
)
def test_a_message_counts_for_the_bytes_of_its_parts(payload: bytes, headers: dict[str, str], size: int) -> None:
    """Topic, payload as it travels, and headers in UTF-8 are what a message takes of a window."""
    assert size_of("hello", payload, headers) == size


def bound_of(message: Message) -> int | None:
    """Return the bound on this message's frame, if its payload makes it large."""
    match message:
        case m.Publish(publication=content) | m.Deliver(publication=content):
            return size_in_frame(content.topic, content.payload, content.headers)
        case m.Ask(topic=topic) | m.Call(topic=topic):
            return size_in_frame(topic, message.payload, message.headers)
        case m.Respond() | m.Response():
            return size_in_frame("", message.payload, message.headers)
        case _:
            return None


def is_within_bound(message: Message) -> bool:
    bound = bound_of(message)
    ids = 9 * len(message.subscriptions) if isinstance(message, m.Deliver) else 0
    return bound is None or len(body_of(message)) <= bound + ids


def test_no_frame_of_the_corpus_is_larger_than_its_bound() -> None:
    """What is promised to fit in a frame does, at every step of the encoding of numbers."""
    for direction in DIRECTIONS:
        assert all(map(is_within_bound, [*direction.messages, *direction.large_messages]))


@given(any_client_message | any_server_message)
def test_no_frame_is_larger_than_its_bound(message: m.ClientMessage | m.ServerMessage) -> None:
    """What is promised to fit in a frame does, for any message with an ASCII topic."""
    topic = getattr(getattr(message, "publication", message), "topic", "")
    if topic.isascii():
        assert is_within_bound(message)


# --- values


def test_no_headers_cannot_be_changed() -> None:
    """The headers that all messages without any share are read-only."""
    with pytest.raises(TypeError):
        NO_HEADERS["k"] = "v"  # type: ignore[index]


def test_messages_are_values() -> None:
    """Messages are equal by what they say, and cannot be changed."""
    message = m.Subscribe(1, "hello", 2, 3)
    claim: object = m.Claim(1, "hello", 2, 3)
    assert message == m.Subscribe(1, "hello", 2, 3)
    assert message != claim
    with pytest.raises(AttributeError):
        message.topic = "other"  # type: ignore[misc]
