"""What other threads have noted down until Trio's takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from t2bus.federation.engine import Arrived, EngineFailed, Joined
from t2bus.federation.mailbox import BESIDE, open_mailbox

if TYPE_CHECKING:
    from t2bus.federation.mailbox import Mailbox


async def test_who_waits_is_woken_by_another_thread() -> None:
    """What another thread puts wakes who waits, who then finds it."""
    with open_mailbox() as mailbox:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mailbox.wait)
            await trio.testing.wait_all_tasks_blocked()
            await trio.to_thread.run_sync(mailbox.put, Joined("a"))
        assert mailbox.take() == [Joined("a")]


async def test_what_comes_before_it_is_waited_for_is_not_missed() -> None:
    """Who waits after something was put does not wait for more."""
    with open_mailbox() as mailbox:
        mailbox.put(Joined("a"))
        mailbox.put(Joined("b"))
        with trio.fail_after(5):
            await mailbox.wait()
        assert mailbox.take() == [Joined("a"), Joined("b")]


def test_what_comes_when_it_is_closed_is_lost() -> None:
    """A thread of Zenoh's that is late disturbs nobody."""

    async def main() -> Mailbox:
        with open_mailbox() as mailbox:
            await trio.lowlevel.checkpoint()
        return mailbox

    trio.run(main).put(Joined("a"))


async def test_it_is_emptied() -> None:  # noqa: ASYNC124 -- a mailbox is made in Trio
    """What has been taken is gone, and there is room again."""
    with open_mailbox(most=BESIDE + 1) as mailbox:
        for _ in range(3):
            mailbox.put(Arrived("a", b"1"))
            assert mailbox.take() == [Arrived("a", b"1")]
        assert mailbox.take() == []


async def test_overrun_it_fails() -> None:  # noqa: ASYNC124 -- as above
    """More bytes than there is room for are a failure of the engine."""
    with open_mailbox(most=BESIDE + 1) as mailbox:
        mailbox.put(Arrived("a", b"12"))
        with pytest.raises(EngineFailed, match="258 bytes of other servers wait"):
            mailbox.take()
