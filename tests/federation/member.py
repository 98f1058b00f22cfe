"""The program of a server that is one of several (:mod:`federation.servers`): little is imported, so it starts fast."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import t2bus

if TYPE_CHECKING:
    from faults.children import Parent


class _Told(logging.Handler):
    """Reports what the server logs."""

    def __init__(self, parent: Parent) -> None:
        super().__init__(logging.INFO)
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        self._parent.tell("log", record.getMessage())


async def serve_member(parent: Parent, address: str, options: dict[str, Any], limits: dict[str, int]) -> None:
    """Be a server of several; it reports what it logs, and leaves the others when it is told anything."""
    logger = logging.getLogger("t2bus")
    logger.setLevel(logging.INFO)
    logger.addHandler(_Told(parent))
    federation = t2bus.Federation(**options)
    async with t2bus.open_bus(address, federation=federation, limits=t2bus.Limits(**limits)):
        parent.tell("ready")
        await parent.command()
