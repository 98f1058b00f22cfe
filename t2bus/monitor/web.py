"""What the monitor answers over HTTP: ``/metrics``, ``/healthz``, ``/status.json``, ``/events``, and the page at ``/``.

::

    app = make_app(looking, feed, hosts=("127.0.0.1", "localhost"))

The page has no script and no style within itself and none of other hosts, and its policy lets the browser run no other.
It shows text of peers as text. A page of another site that has its name point to this machine (DNS rebinding) is told
nothing, for ``Host`` says so.

The law of this module: each answer is made within a deadline; that it is also read within one, and how many may ask, is
for :mod:`.serve`.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ..errors import BusError
from ..status import StatusRequest
from . import metrics
from .feed import PATIENCE, WATCHERS, Feed, in_turns, moment, remedy
from .glances import Looking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send


_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

_HEALTHY: Final = 1.0
"""Seconds within which a healthy bus answers."""

_SIGN: Final = 15.0
"""Seconds without news after which a browser is sent a sign of life."""

_ASSETS: Final = {
    "/": ("page.html", "text/html"),
    "/monitor.js": ("monitor.js", "text/javascript"),
    "/monitor.css": ("monitor.css", "text/css"),
}


def make_app(looking: Looking, feed: Feed, hosts: Sequence[str]) -> ASGIApp:
    """Return the application; it answers only requests to these hosts, of which ``*`` is any."""
    answers = _Answers(looking)
    return Starlette(
        routes=[
            Route("/metrics", answers.metrics),
            Route("/healthz", answers.healthz),
            Route("/status.json", answers.status),
            Route("/events", _Events(feed), methods=["GET"]),
            *[Route(path, _asset(*asset), methods=["GET"]) for path, asset in _ASSETS.items()],
        ],
        middleware=[
            Middleware(_Guard),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        ],
    )


def _asset(name: str, kind: str) -> Response:
    """Return what answers with a file of this package, read once."""
    return Response(files("t2bus.monitor").joinpath("assets", name).read_bytes(), media_type=kind)


@frozen
class _Guard:
    """Gives each answer the headers that keep browsers careful."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if scope["type"] == "http" and not scope["http_version"].startswith("1."):
            # One connection could ask without bound there, and let the answers wait for ever.
            with trio.move_on_after(PATIENCE):
                await PlainTextResponse("use HTTP/1.1\n", 505)(scope, receive, send)
            return
        await self.app(scope, receive, send_guarded)


@frozen
class _Answers:
    """What is answered once, with a picture of the bus."""

    _looking: Looking

    async def metrics(self, _request: Request) -> Response:
        """Answer a scrape."""

        async def make() -> Response:
            text = b"".join(await in_turns(metrics.exposition(await self._looking.overview())))
            return Response(text, headers=_METRICS)

        return await _within(PATIENCE, make)

    async def status(self, _request: Request) -> Response:
        """Answer with what the page is told, as JSON."""

        async def make() -> Response:
            return Response(await moment(self._looking) + "\n", media_type="application/json")

        return await _within(PATIENCE, make)

    async def healthz(self, _request: Request) -> Response:
        """Answer whether the bus does."""

        async def make() -> Response:
            await self._looking.ask(StatusRequest())
            return PlainTextResponse("ok\n")

        return await _within(_HEALTHY, make)


_METRICS: Final = {"content-type": metrics.CONTENT_TYPE}


async def _within(seconds: float, make: Callable[[], Awaitable[Response]]) -> Response:
    """Return an answer that is made in time, or else one that says why there is none."""
    try:
        with trio.move_on_after(seconds):
            return await make()
    except BusError as error:
        return PlainTextResponse(f"{remedy(error)}\n", 503)
    return PlainTextResponse(f"the bus did not answer within {seconds:g} s\n", 503)


@frozen
class _Events:
    """The stream of what the page shows, as server-sent events."""

    _feed: Feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell a browser of each moment that it has time for, until it goes away."""
        if self._feed.is_full:
            response = PlainTextResponse(f"{WATCHERS} browsers watch already\n", 503)
            await response(scope, receive, send)
            return
        with self._feed.watching():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell, send)
                while (await receive())["type"] != "http.disconnect":
                    pass
                nursery.cancel_scope.cancel()

    async def _tell(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        news = None
        while True:
            body = b": still here\n\n"
            with trio.move_on_after(_SIGN):
                news = await self._feed.next(news)
                body = f"data: {news.text}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
