"""A nursery for tasks that serve a resource while the body of its ``async with`` runs.

::

    @asynccontextmanager
    async def open_thing():
        async with open_background_nursery() as nursery:
            nursery.start_soon(serve_it)
            yield Thing()

    try:
        async with open_thing():
            raise KeyError
    except KeyError:  # not an ExceptionGroup
        ...

A Trio nursery wraps what leaves it in exception groups, which is right for tasks that are siblings. A resource's own
tasks are not the body's siblings: its user must be able to catch the body's ``KeyError`` as a ``KeyError``.

The law of this module: whatever the tasks do, the body's exception leaves as the object that it was.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator


@asynccontextmanager
async def open_background_nursery() -> AsyncGenerator[trio.Nursery, None]:
    """Open a nursery whose tasks are cancelled when the body ends, and are then waited for.

    The body's own exception leaves as it is, whatever became of the tasks. If it has none, the exception of a task
    leaves, bare if it is the only one and as a group if there are several. It cancels the body, as in any nursery.
    Cancellation from outside leaves as ``trio.Cancelled``.
    """
    body_error: BaseException | None = None
    error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except trio.Cancelled:
                raise
            except BaseException as caught:
                if isinstance(caught, BaseExceptionGroup) and caught.subgroup(trio.Cancelled) is not None:
                    # Only the nursery can tell whether it is its own cancellation, by a task that failed.
                    raise
                # Kept from the nursery, which would wrap an exception, and take a group apart to make another.
                body_error = caught
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error = _sole(group)
    # Raised outside the handler, so that the group does not become its context.
    if body_error is not None:
        raise body_error
    if error is not None:
        raise error


def _sole(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the only leaf of a group, or the group if it has several.

    Cancellations from outside count as one leaf, however many tasks were cancelled.
    """
    leaves = list(_leaves(group))
    is_one = len(leaves) == 1 or all(isinstance(leaf, trio.Cancelled) for leaf in leaves)
    return leaves[0] if is_one else group


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
