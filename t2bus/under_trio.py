"""Whether it is Trio that runs this code: t2bus does nothing under anything else.

Without the question, a program of asyncio gets whatever the first call into Trio makes of it: ``must be called from
async context``, or ``Task got bad yield``.

Both may run in one thread: asyncio as the host of Trio's guest mode; ``trio.run`` in the cell of a notebook, whose
kernel is a task of asyncio; ``asyncio.run`` in a task of Trio. Where both have a current task, the one whose coroutine
is nearer on the stack is the one that runs.
"""

from __future__ import annotations

import sys
from threading import get_ident
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from types import FrameType


def require_trio() -> None:
    """Return if a task of Trio runs this.

    Raises:
      RuntimeError: asyncio does, or nobody.

    """
    in_asyncio = _coroutine_of_asyncio()
    if not trio.lowlevel.in_trio_task():
        runs_instead = "nothing" if in_asyncio is None else "asyncio"
    elif in_asyncio is not None and _is_nearer(in_asyncio, trio.lowlevel.current_task().coro):
        runs_instead = "asyncio"
    else:
        return
    raise RuntimeError(
        f"t2bus needs Trio: trio.run(main) is to run this, and {runs_instead} does; beside asyncio, Trio can run in a "
        "thread of its own, or as a guest (trio.lowlevel.start_guest_run)"
    )


def require_thread(thread: int, owner: str) -> None:
    """Return if this thread is the one whose Trio run has opened a client or a bus.

    What waits there would be woken by another run, which neither of the two would survive. A thread has one run at a
    time, and what it has opened has ended with it; to ask Trio for its run would take three times as long.

    Raises:
      RuntimeError: it is another thread; nothing was done.

    """
    if get_ident() != thread:
        raise RuntimeError(
            f"this {owner} belongs to another Trio run, in another thread: open a client in this run; a thread that "
            "runs no Trio calls it with trio.from_thread.run(client.publish, ..., trio_token=token)"
        )


def _coroutine_of_asyncio() -> Any:
    """Return the coroutine of asyncio's current task, or None if it has none."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None
    return None if task is None else task.get_coro()


def _is_nearer(one: Any, other: Any) -> bool:
    """Tell whether the first of two coroutines that run is the one that was entered later."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- it is public but for its name
    of_one, of_other = getattr(one, "cr_frame", None), getattr(other, "cr_frame", None)
    while frame is not None and frame is not of_other:
        if frame is of_one:
            return True
        frame = frame.f_back
    return False
