"""What publishers have on their way: whatever is answered in whatever order, each operation is settled once."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.errors import BusError, Disconnected, TopicTooBroad
from t2bus.session.unacknowledged import Unacknowledged

REFUSAL = TopicTooBroad("no")
END = Disconnected("gone")


@define(eq=False)
class Publisher:
    """Who has something on its way, and what it was told."""

    settled: list[tuple[int, int, int]] = field(factory=list)
    """Counts, sizes and receivers."""
    refused: list[tuple[int, int, BusError]] = field(factory=list)
    """Counts, sizes and errors."""

    def settle(self, count: int, size: int, accepted: int) -> None:
        self.settled.append((count, size, accepted))

    def refuse(self, count: int, size: int, error: BusError) -> None:
        self.refused.append((count, size, error))

    @property
    def sums(self) -> tuple[int, int, int]:
        """What was settled in all calls together."""
        counts, sizes, accepted = zip((0, 0, 0), *self.settled, strict=True)
        return sum(counts), sum(sizes), sum(accepted)

    def sums_refused(self, error: BusError) -> tuple[int, int]:
        """What was refused with this error in all calls together."""
        told = [(count, size) for count, size, each in self.refused if each is error]
        return sum(count for count, _ in told), sum(size for _, size in told)


def in_flight(*numbers: int) -> tuple[Unacknowledged, Publisher]:
    """These operations on their way, each of ten times its number in bytes."""
    flight, owner = Unacknowledged(), Publisher()
    for number in numbers:
        flight.add(number, 10 * number, owner)
    return flight, owner


# --- the law


@define(eq=False)
class Model:
    """The same, in the most obvious way."""

    owners: list[Publisher] = field(factory=lambda: [Publisher(), Publisher()])
    flying: dict[int, tuple[int, int]] = field(factory=dict)
    """The owner's place and the size of each operation."""
    settled: dict[int, list[tuple[int, int]]] = field(factory=lambda: defaultdict(list))
    """Of each owner: the sizes and the receivers of what was settled."""
    refused: dict[tuple[int, BusError], list[int]] = field(factory=lambda: defaultdict(list))
    """Of each owner and error: the sizes of what was refused."""

    def acknowledge(self, first: int, counts: list[int]) -> int:
        before = len(self.flying)
        for number, accepted in enumerate(counts, first):
            if number in self.flying:
                place, size = self.flying.pop(number)
                self.settled[place].append((size, accepted))
        return before - len(self.flying)

    def refuse(self, number: int, error: BusError) -> bool:
        if number not in self.flying:
            return False
        place, size = self.flying.pop(number)
        self.refused[place, error].append(size)
        return True

    def check(self, flight: Unacknowledged) -> None:
        assert flight.count == len(self.flying)
        for place, owner in enumerate(self.owners):
            settled = self.settled[place]
            assert owner.sums == (len(settled), sum(size for size, _ in settled), sum(count for _, count in settled))
            for error in (REFUSAL, END):
                sizes = self.refused[place, error]
                assert owner.sums_refused(error) == (len(sizes), sum(sizes))


adding = st.tuples(st.just("add"), st.integers(0, 1), st.sampled_from([1, 1, 1, 1, 2, 5]), st.integers(1, 12))
accepting = st.tuples(st.just("accept"), st.integers(0, 60), st.lists(st.integers(0, 9), max_size=30))
refusing = st.tuples(st.just("refuse"), st.integers(0, 60))
steps = st.lists(adding | accepting | refusing | adding | st.just(("close",)), max_size=40)


@given(steps)
@steady(500)
def test_each_operation_is_settled_once(steps: list[tuple[object, ...]]) -> None:
    """Whatever is accepted, refused and closed in whatever order, each owner is told of each of its operations once."""
    flight, model, last = Unacknowledged(), Model(), 0
    for step in steps:
        match step:
            case "add", int(place), int(gap), int(many):
                last += gap - 1
                for _ in range(many):
                    last += 1
                    # Sums of different powers of two are equal if their terms are.
                    flight.add(last, 1 << last, model.owners[place])
                    model.flying[last] = (place, 1 << last)
            case "accept", int(first), list(counts):
                assert flight.acknowledge(first, tuple(counts)) == model.acknowledge(first, counts)
            case "refuse", int(number):
                assert flight.refuse(number, REFUSAL) is model.refuse(number, REFUSAL)
            case _:
                flight.close(END)
                for number in list(model.flying):
                    model.refuse(number, END)
        model.check(flight)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=30), st.data())
@steady(100)
def test_an_answer_counts_for_its_own_operation(owners: list[int], data: st.DataObject) -> None:
    """However a span of operations is cut into answers, and in which order these come, each owner gets its own sums."""
    model, flight = Model(), Unacknowledged()
    for number, place in enumerate(owners, 1):
        flight.add(number, number, model.owners[place])
    cuts = sorted(data.draw(st.sets(st.integers(1, len(owners)))) | {0, len(owners)})
    spans = list(pairwise(cuts))
    for start, end in data.draw(st.permutations(spans)):
        assert flight.acknowledge(start + 1, [100 * number for number in range(start + 1, end + 1)]) == end - start
    for place, owner in enumerate(model.owners):
        own = [number for number, each in enumerate(owners, 1) if each == place]
        assert owner.sums == (len(own), sum(own), 100 * sum(own))
    assert flight.count == 0


# --- what an answer costs


def test_a_run_is_settled_with_one_call() -> None:
    """The answer to consecutive operations of one owner is told to it once, all together."""
    flight, owner = in_flight(1, 2, 3)
    assert flight.acknowledge(1, (5, 0, 7)) == 3
    assert owner.settled == [(3, 60, 12)]
    assert flight.count == 0


def test_a_part_is_settled_with_one_call() -> None:
    """The answer to the middle of a run is told once, and leaves both ends on their way."""
    flight, owner = in_flight(1, 2, 3, 4, 5)
    assert flight.acknowledge(2, (1, 2, 3)) == 3
    assert owner.settled == [(3, 90, 6)]
    assert flight.count == 2
    assert flight.acknowledge(1, (10,)) == flight.acknowledge(5, (20,)) == 1
    assert owner.settled[1:] == [(1, 10, 10), (1, 50, 20)]


def test_what_comes_after_an_answer_goes_on_with_the_rest() -> None:
    """Operations that are added while those before them are being answered are settled with the rest of these."""
    flight, owner = in_flight(1, 2, 3)
    flight.acknowledge(1, (0, 0))
    flight.add(4, 40, owner)
    assert flight.acknowledge(3, (1, 1)) == 2
    assert owner.settled == [(2, 30, 0), (2, 70, 2)]


def test_an_answer_over_a_gap_settles_what_is_there() -> None:
    """Counts for operations that are not on their way, or not any more, are nobody's."""
    flight, owner = in_flight(2, 3, 6)
    assert flight.acknowledge(1, (1, 2, 4, 8, 16, 32, 64)) == 3
    assert owner.settled == [(2, 50, 6), (1, 60, 32)]
    assert flight.acknowledge(1, (1, 2, 4, 8, 16, 32, 64)) == 0
    assert len(owner.settled) == 2


def test_an_answer_over_two_owners_is_told_to_both() -> None:
    """Each of two publishers that took turns gets what belongs to it."""
    flight, one = in_flight(1, 2)
    other = Publisher()
    flight.add(3, 30, other)
    flight.add(4, 40, one)
    assert flight.acknowledge(1, (1, 2, 4, 8)) == 4
    assert (one.settled, other.settled) == ([(2, 30, 3), (1, 40, 8)], [(1, 30, 4)])


@pytest.mark.parametrize("first", range(7))
def test_an_answer_without_counts_settles_nothing(first: int) -> None:
    """No counts are an answer to nothing, wherever they begin, and all that was there can still be answered."""
    flight, owner = in_flight(1, 2, 3, 5)
    assert flight.acknowledge(first, ()) == 0
    assert flight.count == 4
    assert flight.acknowledge(1, (1,) * 5) == 4
    assert owner.sums == (4, 110, 4)


# --- errors


def test_one_operation_is_refused() -> None:
    """A refusal settles its operation with the error and leaves the others, and a second one finds nobody."""
    flight, owner = in_flight(1, 2, 3)
    assert flight.refuse(2, REFUSAL)
    assert not flight.refuse(2, REFUSAL)
    assert not flight.refuse(4, REFUSAL)
    assert owner.refused == [(1, 20, REFUSAL)]
    assert flight.acknowledge(1, (1, 1, 1)) == 2


def test_the_end_refuses_all_that_is_left() -> None:
    """At the end each owner gets the error for what was not answered, and nothing is on its way any more."""
    flight, one = in_flight(1, 2, 3)
    other = Publisher()
    flight.add(4, 40, other)
    flight.acknowledge(2, (1,))
    flight.close(END)
    flight.close(END)
    assert sorted(count for count, _, _ in one.refused) == [1, 1]
    assert (one.sums_refused(END), other.sums_refused(END)) == ((2, 40), (1, 40))
    assert flight.count == 0
    assert flight.acknowledge(1, (1,) * 4) == 0


# --- whoever is told may do as it likes


@define(eq=False)
class Busy(Publisher):
    """A publisher that looks at the flight, and goes on publishing, as soon as it is told anything."""

    flight: Unacknowledged = field(factory=Unacknowledged)
    lengths: list[int] = field(factory=list)

    def settle(self, count: int, size: int, accepted: int) -> None:
        super().settle(count, size, accepted)
        self._go_on()

    def refuse(self, count: int, size: int, error: BusError) -> None:
        super().refuse(count, size, error)
        self._go_on()

    def _go_on(self) -> None:
        self.lengths.append(self.flight.count)
        self.flight.add(100 + len(self.lengths), 1, self)


@pytest.mark.parametrize("how", ["accept", "refuse", "close"])
def test_owners_are_told_when_all_is_in_order(how: str) -> None:
    """An owner that is told finds its operation gone, and what it adds then is on its way and not settled with it."""
    owner = Busy()
    flight = owner.flight
    flight.add(1, 10, owner)
    match how:
        case "accept":
            assert flight.acknowledge(1, (1,) * 200) == 1
        case "refuse":
            assert flight.refuse(1, REFUSAL)
        case _:
            flight.close(END)
    assert owner.lengths == [0]
    assert flight.count == 1
    assert flight.refuse(101, REFUSAL)
