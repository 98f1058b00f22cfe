"""A link: what one end hears in a round is what the other has said in it, or both begin anew."""

from __future__ import annotations

from collections import deque

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.federation.rounds import Rounds


@define(eq=False)
class End:
    """A server that has one other."""

    link: Rounds
    said: dict[int, list[bytes]] = field(factory=dict)
    """What was said in each round."""
    heard: list[bytes] = field(factory=list)
    """What was heard in the present one."""
    out: deque[bytes] = field(factory=deque)

    def join(self) -> None:
        """See the other one join, for the first time or again."""
        if self.link.leads:
            self.link.begin()
            self.start()
        else:
            self.link.close()
            self.out.append(self.link.ask())

    def start(self) -> None:
        self.said[self.link.round] = []
        self.heard = []
        self.say(b"hello")

    def say(self, data: bytes) -> None:
        if self.link.is_open:
            self.said[self.link.round].append(data)
            self.out.append(self.link.say((data,)))

    def hear(self, piece: bytes) -> None:
        heard = self.link.hear(piece)
        if heard.is_lost:
            self.join()
        if heard.is_new:
            self.start()
        if heard.data:
            self.heard.append(heard.data)


def carry(one: End, other: End) -> None:
    """Carry over all that both say until neither says more."""
    for _ in range(20):
        if not one.out and not other.out:
            return
        for end, to in ((one, other), (other, one)):
            while end.out:
                to.hear(end.out.popleft())
    pytest.fail("they begin anew for ever")


STEPS = st.lists(
    st.tuples(st.sampled_from(["say", "carry", "lose", "join", "carry"]), st.booleans(), st.integers(1, 3)), max_size=30
)


@given(STEPS)
@steady(500)
def test_two_ends_agree_in_the_end(steps: list[tuple[str, bool, int]]) -> None:
    """Whatever was lost, and whoever began anew, both hear in order all that is said in one round in the end."""
    one, other = End(Rounds(leads=True)), End(Rounds(leads=False))
    one.join()
    other.join()
    for what, is_first, times in steps:
        end, to = (one, other) if is_first else (other, one)
        for _ in range(times):
            match what:
                case "say":
                    end.say(b"%d" % times)
                case "join":
                    end.join()
                case _ if end.out:
                    piece = end.out.popleft()
                    if what == "carry":
                        to.hear(piece)
        for each, of in ((one, other), (other, one)):
            said = of.said.get(each.link.round, [])
            assert said[: len(each.heard)] == each.heard or not each.link.is_open
    carry(one, other)
    # Neither is silent for long, so a loss is found.
    for last in (b"ping", b"ping", b"last"):
        one.say(last)
        other.say(last)
        carry(one, other)
    assert one.link.round == other.link.round
    assert one.heard == other.said[one.link.round]
    assert other.heard == one.said[one.link.round]
    assert one.heard[-1] == other.heard[-1] == b"last"


def in_a_round() -> tuple[Rounds, Rounds]:
    """Return two ends in one round: the first has said a piece, and the second has heard it."""
    one, other = Rounds(leads=True), Rounds(leads=False)
    one.begin()
    other.hear(one.say((b"hello",)))
    return one, other


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.binary(max_size=9)), max_size=40))
@steady(300)
def test_what_is_under_way(steps: list[tuple[bool, bool, bytes]]) -> None:
    """Under way are just those pieces of which the other end has not said that it has heard them."""
    ends = in_a_round()
    # Of each end: pieces that are not there yet, each with how many it says were heard; how many it has heard; of those
    # that it has said the sizes, and how many it knows to be heard.
    out: tuple[deque[tuple[bytes, int]], ...] = (deque(), deque())
    heard, sizes, known = [0, 1], ([ends[0].under_way], list[int]()), [0, 0]
    for is_first, says, data in steps:
        end, to = (0, 1) if is_first else (1, 0)
        if says:
            piece = ends[end].say((data,))
            out[end].append((piece, heard[end]))
            sizes[end].append(len(piece))
        elif out[end]:
            piece, known[to] = out[end].popleft()
            ends[to].hear(piece)
            heard[to] += 1
    assert [ends[end].under_way for end in (0, 1)] == [sum(sizes[end][known[end] :]) for end in (0, 1)]


def test_nobody_has_heard_what_was_not_said() -> None:
    """An end that says it has heard more than there was ends the round."""
    one, other = in_a_round()
    for _ in range(2):
        other.hear(one.say((b"hello",)))
    one.begin()
    piece = other.say((b"hello",))
    assert one.hear((2).to_bytes(8, "big") + piece[8:]).is_lost


@pytest.mark.parametrize("piece", [b"", b"short", bytes(15), bytes(23)])
def test_what_is_no_piece(piece: bytes) -> None:
    """What is too short for a piece ends the round and nothing else."""
    link = Rounds(leads=True)
    link.begin()
    assert link.hear(piece).is_lost


def test_nobody_else_begins_a_round() -> None:
    """Whoever leads begins a round after that of another end that takes itself for leading, and hears nothing of it."""
    link, other = Rounds(leads=True), Rounds(leads=True)
    link.begin()
    other.begin()
    other.begin()
    assert link.hear(other.say((b"hello",))).is_lost
    link.begin()
    assert link.round == 3
