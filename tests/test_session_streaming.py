"""What a pipelined publisher puts in a session: the same as any publication, told of in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import one_by_one, steady
from session_helpers import Program, publisher_window, take_call
from t2bus.disconnected import Disconnected
from t2bus.errors import TopicTooBroad
from t2bus.session.outbox import ClientOutbox
from t2bus.wire import messages as m
from t2bus.wire.values import NO_HEADERS, ErrorCode, Headers

if TYPE_CHECKING:
    from t2bus.session.unacknowledged import PublisherWindow


def stream(program: Program, owner: PublisherWindow, count: int) -> None:
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
    """The same publications wait as for callers that wait for each, but for whether they press."""
    one, other = ClientOutbox(1 << 30), ClientOutbox(1 << 30)
    for number, (topic, encoded, paced, is_taken) in enumerate(publications, 1):
        one.publish(number, topic, encoded, paced=paced, pressing=True)
        other.publish(number, topic, encoded, paced=paced, pressing=False)
        assert (one.size, one.presses, other.presses) == (other.size, True, False)
        if is_taken and number % 7 == 0:
            assert one_by_one(one.take()) == one_by_one(other.take())
    assert one_by_one(one.take()) == one_by_one(other.take())


def test_nothing_is_put_in_a_closed_outbox() -> None:
    """After the end of the connection a stream puts nothing there."""
    outbox = ClientOutbox(1000)
    outbox.close()
    outbox.publish(1, "a", (b"x", NO_HEADERS, 1), paced=True, pressing=False)
    assert outbox.take() == []


def test_a_session_that_has_ended_streams_nothing() -> None:
    """After the end of the connection a stream raises how it ended, and its owner has nothing on its way."""
    program, owner = Program(), publisher_window()
    program.session.close(Disconnected("gone"))
    with pytest.raises(Disconnected, match="gone"):
        stream(program, owner, 1)
    assert (program.session.unanswered, owner.in_flight, owner.in_flight_size) == (0, 0, 0)
    assert owner.error is None


def test_a_run_is_acknowledged_at_once() -> None:
    """Acknowledgements of one message are something new once, and count all together."""
    program, owner = Program(), publisher_window()
    stream(program, owner, 3)
    assert (program.session.unanswered, owner.in_flight, owner.in_flight_size) == (3, 3, 30)
    assert program.feed(m.Accepted(1, (2, 0, 1))) == [owner]
    assert (program.session.unanswered, owner.in_flight, owner.in_flight_size, owner.accepted) == (0, 0, 0, 3)


def test_acknowledgements_of_others_are_between_them() -> None:
    """One message acknowledges what callers wait for and what is streamed."""
    program, owner = Program(), publisher_window()
    stream(program, owner, 1)
    number = program.session.publish("a", (b"x", NO_HEADERS, 10), program.done)
    stream(program, owner, 1)
    assert program.feed(m.Accepted(1, (4, 5, 6))) == [owner]
    assert (owner.in_flight, owner.accepted, program.outcomes) == (0, 10, {number: 5})


def test_refusals_and_the_end_reach_the_owner() -> None:
    """A refused publication, and those that nobody answers by the end of the connection, are something new."""
    program, owner = Program(), publisher_window()
    stream(program, owner, 3)
    assert program.feed(m.Refused(2, ErrorCode.TOPIC_TOO_BROAD, "too broad")) == [owner]
    assert type(owner.error) is TopicTooBroad
    assert (owner.in_flight, owner.in_flight_size) == (2, 20)
    owner.error = None
    program.session.close(Disconnected("gone"))
    assert list(program.session.take_news()) == [owner]
    assert str(owner.error) == "gone"
    assert (owner.in_flight, owner.in_flight_size, owner.accepted) == (0, 0, 0)


@pytest.mark.parametrize("what", ["a message", "credit"])
def test_the_writer_is_called_again_for_what_comes_later(what: str) -> None:
    """While something waits the writer is called once; when it has taken that, the next that is put calls it again."""
    outbox = ClientOutbox(1000)
    calls = []
    for _ in range(2):
        for _ in range(2):
            if what == "credit":
                outbox.grant(1, 1, 1)
            else:
                outbox.put(m.Ping(1))
            calls.append(take_call(outbox))
        outbox.take()
        calls.append(take_call(outbox))
    assert calls == [True, False, False] * 2
