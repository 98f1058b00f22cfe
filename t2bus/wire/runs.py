"""Publications that follow one another, put together to runs.

A client of this library says runs itself. One of another wire says each publication alone, and all that the bus does
for a publication would be done for each.

The law of this module: messages in, messages out, that say the same in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from . import messages as m
from .values import NO_HEADERS, size_in_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["in_runs"]

_RUN_SIZE: Final = 65_536
"""Bytes of a run at most, and so at most ``MOST_IN_RUN`` publications, each of which counts for 64. A longer one is no
cheaper."""


def in_runs(messages: Iterable[m.ClientMessage], frame: int) -> Iterator[m.ClientMessage]:
    """Yield the messages, with neighbours that publish to one topic, plain and without headers, as one.

    A run fits in a frame of that many bytes, as each of its publications does.
    """
    run: list[m.Publish] = []
    room = 0
    for message in messages:
        size = _size(message)
        if run and size is not None and size <= room and _goes_on(run, message):
            run.append(cast("m.Publish", message))
            room -= size
            continue
        if run:
            yield _joined(run)
            run = []
        if size is None:
            yield message
        else:
            run, room = [cast("m.Publish", message)], min(_RUN_SIZE, frame) - size
    if run:
        yield _joined(run)


def _size(message: m.ClientMessage) -> int | None:
    """Return the bytes of a publication that may be part of a run, as its frame counts them, and None for all else."""
    if not isinstance(message, m.Publish):
        return None
    publication = message.publication
    if publication.headers or not isinstance(publication.payload, bytes):
        return None
    return size_in_frame(publication.topic, publication.payload, NO_HEADERS)


def _goes_on(run: Sequence[m.Publish], message: m.ClientMessage) -> bool:
    first = run[0]
    return (
        isinstance(message, m.Publish)
        and message.publication.topic == first.publication.topic
        and message.paced is first.paced
        and message.id == first.id + len(run)
    )


def _joined(run: Sequence[m.Publish]) -> m.Publish | m.PublishRun:
    first = run[0]
    if len(run) == 1:
        return first
    payloads = [message.publication.payload for message in run]
    return m.PublishRun(first.id, first.paced, m.Run(first.publication.topic, cast("list[bytes]", payloads)))
