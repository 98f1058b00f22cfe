"""The outbox of a client: what becomes a run and what ends one, and that every publication of a run counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import of_kind, one_by_one, steady
from session_helpers import take_call
from t2bus.session.outbox import ClientOutbox
from t2bus.wire import messages as m
from t2bus.wire.values import NO_HEADERS, Deflated
from wire_corpus import body_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from t2bus.wire.values import Payload

PING: Final = m.Ping(0)
HEADERS: Final = {"k": "v"}


@define(eq=False)
class Owner:
    """An outbox, and how often its writer was called; publications get the next id."""

    limit: int = 1000
    frame: int = 1 << 20
    calls: int = field(default=0, init=False)
    number: int = field(default=0, init=False)
    outbox: ClientOutbox = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.outbox = ClientOutbox(self.limit, self.frame)

    def look(self) -> int:
        """Answer a call for the writer if there is one, and return how many there were so far."""
        self.calls += take_call(self.outbox)
        return self.calls

    def publish(
        self,
        payload: Payload = b"x",
        topic: str = "a",
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        size: int = 1,
        paced: bool = False,
        pressing: bool = False,
    ) -> None:
        self.number += 1
        self.outbox.publish(self.number, topic, (payload, headers, size), paced=paced, pressing=pressing)
        self.look()

    def run_lengths(self) -> list[int]:
        """Take all that waits, and count the publications of each run."""
        return [len(each.run.payloads) for each in of_kind(self.outbox.take(), m.PublishRun)]


# --- put together


def test_consecutive_publications_to_one_topic_are_a_run() -> None:
    """Publications that follow one another are one message, under the id of the first."""
    owner = Owner()
    for payload in (b"1", b"", b"3"):
        owner.publish(payload, paced=True)
    assert owner.outbox.take() == [m.PublishRun(1, True, m.Run("a", [b"1", b"", b"3"]))]


def test_a_publication_alone_is_a_run_of_one() -> None:
    """What could go on with more is said as a run even if no more comes."""
    owner = Owner()
    owner.publish()
    assert owner.outbox.take() == [m.PublishRun(1, False, m.Run("a", [b"x"]))]


def skip(owner: Owner) -> None:
    owner.number += 1


ENDS: dict[str, tuple[Callable[[Owner], object], list[int]]] = {
    "another topic": (lambda owner: owner.publish(topic="b"), [2, 1, 2]),
    "another pacing": (lambda owner: owner.publish(paced=True), [2, 1, 2]),
    "a gap in the ids": (skip, [2, 2]),
    "headers": (lambda owner: owner.publish(headers=HEADERS), [2, 2]),
    "a compressed payload": (lambda owner: owner.publish(Deflated(b"x")), [2, 2]),
    "another message": (lambda owner: owner.outbox.put(PING), [2, 2]),
}


@pytest.mark.parametrize("what", ENDS)
def test_what_ends_a_run(what: str) -> None:
    """After anything that is not said by a run the next publication begins a new one, so that the order stays."""
    end, lengths = ENDS[what]
    owner = Owner()
    for _ in range(2):
        owner.publish()
    end(owner)
    for _ in range(2):
        owner.publish()
    assert owner.run_lengths() == lengths


def test_a_run_ends_when_it_is_taken() -> None:
    """What the writer has taken stays as it is, and what comes then is a run of its own."""
    owner = Owner()
    owner.publish(b"1")
    (taken,) = owner.outbox.take()
    owner.publish(b"2")
    assert taken == m.PublishRun(1, False, m.Run("a", [b"1"]))
    assert owner.outbox.take() == [m.PublishRun(2, False, m.Run("a", [b"2"]))]


def test_credit_does_not_end_a_run() -> None:
    """Credit goes out behind everything else, so publications before and after it are one run."""
    owner = Owner()
    owner.publish(b"1")
    owner.outbox.grant(7, 1, 10)
    owner.publish(b"2")
    owner.outbox.grant(7, 2, 20)
    assert owner.outbox.take() == [m.PublishRun(1, False, m.Run("a", [b"1", b"2"])), m.Credit((7, 3, 30))]


def test_what_a_run_cannot_say_is_said_as_it_is() -> None:
    """A publication with headers or a compressed payload stands alone, in its place."""
    owner = Owner()
    owner.publish(b"1", headers=HEADERS)
    owner.publish(Deflated(b"2"), paced=True)
    owner.publish(b"3")
    assert owner.outbox.take() == [
        m.Publish(1, False, m.Publication("a", b"1", HEADERS)),
        m.Publish(2, True, m.Publication("a", Deflated(b"2"))),
        m.PublishRun(3, False, m.Run("a", [b"3"])),
    ]


@pytest.mark.parametrize("frame", [100, 4096])
def test_credit_is_said_in_frames_that_a_bus_takes(frame: int) -> None:
    """However many subscriptions owe credit, each CREDIT fits in a frame."""
    owner = Owner(frame=frame)
    owed = [(number, 2**64 - 1, 2**64 - 1) for number in range(2**64 - 1000, 2**64)]
    for each in owed:
        owner.outbox.grant(*each)
    said = of_kind(owner.outbox.take(), m.Credit)
    assert [grant for message in said for grant in message.grants] == owed
    assert all(len(body_of(message)) <= frame for message in said)


@pytest.mark.parametrize(("frame", "most"), [(1 << 20, 65_536), (65_537, 65_536), (5_000, 5_000)])
def test_a_run_is_bounded_in_bytes(frame: int, most: int) -> None:
    """A run has at most 65,536 bytes, and at most those of a frame."""
    owner = Owner(frame=frame)
    for size in (most - 1_000, 1_000, 1, most - 1, 1_000, most - 1_000):
        owner.publish(size=size)
    assert owner.run_lengths() == [2, 2, 2]


def test_a_publication_longer_than_a_run_stands_alone() -> None:
    """What is longer than runs are is sent as well, and ends the one before and after it."""
    owner = Owner()
    for size in (1, 500_000, 1, 1):
        owner.publish(size=size)
    assert owner.run_lengths() == [1, 1, 2]


def test_a_run_is_bounded_in_number() -> None:
    """A run has at most 1,024 publications."""
    owner = Owner()
    for _ in range(2_500):
        owner.publish()
    assert owner.run_lengths() == [1024, 1024, 452]


payloads = st.sampled_from([b"", b"1", Deflated(b"1")])
publications = st.tuples(
    payloads, st.sampled_from("aaab"), st.sampled_from([*[NO_HEADERS] * 3, HEADERS]), st.booleans()
)


@given(st.lists(publications | st.sampled_from(["put", "skip", "take"]), max_size=40), st.integers(2, 20))
@steady(300)
def test_what_is_put_together_says_what_was_published(steps: list[Any], frame: int) -> None:
    """Taken apart again, all that goes out is what was put, in order, and no run is longer than a frame."""
    owner = Owner(frame=frame)
    said: list[m.ClientMessage] = []
    out: list[m.ClientMessage] = []
    for step in steps:
        match step:
            case (payload, topic, headers, paced):
                owner.publish(payload, topic, headers=headers, paced=paced)
                said.append(m.Publish(owner.number, paced, m.Publication(topic, payload, headers)))
            case "put":
                owner.outbox.put(PING)
                said.append(PING)
            case "skip":
                owner.number += 1
            case _:
                out += owner.outbox.take()
    out += owner.outbox.take()
    assert one_by_one(out) == said
    assert all(len(each.run.payloads) <= frame for each in of_kind(out, m.PublishRun))


sizes = st.lists(st.integers(0, 9), min_size=1, max_size=12)


@given(st.lists(st.tuples(sizes, st.sampled_from("aab"), st.booleans(), st.booleans()), max_size=6), st.integers(5, 20))
@steady(300)
def test_a_batch_is_put_together_as_its_publications_are(
    batches: list[tuple[list[int], str, bool, bool]], frame: int
) -> None:
    """What is put in at once makes the same messages, takes the same room and calls the writer as one by one."""
    one_by_one, at_once = Owner(frame=frame), Owner(frame=frame)
    for lengths, topic, paced, is_taken in batches:
        payloads = [b"x" * length for length in lengths]
        at_once.outbox.publish_all(at_once.number + 1, topic, payloads, lengths, paced=paced)
        at_once.number += len(payloads)
        for payload in payloads:
            one_by_one.publish(payload, topic, size=len(payload), paced=paced)
        assert (one_by_one.outbox.size, one_by_one.outbox.gathered) == (at_once.outbox.size, at_once.outbox.gathered)
        assert (one_by_one.look() > 0) == (at_once.look() > 0)
        if is_taken:
            assert one_by_one.outbox.take() == at_once.outbox.take()
    assert one_by_one.outbox.take() == at_once.outbox.take()


@pytest.mark.parametrize("count", [255, 256, 2_500])
def test_a_batch_counts_for_its_publications(count: int) -> None:
    """A batch is bounded in runs, and is enough for one write where so many publications are."""
    owner = Owner()
    owner.outbox.publish_all(1, "a", [b""] * count, [1] * count, paced=True)
    assert owner.outbox.gathered == (count if count < 256 else 0)
    assert owner.run_lengths() == [min(1024, count - start) for start in range(0, count, 1024)]


def test_a_closed_outbox_drops_batches() -> None:
    """After the end nothing is kept of a batch."""
    owner = Owner()
    owner.outbox.close()
    owner.outbox.publish_all(1, "a", [b""], [1], paced=True)
    assert (owner.outbox.size, owner.outbox.take()) == (0, [])


# --- counted one by one


def test_each_publication_of_a_run_counts_as_gathered() -> None:
    """The writer is told how many publications wait, however few messages they are."""
    owner = Owner()
    gathered = []
    for _ in range(3):
        owner.publish()
        gathered.append(owner.outbox.gathered)
    owner.publish(headers=HEADERS)
    gathered.append(owner.outbox.gathered)
    owner.outbox.take()
    gathered.append(owner.outbox.gathered)
    assert gathered == [1, 2, 3, 4, 0]


def test_enough_publications_for_one_write_are_in_a_hurry() -> None:
    """At 256 publications the writer is called a second time, even if they are one run."""
    owner = Owner()
    told = []
    for _ in range(257):
        owner.publish()
        told.append((owner.look(), owner.outbox.gathered))
    assert told == [*((1, number) for number in range(1, 256)), (2, 0), (2, 0)]


def test_enough_bytes_for_one_write_are_in_a_hurry() -> None:
    """When 262,144 bytes wait the writer is called a second time, however few publications they are."""
    owner = Owner()
    told = []
    for _ in range(5):
        owner.publish(size=65_535)
        told.append((owner.look(), owner.outbox.gathered))
    assert told == [(1, 1), (1, 2), (1, 3), (2, 0), (2, 0)]


def test_answers_are_gathered_for_a_shorter_time() -> None:
    """Answers that do not press are gathered as well, but 16 of them are enough for one write."""
    owner = Owner()
    told = []
    for number in range(16):
        owner.outbox.put(m.Respond(number, b""), pressing=False)
        told.append((owner.look(), owner.outbox.gathered > 0))
    assert told == [(1, True)] * 15 + [(2, False)]


def test_a_publication_that_presses_calls_the_writer_of_a_run() -> None:
    """A publication that somebody waits for joins a run that is gathered, and ends the gathering, once."""
    owner = Owner()
    for pressing in (False, False, True, True, False):
        owner.publish(pressing=pressing)
    assert (owner.calls, owner.outbox.gathered) == (2, 0)
    assert owner.run_lengths() == [5]


def test_a_run_can_be_pressed() -> None:
    """Whoever waits for a run that is gathered has it written now, and only what is gathered can be pressed."""
    owner = Owner()
    owner.outbox.press()
    owner.publish()
    owner.publish()
    calls = [owner.look()]
    for _ in range(2):
        owner.outbox.press()
        calls.append(owner.look())
    owner.outbox.take()
    owner.outbox.press()
    assert [*calls, owner.look()] == [1, 2, 2, 2]


def test_each_publication_of_a_run_takes_its_room() -> None:
    """The bytes of each count, and one more for each, until the run is written."""
    owner = Owner(limit=33)
    seen = []
    for size in (10, 10, 10):
        owner.publish(size=size)
        seen.append((owner.outbox.size, owner.outbox.has_room))
    owner.outbox.take()
    seen.append((owner.outbox.size, owner.outbox.has_room))
    owner.publish(size=5)
    owner.outbox.written()
    seen.append((owner.outbox.size, owner.outbox.has_room))
    assert seen == [(11, True), (22, True), (33, False), (33, False), (6, True)]


# --- the end


def test_a_closed_outbox_drops_runs() -> None:
    """What waits at the end is dropped, and what comes then is, with all that it counted for."""
    owner = Owner()
    owner.publish()
    owner.outbox.grant(7, 1, 1)
    owner.outbox.close()
    calls = owner.look()
    owner.publish()
    owner.publish(pressing=True)
    owner.outbox.put(PING)
    owner.outbox.grant(7, 1, 1)
    assert (owner.outbox.gathered, owner.outbox.size, owner.look()) == (0, 0, calls)
    assert owner.outbox.take() == []


def test_the_end_calls_a_writer_that_rests() -> None:
    """A writer with nothing to do is told of the end, since it has that to do."""
    owner = Owner()
    owner.outbox.close()
    assert owner.look() == 1


def test_nothing_follows_what_waits_when_it_is_shut() -> None:
    """A shut outbox still gives what waited, without the credit, and takes nothing more."""
    owner = Owner()
    owner.outbox.grant(7, 1, 1)
    owner.outbox.put(PING)
    owner.outbox.shut()
    owner.outbox.put(m.Cancel(1))
    owner.outbox.grant(7, 1, 1)
    owner.publish()
    owner.publish(pressing=True)
    assert (owner.outbox.take(), owner.outbox.has_room) == ([PING], False)


# --- what comes alone


def test_a_publication_that_somebody_waits_for_is_said_alone() -> None:
    """It will mostly go alone, so it is no run of one; those behind it are put together as ever."""
    owner = Owner()
    for payload in (b"1", b"2", b"3"):
        owner.publish(payload, pressing=True)
    run = m.PublishRun(2, False, m.Run("a", [b"2", b"3"]))
    assert owner.outbox.take() == [m.Publish(1, False, m.Publication("a", b"1")), run]


def test_signs_of_life_that_nobody_reads_are_bounded() -> None:
    """A bus that sends PINGs and reads nothing makes its client keep a thousand answers, and no more."""
    outbox = ClientOutbox(1000)
    for token in range(2000):
        outbox.put_sign(m.Pong(token))
    assert outbox.take_signs() == [m.Pong(token) for token in range(1024)]
    outbox.put_sign(PING)
    assert outbox.take_signs() == [PING]
