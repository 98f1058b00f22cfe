"""Many at once: a program that has, or gets, many messages pays for one checkpoint instead of one for each.

::

    async for batch in messages.batches():  # or requests.batches()
        await database.insert([(topic, reading.value) for topic, reading in batch])

The law of this module: a batch that is given is never empty.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from operator import index
from typing import TypeVar

import trio
from attrs import define

Item = TypeVar("Item")


def most_of(most: int | None) -> int:
    """Return how many may be in a batch.

    Raises:
      ValueError: it is below 1.

    """
    if most is None:
        return sys.maxsize
    if index(most) < 1:
        raise ValueError(f"most is at least 1, not {most}")
    return most


@define(eq=False, repr=False)
class Batches(AsyncIterator[list[Item]]):
    """What a channel receives, batch by batch; it raises what the channel's ``receive_batch`` does."""

    _receive_batch: Callable[[int | None], Awaitable[list[Item]]]
    _most: int | None

    async def __anext__(self) -> list[Item]:
        try:
            return await self._receive_batch(self._most)
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
