"""TLS on a socket: what comes with one read, what counts as sent, keys that change, and the ends of a connection."""

from __future__ import annotations

import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from stream_helpers import SMALL, ClientEnd, connect
from t2bus.transport.socket_stream import drop
from tls_peer_helpers import ALERT, RECORD, TlsPair, TlsPeer, open_sealed_pair, open_tls_pair

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence
    from pathlib import Path

LARGE = 1_000_000
"""Bytes that fit in no socket here."""


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Generator[TlsPair, None, None]:
    with open_tls_pair(request.param) as pair:
        yield pair


def records(ciphertext: bytes) -> list[int]:
    """Return how long each record is, head and all."""
    sizes: list[int] = []
    while ciphertext:
        sizes.append(5 + int.from_bytes(ciphertext[3:5], "big"))
        assert len(ciphertext) >= sizes[-1]
        ciphertext = ciphertext[sizes[-1] :]
    return sizes


# --- receiving


async def test_what_comes_with_the_handshake() -> None:
    """What the peer has said right behind its handshake is received, though the socket has nothing more."""
    with open_tls_pair(behind=b"early") as pair:
        assert await pair.stream.receive_some(100) == b"early"
    with open_tls_pair(behind=b"early") as pair:
        assert pair.stream.receive_nowait(100) == b"early"


async def test_all_records_that_came_are_received_at_once(pair: TlsPair) -> None:
    """One call returns what is in all records that are there."""
    pair.say(pair.peer.seal(b"one", b"two", b"three"))
    assert await pair.stream.receive_some(1000) == b"onetwothree"


async def test_nothing_has_come(pair: TlsPair) -> None:
    """Where there is nothing, not waiting raises ``trio.WouldBlock``, also after something was received."""
    for _ in range(2):
        with pytest.raises(trio.WouldBlock):
            pair.stream.receive_nowait(1000)
        pair.say(pair.peer.seal(b"one"))
        await pair.arrived()
        assert pair.stream.receive_nowait(1000) == b"one"


async def test_half_a_record_is_nothing(pair: TlsPair) -> None:
    """A record counts when all of it is there, at whatever place it is cut."""
    ciphertext = pair.peer.seal(b"whole")
    for cut in range(len(ciphertext) - 1):
        pair.say(ciphertext[cut : cut + 1])
        await pair.arrived()
        with pytest.raises(trio.WouldBlock):
            pair.stream.receive_nowait(1000)
    pair.say(ciphertext[-1:])
    assert await pair.stream.receive_some(1000) == b"whole"


async def test_whole_records_are_received_before_half_a_one(pair: TlsPair) -> None:
    """What is complete is not held up by what comes behind it."""
    first, second = pair.peer.seal(b"whole"), pair.peer.seal(b"half")
    pair.say(first + second[:9])
    assert await pair.stream.receive_some(1000) == b"whole"
    pair.say(second[9:])
    assert await pair.stream.receive_some() == b"half"


async def test_full_records_fill_a_read() -> None:
    """Of a peer that fills its records so much is received at once as was asked for."""
    with open_tls_pair(buffer=1 << 19) as pair:
        pair.say(pair.peer.seal(bytes(8 * RECORD)))
        assert [len(await pair.stream.receive_some(4 * RECORD)) for _ in range(2)] == [4 * RECORD, 4 * RECORD]


async def test_a_cancelled_receive_loses_nothing(pair: TlsPair) -> None:
    """What came before receiving was cancelled is part of what is received next."""
    ciphertext = pair.peer.seal(b"whole")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.stream.receive_some)
        pair.say(ciphertext[:9])
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    pair.say(ciphertext[9:])
    assert await pair.stream.receive_some() == b"whole"


async def test_receiving_twice(pair: TlsPair) -> None:
    """A second task that receives is refused, and the first goes on."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.stream.receive_some)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await pair.stream.receive_some()
        pair.say(pair.peer.seal(b"x"))


# --- sending


async def test_it_is_on_the_wire_at_once(pair: TlsPair) -> None:
    """What the socket takes is sent when the call returns, though no other task has run."""
    assert pair.stream.send_nowait([b"one", memoryview(b"two")]) == 6
    assert await pair.peer.read(6) == b"onetwo"


async def test_small_buffers_share_a_record(pair: TlsPair) -> None:
    """Buffers that fit in one record together are sent in one."""
    pair.stream.send_nowait([b"head", bytes(RECORD - 4)])
    await trio.lowlevel.wait_readable(pair.peer.far)
    assert len(records(pair.peer.take())) == 1


def test_large_buffers_fill_their_records() -> None:
    """A large buffer is sent in as few records as can hold it."""
    with open_tls_pair(buffer=1 << 19) as pair:
        assert pair.stream.send_nowait([b"head", bytes(100_000)]) == 100_004
        assert len(records(pair.peer.take())) == 7


async def test_nothing_is_sent_of_nothing(pair: TlsPair) -> None:
    """No bytes are no record."""
    for buffers in ([], [b""], [b"", b""]):
        assert pair.stream.send_nowait(buffers) == 0
    await pair.stream.send_all(b"")
    assert pair.peer.take() == b""


def test_it_counts_when_the_socket_has_all_of_it(pair: TlsPair) -> None:
    """What fits in part does not count as sent before the rest is, and is encrypted once."""
    left: Sequence[bytes | memoryview] = [bytes(RECORD) * 8]
    assert pair.stream.send_nowait(left) == 0
    data, sizes = b"", b""
    while left:
        ciphertext = pair.peer.take(SMALL)
        sizes += ciphertext
        data += pair.peer.open(ciphertext)
        left = drop(left, pair.stream.send_nowait(left))
    ciphertext = pair.peer.take()
    assert data + pair.peer.open(ciphertext) == bytes(8 * RECORD)
    assert len(records(sizes + ciphertext)) == 8


async def test_waiting_for_room(pair: TlsPair) -> None:
    """What does not fit is sent as the peer takes it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.stream.send_all, bytes(LARGE))
        assert await pair.peer.read(LARGE) == bytes(LARGE)
    await pair.stream.wait_send_all_might_not_block()


async def test_sending_twice(pair: TlsPair) -> None:
    """A second task that sends is refused, and the first goes on."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.stream.send_all, bytes(LARGE))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await pair.stream.send_all(b"x")
        assert await pair.peer.read(LARGE) == bytes(LARGE)


async def test_receiving_while_another_task_sends(pair: TlsPair) -> None:
    """A task that waits for room holds up none that receives."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.stream.send_all, bytes(LARGE))
        await trio.testing.wait_all_tasks_blocked()
        pair.say(pair.peer.seal(b"x"))
        assert await pair.stream.receive_some() == b"x"
        assert await pair.peer.read(LARGE) == bytes(LARGE)


async def cancel_half_way(pair: TlsPair) -> None:
    """Send more than fits, and give up."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pair.stream.send_all, bytes(LARGE))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_nothing_follows_half_a_record(pair: TlsPair) -> None:
    """After a send that was cancelled half-way nothing can be sent, nor is it told that this was all."""
    await cancel_half_way(pair)
    with pytest.raises(trio.BrokenResourceError):
        pair.stream.send_nowait([b"x"])
    for send in (pair.stream.send_some([b"x"]), pair.stream.send_all(b"x")):
        with pytest.raises(trio.BrokenResourceError):
            await send
    pair.peer.open(pair.peer.take())
    await pair.stream.aclose()
    assert pair.peer.open(pair.peer.take()) == b""
    assert not pair.peer.is_told_the_end()


def test_what_is_kept_below_is_known() -> None:
    """What was written and the peer has not taken counts as ciphertext."""
    with open_tls_pair("tcp", 1 << 19) as pair:
        assert pair.stream.unsent() == 0
        while pair.stream.send_nowait([bytes(RECORD)]):
            pass
        assert (pair.stream.unsent() or 0) > RECORD


_sizes = st.sampled_from([0, 1, RECORD - 1, RECORD, RECORD + 1, 5 * RECORD, 20 * RECORD])
_steps = st.lists(st.tuples(st.sampled_from(["hear", "say", "now", "wait", "take"]), _sizes), max_size=25)


@given(_steps)
@steady(100)
async def test_however_it_is_torn_it_comes_in_order(steps: list[tuple[str, int]]) -> None:
    """However ciphertext is torn on its way, and whatever is sent in whichever way meanwhile, both ends receive what
    the other has sent.
    """
    sent = said = got = heard = on_its_way = b""
    left: Sequence[bytes | memoryview] = []

    def more(size: int, before: bytes) -> bytes:
        return bytes([len(before) % 251]) * size

    with open_tls_pair() as pair:
        for step, size in [*steps, ("wait", 1), ("hear", 1 << 20)]:
            if step == "say":
                said += (data := more(min(size, RECORD), said))
                on_its_way += pair.peer.seal(data) if data else b""
            elif step == "take":
                got += pair.peer.open(pair.peer.take(size))
            elif step == "hear":
                parts, on_its_way = on_its_way[:size], on_its_way[size:]
                for place in range(0, len(parts), SMALL // 4):
                    pair.say(parts[place : place + SMALL // 4])
                    await pair.arrived()
                    heard += received(pair)
            else:
                sent += (data := more(size, sent))
                left = [*left, data]
                left = drop(left, pair.stream.send_nowait(left))
                if step == "wait":
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(send_rest, pair, left)
                        got += await pair.peer.read(len(sent) - len(got))
                    left = []
    assert (got, heard) == (sent, said)


async def send_rest(pair: TlsPair, left: Sequence[bytes | memoryview]) -> None:
    while left := drop(left, 0):
        left = drop(left, await pair.stream.send_some(left))


def received(pair: TlsPair) -> bytes:
    """Return what is there, nothing if that is half a record."""
    try:
        return pair.stream.receive_nowait(RECORD)
    except trio.WouldBlock:
        return b""


# --- new keys


async def test_a_peer_with_new_keys(tmp_path: Path) -> None:
    """What a peer says under new keys is received, also when those come in the same read."""
    with open_sealed_pair(tmp_path) as (pair, sealer):
        for _ in range(3):
            first, _ = sealer.renew(asks=False)
            pair.say(first + sealer.seal(b"under new keys"))
            assert await pair.stream.receive_some() == b"under new keys"
        assert pair.stream.send_nowait([b"x"]) == 1
        assert len(records(pair.peer.take())) == 1


async def test_a_peer_that_asks_for_new_keys(tmp_path: Path) -> None:
    """Who asks for new keys gets them in front of what is sent next, and by then nobody has written."""
    with open_sealed_pair(tmp_path) as (pair, sealer):
        first, _ = sealer.renew(asks=True)
        pair.say(first + sealer.seal(b"x"))
        assert await pair.stream.receive_some() == b"x"
        assert pair.peer.take() == b""
        assert pair.stream.send_nowait([b"under new keys"]) == 14
        ciphertext = pair.peer.take()
        assert len(records(ciphertext)) == 2
        assert pair.peer.open(ciphertext) == b"under new keys"


async def test_new_keys_in_the_middle_of_a_send(tmp_path: Path) -> None:
    """An answer to a peer that asks for new keys goes behind what is being sent already."""
    with open_sealed_pair(tmp_path) as (pair, sealer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.stream.send_all, bytes(LARGE))
            await trio.testing.wait_all_tasks_blocked()
            first, _ = sealer.renew(asks=True)
            pair.say(first + sealer.seal(b"x"))
            assert await pair.stream.receive_some() == b"x"
            assert await pair.peer.read(LARGE) == bytes(LARGE)


async def test_a_message_of_tls_is_no_data(tmp_path: Path) -> None:
    """New keys alone are nothing that is received."""
    with open_sealed_pair(tmp_path) as (pair, sealer):
        pair.say(sealer.renew(asks=True)[0])
        await pair.arrived()
        with pytest.raises(trio.WouldBlock):
            pair.stream.receive_nowait(1000)


async def test_half_a_message_of_tls(tmp_path: Path) -> None:
    """A message of TLS may come in two records; in between nothing is sent, for OpenSSL waits for the other half."""
    with open_sealed_pair(tmp_path) as (pair, sealer):
        first, second = sealer.renew(asks=True, cut=4)
        pair.say(first)
        await pair.arrived()
        with pytest.raises(trio.WouldBlock):
            pair.stream.receive_nowait(1000)
        with pytest.raises(trio.BrokenResourceError):
            pair.stream.send_nowait([b"x"])
        pair.say(second + sealer.seal(b"x"))
        assert await pair.stream.receive_some() == b"x"


async def test_a_peer_that_asks_again_and_again(tmp_path: Path) -> None:
    """A peer that wants new keys without end, and takes none, is cut off for good before its answers are many."""
    with open_sealed_pair(tmp_path) as (pair, sealer):

        async def ask(times: int) -> None:
            for _ in range(times):
                pair.say(sealer.renew(asks=True)[0] + sealer.seal(b"x"))
                assert await pair.stream.receive_some() == b"x"

        await ask(2000)
        for times in (1000, 1):
            with pytest.raises(trio.BrokenResourceError):
                await ask(times)


# --- the end of the other


async def test_the_end(pair: TlsPair) -> None:
    """When the peer has said that this was all, nothing is received, again and again, though its socket is open."""
    pair.say(pair.peer.seal_end())
    for _ in range(2):
        assert await pair.stream.receive_some() == b""
    assert pair.stream.receive_nowait(1000) == b""


async def test_the_end_behind_data(pair: TlsPair) -> None:
    """What came together with the end is received before it."""
    pair.say(pair.peer.seal(b"last") + pair.peer.seal_end())
    assert await pair.stream.receive_some() == b"last"
    assert await pair.stream.receive_some() == b""


async def test_sending_to_a_peer_that_sends_no_more(pair: TlsPair) -> None:
    """A peer that has said all may still be told something."""
    pair.say(pair.peer.seal_end())
    assert await pair.stream.receive_some() == b""
    assert pair.stream.send_nowait([b"x"]) == 1


def garbage(peer: TlsPeer) -> bytes:
    return b"\x17\x03\x03\x00\x20" + bytes(32)


def no_record(peer: TlsPeer) -> bytes:
    return b"GET / HTTP/1.1\r\n\r\n"


def changed(peer: TlsPeer) -> bytes:
    ciphertext = bytearray(peer.seal(b"data"))
    ciphertext[-1] ^= 1
    return bytes(ciphertext)


def repeated(peer: TlsPeer) -> bytes:
    peer.seal(b"left out")
    return peer.seal(b"data")


def too_long(peer: TlsPeer) -> bytes:
    return b"\x17\x03\x03\xff\xff" + bytes(100)


def nothing(peer: TlsPeer) -> bytes:
    return b""


def half(peer: TlsPeer) -> bytes:
    return peer.seal(b"data")[:10]


@pytest.mark.parametrize("wrong", [garbage, no_record, changed, repeated, too_long, nothing, half])
async def test_peers_that_break_off(pair: TlsPair, wrong: Callable[[TlsPeer], bytes]) -> None:
    """What came before is received; then a peer that says no TLS, or ends without a word, has broken the connection,
    for OpenSSL's reason, in both directions and for good, though its socket is open.
    """
    pair.say(pair.peer.seal(b"before") + wrong(pair.peer))
    if wrong in (nothing, half):
        pair.peer.far.shutdown(socket.SHUT_WR)
    assert await pair.stream.receive_some() == b"before"
    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError) as caught:
            await pair.stream.receive_some()
        assert isinstance(caught.value.__cause__, ssl.SSLError)
    with pytest.raises(trio.BrokenResourceError):
        pair.stream.send_nowait([b"x"])
    await pair.stream.aclose()


@pytest.mark.parametrize("before", [b"", b"before"])
async def test_an_alert_is_no_end(tmp_path: Path, before: bytes) -> None:
    """What the peer's alert says is the reason why the connection is broken, however often one asks."""
    with open_sealed_pair(tmp_path) as (pair, sealer):
        pair.say((sealer.seal(before) if before else b"") + sealer.seal(bytes([2, 116]), ALERT))
        if before:
            assert await pair.stream.receive_some() == before
        for _ in range(3):
            with pytest.raises(trio.BrokenResourceError) as caught:
                await pair.stream.receive_some()
            assert isinstance(caught.value.__cause__, ssl.SSLError)
            assert caught.value.__cause__.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
        with pytest.raises(trio.BrokenResourceError):
            pair.stream.send_nowait([b"x"])


async def test_a_connection_that_breaks() -> None:
    """A connection that is reset is broken for both directions, and can be closed."""
    with open_tls_pair() as pair:
        pair.stream.send_nowait([b"unread"])
        pair.peer.far.close()
        with pytest.raises(trio.BrokenResourceError):
            await pair.stream.receive_some()
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError):
                pair.stream.send_nowait([b"x"])
        await pair.stream.aclose()


# --- the own end


async def test_closing_tells_that_this_was_all(pair: TlsPair) -> None:
    """Closing says so to the peer, behind all that was sent, once."""
    pair.stream.send_nowait([b"last"])
    for _ in range(2):
        await pair.stream.aclose()
    assert await pair.peer.read(4) == b"last"
    pair.peer.open(pair.peer.take())
    assert pair.peer.is_told_the_end()
    assert pair.near.fileno() == -1


async def test_closing_waits_for_no_peer(pair: TlsPair) -> None:
    """A stream with something unsent is closed at once."""
    assert pair.stream.send_nowait([bytes(LARGE)]) == 0
    with trio.fail_after(1):
        await pair.stream.aclose()
    assert pair.near.fileno() == -1


async def test_closing_when_it_was_cancelled(pair: TlsPair) -> None:
    """A cancelled task closes the socket all the same."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await pair.stream.aclose()
    assert scope.cancelled_caught
    assert pair.near.fileno() == -1


async def test_two_tasks_may_close_a_transport() -> None:
    """A task that closes a transport while a cancelled one does so too meets no error, whichever comes first."""

    async def close(transport: ClientEnd, *, is_cancelled: bool) -> None:
        with trio.CancelScope() as scope:
            if is_cancelled:
                scope.cancel()
            await transport.aclose()

    for _ in range(16):  # Trio runs them in either order
        with open_tls_pair() as pair, trio.fail_after(5):
            await pair.stream.secure.do_handshake()  # which is over: Trio's stream is told so
            async with trio.open_nursery() as nursery:
                for is_cancelled in (False, True):
                    nursery.start_soon(partial(close, connect(pair.stream), is_cancelled=is_cancelled))
            assert pair.near.fileno() == -1


CALLS: dict[str, Callable[[TlsPair], Awaitable[object]]] = {
    "receive_some": lambda pair: pair.stream.receive_some(),
    "send_some": lambda pair: pair.stream.send_some([b"x"]),
    "send_all": lambda pair: pair.stream.send_all(b"x"),
    "wait_send_all_might_not_block": lambda pair: pair.stream.wait_send_all_might_not_block(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("before", [b"", b"data"])
async def test_after_closing(pair: TlsPair, call: Callable[[TlsPair], Awaitable[object]], before: bytes) -> None:
    """A stream that was closed here says so to every call, also when something had come."""
    pair.say(pair.peer.seal(before) if before else pair.peer.seal_end())
    await pair.stream.receive_some()
    await pair.stream.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await call(pair)
    with pytest.raises(trio.ClosedResourceError):
        pair.stream.send_nowait([b"x"])
    with pytest.raises(trio.ClosedResourceError):
        pair.stream.receive_nowait(1000)


async def test_closing_wakes_those_who_wait(pair: TlsPair) -> None:
    """Tasks that wait for the peer, in both directions, are told that this end was closed."""

    async def told(call: Callable[[TlsPair], Awaitable[object]]) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await call(pair)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(told, lambda pair: pair.stream.receive_some())
        nursery.start_soon(told, lambda pair: pair.stream.send_all(bytes(LARGE)))
        await trio.testing.wait_all_tasks_blocked()
        await pair.stream.aclose()
