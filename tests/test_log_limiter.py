"""Lines in the log: one of each kind in a while, whatever peers do, and in bounded memory."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.log_limiter import LogLimiter


def test_one_in_an_interval() -> None:
    """The first is allowed, and the next when the interval is over, counted from the one that was allowed."""
    limiter = LogLimiter(5.0)
    assert [now for now in (0.0, 0.0, 4.0, 4.9, 5.0, 9.9, 10.0) if limiter.allows("a", now)] == [0.0, 5.0, 10.0]


def test_kinds_are_apart() -> None:
    """One kind does not use up what is allowed to another."""
    limiter = LogLimiter(5.0)
    assert [limiter.allows(kind, 1.0) for kind in ("a", "b", "a", ("a", 1))] == [True, True, False, True]


@pytest.mark.parametrize("start", [-1e9, 0.0, 1e9])
def test_the_first_is_allowed_at_any_time(start: float) -> None:
    """What the clock counts from makes no difference."""
    assert LogLimiter(5.0).allows("a", start)


def test_kinds_that_peers_choose_take_bounded_memory() -> None:
    """Of many kinds the one that was allowed the longest ago is forgotten first."""
    limiter = LogLimiter(5.0)
    for number in range(1024):
        assert limiter.allows(number, 0.0)
    assert limiter.allows(0, 5.0)
    for number in range(2000, 3000):
        assert limiter.allows(number, 5.0)
        assert len(limiter) == 1024
    assert not limiter.allows(0, 6.0)
    assert not limiter.allows(2999, 6.0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=50), st.floats(0.1, 5))
@steady(200)
def test_two_of_a_kind_are_an_interval_apart(events: list[tuple[str, float]], interval: float) -> None:
    """Whatever comes, two allowed ones of a kind are an interval apart, and one that is refused comes sooner."""
    limiter = LogLimiter(interval)
    allowed: dict[str, list[float]] = defaultdict(list)
    now = 0.0
    for kind, pause in events:
        now += pause
        is_early = bool(allowed[kind]) and now - allowed[kind][-1] < interval
        assert limiter.allows(kind, now) is not is_early
        if not is_early:
            allowed[kind].append(now)
