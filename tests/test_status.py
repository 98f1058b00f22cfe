"""What a bus says of itself: the answers at its own topics, and the events there."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

import t2bus
from broker_helpers import bus as bus_of
from bus_helpers import Add, Note, Sum, add, open_peer, wait_until
from cli_helpers import command
from t2bus import status
from t2bus.protocol import decode, encode
from t2bus.wire import messages as m
from t2bus.wire.values import Deflated, ErrorCode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from t2bus.wire.values import Payload


@pytest.fixture
async def bus() -> AsyncGenerator[t2bus.Bus, None]:
    """Open a bus at a port, with small windows."""
    limits = t2bus.Limits(subscription_messages=10)
    async with t2bus.open_bus("tcp:127.0.0.1:0", limits=limits) as bus:
        yield bus


@pytest.fixture
async def client(bus: t2bus.Bus) -> AsyncGenerator[t2bus.Client, None]:
    """Open the client that asks."""
    async with bus.open_client(name="asker") as client:
        yield client


# --- the bus


async def test_the_status_is_what_the_bus_counts(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """The status has the figures of ``bus.statistics()``, and which process of what version it is, and where."""
    async with client.subscribe(Note, "x"):
        await client.publish("x", Note("hello"))
        said = await client.request("", status.StatusRequest())
        statistics = attrs.asdict(bus.statistics())
    assert {name: getattr(said, name) for name in statistics if name != "identities"} == {
        name: value for name, value in statistics.items() if name != "identities"
    }
    assert (said.version, said.process, tuple(said.addresses)) == (t2bus.__version__, os.getpid(), bus.addresses)
    assert (said.published, said.delivered) == (1, 1)


async def test_the_age_is_since_the_bus_opened(autojump_clock: trio.abc.Clock) -> None:
    """The bus is as old as it is open."""
    async with t2bus.open_bus() as bus, bus.open_client() as client:
        await trio.sleep(50)
        assert (await client.request("", status.StatusRequest())).age == pytest.approx(50)


# --- clients


async def test_a_client_is_shown_with_what_it_is(folder: Path) -> None:
    """A client has its name, its identity, its address and wire, as the bus knows them."""
    address = f"unix:{folder}/bus"
    async with (
        t2bus.open_bus(address) as bus,
        bus.open_client(name="one") as one,
        t2bus.open_client(address, name="two"),
    ):
        first, second = await status.clients(one)
    assert (first.id, first.name, first.identity, first.address, first.wire) == (1, "one", "local", "memory", "t2bus")
    own = f"uid:{os.geteuid()}"
    assert (second.id, second.name, second.identity, second.address) == (2, "two", own, address)


async def test_a_client_that_does_not_name_itself_has_no_name(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """Whoever says nothing of a name is let in, and shown without one."""
    async with open_peer(bus) as peer:
        await peer.shake_hands()
        _, other = await status.clients(client)
    assert (other.name, other.identity) == ("", "anonymous")
    assert other.address.startswith("tcp:127.0.0.1:")


async def test_what_passes_is_counted_both_ways(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """Publications and deliveries, requests and answers count for who sends them and for who gets them."""
    async with (
        bus.open_client() as talker,
        bus.open_client() as listener,
        listener.subscribe_bytes("a"),
        listener.subscribe_bytes("*"),
        trio.open_nursery() as nursery,
    ):
        await talker.publish_bytes("a", b"four")
        async with talker.open_bytes_publisher("a") as publisher:
            await publisher.send_batch([b"four"] * 2)
        await nursery.start(listener.serve_bytes_with, "double", double)
        assert await talker.request_bytes("double", b"ab") == b"abab"
        _, one, two = await status.clients(client)
        nursery.cancel_scope.cancel()
    assert (one.received, one.received_bytes) == (4, 3 * 5 + 8)
    assert (one.sent, one.sent_bytes) == (1, 4)
    assert (two.received, two.received_bytes) == (1, 4)
    assert (two.sent, two.sent_bytes) == (2 * 3 + 1, 2 * 3 * 5 + 8)
    assert (two.subscriptions, two.services) == (2, 1)


async def double(body: bytes) -> bytes:  # noqa: ASYNC124 -- a handler is async
    """Answer with the body twice."""
    return 2 * body


async def test_what_a_closed_subscription_had_stays_counted(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """Deliveries count for a client from its beginning, whatever has become of the subscription."""
    async with bus.open_client() as other:
        async with other.subscribe_bytes("a") as messages:
            for _ in range(20):
                await client.publish_bytes("a", b"four")
                await messages.receive()
        _, shown = await status.clients(client)
    assert (shown.sent, shown.sent_bytes, shown.subscriptions) == (20, 100, 0)


async def test_who_lags_is_shown(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """Of a subscriber that takes nothing it is seen what it has missed, and that no place of its window is free."""
    async with bus.open_client(name="slow") as slow, slow.subscribe(Note, "x"):
        for _ in range(15):
            await client.publish("x", Note("hello"))
        _, shown = await status.clients(client)
        (subscription,) = await status.subscriptions(client)
    assert (shown.dropped, shown.held) == (5, 0)
    assert attrs.asdict(subscription) == {
        "topic": "note/x",
        "client": 2,
        "name": "slow",
        "identity": "local",
        "window": 10,
        "free": 0,
        "delivered": 10,
        "held": 0,
        "dropped": 5,
    }


async def test_what_is_pending_is_shown(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """A request that is not answered is shown with its requester, its responder and the service."""
    async with (
        bus.open_client(name="server") as server,
        server.serve(Add, "x") as requests,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.request, "x", Add(1, 2))
        request = await requests.receive()
        one, two = await status.clients(client)
        (service,) = await status.services(client)
        await request.respond(Sum(3))
    assert (one.requests, one.calls, two.requests, two.calls) == (1, 0, 0, 1)
    assert (service.topic, service.client, service.name, service.identity) == ("add/x", 2, "server", "local")
    assert (service.pending, service.calls, service.window) == (1, 1, bus.limits.service_requests)


# --- topics


async def test_topics_are_counted(autojump_clock: trio.abc.Clock) -> None:
    """Each topic that was published to has its publications, their bytes, and the time since the last one."""
    async with t2bus.open_bus() as bus, bus.open_client() as client:
        await client.publish_bytes("a/*", b"")
        await trio.sleep(5)
        for _ in range(3):
            await client.publish_bytes("a", b"four")
        await trio.sleep(1)
        first, second = await status.topics(client)
    assert (first.topic, first.messages, first.bytes) == ("a", 3, 15)
    assert (second.topic, second.messages, second.bytes) == ("a/*", 1, 3)
    assert [first.age, second.age] == pytest.approx([1, 6])


async def test_the_topics_that_are_counted_are_bounded() -> None:
    """However many topics there are, so many are counted, and one that goes on being published to stays."""
    async with t2bus.open_bus(limits=t2bus.Limits(routes=50)) as bus, bus.open_client() as client:
        for number in range(500):
            await client.publish_bytes(f"t{number}", b"")
            await client.publish_bytes("steady", b"")
        counted = {each.topic: each.messages for each in await status.topics(client)}
    assert len(counted) == 100
    assert counted["steady"] == 500
    assert "t499" in counted


async def test_what_is_refused_is_not_counted(client: t2bus.Client) -> None:
    """A publication to the bus's own topics is none."""
    with pytest.raises(t2bus.InvalidTopic):
        await client.publish_bytes("bus/x", b"")
    assert await status.topics(client) == []


# --- pages


async def test_lists_come_in_pages(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """A page has so many entries, the next one those behind it, and together they are all, in order."""
    async with bus.open_client() as other, trio.open_nursery() as nursery:
        for number in range(250):
            await nursery.start(opened, other, f"t{number}")
        first = await client.request("", status.SubscriptionsRequest())
        assert len(first.subscriptions) == 100
        second = await client.request("", status.SubscriptionsRequest(first.next or (0, 0)))
        assert [each.topic for each in second.subscriptions] == [f"t{number}" for number in range(100, 200)]
        assert [each.topic for each in await status.subscriptions(client)] == [f"t{number}" for number in range(250)]
        nursery.cancel_scope.cancel()


async def opened(
    client: t2bus.Client, topic: str, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Keep a subscription open."""
    async with client.subscribe_bytes(topic):
        task_status.started()
        await trio.sleep_forever()


async def test_all_clients_are_in_the_pages(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """Of more clients than a page has each is there once."""
    async with trio.open_nursery() as nursery:
        for _ in range(130):
            await nursery.start(connected, bus)
        assert [each.id for each in await status.clients(client)] == list(range(1, 132))
        nursery.cancel_scope.cancel()


async def connected(bus: t2bus.Bus, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Keep a client connected."""
    async with bus.open_client():
        task_status.started()
        await trio.sleep_forever()


async def test_a_page_fits_in_a_frame() -> None:
    """Where frames are small pages are too, and nothing is left out."""
    async with t2bus.open_bus(limits=t2bus.Limits(frame=1000)) as bus, bus.open_client() as client:
        for number in range(200):
            await client.publish_bytes(f"{'x' * 100}/{number}", b"")
        assert len(await status.topics(client)) == 200


async def test_an_entry_that_fits_in_no_frame() -> None:
    """Where not even one entry fits in a frame, the request is refused so, and the bus goes on."""
    async with t2bus.open_bus(limits=t2bus.Limits(frame=270)) as bus, bus.open_client() as client:
        await client.publish_bytes("x" * 200, b"")
        with pytest.raises(t2bus.MessageTooLarge, match="bus/topics"):
            await status.topics(client)
        assert len(await client.request_bytes("bus/subscriptions", encode(status.SubscriptionsRequest()))) < 270


def test_a_page_of_clients_that_serve_much_is_short() -> None:
    """What clients serve is counted for a page as what they subscribe to is, so that it is made in bounded time."""
    one_bus = bus_of(services=1000)
    for number in range(4):
        server = one_bus.connect()
        for topic in range(1000):
            server.claim(f"s/{number}/{topic}")
        server.subscribe()
    asker = one_bus.connect()
    asker.request("bus/clients", encode(status.ClientsRequest()))
    (answer,) = asker.read()
    assert isinstance(answer, m.Response)
    assert isinstance(answer.payload, bytes)
    page = decode(answer.payload, status.Clients)
    assert [(each.services, each.subscriptions) for each in page.clients] == [(1000, 1)] * 2
    assert page.next == page.clients[-1].id


def test_answers_that_are_not_read_are_bounded() -> None:
    """Who asks and does not read is refused when its outbox is full."""
    one_bus = bus_of(outbox_bytes=1_100_000)
    peer = one_bus.connect()
    peer.read()
    for _ in range(10_000):
        peer.request("bus/status", encode(status.StatusRequest()))
        if peer.peer.outbox.control_size:
            break
    *answers, refusal = peer.read()
    assert {type(answer) for answer in answers} == {m.Response}
    assert isinstance(refusal, m.Refused)
    assert refusal.code is ErrorCode.LIMIT_EXCEEDED


@pytest.mark.parametrize(
    "payload", [b"\x80" * 2000, Deflated(zlib.compress(bytes(1 << 20)))], ids=["long", "compressed"]
)
def test_a_long_request_is_refused_unread(payload: Payload) -> None:
    """What the bus itself is asked is short and not compressed: it is read in a turn of the router, for all to wait."""
    peer = bus_of().connect()
    peer.feed(m.Ask(1, None, "bus/status", payload))
    (refusal,) = peer.read()
    assert isinstance(refusal, m.Refused)
    assert (refusal.code, refusal.text) == (
        ErrorCode.MESSAGE_TOO_LARGE,
        "a request to the bus itself has at most 768 bytes, which are not compressed",
    )


def test_what_the_bus_has_not_is_quoted_in_short() -> None:
    """However long the topic is that the bus is asked for, and whatever is in it, the refusal is one short line."""
    peer = bus_of().connect()
    peer.feed(m.Ask(1, None, "bus/" + "\n" * 1_000_000, b""))
    (refusal,) = peer.read()
    assert isinstance(refusal, m.Refused)
    assert refusal.code is ErrorCode.SERVICE_NOT_FOUND
    assert len(refusal.text) < 300
    assert refusal.text.isprintable()


# --- what is the bus's own


@pytest.mark.parametrize("topic", ["bus", "bus/x", "bus/event/left", "bus/**"])
async def test_nobody_else_publishes_there(client: t2bus.Client, topic: str) -> None:
    """A publication to the bus's own topics is refused, one by one, in a run, and with wildcards."""
    with pytest.raises(t2bus.InvalidTopic, match="the bus's own"):
        await client.publish_bytes(topic, b"")
    with pytest.raises(t2bus.InvalidTopic, match="the bus's own"):
        async with client.open_bytes_publisher(topic) as publisher:
            await publisher.send_batch([b"", b""])


async def test_nobody_else_serves_there(client: t2bus.Client) -> None:
    """A claim of one of the bus's own topics is refused, and the bus goes on answering."""
    with pytest.raises(t2bus.InvalidTopic, match="the bus's own"):
        async with client.serve_bytes("bus/status"):
            pass
    assert (await client.request("", status.StatusRequest())).services == 0


async def test_a_topic_that_begins_alike_is_no_such(client: t2bus.Client) -> None:
    """Only the first fragment counts: ``buses/1`` and ``a/bus`` are topics as others."""
    async with client.subscribe_bytes("**") as messages:
        for topic in ("buses/1", "bus_", "a/bus"):
            assert await client.publish_bytes(topic, b"") == 1
            assert (await messages.receive()).topic == topic


async def test_unknown_topics_of_the_bus(client: t2bus.Client) -> None:
    """Asked for what it does not have, the bus says what there is."""
    with pytest.raises(t2bus.ServiceNotFound, match="bus/status, bus/clients"):
        await client.request_bytes("bus/nothing", b"")


@pytest.mark.parametrize("payload", [b"", b"\xff", encode(status.TopicsRequest("x"))])
async def test_malformed_requests(client: t2bus.Client, payload: bytes) -> None:
    """A request that is none of its class is answered so, and costs nobody anything."""
    with pytest.raises(t2bus.MalformedMessage):
        await client.request_bytes("bus/clients", payload)
    assert len(await status.clients(client)) == 1


async def test_access_rules_decide_who_may_ask(folder: Path) -> None:
    """Who may not request a topic of the bus is denied, as with any other topic."""
    access = folder / "access.toml"
    access.write_text('[identity.local]\nrequest = ["bus/status"]\n')
    async with t2bus.open_bus(access=access) as bus, bus.open_client() as client:
        assert (await client.request("", status.StatusRequest())).connections == 1
        with pytest.raises(t2bus.PermissionDenied):
            await status.clients(client)


async def test_who_does_not_read_gets_no_answers(bus: t2bus.Bus) -> None:
    """A peer that asks and never reads is not heard for ever: what waits for it is bounded."""
    async with open_peer(bus) as peer, bus.open_client() as client:
        await peer.shake_hands()
        request = encode(status.StatusRequest())
        with trio.move_on_after(2):
            for number in range(1, 200_000):
                await peer.send(m.Ask(number, None, "bus/status", request))
        assert bus.statistics().buffered_bytes <= bus.limits.outbox_bytes
        assert len(await status.clients(client)) == 2


# --- events


async def test_what_happens_is_told(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """Who has subscribed to events hears of each client that comes, subscribes, claims, releases and leaves."""
    async with client.subscribe(status.Event, "*") as events:
        assert (await events.receive()).body.kind == "subscribed"
        async with bus.open_client(name="oven") as oven:
            async with oven.serve(Add, "x"):
                pass
            async with oven.subscribe(Note, "y"):
                pass
        told = [(await events.receive()) for _ in range(6)]
    assert [(topic, event.name, event.topic) for topic, event in told] == [
        ("bus/event/connected", "oven", None),
        ("bus/event/claimed", "oven", "add/x"),
        ("bus/event/released", "oven", "add/x"),
        ("bus/event/subscribed", "oven", "note/y"),
        ("bus/event/unsubscribed", "oven", "note/y"),
        ("bus/event/left", "oven", None),
    ]


async def test_who_is_let_in_later_is_told_why_others_left(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """A client that breaks off is told with the reason."""
    async with client.subscribe(status.Event, "left") as events:
        async with open_peer(bus) as peer:
            await peer.shake_hands()
        _, event = await events.receive()
    assert (event.kind, event.identity, event.text) == ("left", "anonymous", "the peer closed it")


async def test_lagging_and_denials_are_told(folder: Path) -> None:
    """The first message that is missed is told, and what access rules refuse."""
    access = folder / "access.toml"
    access.write_text('[identity.local]\nsubscribe = ["**"]\npublish = ["a"]\n')
    limits = t2bus.Limits(subscription_messages=2)
    async with (
        t2bus.open_bus(access=access, limits=limits) as bus,
        bus.open_client() as client,
        client.subscribe(status.Event, "lagging") as lags,
        client.subscribe(status.Event, "denied") as denials,
        client.subscribe_bytes("a"),
    ):
        for _ in range(5):
            await client.publish_bytes("a", b"")
        with pytest.raises(t2bus.PermissionDenied):
            await client.publish_bytes("b", b"")
        lagging, denied = (await lags.receive()).body, (await denials.receive()).body
    assert (lagging.kind, lagging.topic, lagging.dropped) == ("lagging", "a", 1)
    assert (denied.kind, denied.topic) == ("denied", None)
    assert denied.text == "'local' may not publish to 'b'"


@pytest.mark.parametrize("topic", ["**", "*/event/**", "**/left"])
async def test_nobody_hears_of_it_who_did_not_name_it(bus: t2bus.Bus, client: t2bus.Client, topic: str) -> None:
    """A subscription whose first fragment is a wildcard sees none of the bus's own topics."""
    async with client.subscribe_bytes(topic) as messages:
        async with bus.open_client():
            pass
        await wait_until(lambda: bus.statistics().connections == 1)
        with pytest.raises(trio.WouldBlock):
            messages.receive_nowait()


async def test_who_takes_no_events_lags_as_anybody(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """Events are dropped for a subscriber whose window is spent, and it is told how many."""
    async with client.subscribe(status.Event, "connected") as events:
        for _ in range(15):
            async with bus.open_client():
                pass
        for _ in range(10):
            await events.receive()
        with pytest.raises(t2bus.Lagged) as caught:
            await events.receive()
    assert caught.value.dropped == 5


async def test_requests_of_a_typed_service_stay_apart(bus: t2bus.Bus, client: t2bus.Client) -> None:
    """Other services work as before beside the bus's own."""
    async with bus.open_client() as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_with, Add, "x", add)
        assert await client.request("x", Add(1, 2)) == Sum(3)
        nursery.cancel_scope.cancel()


async def test_commands_are_shown_with_their_verb(folder: Path) -> None:
    """A verb of the command line is called after itself and its process."""
    address = f"unix:{folder}/bus"
    async with t2bus.open_bus(address) as bus, bus.open_client() as client:
        async with command("sub", "a", "--addr", address) as sub:
            await sub.stderr.until("subscribed")
            _, shown = await status.clients(client)
        assert shown.name == f"t2bus sub[{sub.process.pid}]"
