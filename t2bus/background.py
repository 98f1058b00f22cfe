"""A nursery for tasks that serve a resource while the body of its ``async with`` runs, and the end of a resource.

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

Closing waits, so in a cancelled scope it raises ``trio.Cancelled``. That must not take the place of the body's
exception: the scope would swallow it, and nobody would hear of the other.

The law of this module: whatever the tasks and the closing do, the body's exception leaves as the object that it was,
unless the program is to end.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from .documented import DocumentedAbstract

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from types import TracebackType


class Resource(trio.abc.AsyncResource, metaclass=DocumentedAbstract):
    """A resource that lets the exception of its body leave, whatever closing raises."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close, as ``aclose`` does; the exception of the body leaves as it is, whatever that raises."""
        await _close_after(error, self.aclose)  # noqa: ASYNC102 -- it takes as long as closing does, and none if cancelled


@asynccontextmanager
async def closing(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    """Close when the body ends; what closing raises gives way to the body's exception."""
    try:
        yield
    except BaseException as error:
        await _close_after(error, close)  # noqa: ASYNC102 -- it takes as long as closing does
        raise
    await close()


async def _close_after(error: BaseException | None, close: Callable[[], Awaitable[None]]) -> None:
    try:
        await close()
    except (Exception, trio.Cancelled):  # noqa: ASYNC103 -- the exception of the body leaves instead
        if error is None:
            raise


async def finish_and_close(
    finish: Callable[[], Awaitable[None]], close: Callable[[], Awaitable[None]], within: float
) -> None:
    """Finish what was begun and close, within so many seconds together; late or cancelled, close at once."""
    is_closing = False
    try:
        with trio.move_on_after(within):
            await finish()
            is_closing = True
            await close()
    finally:
        if not is_closing:
            with trio.CancelScope() as scope:
                scope.cancel()
                await close()  # noqa: ASYNC102 -- in a cancelled scope it waits for nothing


@asynccontextmanager
async def open_background_nursery() -> AsyncGenerator[trio.Nursery, None]:
    """Open a nursery whose tasks are cancelled when the body ends, and are then waited for.

    The body's own exception leaves as it is, whatever became of the tasks. If it has none, the exception of a task
    leaves, bare if it is the only one and as a group if there are several. It cancels the body, as in any nursery.
    Cancellation from outside leaves as ``trio.Cancelled``.

    What ends a program, such as ``KeyboardInterrupt``, goes before an exception that does not: what the body raises may
    well follow from that. A task runs under ``trio.lowlevel.enable_ki_protection`` where no code of the program does:
    an interrupt that comes there is for the program's main task, and the resource serves it to its end.
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
    if isinstance(body_error, Exception) and error is not None and (ends := _ends_program(error)) is not None:
        raise ends from body_error
    if body_error is not None:
        raise body_error
    if error is not None:
        raise error


def _sole(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return what leaves for the group that a nursery raises: its only exception beside cancellations, or the group.

    Tasks that were cancelled beside it have nothing to say. A group that a body made of its own exception and its
    cancellation is one exception, and stays whole.
    """
    errors = [error for error in group.exceptions if not all(isinstance(x, trio.Cancelled) for x in leaves(error))]
    if len(errors) > 1:
        return group
    error = errors[0] if errors else group
    first, *others = leaves(error)
    return error if errors and others else first


def _ends_program(error: BaseException) -> BaseException | None:
    """Return what of an exception is not for the program to handle: ``KeyboardInterrupt``, or ``SystemExit``."""
    return next((leaf for leaf in leaves(error) if not isinstance(leaf, (Exception, trio.Cancelled))), None)


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions of a group that are no groups themselves; one that is no group is its own leaf."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in leaves(inner)]
