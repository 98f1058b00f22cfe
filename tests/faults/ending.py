"""The end of a run: everything is received that is on its way, and then everything is closed.

The law of this module: what is compared are the numbers that a program can ask for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio.testing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from faults.seats import Opened, OpenService, Seat
    from faults.world import World
    from t2bus.broker.statistics import BusStatistics


async def finish(world: World) -> None:
    """End a run, and check what can be known only now."""
    await world.restore()
    for seat in world.all_seats:
        for begun in [*seat.calls]:
            if not any(each.begun is begun for each in (*seat.subscriptions, *seat.services)):
                begun.scope.cancel()
    await settle(world)
    world.check_calls()
    check_connected(world)
    check_withdrawn(world)
    check_heard(world)
    check_numbers(world)
    await close(world)


async def settle(world: World) -> None:
    """Have everything received that is on its way."""
    idle = 0
    while idle < 2:
        await trio.sleep(1.2)
        await trio.testing.wait_all_tasks_blocked()
        received = [each.receive_all() for each in world.subscriptions if each.channel and not each.is_receiving]
        idle = 0 if any(received) else idle + 1


def check_connected(world: World) -> None:
    """Whoever comes back has come back, and nobody waits any more."""
    for seat in world.seats:
        assert seat.is_there or seat.is_leaving or seat.kind != "steady", "a client has not come back"
        waiting = {begun.name for begun in seat.calls} - {"subscribe", "serve"}
        assert not waiting, "a call goes on that was cancelled"


def check_withdrawn(world: World) -> None:
    """Whoever has a request knows that nobody waits for its answer any more."""
    for others in world.services.values():
        for opened in others:
            assert all(request.withdrawn for request in opened.pending), "a request that was given up is not withdrawn"


def check_heard(world: World) -> None:
    """Each subscription has given what it has to."""
    for each in world.subscriptions:
        replaced = each.channel.replaced if each.channel is not None else 0
        is_whole = each.is_open and each.seat.is_there
        log = world.log
        each.heard.check(log.sent, is_whole=is_whole, losses=log.losses, replaced=replaced, epoch=log.epoch)


def connected(world: World) -> list[Seat]:
    return [seat for seat in world.seats if seat.is_there]


def check_numbers(world: World) -> None:
    """The bus has what its clients have, and they have what the program knows of."""
    bus, seats = statistics(world), connected(world)
    own = [seat.client.statistics() for seat in seats]
    assert bus.connections == len(seats)
    assert bus.subscriptions == sum(each.subscriptions for each in own)
    assert bus.services == sum(each.services for each in own)
    assert bus.requests_pending == sum(each.calls_pending for each in own)
    assert bus.deliveries_held == bus.buffered_bytes == bus.violations == 0
    for seat, each in zip(seats, own, strict=True):
        assert each.subscriptions == sum(opened.is_open for opened in seat.subscriptions)
        assert each.services == len([opened for opened in seat.services if is_served(opened)])
        assert (each.requests_pending, each.outbox_bytes, each.messages_waiting) == (0, 0, 0)
        assert each.late_responses <= world.log.asked


def is_served(opened: OpenService) -> bool:
    """Tell whether a service is open, as far as its program can know."""
    if opened.is_open:
        opened.take_now()
    return opened.is_open


def statistics(world: World) -> BusStatistics:
    assert world.place.bus is not None
    return world.place.bus.statistics()


async def close(world: World) -> None:
    """Close everything, and see that nothing is left."""
    for opened in all_opened(world):
        opened.end()
    for seat in world.seats:
        for publisher in seat.publishers.values():
            seat.begin("flush", publisher.aclose)
    await trio.sleep(1)
    await trio.testing.wait_all_tasks_blocked()
    assert [begun.name for seat in world.seats for begun in seat.calls] == []
    for seat in connected(world):
        own = seat.client.statistics()
        assert (own.subscriptions, own.services, own.calls_pending, own.outbox_bytes) == (0, 0, 0, 0)
    bus = statistics(world)
    assert (bus.subscriptions, bus.services, bus.requests_pending) == (0, 0, 0)
    for seat in world.seats:
        seat.leave.set()
    await trio.sleep(2)
    assert not world.nursery.child_tasks, "a task is left"
    bus = statistics(world)
    assert (bus.connections, bus.newcomers, bus.buffered_bytes, bus.incoming_bytes) == (0, 0, 0, 0)
    assert not bus.identities


def all_opened(world: World) -> Iterable[Opened]:
    yield from world.subscriptions
    for others in world.services.values():
        yield from others
