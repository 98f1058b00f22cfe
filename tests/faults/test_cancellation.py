"""Every call of a client, cancelled at every moment, over the transports that the ordinary tests leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cancellation_helpers import CALLS, FAR_KINDS, cancel_everywhere, open_world

if TYPE_CHECKING:
    from pathlib import Path

    from faults.measured import Measured


@pytest.mark.parametrize("kind", FAR_KINDS)
async def test_promise_09_every_call_can_be_cancelled_at_every_checkpoint(
    kind: str, folder: Path, measured: Measured
) -> None:
    """Whatever call is cancelled, at whatever moment, nothing is left, lost or broken."""
    cancelled = 0
    async with open_world(kind, folder) as world:
        for call in CALLS:
            cancelled += await cancel_everywhere(world, call)
    measured.beside(
        f"cancelled over {kind}, {len(CALLS)} scenes: moments after which nothing is left or lost", cancelled
    )
