"""Lists of two moments: rates, the busiest, and the sum of the others."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from t2bus.monitor.entries import CLIENTS, SHOWN, Listed, Listing
from t2bus.status import ClientStatus

IDLE = ClientStatus(
    id=0, name="x", identity="local", address="memory", wire="t2bus", age=1.0, received=0, received_bytes=0, sent=0,
    sent_bytes=0, waiting_bytes=0, held=0, dropped=0, subscriptions=0, services=0, requests=0, calls=0,
)  # fmt: skip


def client(number: int, received: int = 0, **other: Any) -> ClientStatus:
    return attrs.evolve(IDLE, id=number, received=received, received_bytes=10 * received, **other)


def listed(*clients: ClientStatus, at: float = 0.0, before: Listed | None = None) -> Listed:
    listing = Listing(CLIENTS, at, before)
    for each in clients:  # a page for each
        listing.add([each])
    return listing.end()


def test_a_rate_is_what_was_moved_since_the_moment_before() -> None:
    """A rate is the difference of two counts by the seconds between them."""
    now = listed(client(1, 30), at=12.0, before=listed(client(1, 10), at=10.0))
    assert now.rows[0]["received_rate"] == pytest.approx(10.0)
    assert now.rows[0]["received_bytes_rate"] == pytest.approx(100.0)
    assert now.rows[0]["sent_rate"] == 0


def test_who_is_new_has_no_rate() -> None:
    """Of who was not there before no rate is known."""
    now = listed(client(1, 30), client(2, 5), at=12.0, before=listed(client(1, 10), at=10.0))
    assert {row["id"]: row["received_rate"] for row in now.rows} == {1: 10.0, 2: None}


def test_what_counts_anew_has_no_rate() -> None:
    """A count that is less than before was begun anew, as that of a topic that was forgotten, and has no rate."""
    assert listed(client(1, 3), at=12.0, before=listed(client(1, 10), at=10.0)).rows[0]["received_rate"] is None


def test_the_busiest_are_shown() -> None:
    """Of more entries than rows those that have moved most are shown, the first of them first."""
    now = listed(*(client(number, number) for number in range(1, SHOWN + 51)))
    assert [row["id"] for row in now.rows] == list(range(SHOWN + 50, 50, -1))
    assert now.total == SHOWN + 50


def test_the_others_are_one_sum() -> None:
    """What is moved by those that are not shown is summed."""
    now = listed(*(client(number, 1000) for number in range(SHOWN)), client(1000, 3), client(1001, 4))
    assert now.others[0] == 7


def test_the_sum_of_the_others_never_falls() -> None:
    """Where entries leave, or come to be shown, the sum of the others stays what it was."""
    busy = [client(number, 1000) for number in range(SHOWN)]
    before = listed(*busy, client(1000, 3), client(1001, 4))
    without = listed(*busy, at=1.0, before=before)
    assert without.others == before.others
    risen = listed(*busy[1:], client(1001, 2000), at=1.0, before=before)
    assert risen.others == before.others
    further = listed(*busy, client(1000, 5), client(1001, 4), at=1.0, before=before)
    assert further.others[0] == before.others[0] + 2


def test_the_furthest_behind_are_named() -> None:
    """Those that have missed something, or are waited for, are named, the furthest behind first."""
    now = listed(client(1), client(2, dropped=5), client(3, held=9))
    assert now.lagging == [(3,), (2,)]


def test_text_is_fit_to_be_shown() -> None:
    """What is not printable in a text of a peer is escaped, and what is too long is shortened."""
    (row,) = listed(client(1, name="a\x1b[31m\n\u202eb" + "c" * 10_000)).rows
    assert row["name"].startswith("a\\x1b[31m\\n\\u202eb")
    assert len(row["name"]) < 1000
