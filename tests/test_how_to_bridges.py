"""What docs/how-to/notebooks.md and guest.md give to be copied, Link and Guest: errors, cancelling and ends."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import trio

from how_to_helpers import ROOT, steps

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

HOW_TO = ROOT / "docs" / "how-to"


def module_of(page: str, file: str) -> Any:
    """Return a file that a page shows, as a module."""
    (step,) = [step for step in steps(HOW_TO / page) if step.mark == file]
    module = ModuleType(file.removesuffix(".py"))
    exec(compile(step.text, str(step), "exec", dont_inherit=True), vars(module))
    return module


# --- the link


@pytest.fixture
def link(address: str) -> Generator[Any, None, None]:
    """Give a link to a bus that has the service ``echo``."""
    link = module_of("notebooks.md", "link.py").Link(address)
    yield link
    link.close()


def test_a_link_calls(link: Any) -> None:
    """What a method of the client returns comes back into the thread that calls."""
    assert link.call(link.client.request_bytes, "echo", b"hello") == b"hello"


def test_a_link_raises(link: Any) -> None:
    """What a method of the client raises is raised in the thread that calls, and the link goes on."""
    with pytest.raises(ValueError, match="topic"):
        link.call(link.client.request_bytes, "NO TOPIC", b"")
    assert link.call(link.client.request_bytes, "echo", b"hello") == b"hello"


def test_a_link_gives_up(link: Any) -> None:
    """A call that takes too long is cancelled, and the link goes on."""
    with pytest.raises(trio.TooSlowError):
        link.call(trio.sleep_forever, within=0.01)
    assert link.call(link.client.request_bytes, "echo", b"hello") == b"hello"


def test_a_link_without_a_bus(folder: Path) -> None:
    """Where no bus comes in time, that is raised where the link is made."""
    with pytest.raises(trio.TooSlowError):
        module_of("notebooks.md", "link.py").Link(f"unix:{folder}/nobody", within=0.05)


def test_a_link_that_is_closed(address: str) -> None:
    """Behind its end it says that its run has finished."""
    link = module_of("notebooks.md", "link.py").Link(address)
    link.close()
    with pytest.raises(trio.RunFinishedError):
        link.call(trio.sleep, 0)


# --- the guest


@pytest.fixture
def guest_module() -> Any:
    return module_of("guest.md", "guest.py")


def test_a_guest_raises(guest_module: Any) -> None:
    """What a function of Trio raises is raised in the task of asyncio that calls it."""

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("why")

    async def main() -> None:
        async with guest_module.open_guest() as guest:
            with pytest.raises(KeyError, match="why"):
                await guest.call(fail)

    asyncio.run(main())


def test_cancelling_in_asyncio_cancels_in_the_guest(guest_module: Any) -> None:
    """A task of asyncio that is cancelled takes the function of Trio with it."""
    said: list[str] = []

    async def main() -> None:
        started, ended = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            started.set()
            try:
                await trio.sleep_forever()
            finally:
                said.append("cancelled")
                ended.set()

        async with guest_module.open_guest() as guest:
            task = asyncio.create_task(guest.call(wait))
            await started.wait()
            task.cancel()
            await ended.wait()
            assert task.cancelled()

    asyncio.run(main())
    assert said == ["cancelled"]


def test_cancelling_in_the_guest_cancels_in_asyncio(guest_module: Any) -> None:
    """A function of Trio that is cancelled takes the coroutine of asyncio with it."""
    said: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            said.append("cancelled")
            raise

    async def give_up(guest: Any) -> None:
        with trio.move_on_after(0.01):
            await guest.in_asyncio(wait())

    async def main() -> None:
        async with guest_module.open_guest() as guest:
            await guest.call(give_up, guest)

    asyncio.run(main())
    assert said == ["cancelled"]


def test_the_end_of_a_guest_ends_its_calls(guest_module: Any) -> None:
    """A call that is pending when the guest ends is cancelled, so that nobody waits for ever."""

    async def main() -> bool:
        started = asyncio.Event()

        async def wait() -> None:
            started.set()
            await trio.sleep_forever()

        async with guest_module.open_guest() as guest:
            task = asyncio.create_task(guest.call(wait))
            await started.wait()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())


def test_what_a_coroutine_raises_reaches_the_guest(guest_module: Any) -> None:
    """What a coroutine of asyncio raises is raised in the function of Trio that waits for it."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("why")

    async def ask(guest: Any) -> str:
        try:
            await guest.in_asyncio(fail())
        except KeyError as error:
            return f"caught {error}"
        return "nothing"

    async def main() -> str:
        async with guest_module.open_guest() as guest:
            said: str = await guest.call(ask, guest)
            return said

    assert asyncio.run(main()) == "caught 'why'"
