"""Requests by the batch: all that have arrived are taken, and many are answered, by one checkpoint each."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from attrs import define, field

import t2bus
from bus_helpers import Add, Site, Sum, settle
from checkpoint_helpers import steps_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@define(eq=False)
class Asked:
    """A service, and what became of the requests to it, by their left number."""

    client: t2bus.Client
    requests: t2bus.Requests[Add, Sum]
    nursery: trio.Nursery
    outcomes: dict[int, Sum | Exception] = field(factory=dict)

    async def ask(self, *numbers: int) -> None:
        """Ask, and let the requests arrive."""
        for number in numbers:
            self.nursery.start_soon(self._ask, number)
            await settle()

    async def _ask(self, number: int) -> None:
        self.outcomes[number] = await self.client.request("x", Add(number, 1))

    async def ask_wrongly(self) -> None:
        """Send what is no request of the service."""
        try:
            await self.client.request_bytes("add/x", b"\xff")
        except t2bus.MalformedMessage as error:
            self.outcomes[-1] = error


@asynccontextmanager
async def open_asked(site: Site) -> AsyncGenerator[Asked, None]:
    async with (
        site.connect() as client,
        client.serve(Add, "x") as requests,
        trio.open_nursery() as nursery,
    ):
        yield Asked(client, requests, nursery)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def asked(memory: Site) -> AsyncGenerator[Asked, None]:
    """Open a service in this process."""
    async with open_asked(memory) as asked:
        yield asked


def answers(batch: list[t2bus.Request[Add, Sum]]) -> list[tuple[t2bus.Request[Add, Sum], Sum]]:
    return [(request, Sum(request.body.left + request.body.right)) for request in batch]


async def test_requests_are_taken_and_answered_by_the_batch(site: Site) -> None:
    """All that wait are one list, oldest first, and each requester gets its own answer, on every transport."""
    async with open_asked(site) as asked:
        await asked.ask(1, 2, 3)
        batch = await asked.requests.receive_batch()
        assert [request.body.left for request in batch] == [1, 2, 3]
        await asked.requests.respond_batch(answers(batch))
        assert all(request.is_answered for request in batch)
        await settle()
        assert asked.outcomes == {1: Sum(2), 2: Sum(3), 3: Sum(4)}


async def test_most_bounds_a_batch_of_requests(asked: Asked) -> None:
    """A batch has ``most`` requests at most; what is left is the next one's."""
    await asked.ask(1, 2, 3)
    assert len(await asked.requests.receive_batch(2)) == 2
    assert (await asked.requests.receive()).body == Add(3, 1)
    with pytest.raises(ValueError, match="at least 1"):
        await asked.requests.receive_batch(0)


async def test_batches_of_requests_follow_one_another(asked: Asked) -> None:
    """``batches`` waits for the next ones and gives them."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.ask, 1, 2)
        taken: list[int] = []
        async for batch in asked.requests.batches(most=8):
            taken += [request.body.left for request in batch]
            if len(taken) == 2:
                break
    assert taken == [1, 2]


async def test_a_batch_of_requests_is_one_checkpoint(asked: Asked) -> None:
    """To take many, and to answer many, gives way once."""
    await asked.ask(*range(10))
    batch: list[t2bus.Request[Add, Sum]] = []

    async def receive() -> None:
        batch.extend(await asked.requests.receive_batch())

    assert await steps_of(receive) == 1
    assert await steps_of(lambda: asked.requests.respond_batch(answers(batch))) == 1
    with trio.testing.assert_checkpoints():
        await asked.requests.respond_batch([])


async def test_a_malformed_request_is_not_in_a_batch(asked: Asked) -> None:
    """One that cannot be read is answered by itself, and the others are given."""
    await asked.ask(1)
    asked.nursery.start_soon(asked.ask_wrongly)
    await settle()
    await asked.ask(2)
    assert [request.body.left for request in await asked.requests.receive_batch()] == [1, 2]
    await settle()
    assert isinstance(asked.outcomes[-1], t2bus.MalformedMessage)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [("text", t2bus.MalformedMessage), (Sum("text"), t2bus.MalformedMessage)],  # type: ignore[arg-type]
    ids=["another class", "a wrong field"],
)
async def test_a_wrong_answer_has_none_given(asked: Asked, wrong: Any, error: type[Exception]) -> None:
    """If one answer cannot be sent none is, and all can still be given."""
    await asked.ask(1, 2)
    first, second = await asked.requests.receive_batch()
    with pytest.raises(error):
        await asked.requests.respond_batch([(first, Sum(1)), (second, wrong)])
    await settle()
    assert not asked.outcomes
    await asked.requests.respond_batch([(first, Sum(1)), (second, Sum(2))])
    await settle()
    assert asked.outcomes == {1: Sum(1), 2: Sum(2)}


async def test_an_answered_request_has_none_answered(asked: Asked) -> None:
    """A request is answered once: a batch with one that was is refused, and answers none."""
    await asked.ask(1, 2)
    first, second = await asked.requests.receive_batch()
    await first.respond(Sum(1))
    with pytest.raises(trio.ClosedResourceError):
        await asked.requests.respond_batch([(second, Sum(2)), (first, Sum(1))])
    assert not second.is_answered


async def test_a_request_is_in_a_batch_of_answers_once(asked: Asked) -> None:
    """The same request twice is a mistake, and so is one of another service."""
    await asked.ask(1)
    (request,) = await asked.requests.receive_batch()
    with pytest.raises(ValueError, match="there once"):
        await asked.requests.respond_batch([(request, Sum(1)), (request, Sum(2))])
    async with asked.client.serve(Add, "other") as others:
        with pytest.raises(ValueError, match="of this service"):
            await others.respond_batch([(request, Sum(1))])
    assert not request.is_answered


async def test_cancelled_answers_are_given_by_nobody(asked: Asked) -> None:
    """Cancelled before they are on their way, the answers can still be given."""
    await asked.ask(1)
    (request,) = await asked.requests.receive_batch()
    with trio.CancelScope() as scope:
        scope.cancel()
        await asked.requests.respond_batch([(request, Sum(1))])
    assert scope.cancelled_caught
    assert not request.is_answered


async def test_late_answers_free_their_places(asked: Asked) -> None:
    """Who has given up gets nothing, and counts as answered too late; the others get theirs."""
    await asked.ask(1, 2)
    batch = await asked.requests.receive_batch()
    with trio.move_on_after(0) as scope:
        scope.cancel()
        await asked.client.request("x", Add(3, 1))
    await asked.requests.respond_batch(answers(batch))
    await settle()
    assert asked.outcomes == {1: Sum(2), 2: Sum(3)}
    assert asked.client.statistics().calls_pending == 0


async def test_a_closed_service_gives_no_batch(asked: Asked) -> None:
    """After its block a service has no requests to give."""
    await asked.requests.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await asked.requests.receive_batch()
