"""What a pipelined publisher puts in a session: the same as any publication, told of in bulk."""

from __future__ import annotations

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import Program, steady
from t2bus.errors import BusError, Disconnected, TopicTooBroad
from t2bus.session.outbox import ClientOutbox
from t2bus.wire import messages as m
from t2bus.wire.values import NO_HEADERS, ErrorCode, Headers


@define(eq=False)
class Stream:
    """A publisher, and what it was told."""

    settled: list[tuple[int, int, int]] = field(factory=list)
    refused: list[tuple[int, int, type[BusError]]] = field(factory=list)

    def settle(self, count: int, size: int, accepted: int) -> None:
        self.settled.append((count, size, accepted))

    def refuse(self, count: int, size: int, error: BusError) -> None:
        self.refused.append((count, size, type(error)))


def stream(program: Program, owner: Stream, count: int) -> None:
    for _ in range(count):
        program.session.stream("a", (b"x", NO_HEADERS, 10), owner, paced=True)


_headers: st.SearchStrategy[Headers] = st.sampled_from([NO_HEADERS, {"k": "v"}])
_contents = st.tuples(st.binary(max_size=3), _headers, st.sampled_from([1, 100, 30_000]))
_publications = st.lists(st.tuples(st.sampled_from("ab"), _contents, st.booleans(), st.booleans()), max_size=600)


@given(_publications)
@steady(100)
def test_a_stream_puts_what_publications_put(
    publications: list[tuple[str, tuple[bytes, Headers, int], bool, bool]],
) -> None:
    """The same messages wait as for publications that somebody waits for, but for whether they press."""
    one, other = (ClientOutbox(1 << 30, lambda: None) for _ in range(2))
    for number, (topic, content, paced, is_taken) in enumerate(publications, 1):
        one.publish(number, topic, content, paced=paced)
        other.stream(number, topic, content, paced)
        assert (one.size, one.presses, other.presses) == (other.size, True, False)
        if is_taken and number % 7 == 0:
            assert one.take() == other.take()
    assert one.take() == other.take()


def test_nothing_is_put_in_a_closed_outbox() -> None:
    """After the end of the connection a stream puts nothing there."""
    outbox = ClientOutbox(1000, lambda: None)
    outbox.close()
    outbox.stream(1, "a", (b"x", NO_HEADERS, 1), True)
    assert outbox.take() == []


def test_a_session_that_has_ended_streams_nothing() -> None:
    """After the end of the connection a stream raises how it ended, and its owner has nothing on its way."""
    program, owner = Program(), Stream()
    program.session.close(Disconnected("gone"))
    with pytest.raises(Disconnected, match="gone"):
        stream(program, owner, 1)
    assert program.session.unanswered == 0
    assert (owner.settled, owner.refused) == ([], [])


def test_a_run_is_acknowledged_at_once() -> None:
    """Acknowledgements of one message are told of together."""
    program, owner = Program(), Stream()
    stream(program, owner, 3)
    assert program.session.unanswered == 3
    program.session.feed(m.Accepted(1, (2, 0, 1)))
    assert (owner.settled, program.session.unanswered) == ([(3, 30, 3)], 0)


def test_acknowledgements_of_others_are_between_them() -> None:
    """One message acknowledges what callers wait for and what is streamed."""
    program, owner = Program(), Stream()
    stream(program, owner, 1)
    number = program.session.publish("a", (b"x", NO_HEADERS, 10), program.done)
    stream(program, owner, 1)
    program.session.feed(m.Accepted(1, (4, 5, 6)))
    assert (owner.settled, program.outcomes) == ([(1, 10, 4), (1, 10, 6)], {number: 5})


def test_refusals_and_the_end_reach_the_owner() -> None:
    """A refused publication is told of by itself, and those that nobody answers by the end of the connection."""
    program, owner = Program(), Stream()
    stream(program, owner, 3)
    program.session.feed(m.Refused(2, ErrorCode.TOPIC_TOO_BROAD, "too broad"))
    assert owner.refused == [(1, 10, TopicTooBroad)]
    program.session.close(Disconnected("gone"))
    assert owner.refused[1:] == [(1, 10, Disconnected), (1, 10, Disconnected)]


@pytest.mark.parametrize("what", ["a message", "credit"])
def test_an_outbox_rests_when_nothing_waits(what: str) -> None:
    """Resting is refused while something waits; afterwards the next that is put wakes the writer."""
    wakes: list[None] = []
    outbox = ClientOutbox(1000, lambda: wakes.append(None))

    def put() -> None:
        if what == "credit":
            outbox.grant(1, 1, 1)
        else:
            outbox.put(m.Ping(1))

    put()
    assert not outbox.rest()
    outbox.take()
    assert outbox.rest()
    put()
    assert len(wakes) == 2
