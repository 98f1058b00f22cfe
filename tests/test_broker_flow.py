"""One subscription as the bus sees it: credit, what waits behind a spent window, gaps, stalling and lagging."""

from __future__ import annotations

import pytest

from broker_helpers import Bus, RawPeer, bus, open_three
from pure_helpers import acknowledged, of_kind, payloads, stream
from t2bus.wire import messages as m


def publish(publisher: RawPeer, text: str, *, paced: bool = False) -> None:
    """Publish each letter on its own."""
    for letter in text:
        publisher.publish("a", letter.encode(), paced=paced)


# --- credit


def test_each_delivery_uses_a_message_of_credit() -> None:
    """As many messages are delivered as the window has, and no more."""
    publisher, subscriber, number = open_three(bus(), window=2)
    publish(publisher, "123")
    assert stream(subscriber.read(), number) == [b"1", b"2"]


def test_the_last_message_may_run_over_the_bytes() -> None:
    """A delivery is made while both credits are above zero, however large it is."""
    publisher, subscriber, number = open_three(bus(), window=10, size=4)
    publish(publisher, "1")
    publisher.publish("a", b"x" * 50)
    publish(publisher, "3")
    assert stream(subscriber.read(), number) == [b"1", b"x" * 50]


def test_an_overrun_is_given_back_before_more_is_sent() -> None:
    """After an overrun nothing is delivered until credit has made up for all of it."""
    publisher, subscriber, number = open_three(bus(), window=10, size=4)
    publisher.publish("a", b"x" * 49)
    subscriber.credit(number, 0, 46)
    publish(publisher, "2")
    subscriber.read()
    subscriber.credit(number, 0, 1)
    assert subscriber.read() == [m.Gap(number, 1)]


def test_credit_beyond_the_window_is_capped() -> None:
    """A client that gives back more than was used has its window and no more."""
    publisher, subscriber, number = open_three(bus(), window=2)
    subscriber.credit(number, 1 << 60, 1 << 60)
    publish(publisher, "123")
    assert stream(subscriber.read(), number) == [b"1", b"2"]


def test_bytes_beyond_the_window_are_capped() -> None:
    """A client that gives back more bytes than were used has its window of bytes and no more."""
    publisher, subscriber, number = open_three(bus(), window=10, size=4)
    subscriber.credit(number, 0, 1 << 60)
    publish(publisher, "123")
    assert stream(subscriber.read(), number) == [b"1", b"2"]


def test_the_bus_caps_the_window() -> None:
    """A client may ask for any window and gets no more than the bus gives."""
    publisher, subscriber, number = open_three(bus(subscription_messages=3, subscription_bytes=5), window=1 << 60)
    publish(publisher, "1234")
    assert stream(subscriber.read(), number) == [b"1", b"2", b"3"]
    subscriber.credit(number, 3, 100)
    publish(publisher, "567")
    assert stream(subscriber.read(), number) == [1, b"5", b"6", b"7"]


def test_credit_for_a_closed_subscription_means_nothing() -> None:
    """Credit that crosses an UNSUBSCRIBE on its way is no error."""
    _, subscriber, number = open_three(bus(), window=2)
    subscriber.unsubscribe(number)
    subscriber.read()
    subscriber.credit(number)
    assert subscriber.read() == []


# --- gaps


def test_a_gap_stands_where_messages_are_missing() -> None:
    """What finds no credit is missed, counted, and told before the next delivery."""
    publisher, subscriber, number = open_three(bus(), window=2)
    publish(publisher, "1234")
    subscriber.read()
    subscriber.credit(number)
    publish(publisher, "567")
    subscriber.credit(number, 2)
    publish(publisher, "8")
    assert stream(subscriber.read(), number) == [2, b"5", 2, b"8"]


def test_a_gap_is_told_as_soon_as_there_is_credit() -> None:
    """A subscriber hears what it missed without waiting for another publication."""
    publisher, subscriber, number = open_three(bus(), window=1)
    publish(publisher, "123")
    subscriber.read()
    subscriber.credit(number)
    assert subscriber.read() == [m.Gap(number, 2)]


def test_a_gap_is_not_told_without_credit() -> None:
    """A subscriber that gives nothing back is sent nothing, not even the news of it."""
    publisher, subscriber, number = open_three(bus(), window=1)
    publish(publisher, "123")
    subscriber.read()
    subscriber.credit(number, 0)
    assert subscriber.read() == []


def test_no_room_in_the_outbox_is_a_gap_too() -> None:
    """A publication for which the outbox has no room is missed, and told when what waited is written."""
    publisher, subscriber, number = open_three(bus(outbox_bytes=4), window=10)
    publish(publisher, "123")
    assert stream(subscriber.read(), number) == [b"1", b"2"]
    assert subscriber.read() == [m.Gap(number, 1)]


def test_what_is_missed_is_counted() -> None:
    """The statistics count each delivery and each drop, one for each subscription."""
    one_bus = bus()
    publisher, _, _ = open_three(one_bus, window=2)
    publish(publisher, "12345")
    statistics = one_bus.router.statistics()
    assert (statistics.published, statistics.delivered, statistics.dropped) == (5, 2, 3)


def test_each_subscription_counts_what_it_missed() -> None:
    """The statistics of a connection say how much each of its subscriptions has missed, whether told of it or not."""
    one_bus = bus()
    publisher, subscriber, number = open_three(one_bus, window=2)
    other = subscriber.subscribe("a", messages=4)
    publish(publisher, "12345")
    assert [each.dropped for each in subscriber.statistics.subscriptions.values()] == [3, 1]
    subscriber.credit(number, 1)
    publish(publisher, "67")
    assert [each.dropped for each in subscriber.statistics.subscriptions.values()] == [4, 3]
    assert one_bus.router.statistics().dropped == 7
    subscriber.unsubscribe(other)
    assert [each.dropped for each in subscriber.statistics.subscriptions.values()] == [4]


# --- held


def test_paced_publications_are_held_in_order() -> None:
    """What a paced publisher sends into a spent window arrives, all of it and in order, as credit comes."""
    publisher, subscriber, number = open_three(bus(), window=2)
    publish(publisher, "123456", paced=True)
    heard = stream(subscriber.read(), number)
    while heard[-1] != b"6":
        subscriber.credit(number, 1)
        heard += stream(subscriber.read(), number)
    assert heard == [b"1", b"2", b"3", b"4", b"5", b"6"]


def test_held_publications_are_acknowledged_when_there_is_room() -> None:
    """A paced publication is acknowledged when it was delivered, with the connection that it was held for."""
    publisher, subscriber, number = open_three(bus(), window=1)
    publish(publisher, "123", paced=True)
    assert acknowledged(publisher.read()) == {1: 1}
    subscriber.credit(number, 1)
    assert acknowledged(publisher.read()) == {2: 1}
    subscriber.credit(number, 1)
    assert acknowledged(publisher.read()) == {3: 1}


def test_unpaced_behind_held_is_missed_in_its_place() -> None:
    """Nothing overtakes what is held: an unpaced publication behind it is missed, there and not elsewhere."""
    publisher, subscriber, number = open_three(bus(), window=1)
    publish(publisher, "12", paced=True)
    publish(publisher, "34")
    publish(publisher, "5", paced=True)
    heard = stream(subscriber.read(), number)
    for _ in range(4):
        subscriber.credit(number, 1)
        heard += stream(subscriber.read(), number)
    assert heard == [b"1", b"2", 2, b"5"]


def test_nothing_overtakes_what_is_held() -> None:
    """With room in the outbox for a small message, it still waits behind a large one that is held."""
    publisher, subscriber, number = open_three(bus(outbox_bytes=10), window=10)
    publisher.publish("a", b"x" * 5, paced=True)
    publisher.publish("a", b"y" * 5, paced=True)
    publish(publisher, "z", paced=True)
    assert stream(subscriber.read(), number) == [b"x" * 5]
    assert stream(subscriber.read(), number) == [b"y" * 5, b"z"]


def test_written_releases_what_waited_for_room() -> None:
    """What is held because the outbox is full is delivered, and acknowledged, when that is written."""
    publisher, subscriber, number = open_three(bus(outbox_bytes=2), window=10)
    publish(publisher, "12", paced=True)
    assert acknowledged(publisher.read()) == {1: 1}
    assert stream(subscriber.read(), number) == [b"1"]
    assert acknowledged(publisher.read()) == {2: 1}
    assert stream(subscriber.read(), number) == [b"2"]


def test_what_is_being_written_still_takes_room() -> None:
    """What is taken from the outbox makes room when it is written, not before."""
    publisher, subscriber, number = open_three(bus(outbox_bytes=2), window=10)
    publish(publisher, "12", paced=True)
    subscriber.outbox.take()
    subscriber.credit(number, 1, 1)
    assert acknowledged(publisher.read()) == {1: 1}
    subscriber.router.written(subscriber.peer)
    assert acknowledged(publisher.read()) == {2: 1}


def test_the_room_of_an_outbox_is_shared_in_turns() -> None:
    """A subscription with much behind it leaves room for the others of its connection."""
    one_bus = bus(outbox_bytes=2)
    publisher, subscriber = one_bus.connect(), one_bus.connect()
    for topic in "ab":
        subscriber.subscribe(topic)
        for _ in range(5):
            publisher.publish(topic, paced=True)
    heard = [each.publication.topic for _ in range(10) for each in of_kind(subscriber.read(), m.Deliver)]
    assert heard == list("aababababb")


def test_what_can_never_fit_is_not_held() -> None:
    """A publication larger than a whole outbox is missed at once: there will never be room for it."""
    publisher, subscriber, number = open_three(bus(outbox_bytes=10), window=2)
    publisher.publish("a", b"x" * 10, paced=True)
    assert acknowledged(publisher.read()) == {1: 0}
    publish(publisher, "2")
    assert stream(subscriber.read(), number) == [1, b"2"]


def test_held_publications_are_in_the_statistics() -> None:
    """The statistics show what is held, in deliveries and bytes."""
    one_bus = bus()
    publisher, _, _ = open_three(one_bus, window=1)
    publish(publisher, "123", paced=True)
    statistics = one_bus.router.statistics()
    assert (statistics.deliveries_held, statistics.buffered_bytes) == (2, 6)


# --- stalled


def stalled(one_bus: Bus, window: int = 4) -> tuple[RawPeer, RawPeer, int]:
    """A subscription whose window was spent, and that has let go of two publications after the stall time."""
    publisher, subscriber, number = open_three(one_bus, window=window)
    publish(publisher, "x" * window)
    publish(publisher, "12", paced=True)
    one_bus.router.expire(1.0)
    subscriber.read()
    return publisher, subscriber, number


def test_a_stalled_subscriber_holds_nobody() -> None:
    """What is held for a subscriber that gives no credit for the stall time is acknowledged without it."""
    one_bus = bus(stall=1.0)
    publisher, _, _ = open_three(one_bus, window=1)
    publish(publisher, "123", paced=True)
    publisher.read()
    one_bus.router.expire(0.99)
    assert acknowledged(publisher.read()) == {}
    one_bus.router.expire(1.0)
    assert acknowledged(publisher.read()) == {2: 0, 3: 0}


def test_the_stall_time_begins_with_the_first_held() -> None:
    """A subscriber that had nothing to do for long is not taken for stalled."""
    one_bus = bus(stall=1.0)
    publisher, _, _ = open_three(one_bus, window=1)
    publisher.now = 100.0
    publish(publisher, "12", paced=True)
    assert one_bus.router.next_deadline() == 101.0


def test_what_is_held_later_does_not_put_the_stall_off() -> None:
    """A publisher that goes on sending does not keep a dead subscriber alive."""
    one_bus = bus(stall=1.0)
    publisher, _, _ = open_three(one_bus, window=1)
    publish(publisher, "12", paced=True)
    publisher.now = 0.9
    publish(publisher, "3", paced=True)
    assert one_bus.router.next_deadline() == 1.0


def test_credit_is_a_sign_of_life() -> None:
    """Credit starts the stall time again while something is held."""
    one_bus = bus(stall=1.0)
    publisher, subscriber, number = open_three(one_bus, window=1)
    publish(publisher, "123", paced=True)
    subscriber.now = 0.9
    subscriber.credit(number)
    assert one_bus.router.next_deadline() == 1.9
    one_bus.router.expire(1.8)
    assert acknowledged(publisher.read()) == {1: 1, 2: 1}


@pytest.mark.parametrize(("messages", "size"), [(0, 0), (0, 1)])
def test_empty_credit_is_no_sign_of_life(messages: int, size: int) -> None:
    """A client cannot hold publishers up for ever by giving back nothing that it took."""
    one_bus = bus(stall=1.0)
    publisher, subscriber, number = open_three(one_bus, window=1)
    publish(publisher, "12", paced=True)
    subscriber.now = 0.9
    subscriber.credit(number, messages, size)
    assert one_bus.router.next_deadline() == 1.0


def test_credit_beyond_the_window_is_no_sign_of_life() -> None:
    """Messages given back that were never delivered do not hold publishers up."""
    one_bus = bus(stall=1.0)
    publisher, subscriber, number = open_three(one_bus, window=10, size=1)
    publisher.publish("a", b"x" * 50, paced=True)
    publish(publisher, "2", paced=True)
    subscriber.now = 0.5
    subscriber.credit(number, 1)
    subscriber.now = 0.9
    subscriber.credit(number, 1)
    assert one_bus.router.next_deadline() == 1.5


def test_a_stall_is_told_as_gaps_in_their_places() -> None:
    """What was held and what was missed around it become one gap, which comes before what is delivered later."""
    one_bus = bus(stall=1.0)
    publisher, subscriber, number = open_three(one_bus, window=1)
    publish(publisher, "1")
    publish(publisher, "2", paced=True)
    publish(publisher, "3")
    publish(publisher, "4", paced=True)
    heard = stream(subscriber.read(), number)
    one_bus.router.expire(1.0)
    publish(publisher, "5")
    subscriber.credit(number)
    publish(publisher, "6")
    assert heard + stream(subscriber.read(), number) == [b"1", 4, b"6"]


def test_a_lagging_subscriber_holds_nothing_more() -> None:
    """A subscriber that has stalled misses paced publications at once."""
    publisher, subscriber, number = stalled(bus(stall=1.0))
    publisher.read()
    publish(publisher, "3", paced=True)
    assert acknowledged(publisher.read()) == {7: 0}
    subscriber.credit(number, 1)
    assert stream(subscriber.read(), number) == [3]


def test_a_lagging_subscriber_still_receives() -> None:
    """A subscriber that lags gets what finds credit, paced or not."""
    publisher, subscriber, number = stalled(bus(stall=1.0))
    subscriber.credit(number, 1)
    publish(publisher, "3", paced=True)
    assert stream(subscriber.read(), number) == [2, b"3"]


def test_lagging_ends_with_half_the_window() -> None:
    """A subscriber whose window is half free again holds its publishers as before."""
    publisher, subscriber, number = stalled(bus(stall=1.0), window=4)
    publisher.read()
    subscriber.credit(number, 1, 1000)
    publish(publisher, "34", paced=True)
    assert acknowledged(publisher.read()) == {7: 1, 8: 0}
    subscriber.credit(number, 2)
    publish(publisher, "567", paced=True)
    assert acknowledged(publisher.read()) == {9: 1, 10: 1}


def test_lagging_ends_when_bytes_are_free_too() -> None:
    """Half of the messages is not enough while more than half of the bytes is missing."""
    one_bus = bus(stall=1.0)
    publisher, subscriber, number = open_three(one_bus, window=2, size=100)
    publisher.publish("a", b"x" * 199)
    publish(publisher, "2", paced=True)
    one_bus.router.expire(1.0)
    subscriber.credit(number, 2, 149)
    publish(publisher, "34", paced=True)
    publisher.read()
    publish(publisher, "5", paced=True)
    assert acknowledged(publisher.read()) == {5: 0}
    subscriber.credit(number, 2, 10)
    publish(publisher, "678", paced=True)
    assert acknowledged(publisher.read()) == {6: 1, 7: 1}


def test_an_overrun_alone_does_not_stall() -> None:
    """A subscription for which nothing is held has no deadline."""
    one_bus = bus(stall=1.0)
    publisher, subscriber, number = open_three(one_bus, window=1)
    publish(publisher, "12", paced=True)
    subscriber.credit(number)
    assert one_bus.router.next_deadline() is None
    one_bus.router.expire(5.0)
    assert one_bus.router.next_deadline() is None
    subscriber.credit(number)
    assert payloads(subscriber.read()) == [b"1", b"2"]


def test_subscribers_stall_each_for_itself() -> None:
    """One that gives credit goes on being held for when another of the same publication has stalled."""
    one_bus = bus(stall=1.0)
    publisher, dead, _ = open_three(one_bus, window=1)
    alive = one_bus.connect()
    number = alive.subscribe("a", 1)
    publish(publisher, "123", paced=True)
    alive.now = 0.5
    alive.credit(number)
    one_bus.router.expire(1.0)
    assert acknowledged(publisher.read()) == {1: 2, 2: 1}
    assert one_bus.router.next_deadline() == 1.5
    alive.credit(number)
    assert acknowledged(publisher.read()) == {3: 1}
    assert payloads(dead.read()) == [b"1"]


# --- events


def lags(one_bus: Bus) -> list[tuple[str | None, int]]:
    """The topics of the subscriptions that lag since the last time, and what each had missed."""
    return [(event.topic, event.dropped) for event in one_bus.router.take_events() if event.kind == "lagging"]


def test_lagging_is_noted_once_between_two_deliveries() -> None:
    """A subscription that has credit and no room is told of its gap again and again, and lags once."""
    one_bus = bus(outbox_bytes=4)
    publisher, subscriber, _ = open_three(one_bus)
    publish(publisher, "1234567")
    assert lags(one_bus) == [("a", 1)]
    subscriber.read()
    publish(publisher, "1234567")
    assert lags(one_bus) == [("a", 6)]


def test_who_watches_lags_in_silence() -> None:
    """A subscription to events that has no room leads to no event, which would find none either."""
    one_bus = bus(outbox_bytes=4)
    watcher = one_bus.connect()
    watcher.subscribe("bus/event/*", 100, 10_000)
    watcher.subscribe("a", 100, 10_000)
    one_bus.router.take_events()
    publish(one_bus.connect(), "1234567")
    one_bus.router.take_events()
    assert lags(one_bus) == []
    assert one_bus.router.statistics().dropped > 1


# --- the end


def test_unsubscribing_lets_go_of_what_is_held() -> None:
    """A publisher is acknowledged at once for a subscription that ends while it holds."""
    one_bus = bus()
    publisher, subscriber, number = open_three(one_bus, window=1)
    publish(publisher, "123", paced=True)
    subscriber.unsubscribe(number)
    assert acknowledged(publisher.read()) == {1: 1, 2: 0, 3: 0}
    assert one_bus.router.statistics().deliveries_held == 0


def test_disconnecting_lets_go_of_what_is_held() -> None:
    """A publisher is acknowledged at once for a subscriber whose connection ends while it holds."""
    one_bus = bus()
    publisher, subscriber, _ = open_three(one_bus, window=1)
    publish(publisher, "1", paced=True)
    publish(publisher, "2")
    publish(publisher, "3", paced=True)
    subscriber.disconnect()
    assert acknowledged(publisher.read()) == {1: 1, 2: 0, 3: 0}
    assert one_bus.router.statistics().buffered_bytes == 0


def test_held_publications_outlive_their_publisher() -> None:
    """What a publisher had sent before it disconnected is delivered when there is room."""
    one_bus = bus()
    publisher, subscriber, number = open_three(one_bus, window=1)
    publish(publisher, "123", paced=True)
    publisher.disconnect()
    heard = stream(subscriber.read(), number)
    for _ in range(2):
        subscriber.credit(number)
        heard += stream(subscriber.read(), number)
    assert heard == [b"1", b"2", b"3"]
    assert one_bus.router.statistics().buffered_bytes == 0
