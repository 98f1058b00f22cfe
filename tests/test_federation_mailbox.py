"""What other threads have noted down until Trio's takes it."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from t2bus.federation.engine import Arrived, EngineFailed, Joined
from t2bus.federation.mailbox import BESIDE, Mailbox


async def test_who_waits_is_woken_by_another_thread() -> None:
    """What another thread puts wakes who waits, who then finds it."""
    mailbox = Mailbox()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.wait)
        await trio.testing.wait_all_tasks_blocked()
        await trio.to_thread.run_sync(mailbox.put, Joined("a"))
    assert mailbox.take() == [Joined("a")]


async def test_it_is_emptied() -> None:  # noqa: ASYNC124 -- a mailbox is made in Trio
    """What has been taken is gone, and there is room again."""
    mailbox = Mailbox(most=BESIDE + 1)
    for _ in range(3):
        mailbox.put(Arrived("a", b"1"))
        assert mailbox.take() == [Arrived("a", b"1")]
    assert mailbox.take() == []


async def test_overrun_it_fails() -> None:  # noqa: ASYNC124 -- as above
    """More bytes than there is room for are a failure of the engine."""
    mailbox = Mailbox(most=BESIDE + 1)
    mailbox.put(Arrived("a", b"12"))
    with pytest.raises(EngineFailed, match="258 bytes of other servers wait"):
        mailbox.take()
