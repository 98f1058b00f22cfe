"""What is left of a frame that was refused: nothing, at once, whether the collector of cycles has run or not."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from bus_helpers import open_peer, wait_until
from t2bus.wire.framing import frame as framed

if TYPE_CHECKING:
    from collections.abc import Generator

    import trio.testing

    from bus_helpers import Site

FRAME = 1_000_000
REFUSED = {
    "native": b"\x82\x0f" + b"\xff" * FRAME,
    "rust": b"\xa1\x62id" + b"\xff" * FRAME,
}
COUNT = 2


@pytest.fixture
def collected() -> Generator[None, None, None]:
    """Leave cycles uncollected while a test runs."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("wire", REFUSED)
async def test_a_refused_frame_is_freed(clock: trio.testing.MockClock, tcp: Site, collected: None, wire: str) -> None:
    """The bytes of a frame that is refused are freed with its connection: no error that is kept has them."""

    async def send_one() -> None:
        async with open_peer(tcp.bus) as peer:
            if wire == "native":
                await peer.shake_hands()
            await peer.send_bytes(framed(REFUSED[wire]))
            await peer.stream.receive_some()
        await wait_until(lambda: tcp.bus.statistics().connections == tcp.bus.statistics().newcomers == 0)

    await send_one()
    tracemalloc.start()
    try:
        for _ in range(COUNT):
            await send_one()
        assert tracemalloc.get_traced_memory()[0] < 2 * FRAME  # the CBOR reader keeps the last one
    finally:
        tracemalloc.stop()
    assert tcp.bus.statistics().violations == COUNT + 1
