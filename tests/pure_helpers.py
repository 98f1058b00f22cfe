"""Helpers that know no Trio: settings of Hypothesis, a HELLO and a WELCOME, what messages say, and which code runs."""

from __future__ import annotations

import sys
from itertools import count, repeat
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from hypothesis import settings

from t2bus.limits import Limits
from t2bus.wire import messages as m
from t2bus.wire.native import VERSION
from t2bus.wire.values import ErrorCode, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType, ModuleType


Kind = TypeVar("Kind")

HELLO = m.Hello(VERSION, "a test", ())
WELCOME = m.Welcome(VERSION, "a test", (), 1, 1 << 16, 1 << 17, 64, 4, 3, 1024, 256, 1 << 20, 1 << 30)


def limits_with(**bounds: float) -> Limits:
    """Return limits with these bounds, and the defaults for the others as far as these allow them."""
    every: dict[str, Any] = attrs.asdict(Limits()) | bounds
    if "frame" not in bounds:
        every["frame"] = min(every["frame"], every["outbox_bytes"], every["total_bytes"])
    if "ping_interval" not in bounds:
        every["ping_interval"] = min(every["ping_interval"], every["silence"] / 2)
    return Limits(**every)


def steady(examples: int, steps: int = 50) -> settings:
    """Settings of a law that takes so many examples, of which a run tries as many of a hundred as its profile says.

    With ``steady(400)`` a plain run tries the first 80, and ``--hypothesis-profile=all`` all 400. It tries no fewer of
    them than of a law that says nothing: ``steady(50)`` is the first 20.
    """
    of_a_hundred = settings().max_examples
    tried = max(of_a_hundred, examples * of_a_hundred // 100)
    return settings(max_examples=min(examples, tried), stateful_step_count=steps)


def calls_into(module: ModuleType, call: Callable[[], object]) -> int:
    """Count the functions of a module that a call runs, in Python or in C."""
    calls = 0

    def look(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        if event == "call":
            calls += frame.f_code.co_filename == module.__file__
        elif event == "c_call":
            owner = getattr(argument, "__self__", None)
            calls += type(owner).__module__ == module.__name__

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(before)
    return calls


def publication(topic: str = "a", payload: bytes = b"x") -> m.Publication:
    return m.Publication(topic, payload)


def of_kind(messages: Iterable[object], kind: type[Kind]) -> list[Kind]:
    return [message for message in messages if isinstance(message, kind)]


def one_by_one(messages: Iterable[object]) -> list[Any]:
    """The messages with every run taken apart, which says the same."""
    apart: list[object] = []
    for message in messages:
        if isinstance(message, m.PublishRun):
            apart += map(m.Publish, count(message.id), repeat(message.paced), message.run.publications)
        elif isinstance(message, m.DeliverRun):
            apart += map(m.Deliver, repeat(message.subscriptions), message.run.publications)
        else:
            apart.append(message)
    return apart


def payloads(messages: Iterable[object]) -> list[bytes]:
    """The payloads of all deliveries, in order."""
    return [
        message.publication.payload
        for message in of_kind(messages, m.Deliver)
        if isinstance(message.publication.payload, bytes)
    ]


def stream(messages: Iterable[object], subscription: int) -> list[bytes | int]:
    """What one subscription hears: the payloads it gets, and in their places the numbers of those it misses."""
    heard: list[bytes | int] = []
    for message in messages:
        if isinstance(message, m.Deliver) and subscription in message.subscriptions:
            heard += payloads([message])
        elif isinstance(message, m.Gap) and message.subscription == subscription:
            heard.append(message.dropped)
    return heard


def acknowledged(messages: Iterable[object]) -> dict[int, int]:
    """The counts of all acknowledged operations; each may be acknowledged once."""
    pairs = [
        pair for message in of_kind(messages, m.Accepted) for pair in enumerate(message.counts, start=message.first)
    ]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def refused(messages: Iterable[object]) -> dict[int, ErrorCode]:
    """The codes of all refused operations."""
    return {message.id: message.code for message in of_kind(messages, m.Refused)}


def size(publication: m.Publication) -> int:
    return size_of(publication.topic, publication.payload, publication.headers)
