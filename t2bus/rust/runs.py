"""Publications that follow one another, put together to runs.

A client of this library says runs itself. One of another wire says each publication alone, and all that the bus does
for a publication would be done for each.

The law of this module: messages in, messages out, that say the same in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ..wire import messages as m
from ..wire.values import size_in_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def in_runs(messages: Iterable[m.ClientMessage], frame: int) -> Iterator[m.ClientMessage]:
    """Yield the messages, with neighbours that publish to one topic, plain and without headers, as one.

    A run fits in a frame of that many bytes, as each of its publications does. Each counts for 64 bytes at least, so
    that no run has more than ``MOST_IN_RUN``.
    """
    run: list[m.Publish] = []
    room = 0
    for message in messages:
        if not isinstance(message, m.Publish):
            if run:
                yield _joined(run)
                run = []
            yield message
            continue
        publication = message.publication
        size = size_in_frame(publication.topic, publication.payload, publication.headers)
        if run and size <= room and _goes_on(run, message):
            run.append(message)
            room -= size
            continue
        if run:
            yield _joined(run)
        run, room = [message], min(m.RUN_SIZE, frame) - size
    if run:
        yield _joined(run)


def _goes_on(run: Sequence[m.Publish], message: m.Publish) -> bool:
    first = run[0]
    return (
        message.publication.goes_on(first.publication)
        and message.paced is first.paced
        and message.id == first.id + len(run)
    )


def _joined(run: Sequence[m.Publish]) -> m.Publish | m.PublishRun:
    first = run[0]
    if len(run) == 1:
        return first
    payloads = [message.publication.payload for message in run]
    return m.PublishRun(first.id, first.paced, m.Run(first.publication.topic, cast("list[bytes]", payloads)))
