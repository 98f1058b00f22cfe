"""Publications that follow one another, put together to runs.

A client of this library says runs itself. One of another wire says each publication alone, and all that the bus does
for a publication would be done for each.

For example, since a run names its topic and its first id only, and counts the others up::

    Publish(4, False, Publication("a", b"x")), Publish(5, False, Publication("a", b"y"))
    PublishRun(4, False, Run("a", [b"x", b"y"]))

The law of this module: messages in, messages out, that say the same in the same order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..wire import messages as m
from ..wire.values import size_in_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def in_runs(messages: Iterable[m.ClientMessage], frame: int) -> Iterator[m.ClientMessage]:
    """Yield the messages, with neighbours that publish to one topic, plain and without headers, as one.

    A run fits in a frame of that many bytes, as each of its publications does. Each counts for 64 bytes at least, so
    that no run has more than ``MOST_IN_RUN``: 65,536 bytes (``RUN_SIZE``) are room for 1,024 of them. Whatever
    else comes, also a publication that is compressed or has headers, ends a run and is passed on as it is.
    """
    run: list[Any] = []
    room: float = 0
    for message in messages:
        if isinstance(message, m.Publish):
            publication = message.publication
            size: float = size_in_frame(publication.topic, publication.payload, publication.headers)
        else:
            size = math.inf  # so it joins nothing, and nothing joins it
        if size <= room and _goes_on(run, message):
            run.append(message)
            room -= size
            continue
        if run:
            yield _joined(run)
        run, room = [message], min(m.RUN_SIZE, frame) - size
    if run:
        yield _joined(run)


def _goes_on(run: Sequence[m.Publish], message: Any) -> bool:
    """Whether a publication may follow in a run: of the same topic, paced alike, and under the next operation id."""
    first = run[0]
    return (
        message.publication.goes_on(first.publication)
        and message.paced is first.paced
        and message.id == first.id + len(run)
    )


def _joined(run: Sequence[Any]) -> Any:
    """Return the only message, whatever it is, or the run of several publications. All of them are plain bytes."""
    first = run[0]
    if len(run) == 1:
        return first
    payloads = [message.publication.payload for message in run]
    return m.PublishRun(first.id, first.paced, m.Run(first.publication.topic, payloads))
