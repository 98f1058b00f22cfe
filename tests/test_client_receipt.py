"""The receipt of a publication: who took it, and who missed it."""

from __future__ import annotations

import copy
import pickle

import t2bus

ONE = t2bus.Limits(subscription_messages=1)


async def test_says_how_many_missed_it() -> None:
    """A connection whose window is spent is no taker, and is told apart from one that is not there."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        bus.open_client(limits=ONE) as full,
        bus.open_client() as other,
    ):
        nobody = await client.publish_bytes("a", b"")
        async with full.subscribe_bytes("a"), other.subscribe_bytes("a"):
            first = await client.publish_bytes("a", b"1")
            second = await client.publish_bytes("a", b"2")
    assert [(receipt, receipt.missed) for receipt in (nobody, first, second)] == [(0, 0), (2, 0), (1, 1)]


async def test_is_a_number() -> None:
    """It counts, compares and prints as the number of those who took it."""
    async with t2bus.open_bus() as bus, bus.open_client() as client, client.subscribe_bytes("a"):
        receipt = await client.publish_bytes("a", b"")
    assert isinstance(receipt, t2bus.Receipt)
    assert isinstance(receipt, int)
    assert (f"{receipt}", receipt + 1) == ("1", 2)


async def test_can_be_copied_and_pickled() -> None:
    """A receipt that is put in a log, or sent to another process, says there what it says here."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        bus.open_client(limits=ONE) as full,
        full.subscribe_bytes("a"),
    ):
        receipts = [await client.publish_bytes("a", b"") for _ in range(2)]
    for receipt in receipts:
        for other in (copy.copy(receipt), pickle.loads(pickle.dumps(receipt))):
            assert (other, other.missed, type(other)) == (receipt, receipt.missed, type(receipt))


async def test_one_connection_is_missed_once() -> None:
    """A connection takes a publication if one of its subscriptions does, and misses it once if none does."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        bus.open_client(limits=ONE) as full,
        full.subscribe_bytes("a"),
        full.subscribe_bytes("**"),
    ):
        receipts = [await client.publish_bytes("a", b"") for _ in range(2)]
        async with full.subscribe_bytes("*"):
            receipts.append(await client.publish_bytes("a", b""))
    assert [(receipt, receipt.missed) for receipt in receipts] == [(1, 0), (0, 1), (1, 0)]


async def test_a_publisher_counts_what_was_missed() -> None:
    """A pipelined publisher knows how many connections took its messages, and how many did not, over all of them."""
    async with (
        t2bus.open_bus() as bus,
        bus.open_client() as client,
        bus.open_client(limits=ONE) as full,
        full.subscribe_bytes("a"),
        client.subscribe_bytes("a"),
        client.open_bytes_publisher("a", paced=False) as publisher,
    ):
        for _ in range(5):
            await publisher.send(b"")
        await publisher.flush()
        assert (publisher.accepted, publisher.missed) == (6, 4)


async def test_a_paced_publisher_knows_who_stalled() -> None:
    """What was held for a subscriber that takes nothing counts as missed when it is given up."""
    async with (
        t2bus.open_bus(limits=t2bus.Limits(stall=0.01)) as bus,
        bus.open_client() as client,
        bus.open_client(limits=ONE) as full,
        full.subscribe_bytes("a"),
        client.open_bytes_publisher("a") as publisher,
    ):
        for _ in range(3):
            await publisher.send(b"")
        await publisher.flush()
        assert (publisher.accepted, publisher.missed) == (1, 2)
