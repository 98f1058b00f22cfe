"""The answers of a client: which of them are gathered, and when nothing but one call is under way."""

from __future__ import annotations

from session_helpers import Program
from t2bus.session.outbox import ClientOutbox
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode


def test_sixteen_answers_are_enough_for_one_write() -> None:
    """Answers are gathered until there are sixteen of them, and the writer is called for the first and for the last."""
    outbox = ClientOutbox(1000)
    calls = []
    for number in range(16):
        outbox.put(m.Respond(number, b""), pressing=False)
        assert (outbox.gathered == 0) == (number == 15)
        calls.append(outbox.calls)
        outbox.calls = False
    assert calls == [True, *[False] * 14, True]


def test_when_a_session_is_quiet() -> None:
    """A session is quiet while one operation waits for its answer at most, and no request for that of the program."""
    program = Program()
    session = program.session
    quiet = [session.is_quiet]
    window = session.claim("s", program.done)
    quiet.append(session.is_quiet)
    session.request("t", (b"", {}, 0), None, program.done)
    quiet.append(session.is_quiet)
    session.feed([m.Accepted(window.id, (0,))])
    quiet.append(session.is_quiet)
    session.feed([m.Call(1, window.id, None, "s", b"")])
    quiet.append(session.is_quiet)
    session.respond(window, window.take(), (b"", {}, 0))
    quiet.append(session.is_quiet)
    assert quiet == [True, True, False, True, False, True]


def test_the_last_answer_of_a_service_presses() -> None:
    """Answers are in no hurry while their own service has more to answer, and its last one is."""
    program = Program()
    session, outbox = program.session, program.session.outbox
    one, other = (session.claim(topic, program.done) for topic in ("s", "t"))
    program.read()
    session.feed(m.Call(call, window.id, None, "s", b"") for call, window in enumerate((one, one, other), 1))
    session.respond(one, one.take(), (b"a", {}, 1))
    assert outbox.gathered == 16
    session.fail(one, one.take(), ErrorCode.REMOTE_ERROR, "no")
    assert outbox.gathered == 0
