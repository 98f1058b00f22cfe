"""What publishers have on their way: whatever is answered in whatever order, each operation is settled once."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from session_helpers import publisher_window
from t2bus.disconnected import Disconnected
from t2bus.errors import TopicTooBroad
from t2bus.session.unacknowledged import PublisherWindow, Unacknowledged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from t2bus.errors import BusError

REFUSAL = TopicTooBroad("no")
END = Disconnected("gone")


def in_flight(*numbers: int) -> tuple[Unacknowledged, PublisherWindow]:
    """These operations on their way, each of ten times its number in bytes."""
    flight, owner = Unacknowledged(), publisher_window()
    for number in numbers:
        flight.add(number, 10 * number, owner)
    return flight, owner


def acknowledge(flight: Unacknowledged, first: int, counts: Sequence[int]) -> tuple[int, list[object]]:
    """Let these be answered, and return how many were on their way, and whose they were."""
    touched: dict[object, None] = {}
    return flight.acknowledge(first, counts, touched), list(touched)


def state(owner: PublisherWindow) -> tuple[int, int, int]:
    """What an owner has on its way, in messages and bytes, and how many receivers its publications had."""
    return owner.in_flight, owner.in_flight_size, owner.accepted


# --- the law


@define(eq=False)
class Model:
    """The same, in the most obvious way."""

    owners: list[PublisherWindow] = field(factory=lambda: [publisher_window(), publisher_window()])
    flying: dict[int, tuple[PublisherWindow, int]] = field(factory=dict)
    """The owner and the size of each operation."""
    accepted: dict[PublisherWindow, int] = field(factory=lambda: defaultdict(int))
    errors: dict[PublisherWindow, BusError] = field(factory=dict)
    """The first of each owner."""

    def acknowledge(self, first: int, counts: list[int]) -> tuple[int, list[object]]:
        settled, touched = 0, dict[object, None]()
        for number, accepted in enumerate(counts, first):
            if number in self.flying:
                owner, _ = self.flying.pop(number)
                self.accepted[owner] += accepted
                settled += 1
                touched[owner] = None
        return settled, list(touched)

    def refuse(self, number: int, error: BusError) -> PublisherWindow | None:
        if number not in self.flying:
            return None
        owner, _ = self.flying.pop(number)
        self.errors.setdefault(owner, error)
        return owner

    def close(self) -> set[PublisherWindow]:
        return {owner for number in list(self.flying) if (owner := self.refuse(number, END)) is not None}

    def check(self, flight: Unacknowledged) -> None:
        assert flight.count == len(self.flying)
        for owner in self.owners:
            sizes = [size for each, size in self.flying.values() if each is owner]
            assert state(owner) == (len(sizes), sum(sizes), self.accepted[owner])
            assert owner.error is self.errors.get(owner)


adding = st.tuples(
    st.sampled_from(["add", "add_all"]), st.integers(0, 1), st.sampled_from([1, 1, 1, 1, 2, 5]), st.integers(1, 12)
)
accepting = st.tuples(st.just("acknowledge"), st.integers(0, 60), st.lists(st.integers(0, 9), max_size=30))
refusing = st.tuples(st.just("refuse"), st.integers(0, 60))
steps = st.lists(adding | accepting | refusing | adding | st.just(("close",)), max_size=40)


@given(steps)
@steady(500)
def test_each_operation_is_settled_once(steps: list[tuple[object, ...]]) -> None:
    """Whatever is acknowledged, refused and closed in whatever order, each operation is settled once, for its owner."""
    flight, model, last = Unacknowledged(), Model(), 0
    for step in steps:
        match step:
            case "add" | "add_all" as how, int(place), int(gap), int(many):
                first = last + gap
                last = first + many - 1
                # Sums of different powers of two are equal if their terms are.
                sizes = {number: 1 << number for number in range(first, last + 1)}
                if how == "add_all":
                    flight.add_all(first, [*sizes.values()], model.owners[place])
                for number, size in sizes.items():
                    if how == "add":
                        flight.add(number, size, model.owners[place])
                    model.flying[number] = (model.owners[place], size)
            case "acknowledge", int(first), list(counts):
                assert acknowledge(flight, first, counts) == model.acknowledge(first, counts)
            case "refuse", int(number):
                assert flight.refuse(number, REFUSAL) is model.refuse(number, REFUSAL)
            case _:
                assert set(flight.close(END)) == model.close()
        model.check(flight)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=30), st.data())
@steady(100)
def test_an_answer_counts_for_its_own_operation(places: list[int], data: st.DataObject) -> None:
    """However a span of operations is cut into answers, and in which order these come, each owner gets its own sums."""
    owners, flight = [publisher_window(), publisher_window()], Unacknowledged()
    for number, place in enumerate(places, 1):
        flight.add(number, number, owners[place])
    cuts = sorted(data.draw(st.sets(st.integers(1, len(places)))) | {0, len(places)})
    for start, end in data.draw(st.permutations(list(pairwise(cuts)))):
        counts = [100 * number for number in range(start + 1, end + 1)]
        assert acknowledge(flight, start + 1, counts)[0] == end - start
    for place, owner in enumerate(owners):
        own = [number for number, each in enumerate(places, 1) if each == place]
        assert state(owner) == (0, 0, 100 * sum(own))
    assert flight.count == 0


# --- what an answer settles


def test_a_run_is_settled_as_a_whole() -> None:
    """The answer to consecutive operations of one owner settles all of them."""
    flight, owner = in_flight(1, 2, 3)
    assert state(owner) == (3, 60, 0)
    assert acknowledge(flight, 1, (5, 0, 7)) == (3, [owner])
    assert (state(owner), flight.count) == ((0, 0, 12), 0)


def test_a_part_is_settled_by_itself() -> None:
    """The answer to the middle of a run leaves both ends on their way."""
    flight, owner = in_flight(1, 2, 3, 4, 5)
    assert acknowledge(flight, 2, (1, 2, 3)) == (3, [owner])
    assert (state(owner), flight.count) == ((2, 60, 6), 2)
    assert acknowledge(flight, 1, (10,)) == (1, [owner])
    assert acknowledge(flight, 5, (20,)) == (1, [owner])
    assert state(owner) == (0, 0, 36)


def test_what_comes_after_an_answer_goes_on_with_the_rest() -> None:
    """Operations that are added while those before them are being answered are settled with the rest of these."""
    flight, owner = in_flight(1, 2, 3)
    acknowledge(flight, 1, (0, 0))
    flight.add(4, 40, owner)
    assert acknowledge(flight, 3, (1, 1)) == (2, [owner])
    assert state(owner) == (0, 0, 2)


def test_an_answer_over_a_gap_settles_what_is_there() -> None:
    """Counts for operations that are not on their way, or not any more, are nobody's."""
    flight, owner = in_flight(2, 3, 6)
    assert acknowledge(flight, 1, (1, 2, 4, 8, 16, 32, 64)) == (3, [owner])
    assert state(owner) == (0, 0, 38)
    assert acknowledge(flight, 1, (1, 2, 4, 8, 16, 32, 64)) == (0, [])
    assert state(owner) == (0, 0, 38)


def test_an_answer_over_two_owners_is_for_both() -> None:
    """Each of two publishers that took turns gets what belongs to it."""
    flight, one = in_flight(1, 2)
    other = publisher_window()
    flight.add(3, 30, other)
    flight.add(4, 40, one)
    assert acknowledge(flight, 1, (1, 2, 4, 8)) == (4, [one, other])
    assert (state(one), state(other)) == ((0, 0, 11), (0, 0, 4))


@pytest.mark.parametrize("first", range(7))
def test_an_answer_without_counts_settles_nothing(first: int) -> None:
    """No counts are an answer to nothing, wherever they begin, and all that was there can still be answered."""
    flight, owner = in_flight(1, 2, 3, 5)
    assert acknowledge(flight, first, ()) == (0, [])
    assert flight.count == 4
    assert acknowledge(flight, 1, (1,) * 5) == (4, [owner])
    assert state(owner) == (0, 0, 4)


def test_a_publisher_has_what_was_sent_before_an_end() -> None:
    """What is sent later is behind the end, and what others have is not the publisher's."""
    flight, one = in_flight(1, 2)
    other = publisher_window()
    flight.add(3, 30, other)
    end = flight.end
    flight.add(4, 40, one)
    seen = [flight.has(one, end), flight.has(other, end)]
    acknowledge(flight, 1, (1, 1))
    seen += [flight.has(one, end), flight.has(other, end), flight.has(one, flight.end)]
    flight.close(END)
    seen += [flight.has(one, end), flight.has(other, end)]
    assert seen == [True, True, False, True, True, False, False]
    assert (end, flight.end) == (4, 0)


# --- errors


def test_one_operation_is_refused() -> None:
    """A refusal settles its operation with the error and leaves the others, and a second one finds nobody."""
    flight, owner = in_flight(1, 2, 3)
    assert flight.refuse(2, REFUSAL) is owner
    assert flight.refuse(2, REFUSAL) is None
    assert flight.refuse(4, REFUSAL) is None
    assert (state(owner), owner.error) == ((2, 40, 0), REFUSAL)
    assert acknowledge(flight, 1, (1, 1, 1)) == (2, [owner])


def test_the_first_refusal_stands_until_it_is_taken() -> None:
    """An owner has the error of its first refusal; when that was taken, the next stands."""
    flight, owner = in_flight(1, 2, 3)
    flight.refuse(1, REFUSAL)
    flight.refuse(2, END)
    assert owner.error is REFUSAL
    owner.error = None
    assert flight.refuse(3, END) is owner
    assert [owner.error] == [END]
    assert state(owner) == (0, 0, 0)


def test_the_end_refuses_all_that_is_left() -> None:
    """At the end each owner gets the error for what was not answered, and nothing is on its way any more."""
    flight, one = in_flight(1, 2, 3)
    other = publisher_window()
    flight.add(4, 40, other)
    acknowledge(flight, 2, (1,))
    assert set(flight.close(END)) == {one, other}
    assert flight.close(END) == []
    assert (state(one), state(other)) == ((0, 0, 1), (0, 0, 0))
    assert one.error is other.error is END
    assert (flight.count, acknowledge(flight, 1, (1,) * 4)) == (0, (0, []))
