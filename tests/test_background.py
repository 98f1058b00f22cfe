"""A nursery behind a resource: whose exceptions leave it, and in what form."""

# ruff: noqa: PT012 -- what raises here is the end of a block, or one of several calls

from __future__ import annotations

import pytest
import trio
import trio.testing

from t2bus.background import open_background_nursery


async def fail(error: Exception) -> None:
    await trio.lowlevel.checkpoint()
    raise error


async def fail_when_cancelled(error: BaseException) -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise error


async def test_tasks_end_with_the_body() -> None:
    """Leaving the body cancels the tasks and waits for them."""
    ended = False

    async def run() -> None:
        nonlocal ended
        try:
            await trio.sleep_forever()
        finally:
            ended = True

    async with open_background_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
    assert ended


@pytest.mark.parametrize("error", [KeyError(), ExceptionGroup("mine", [ValueError()]), SystemExit()])
async def test_the_bodys_exception_leaves_as_it_is(error: BaseException) -> None:
    """What the body raises is neither wrapped nor copied, be it a group itself."""
    with pytest.raises(type(error)) as caught:
        async with open_background_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise error
    assert caught.value is error
    assert error.__context__ is None


async def test_a_tasks_exception_leaves_as_it_is() -> None:
    """The exception of one task cancels the body and leaves without a group."""
    error = KeyError()
    with pytest.raises(KeyError) as caught:
        async with open_background_nursery() as nursery:
            nursery.start_soon(fail, error)
            await trio.sleep_forever()
    assert caught.value is error


async def test_a_nested_tasks_exception_leaves_as_it_is() -> None:
    """So does one that comes from a nursery inside a task."""
    with pytest.raises(KeyError):
        async with open_background_nursery() as nursery:
            nursery.start_soon(fail, ExceptionGroup("of a nursery", [ExceptionGroup("of another", [KeyError()])]))
            await trio.sleep_forever()


async def test_several_exceptions_of_tasks_are_a_group() -> None:
    """When several tasks fail, all their exceptions leave together."""
    with pytest.RaisesGroup(KeyError, ValueError):
        async with open_background_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled, KeyError())
            nursery.start_soon(fail_when_cancelled, ValueError())
            await trio.testing.wait_all_tasks_blocked()


async def test_the_bodys_exception_goes_before_that_of_a_task() -> None:
    """What the body raised leaves, though a task failed as well."""
    with pytest.raises(KeyError):
        async with open_background_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled, ValueError())
            await trio.testing.wait_all_tasks_blocked()
            raise KeyError


async def test_a_cancelled_group_of_the_body_gives_way_to_a_tasks_exception() -> None:
    """A body that was cancelled by a failing task inside a nursery of its own hides nothing of that task."""
    with pytest.raises(KeyError):
        async with open_background_nursery() as nursery:
            nursery.start_soon(fail, KeyError())
            async with trio.open_nursery() as inner:
                inner.start_soon(trio.sleep_forever)
                inner.start_soon(trio.sleep_forever)


async def test_a_group_with_a_cancellation_leaves_as_it_is() -> None:
    """A body that raises and is cancelled, in tasks of its own, keeps the group of both."""
    with pytest.RaisesGroup(ValueError), trio.CancelScope() as scope:
        async with open_background_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            async with trio.open_nursery() as inner:
                inner.start_soon(trio.sleep_forever)
                inner.start_soon(fail_when_cancelled, ValueError())
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()


async def test_cancellation_from_outside_is_not_wrapped() -> None:
    """Who is cancelled with tasks running meets one ``trio.Cancelled``."""
    caught: BaseException | None = None
    with trio.CancelScope() as scope:
        try:
            async with open_background_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(trio.sleep_forever)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        except BaseException as error:
            caught = error
            raise
    assert scope.cancelled_caught
    assert isinstance(caught, trio.Cancelled)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit()])
async def test_an_interrupt_in_a_task_goes_before_the_bodys_exception(interrupt: BaseException) -> None:
    """What ends the program leaves, though the body raised what follows from the end of the task."""
    with pytest.raises(type(interrupt)) as caught:
        async with open_background_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled, interrupt)
            nursery.start_soon(fail_when_cancelled, ValueError())
            await trio.testing.wait_all_tasks_blocked()
            raise KeyError
    assert caught.value is interrupt
    assert isinstance(interrupt.__cause__, KeyError)


async def test_the_bodys_own_exit_goes_before_an_interrupt_in_a_task() -> None:
    """A body that ends the program itself does so."""
    with pytest.raises(SystemExit):
        async with open_background_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled, KeyboardInterrupt())
            await trio.testing.wait_all_tasks_blocked()
            raise SystemExit
