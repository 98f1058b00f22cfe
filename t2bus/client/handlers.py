"""Functions of the program that a client calls: one for each message, one for each request.

::

    await nursery.start(client.subscribe_with, Setpoint, "oven", follow)
    await nursery.start(client.serve_with, Measure, "oven", measure)

Messages are given one after the other, so that their order stands and the handler sets the pace. Requests are answered
side by side, since each has its own requester who waits.

The law of this module: what goes wrong with one message or one request ends nothing else, unless the program says so.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio
from attrs import define, field

from ..background import leaves, open_background_nursery
from ..disconnected import Disconnected
from ..errors import Lagged, MalformedMessage, RemoteError
from ..hints import require_awaitable, require_callable
from ..log_limiter import LogLimiter
from ..text import as_text

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from .request import Request
    from .service import Requests
    from .subscription import Subscription

_logger = logging.getLogger("t2bus.client")

Failure = TypeVar("Failure", Lagged, MalformedMessage)

Handler = Callable[[Any], Awaitable[Any]]

_LOG_INTERVAL: Final = 1.0
"""Seconds between two lines in the log of one kind."""

_LAST_WORDS: Final = 1.0
"""Seconds for the bus to hear of the last answers."""


# --- messages


@define(eq=False)
class MessageHandler:
    """A handler of messages, and what is done instead where one is missing or cannot be read."""

    _handler: Handler
    _whole: bool
    """Whether it takes the whole :class:`Received`, rather than the body alone."""
    _on_lag: Callable[[Lagged], object] | None
    _on_malformed: Callable[[MalformedMessage], object] | None
    _log: LogLimiter = field(factory=partial(LogLimiter, _LOG_INTERVAL), init=False)
    _dropped: int = field(default=0, init=False)
    _malformed: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be called."""
        require_callable(self._handler, "handler")
        for name, function in (("on_lag", self._on_lag), ("on_malformed", self._on_malformed)):
            if function is not None:
                require_callable(function, name)

    async def run(
        self, opened: AbstractAsyncContextManager[Subscription[Any]], task_status: trio.TaskStatus[None]
    ) -> None:
        """Open a subscription, and handle what it receives until cancelled, or drained."""
        async with opened as subscription:
            task_status.started()
            async for item in subscription.items():
                match item:
                    case Lagged():
                        await self._lagged(subscription.topic, item)
                    case MalformedMessage():
                        await self._cannot_read(item)
                    case _:
                        await _started(self._handler, item if self._whole else item.body)

    async def _lagged(self, topic: str, error: Lagged) -> None:
        self._dropped += error.dropped or 0
        if self._on_lag is not None:
            await _call(self._on_lag, error)
        elif self._log.allows(Lagged, trio.current_time()):
            text = "the handler of %s fell behind: %d messages were dropped here (%d so far)"
            if error.dropped is None:
                _logger.warning("the handler of %s may miss messages here: the connection was lost", topic)
            else:
                _logger.warning(text, topic, error.dropped, self._dropped)

    async def _cannot_read(self, error: MalformedMessage) -> None:
        self._malformed += 1
        if self._on_malformed is not None:
            await _call(self._on_malformed, error)
        elif self._log.allows(MalformedMessage, trio.current_time()):
            _logger.warning("a message of %s cannot be read: %s (%d so far)", error.topic, error, self._malformed)


def _started(handler: Handler, argument: object) -> Awaitable[Any]:
    """Call a handler, and return what is to be awaited; raises ``TypeError`` if it is none."""
    result = handler(argument)
    return result if type(result) is CoroutineType else require_awaitable(handler, result)


async def _call(function: Callable[[Failure], object], error: Failure) -> None:
    """Call a function of the program, which may be asynchronous or not."""
    result = function(error)
    if isinstance(result, Awaitable):
        await result


# --- requests


@define(eq=False)
class RequestHandler:
    """A handler of requests, and those that it is answering."""

    _handler: Handler
    _whole: bool
    """Whether it takes the whole :class:`Request`, rather than the body alone."""
    _time_to_finish: float
    """Seconds for which handlers may go on when the service is cancelled."""
    _response: str
    """What it is to return."""
    _running: set[trio.CancelScope] = field(factory=set, init=False)
    """A scope for each request that is being answered."""
    _ended: trio.Event = field(factory=trio.Event, init=False)
    """Set when one has been; whoever waits for it puts another in its place."""

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be called."""
        require_callable(self._handler, "handler")

    async def run(
        self, opened: AbstractAsyncContextManager[Requests[Any, Any]], task_status: trio.TaskStatus[None]
    ) -> None:
        """Claim a topic, and answer its requests until cancelled, or drained."""
        async with opened as requests, open_background_nursery() as nursery:
            task_status.started()
            try:
                async for request in requests:
                    self._start(request, nursery)
                await self._all_ended()
            except trio.Cancelled:
                if self._running and self._time_to_finish and not nursery.cancel_scope.cancel_called:
                    await self._finish(requests)  # noqa: ASYNC102 -- it shields itself, for Limits.drain
                raise
            finally:
                for scope in self._running:
                    scope.shield = False

    # An interrupt between two lines of it would leave a scope that nothing ends.
    @trio.lowlevel.enable_ki_protection
    def _start(self, request: Request[Any, Any], nursery: trio.Nursery) -> None:
        """Let the handler answer a request. It has a scope before it begins, so none is ever missed."""
        scope = trio.CancelScope(deadline=request.deadline, shield=self._time_to_finish > 0)
        self._running.add(scope)
        nursery.start_soon(self._answer, request, scope)

    async def _finish(self, requests: Requests[Any, Any]) -> None:
        """Take no more requests, and let what runs come to its end; then see that the bus has heard the answers.

        Whoever still waits then gets ``ServiceGone``: their handlers were too slow, or they came too late for one.
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self._time_to_finish):
            await self._all_ended()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WORDS):
            await requests.aclose()

    async def _all_ended(self) -> None:
        while self._running:
            self._ended = trio.Event()
            await self._ended.wait()

    async def _answer(self, request: Request[Any, Any], scope: trio.CancelScope) -> None:
        """Answer one request with what the handler returns, and stop it when nobody waits for that any more.

        ``raise RemoteError("no such oven")`` in a handler is its way to say no: the requester gets that text. Any other
        exception is a bug, which is logged, and the requester gets its type too: ``KeyError: 'oven'``. What fails for
        the connection that has ended is neither. However it ends, the place of the request is freed.
        """
        failure = ""
        try:
            # A scope takes its cancellation out of a group, and the rest of the group leaves it: hence within.
            with scope, request.cancelled_when_withdrawn(scope):
                result = await _started(self._handler, request if self._whole else request.body)
                if result is not None or not request.is_answered:
                    await self._respond(request, result)
        except (Exception, BaseExceptionGroup) as error:
            # What a handler raises from a nursery of its own comes in groups, beside its cancellation if it has one.
            errors = [leaf for leaf in leaves(error) if not isinstance(leaf, trio.Cancelled)]
            if not errors or not all(isinstance(leaf, Exception) for leaf in errors):
                raise
            failure = "; ".join(map(_told, errors))
            expected = RemoteError if request.is_connected else (RemoteError, Disconnected, trio.ClosedResourceError)
            if not all(isinstance(leaf, expected) for leaf in errors):
                _logger.exception("the handler of %s failed", request.topic)
        finally:
            self._running.discard(scope)
            self._ended.set()
        # A requester that has put its deadline off waits still.
        stopped = "the requester stopped waiting" if request.withdrawn else "the deadline of the request has passed"
        request.give_up(failure or stopped)

    async def _respond(self, request: Request[Any, Any], result: Any) -> None:
        """Answer with what the handler has returned; mostly a ``return`` is missing where that is None."""
        try:
            await request.respond(result)
        except (MalformedMessage, TypeError) as error:
            if result is not None:
                raise
            raise MalformedMessage(f"the handler of {request.topic} returned None, not {self._response}") from error


def _told(error: BaseException) -> str:
    """Return what a requester reads of an error of a handler."""
    text = as_text(error)
    return text if isinstance(error, RemoteError) else f"{type(error).__name__}: {text}"
