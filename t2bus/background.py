"""A nursery for tasks that serve a resource while the body of its ``async with`` runs.

A Trio nursery wraps what leaves it in exception groups, which is right for tasks that are peers. A resource's own
tasks are not the body's peers: whoever writes ``async with open_client(...)`` must be able to catch the body's
``KeyError`` as a ``KeyError``.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["open_background_nursery"]


@asynccontextmanager
async def open_background_nursery() -> AsyncGenerator[trio.Nursery, None]:
    """Open a nursery whose tasks are cancelled when the body ends.

    The body's own exception leaves as it is, whatever became of the tasks. Otherwise that of a task does, if it is the
    only one; the body is cancelled by it, as in any nursery.
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
                if _holds_cancelled(caught):
                    # For the nursery to tell: it may be its own cancellation, by a task that failed.
                    raise
                # Kept from the nursery, which would not only wrap a group, but take it apart and make another.
                body_error = caught
            finally:
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error = _sole(group)
    # Raised outside the handler, so that the group is not hung on it as its context.
    if body_error is not None:
        raise body_error
    if error is not None:
        raise error


def _holds_cancelled(error: BaseException) -> bool:
    """Whether the exception is a group with a cancellation in it."""
    return isinstance(error, BaseExceptionGroup) and error.subgroup(trio.Cancelled) is not None


def _sole(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the only leaf of a group, or the group if it has several.

    Cancellations from outside are one: who is cancelled meets ``trio.Cancelled``, however many tasks it hit.
    """
    leaves: list[BaseException] = []
    rest: list[BaseException] = [group]
    while rest:
        error = rest.pop()
        if isinstance(error, BaseExceptionGroup):
            rest.extend(error.exceptions)
        else:
            leaves.append(error)
    if len(leaves) == 1 or all(isinstance(leaf, trio.Cancelled) for leaf in leaves):
        return leaves[0]
    return group
