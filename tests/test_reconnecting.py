"""A client that reconnects goes on over the loss of its bus, and tells where it cannot know what has become of it."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from attrs import frozen

import t2bus
from bus_helpers import Add, Note, Site, Sum, add, expect, wait_until
from t2bus.testing import UnsteadyBus, unsteady_bus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

Clock = trio.testing.MockClock

STEADY = t2bus.Reconnect(first=0.1, longest=1.0, jitter=0.0)


@frozen
class Scene:
    """A bus that can be lost, and a client that comes back to it."""

    place: UnsteadyBus
    client: t2bus.Client

    async def restart(self) -> None:
        """Lose the bus, and have another in its place, to which the client has come back."""
        await self.place.lose()
        await self.place.restore()
        await self.client.connected()

    def other(self) -> Any:
        """Open another client, which does not come back."""
        return self.place.open_client()


@asynccontextmanager
async def open_scene(**limits: Any) -> AsyncGenerator[Scene, None]:
    async with unsteady_bus(**limits) as place, place.open_client(reconnect=STEADY) as client:
        yield Scene(place, client)


@pytest.fixture
async def scene(autojump_clock: Clock) -> AsyncGenerator[Scene, None]:
    """Give a bus and a client of it."""
    async with open_scene() as opened:
        yield opened


# --- what goes on


async def test_promise_11_a_subscription_goes_on_with_a_gap_in_its_place(autojump_clock: Clock, scene: Scene) -> None:
    """What had arrived comes first, then ``Lagged`` without a number, then what the new bus sends."""
    async with scene.client.subscribe(Note, "**") as notes:
        await scene.client.publish("a", Note("before"))
        await scene.restart()
        await scene.client.publish("a", Note("after"))
        assert (await notes.receive()).body == Note("before")
        with pytest.raises(t2bus.Lagged, match="unknown number") as caught:
            await notes.receive()
        assert caught.value.dropped is None
        assert (await notes.receive()).body == Note("after")


async def test_a_subscription_to_the_latest_goes_on(autojump_clock: Clock, scene: Scene) -> None:
    """One that keeps the newest of each topic has the gap behind all that had arrived."""
    async with scene.client.subscribe(Note, "**", latest=True) as notes:
        await scene.client.publish("a", Note("before"))
        await scene.restart()
        await scene.client.publish("b", Note("after"))
        assert (await notes.receive()).body == Note("before")
        with pytest.raises(t2bus.Lagged):
            await notes.receive()
        assert (await notes.receive()).body == Note("after")


async def test_items_go_on(autojump_clock: Clock, scene: Scene) -> None:
    """An iteration over ``items()`` is not ended by the loss: it has the gap in its place."""
    seen: list[object] = []
    async with scene.client.subscribe(Note, "**") as notes:
        await scene.client.publish("", Note("before"))
        await scene.restart()
        await scene.client.publish("", Note("after"))
        async for item in notes.items():
            seen.append(item.body if isinstance(item, t2bus.Received) else item)
            if len(seen) == 3:
                break
    before, gap, after = seen
    assert (before, after) == (Note("before"), Note("after"))
    assert isinstance(gap, t2bus.Lagged)


async def test_subscribe_with_goes_on(autojump_clock: Clock, scene: Scene) -> None:
    """The handler is called for what comes after, and ``on_lag`` for the gap."""
    seen: list[str] = []
    lags: list[t2bus.Lagged] = []

    async def handle(note: Note) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(note.text)

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(scene.client.subscribe_with, Note, "**", handle, on_lag=lags.append))
        await scene.restart()
        await scene.client.publish("", Note("after"))
        await wait_until(lambda: seen == ["after"])
        nursery.cancel_scope.cancel()
    assert [lag.dropped for lag in lags] == [None]


async def test_a_handler_without_on_lag_has_the_gap_logged(
    autojump_clock: Clock, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the program does not ask for gaps the log says that an unknown number is missing."""

    async def handle(_: Note) -> None:
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        await nursery.start(scene.client.subscribe_with, Note, "**", handle)
        await scene.restart()
        await wait_until(lambda: "the handler of note/** may miss messages" in caplog.text)
        nursery.cancel_scope.cancel()


async def test_subscribe_into_goes_on(autojump_clock: Clock, scene: Scene) -> None:
    """The channel of the program gets the gap, and what comes after."""
    send_channel, receive_channel = trio.open_memory_channel[Any](10)
    async with scene.client.subscribe_into(Note, "**", send_channel):
        await scene.restart()
        await scene.client.publish("", Note("after"))
        assert isinstance(await receive_channel.receive(), t2bus.Lagged)
        assert (await receive_channel.receive()).body == Note("after")


async def test_serve_with_goes_on(autojump_clock: Clock, scene: Scene) -> None:
    """A service answers over the new bus as over the old one."""
    async with trio.open_nursery() as nursery:
        await nursery.start(scene.client.serve_with, Add, "", add)
        await scene.restart()
        async with scene.other() as other:
            assert await other.request("", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()


async def test_what_a_service_has_not_answered_is_withdrawn(autojump_clock: Clock, scene: Scene) -> None:
    """A request that came over the lost connection cannot be answered any more, and its number is free for another."""
    async with scene.client.serve(Add, "") as requests:
        async with scene.other() as other, trio.open_nursery() as nursery:
            nursery.start_soon(expect, t2bus.Disconnected, partial(other.request, "", Add(1, 1)))
            old = await requests.receive()
            await scene.restart()
        assert old.withdrawn
        assert not old.is_connected
        async with scene.other() as other, trio.open_nursery() as nursery:
            nursery.start_soon(other.request, "", Add(2, 2))
            new = await requests.receive()
            await expect(t2bus.Disconnected, partial(old.respond, Sum(2)))
            assert not new.is_answered
            await new.respond(Sum(4))


async def test_a_handler_of_a_lost_request_is_cancelled(autojump_clock: Clock, scene: Scene) -> None:
    """Nobody waits for its answer any more, so it ends as when the requester gives up."""
    ended = trio.Event()

    async def sleep(_: Add) -> Sum:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with scene.other() as other, trio.open_nursery() as nursery:
        await nursery.start(scene.client.serve_with, Add, "", sleep)
        nursery.start_soon(expect, t2bus.Disconnected, partial(other.request, "", Add(1, 1)))
        await trio.testing.wait_all_tasks_blocked()
        await scene.place.lose()
        await ended.wait()
        nursery.cancel_scope.cancel()


async def test_promise_11_everything_is_registered_before_any_call_goes_on(autojump_clock: Clock, scene: Scene) -> None:
    """What the client published and asked meanwhile reaches its own subscriptions and its own service."""
    async with scene.client.subscribe(Note, "**") as notes, trio.open_nursery() as nursery:
        await nursery.start(scene.client.serve_with, Add, "", add)
        await scene.place.lose()
        receipts: list[int] = []

        async def publish() -> None:
            receipts.append(await scene.client.publish("", Note("meanwhile")))

        sums: list[Sum] = []

        async def ask() -> None:
            sums.append(await scene.client.request("", Add(1, 2)))

        async with trio.open_nursery() as callers:
            callers.start_soon(publish)
            callers.start_soon(ask)
            await trio.sleep(3)
            assert not receipts
            assert not sums
            await scene.place.restore()
        assert receipts == [1]
        assert sums == [Sum(3)]
        assert isinstance(await anext(notes.items()), t2bus.Lagged)
        assert (await notes.receive()).body == Note("meanwhile")
        nursery.cancel_scope.cancel()


async def test_registrations_come_in_their_order(autojump_clock: Clock, scene: Scene) -> None:
    """The new bus hears of subscriptions and claims in the order in which the program opened them."""
    client = scene.client
    async with client.subscribe_bytes("a"), client.serve_bytes("b"), client.subscribe_bytes("c"):
        await scene.place.lose()
        await scene.place.restore()
        async with scene.other() as watcher, watcher.subscribe_bytes("bus/event/**") as events:
            await client.connected()
            own, *topics = [(await events.receive()).topic for _ in range(5)]
    assert own == "bus/event/subscribed"
    assert topics == [f"bus/event/{kind}" for kind in ("connected", "subscribed", "claimed", "subscribed")]


async def test_what_was_closed_meanwhile_is_not_registered(autojump_clock: Clock, scene: Scene) -> None:
    """A subscription and a service whose blocks end without a connection are gone."""
    async with scene.client.subscribe_bytes("a"), scene.client.serve_bytes("b"):
        await scene.place.lose()
    await scene.place.restore()
    await scene.client.connected()
    assert scene.place.bus is not None
    statistics = scene.place.bus.statistics()
    assert (statistics.subscriptions, statistics.services) == (0, 0)


async def test_counts_go_on(autojump_clock: Clock, scene: Scene) -> None:
    """The statistics of a client count over all its connections."""
    await scene.client.publish("", Note("one"))
    await scene.restart()
    await scene.client.publish("", Note("two"))
    assert scene.client.statistics().published == 2


# --- what was pending


async def test_promise_11_a_pending_request_is_not_sent_again(autojump_clock: Clock, scene: Scene) -> None:
    """The requester gets ``Disconnected`` at the loss, and the new bus hears nothing of the request."""
    async with scene.client.serve_bytes("silent") as requests, trio.open_nursery() as nursery:
        nursery.start_soon(expect, t2bus.Disconnected, partial(scene.client.request_bytes, "silent", b"x"))
        await requests.receive()
        await scene.restart()
        await trio.sleep(1)
        with pytest.raises(trio.WouldBlock):
            requests.receive_nowait()
        assert not nursery.child_tasks
    assert scene.client.statistics().requests_pending == 0


async def test_a_subscription_that_was_not_open_yet_is_not_registered(autojump_clock: Clock, scene: Scene) -> None:
    """Whoever was about to subscribe gets ``Disconnected``, and nothing of it is left."""

    async def subscribe() -> None:
        async with scene.client.subscribe_bytes("a"):
            raise AssertionError

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect, t2bus.Disconnected, subscribe)
        await trio.lowlevel.checkpoint()
        await scene.restart()
    assert scene.client.statistics().subscriptions == 0
    assert scene.place.bus is not None
    assert scene.place.bus.statistics().subscriptions == 0


async def test_promise_11_a_publisher_says_once_how_many_are_not_known(autojump_clock: Clock, scene: Scene) -> None:
    """``Unconfirmed`` counts what was on its way at the loss; after it the publisher goes on."""
    async with scene.client.open_publisher(Note, "") as publisher:
        for text in "abc":
            await publisher.send(Note(text))
        await scene.place.lose()
        with pytest.raises(t2bus.Unconfirmed, match="3 publications") as caught:
            await publisher.send(Note("d"))
        assert caught.value.count == 3
        await scene.place.restore()
        async with scene.client.subscribe(Note, "") as notes:
            await publisher.send(Note("e"))
            await publisher.flush()
            assert (await notes.receive()).body == Note("e")
            assert publisher.accepted == 1


async def test_a_publisher_with_nothing_on_its_way_says_nothing(autojump_clock: Clock, scene: Scene) -> None:
    """What was acknowledged is known, so the next message is sent as if nothing had been."""
    async with scene.client.open_publisher(Note, "") as publisher:
        await publisher.send(Note("a"))
        await publisher.flush()
        await scene.restart()
        await publisher.send(Note("b"))


async def test_flush_and_close_say_what_is_not_known(autojump_clock: Clock, scene: Scene) -> None:
    """A flush that waits raises ``Unconfirmed``, so leaving a publisher's block is not silent either."""

    async def lose() -> None:
        async with scene.client.open_publisher(Note, "") as publisher:
            await publisher.send(Note("a"))
            await scene.place.lose()

    await expect(t2bus.Unconfirmed, lose)


async def test_several_losses_add_up(autojump_clock: Clock, scene: Scene) -> None:
    """A publisher that nobody asks in between says how many are unknown over all losses."""
    async with scene.client.open_publisher(Note, "") as publisher:
        await publisher.send(Note("a"))
        await scene.restart()
        assert isinstance(await raised(publisher.send(Note("b"))), t2bus.Unconfirmed)
        await publisher.send(Note("c"))
        await scene.restart()
        error = await raised(publisher.flush())
        assert isinstance(error, t2bus.Unconfirmed)
        assert error.count == 1


async def raised(call: Awaitable[object]) -> BaseException | None:
    try:
        await call
    except t2bus.BusError as error:
        return error
    return None


# --- calls made meanwhile

MEANWHILE: dict[str, Callable[[t2bus.Client], Awaitable[object]]] = {}


def meanwhile(call: Callable[[t2bus.Client], Awaitable[object]]) -> None:
    MEANWHILE[call.__name__] = call


@meanwhile
async def publish(client: t2bus.Client) -> None:
    await client.publish("", Note("x"))


@meanwhile
async def request(client: t2bus.Client) -> None:
    with pytest.raises(t2bus.ServiceNotFound):
        await client.request("", Add(1, 2))


@meanwhile
async def subscribe(client: t2bus.Client) -> None:
    async with client.subscribe(Note, ""):
        pass


@meanwhile
async def serve(client: t2bus.Client) -> None:
    async with client.serve(Add, ""):
        pass


@meanwhile
async def send(client: t2bus.Client) -> None:
    async with client.open_publisher(Note, "") as publisher:
        await publisher.send(Note("x"))


@meanwhile
async def send_batch(client: t2bus.Client) -> None:
    async with client.open_publisher(Note, "") as publisher:
        await publisher.send_batch([Note("x"), Note("y")])


@meanwhile
async def connected(client: t2bus.Client) -> None:
    await client.connected()


each_call = pytest.mark.parametrize("call", MEANWHILE.values(), ids=MEANWHILE.keys())


@each_call
async def test_calls_made_meanwhile_wait(
    autojump_clock: Clock, scene: Scene, call: Callable[[t2bus.Client], Awaitable[object]]
) -> None:
    """A call without a connection waits until there is one, and then does what it is for."""
    await scene.place.lose()
    with trio.move_on_after(30) as scope:
        await call(scene.client)
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call, scene.client)
        await trio.sleep(5)
        await scene.place.restore()


@each_call
async def test_calls_that_wait_end_with_the_client(
    autojump_clock: Clock, scene: Scene, call: Callable[[t2bus.Client], Awaitable[object]]
) -> None:
    """Closing a client that has no connection ends whoever waits for one."""
    await scene.place.lose()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect, trio.ClosedResourceError, partial(call, scene.client))
        await trio.testing.wait_all_tasks_blocked()
        await scene.client.aclose()


async def test_what_waited_is_checked_against_the_new_bus(autojump_clock: Clock, scene: Scene) -> None:
    """A message that the new bus does not take is refused before it is sent."""
    await scene.place.lose()
    scene.place.limits = t2bus.Limits(frame=4096)
    async with scene.client.open_bytes_publisher("a") as publisher, trio.open_nursery() as nursery:
        too_large = bytes(5000)
        nursery.start_soon(expect, t2bus.MessageTooLarge, partial(scene.client.publish_bytes, "a", too_large))
        nursery.start_soon(expect, t2bus.MessageTooLarge, partial(publisher.send, too_large))
        nursery.start_soon(expect, t2bus.MessageTooLarge, partial(publisher.send_batch, [b"", too_large]))
        await trio.sleep(1)
        await scene.place.restore()
    await scene.client.publish_bytes("a", b"small")


# --- claims


async def test_promise_11_a_claim_that_another_has_taken_ends_that_service(autojump_clock: Clock, scene: Scene) -> None:
    """``ServiceRevoked`` says that the topic is another's now; everything else goes on."""
    async with scene.client.serve(Add, "") as requests, scene.client.subscribe(Note, "") as notes:
        await scene.place.lose()
        await trio.sleep(1)
        await scene.place.restore()
        async with scene.other() as other, other.serve(Add, ""):
            with pytest.raises(t2bus.ServiceRevoked, match="'add' was lost with the connection"):
                await requests.receive()
            await scene.client.publish("", Note("goes on"))
            assert isinstance(await anext(notes.items()), t2bus.Lagged)
            assert (await notes.receive()).body == Note("goes on")


async def test_serve_with_ends_with_a_claim_that_another_has_taken(autojump_clock: Clock, scene: Scene) -> None:
    """It raises, since there is nothing more for it to serve."""
    async with trio.open_nursery() as nursery:
        serve = partial(scene.client.serve_with, Add, "", add)
        nursery.start_soon(expect, t2bus.ServiceRevoked, serve)
        await trio.testing.wait_all_tasks_blocked()
        await scene.place.lose()
        await trio.sleep(1)
        await scene.place.restore()
        async with scene.other() as other, other.serve(Add, ""):
            await trio.sleep(5)
            assert not nursery.child_tasks


async def test_a_revoked_topic_can_be_claimed_again(autojump_clock: Clock, scene: Scene) -> None:
    """When the other has left, the client may serve it as if it were new."""
    async with scene.client.serve(Add, "") as requests:
        await scene.place.lose()
        await trio.sleep(1)
        await scene.place.restore()
        async with scene.other() as other, other.serve(Add, ""):
            await expect(t2bus.ServiceRevoked, requests.receive)
    async with scene.client.serve(Add, ""):
        pass


# --- the state


async def test_the_state_is_shown(autojump_clock: Clock, scene: Scene) -> None:
    """It goes from connected to connecting and back, with the reason beside it while there is no connection."""
    assert (scene.client.state, scene.client.last_error) == ("connected", None)
    await scene.place.lose()
    await trio.sleep(1)
    assert scene.client.state == "connecting"
    assert "no bus is there" in str(scene.client.last_error)
    await scene.place.restore()
    await scene.client.connected()
    assert (scene.client.state, scene.client.last_error) == ("connected", None)


@pytest.mark.parametrize("reconnect", [None, STEADY])
async def test_the_reason_is_there_when_a_call_raises(reconnect: t2bus.Reconnect | None) -> None:
    """Who catches ``Disconnected`` finds it in ``last_error``, at once."""
    async with (
        unsteady_bus() as place,
        place.open_client(reconnect=reconnect) as client,
        client.serve_bytes("x"),
        trio.open_nursery() as nursery,
    ):

        async def ask() -> None:
            with pytest.raises(t2bus.Disconnected) as caught:
                await client.request_bytes("x", b"")
            assert client.state != "connected"
            assert str(client.last_error) == str(caught.value)

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await place.lose()


async def test_a_client_that_was_closed_says_so(site: Site) -> None:
    """The reason is that the program has closed it, over each transport."""
    async with site.connect() as client:
        pass
    assert (client.state, str(client.last_error)) == ("closed", "this client was closed")


async def test_states_can_be_watched(autojump_clock: Clock, scene: Scene) -> None:
    """The iterator gives the state now and each one that comes, and ends with the client."""
    seen: list[str] = []

    async def watch() -> None:
        seen.extend([state async for state in scene.client.states()])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await trio.testing.wait_all_tasks_blocked()
        await scene.place.lose()
        await trio.sleep(1)
        await scene.place.restore()
        await scene.client.connected()
        await trio.testing.wait_all_tasks_blocked()
        await scene.client.aclose()
    assert seen == ["connected", "connecting", "connected", "closed"]


async def test_a_client_that_does_not_reconnect_is_disconnected(autojump_clock: Clock) -> None:
    """Its state says so for good, and ``connected`` raises what every call raises."""
    async with unsteady_bus() as place, place.open_client() as client:
        await client.connected()
        await place.lose()
        await wait_until(lambda: client.state == "disconnected")
        with pytest.raises(t2bus.Disconnected):
            await client.connected()
        assert [state async for state in client.states()] == ["disconnected"]


async def test_the_log_tells_of_loss_and_return(
    autojump_clock: Clock, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """One line each, as a warning and as news."""
    caplog.set_level(logging.INFO, "t2bus.client")
    await scene.restart()
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "t2bus.client"]
    assert [level for level, _ in lines] == ["WARNING", "INFO"]
    assert "it connects again" in lines[0][1]
    assert "connected again" in lines[1][1]


# --- waiting for the bus


async def test_the_log_tells_why_there_is_no_connection(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The first failure is a warning, for an address may be mistyped; then there is one a minute."""
    caplog.set_level(logging.INFO, "t2bus.client")
    with trio.move_on_after(119):
        async with t2bus.open_client("unix:nowhere", reconnect=STEADY):
            raise AssertionError
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "t2bus.client"]
    assert [level for level, _ in lines] == ["WARNING", "WARNING"]
    text = "not connected yet, it tries again: cannot connect to unix:nowhere: No such file or directory."
    assert all(line.startswith(text) for _, line in lines)


async def test_the_log_tells_that_the_bus_stays_away(
    autojump_clock: Clock, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """After the line for the loss there is one a minute with what the last try met."""
    caplog.set_level(logging.INFO, "t2bus.client")
    await scene.place.lose()
    await trio.sleep(119)
    lines = [record.getMessage() for record in caplog.records if record.name == "t2bus.client"]
    assert ["it connects again" in line for line in lines] == [True, False]
    assert lines[1].startswith("not connected yet, it tries again: ")


async def test_what_is_wrong_is_refused_while_the_bus_is_away(autojump_clock: Clock, scene: Scene) -> None:
    """What no bus would take raises at once, and does not wait for one."""
    client = scene.client
    await scene.place.lose()
    await wait_until(lambda: client.state == "connecting")
    with trio.fail_after(0.001):
        await expect(t2bus.InvalidTopic, lambda: client.publish("BAD topic", Note("")))
        await expect(t2bus.InvalidTopic, lambda: client.request_bytes("a/*", b""))
        await expect(TypeError, lambda: client.publish_bytes("a", "text"))  # type: ignore[arg-type]
        for opening in (client.subscribe_bytes("BAD topic"), client.serve_bytes("a/*")):
            await expect(t2bus.InvalidTopic, opening.__aenter__)


async def dialled_at(reconnect: t2bus.Reconnect, refusals: int) -> list[float]:
    """Return when a client tries to come to a bus that refuses so often, before it hangs."""
    times: list[float] = []

    async def open_stream() -> trio.abc.Stream:
        times.append(trio.current_time())
        if len(times) > refusals:
            await trio.sleep_forever()
        raise ConnectionRefusedError("not yet")

    with trio.move_on_after(1000):
        async with t2bus.open_client(open_stream, reconnect=reconnect):
            raise AssertionError
    return [round(time - times[0], 6) for time in times]


async def test_the_waits_double_up_to_the_longest(autojump_clock: Clock) -> None:
    """The first try is at once."""
    assert await dialled_at(STEADY, 6) == [0, 0.1, 0.3, 0.7, 1.5, 2.5, 3.5]


async def test_jitter_spreads_the_waits(autojump_clock: Clock) -> None:
    """Each wait is within its part of what it would be, and they differ from client to client."""
    reconnect = t2bus.Reconnect(first=1.0, longest=1.0, jitter=0.5)
    waits = [(await dialled_at(reconnect, 1))[1] for _ in range(20)]
    assert all(0.5 <= wait <= 1.5 for wait in waits)
    assert len(set(waits)) > 1


async def test_a_bus_that_is_lost_at_once_is_not_hammered(autojump_clock: Clock) -> None:
    """Connections that last for less than the wait before them do not bring the first wait back."""
    async with open_scene() as scene:
        begun_at, restarts = trio.current_time(), 0
        while trio.current_time() < begun_at + 10:
            await scene.restart()
            restarts += 1
    assert restarts <= 14


async def test_a_connection_that_lasts_brings_the_first_wait_back(autojump_clock: Clock) -> None:
    """After a good while the client is quick again."""
    async with open_scene() as scene:
        await scene.place.lose()
        await trio.sleep(20)
        await scene.place.restore()
        await scene.client.connected()
        await trio.sleep(2)
        lost_at = trio.current_time()
        await scene.restart()
        assert trio.current_time() - lost_at < 0.2


async def test_the_first_connection_is_waited_for(autojump_clock: Clock) -> None:
    """A program may start before its bus."""
    async with unsteady_bus() as place:
        await place.lose()
        async with trio.open_nursery() as nursery:

            async def restore() -> None:
                await trio.sleep(5)
                await place.restore()

            nursery.start_soon(restore)
            async with place.open_client(reconnect=STEADY) as client:
                assert 5 <= trio.current_time() < 7
                await client.publish("", Note("there"))


async def test_closing_while_the_bus_is_away_is_at_once(autojump_clock: Clock, scene: Scene) -> None:
    """Leaving the block of a client that has no connection takes no time."""
    await scene.place.lose()
    await trio.sleep(2)
    left_at = trio.current_time()
    await scene.client.aclose()
    assert trio.current_time() == left_at
    assert scene.client.state == "closed"


@pytest.mark.parametrize("passes", range(16))
async def test_closing_while_the_bus_is_found_ends_what_waits(autojump_clock: Clock, scene: Scene, passes: int) -> None:
    """At whatever moment of the return a client is closed, nobody waits for it any more."""
    async with scene.client.subscribe_bytes("a") as messages, trio.open_nursery() as nursery:
        await scene.place.lose()
        await scene.place.restore()
        await expect(t2bus.Lagged, messages.receive)
        nursery.start_soon(expect, trio.ClosedResourceError, messages.receive)
        await trio.sleep(STEADY.first)
        for _ in range(passes):
            await trio.lowlevel.checkpoint()
        await scene.client.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert not nursery.child_tasks


@pytest.mark.parametrize("again", range(6))  # Trio draws the order in which the tasks of a pass go on
@pytest.mark.parametrize("passes", range(10))
async def test_nothing_begins_after_closing_while_the_bus_is_found(
    autojump_clock: Clock, scene: Scene, passes: int, again: int
) -> None:
    """At whatever moment of the return another task closes a client, what is called then raises and does not wait."""
    close = trio.Event()

    async def close_then() -> None:
        await close.wait()
        await scene.client.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close_then)
        await scene.place.lose()
        await scene.place.restore()
        await trio.sleep(STEADY.first)
        for _ in range(passes):
            await trio.lowlevel.checkpoint()
        close.set()
    with trio.fail_after(1):
        await expect(trio.ClosedResourceError, lambda: scene.client.request_bytes("a", b""))
        await expect(trio.ClosedResourceError, lambda: scene.client.publish_bytes("a", b""))
        await expect(trio.ClosedResourceError, scene.client.subscribe_bytes("a").__aenter__)
    await trio.testing.wait_all_tasks_blocked()
    assert scene.place.bus is not None
    assert scene.place.bus.statistics().connections == 0


@pytest.mark.parametrize("passes", range(16))
async def test_a_bus_lost_before_all_is_open_again_is_no_return(
    autojump_clock: Clock, scene: Scene, caplog: pytest.LogCaptureFixture, passes: int
) -> None:
    """The log tells of a return when everything is registered again, not when the bus is lost before that."""
    async with scene.client.subscribe_bytes("a"):
        await scene.place.lose()
        await scene.place.restore()
        await trio.sleep(STEADY.first)
        for _ in range(passes):
            await trio.lowlevel.checkpoint()
        was_connected = scene.client.state == "connected"
        caplog.clear()
        caplog.set_level(logging.INFO, "t2bus.client")
        await scene.place.lose()
        await trio.testing.wait_all_tasks_blocked()
        assert "connected again" not in caplog.text
        assert was_connected or scene.client.last_error is not None


async def test_closing_is_no_loss(autojump_clock: Clock, scene: Scene) -> None:
    """A subscription of a client that was closed gives what had arrived, and no gap behind it."""
    async with scene.client.subscribe(Note, "") as notes:
        await scene.client.publish("", Note("x"))
        await scene.client.aclose()
        assert (await notes.receive()).body == Note("x")
        with pytest.raises(trio.ClosedResourceError):
            await notes.receive()


def test_contradictions_are_refused() -> None:
    """Bounds that make no sense raise when they are written down."""
    for wrong in ({"first": 0.0}, {"first": 2.0, "longest": 1.0}, {"jitter": 1.5}, {"jitter": -0.1}):
        with pytest.raises(ValueError, match=r"first|jitter"):
            t2bus.Reconnect(**wrong)


async def test_a_stream_cannot_be_opened_again() -> None:
    """To reconnect the client has to be told how a stream is opened."""
    near, _ = trio.testing.memory_stream_pair()
    with pytest.raises(ValueError, match="an asynchronous function that opens one"):
        async with t2bus.open_client(near, reconnect=STEADY):
            raise AssertionError
