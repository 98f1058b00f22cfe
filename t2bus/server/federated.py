"""A server among the others of its bus, for as long as it runs.

::

    async with federated(routing, federation):
        ...  # what is published here reaches whoever subscribes at another server

The law of this module: what happens to other servers, or to the engine, never ends this one.
"""

from __future__ import annotations

import logging
import time
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from ..background import open_background_nursery
from ..errors import BindFailed, BusError
from ..federation.engine import EngineFailed
from ..text import printable
from .members import MemberLinks

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ..federation.engine import Engine
    from ..federation.federation import Federation
    from .router_task import RouterTask

    OpenEngine = Callable[[Federation], AbstractAsyncContextManager[Engine]]

_logger = logging.getLogger("t2bus.server")

_FIRST: Final = 0.25
"""Seconds until another engine is opened when one has failed. They double each time."""

_LONGEST: Final = 30.0
"""Seconds that they become at most. An engine that has worked for twice as long is taken for a good one."""

_LONGEST_TEXT: Final = 600


def _open_zenoh(federation: Federation) -> AbstractAsyncContextManager[Engine]:
    from ..federation.zenoh import open_engine  # noqa: PLC0415 -- only this needs the extra

    return open_engine(federation)


@asynccontextmanager
async def federated(
    routing: RouterTask, federation: Federation, open_engine: OpenEngine = _open_zenoh
) -> AsyncGenerator[None, None]:
    """Join the others until the body ends; the bus serves its clients meanwhile, whether others are there or not.

    Raises:
      BindFailed: this server cannot listen for others at its endpoint. Once it could, nothing raises here.

    """
    async with open_background_nursery() as nursery:
        await nursery.start(_keep_up, routing, federation, open_engine)
        yield


def _begin(routing: RouterTask, federation: Federation, node: str) -> None:
    epoch = time.time() - trio.current_time()
    depth, least, name, bus = federation.group_depth, federation.min_members, federation.name, federation.bus
    routing.router.elsewhere.begin(node, epoch, depth=depth, least=least, name=name, bus=bus)


async def _keep_up(
    routing: RouterTask,
    federation: Federation,
    open_engine: OpenEngine,
    *,
    task_status: trio.TaskStatus[None],
) -> NoReturn:
    """Have an engine at work; when one has failed, another, after a while. Report that the first one was opened."""
    pause, is_first = _FIRST, True
    while True:
        began = trio.current_time()
        try:
            async with open_engine(federation) as engine:
                _begin(routing, federation, engine.node)
                _logger.info("federation: this server of bus %s is %s", federation.bus, engine.node)
                if is_first:
                    is_first = False
                    task_status.started()
                async with open_background_nursery() as nursery:
                    await MemberLinks(routing, engine, nursery).keep_up()
        except (EngineFailed, BusError) as error:
            if is_first:
                raise BindFailed(str(error)) from error
            reason = printable(str(error), _LONGEST_TEXT)
            if trio.current_time() - began > 2 * _LONGEST:
                pause = _FIRST
            _logger.warning("federation: %s; other servers are looked for again in %g s", reason, pause)
        except Exception:
            if is_first:
                raise
            # A bug in there must cost the others, not this server's own clients.
            _logger.exception("federation: internal error; other servers are looked for again in %g s", pause)
        await trio.sleep(pause)
        pause = min(2 * pause, _LONGEST)
