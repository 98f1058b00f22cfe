"""What the command line makes of two looks at a bus: rates, an order, and what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest
import trio
from attrs import evolve, fields

import t2bus
from t2bus import status
from t2bus.broker.events import EventKind
from t2bus.cli.looking import KINDS
from t2bus.cli.looks import Looks, asked
from t2bus.cli.views import VIEWS, Seen, TrafficStatus, rows

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

TOPIC = TrafficStatus("topic", "a", messages=10, bytes=100, age=0.0, name=None)


@pytest.fixture
async def talker() -> AsyncGenerator[t2bus.Client, None]:
    """Open a bus, and give a client that has published to ``a`` there."""
    async with t2bus.open_bus() as bus, bus.open_client(name="talker") as client:
        await client.publish_bytes("a", b"12")
        yield client


async def two_looks(talker: t2bus.Client, view: str) -> tuple[Seen, Seen, float]:
    """Look, publish 30 messages of 3 bytes, and look again; give both rows, and the seconds between them."""
    looks = Looks(talker, VIEWS[view])
    (first,) = await looks.next()
    begun = trio.current_time()
    for _ in range(30):
        await talker.publish_bytes("a", b"12")
    await trio.sleep(3)
    (second,) = await looks.next()
    return first, second, trio.current_time() - begun


@pytest.mark.parametrize(
    ("view", "grown"),
    [
        ("clients", {"received": 30, "sent": 0, "received_bytes": 90, "sent_bytes": 0}),
        ("ls", {"messages": 30, "bytes": 90}),
        ("status", {"published": 30, "delivered": 0, "dropped": 0, "requests": 0}),
    ],
)
async def test_rates_are_of_two_looks(
    talker: t2bus.Client, view: str, grown: dict[str, int], autojump_clock: trio.abc.Clock
) -> None:
    """What is counted between two looks is divided by the seconds between them; the first look has no rates."""
    first, second, seconds = await two_looks(talker, view)
    assert first.rates is None
    assert second.rates == pytest.approx({name: count / seconds for name, count in grown.items()})


async def test_documents_have_all_attributes(talker: t2bus.Client, autojump_clock: trio.abc.Clock) -> None:
    """JSON has the fields of the class, and the rates under names of their own."""
    _, row, seconds = await two_looks(talker, "clients")
    document = row.document()
    assert (document["name"], document["received_per_second"]) == ("talker", pytest.approx(30 / seconds, abs=0.001))
    assert set(document) == {each.name for each in fields(status.ClientStatus)} | {
        f"{name}_per_second" for name in VIEWS["clients"].counts
    }


def test_what_is_counted_anew_has_no_negative_rate() -> None:
    """A topic that was forgotten and has come again counts from nothing."""
    (row,) = rows(VIEWS["ls"], listed(messages=4, bytes=40), listed(), 2.0)
    assert row.rates == {"messages": 2, "bytes": 20}


def test_what_has_come_counts_from_nothing() -> None:
    """What was not there at the first look has changed, and all that it did it did since."""
    (row,) = rows(VIEWS["ls"], listed(messages=4, bytes=40), [], 2.0)
    assert (row.is_changed, row.rates) == (True, {"messages": 2, "bytes": 20})


def test_what_stands_still_has_not_changed() -> None:
    """Where nothing was counted nothing has changed, though it has become older."""
    (row,) = rows(VIEWS["ls"], listed(age=5.0), listed(), 1.0)
    assert (row.is_changed, row.rates) == (False, {"messages": 0, "bytes": 0})


def listed(**changes: Any) -> list[object]:
    """What ``ls`` has of one topic."""
    return [evolve(TOPIC, **changes)]


def test_subscriptions_of_the_same_topic_are_two() -> None:
    """A client may subscribe twice to a topic, and each is set against itself."""
    one = status.SubscriptionStatus("a", 1, "x", "local", 10, 10, delivered=5, held=0, dropped=0)
    other = evolve(one, delivered=50)
    found = rows(VIEWS["subs"], [evolve(one, delivered=6), evolve(other, delivered=52)], [one, other], 1.0)
    assert [row.rates["delivered"] for row in found if row.rates is not None] == [1, 2]


@pytest.mark.parametrize(("took", "pause"), [(0.0, 1.0), (0.2, 0.8), (0.5, 2.0), (2.0, 8.0)])
async def test_asking_takes_a_fifth_of_the_time(
    took: float, pause: float, talker: t2bus.Client, autojump_clock: trio.abc.Clock
) -> None:
    """The next look is a second after the last one has begun, or later where looking takes long."""

    async def ask(_: t2bus.Client, *, server: str | None = None) -> list[object]:
        await trio.sleep(took)
        return listed()

    looks = Looks(talker, evolve(VIEWS["ls"], ask=ask))
    assert looks.due <= trio.current_time()
    await looks.next()
    assert looks.due - trio.current_time() == pytest.approx(pause)


async def test_a_bus_that_hangs(autojump_clock: trio.abc.Clock) -> None:
    """Who asks a bus that does not answer is told so in bounded time."""
    async with t2bus.open_bus() as bus, bus.open_client() as client:

        async def hang(_: t2bus.Client) -> None:
            await trio.sleep_forever()

        with pytest.raises(t2bus.RequestTimeout, match="the bus has not answered within 10 s"):
            await asked(client, hang)


def test_every_view_has_rates_that_are_counted() -> None:
    """A column of a rate shows an attribute that is counted, so that it is never empty."""
    for view in VIEWS.values():
        assert {column.field for column in view.columns if column.per_second} <= set(view.counts)


def test_kinds_of_events() -> None:
    """The grammar, which may not import them, has the kinds of events that there are."""
    assert get_args(EventKind) == KINDS
