"""When those who have left are looked for."""

from __future__ import annotations

from t2bus.federation.missing import AT_ONCE, LONGEST, MOST, Missing

NORTH = "tls:north.example:7447"


def looks(missing: Missing, until: float) -> list[float]:
    """Return the seconds at which something is looked for."""
    now, found = 0.0, []
    while now <= until:
        if missing.due(now):
            found.append(now)
        now += 1.0
    return found


def test_it_is_looked_for_when_gone_for_twice_as_long() -> None:
    """An endpoint is looked for after a second, and each time that it has been left for twice as long."""
    missing = Missing()
    missing.left(NORTH, 0.0)
    assert looks(missing, 40.0) == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]


def test_one_that_is_there_is_not_looked_for() -> None:
    """An endpoint at which a node has joined is looked for no more."""
    missing = Missing()
    missing.left(NORTH, 0.0)
    missing.joined(NORTH)
    assert looks(missing, 10.0) == []


def test_one_that_was_started_again_is_not_looked_for() -> None:
    """An endpoint is not looked for where another node has joined before the old one was seen to leave."""
    missing = Missing()
    missing.joined(NORTH)
    missing.joined(NORTH)
    missing.left(NORTH, 0.0)
    assert looks(missing, 10.0) == []
    missing.left(NORTH, 10.0)
    assert missing.due(11.0) == [NORTH]


def test_after_a_day_it_is_given_up() -> None:
    """An endpoint that was left for more than a day is forgotten after one more look."""
    missing = Missing()
    missing.left(NORTH, 0.0)
    assert missing.due(LONGEST + 1) == [NORTH]
    assert missing.due(10 * LONGEST) == []


def test_few_are_looked_for_together() -> None:
    """Of many endpoints some are looked for now and the others next time."""
    missing = Missing()
    for number in range(AT_ONCE + 1):
        missing.left(f"tls:north.example:{number}", 0.0)
    assert (len(missing.due(1.0)), len(missing.due(1.0))) == (AT_ONCE, 1)


def test_the_first_is_forgotten_where_there_are_too_many() -> None:
    """Of more endpoints than are remembered, those that were left first are forgotten."""
    missing = Missing()
    for number in range(MOST + 1):
        missing.left(f"tls:north.example:{number}", 0.0)
    found = [endpoint for _ in range(MOST) for endpoint in missing.due(1.0)]
    assert found[0] == "tls:north.example:1"
    assert len(found) == MOST
