"""The silence of a peer, on a clock that the test sets."""

from __future__ import annotations

from t2bus.liveness import Liveness


def test_silence_asks_for_a_ping() -> None:
    """A peer that has been silent for the interval is to be pinged."""
    liveness = Liveness(10.0, 20.0, heard_at=100.0)
    assert not liveness.ping_is_due(109.9)
    assert liveness.ping_is_due(110.0)


def test_each_silence_asks_for_one_ping() -> None:
    """A ping is due once for each silence, and again in the next."""
    liveness = Liveness(10.0, 20.0, heard_at=0.0)
    assert [liveness.ping_is_due(now) for now in (10.0, 11.0, 15.0)] == [True, False, False]
    liveness.heard(15.0)
    assert [liveness.ping_is_due(now) for now in (24.9, 25.0, 26.0)] == [False, True, False]


def test_a_peer_that_is_heard_needs_no_ping() -> None:
    """A busy connection carries no pings."""
    liveness = Liveness(10.0, 20.0, heard_at=0.0)
    for second in range(1, 100):
        liveness.heard(float(second))
        assert not liveness.ping_is_due(second + 9.9)


def test_a_peer_that_stays_silent_is_gone() -> None:
    """Silence for the second time, whether it was pinged or not, is the end; anything heard before is life."""
    liveness = Liveness(10.0, 20.0, heard_at=0.0)
    assert not liveness.is_gone(19.9)
    assert liveness.is_gone(20.0)
    liveness.heard(19.9)
    assert not liveness.is_gone(39.8)
    assert liveness.is_gone(40.0)
