"""Text from others: what is shown of it is one line, of bounded length, that no terminal obeys.

The log is one place where it is shown, and payloads are not shown there at all.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import t2bus
from bus_helpers import Note, open_peer, wait_until
from pure_helpers import steady
from t2bus.text import QUOTED, as_text, printable, quote, shorten
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.framing import frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from bus_helpers import Site

ANY_TEXT = st.text(st.characters(codec=None))
"""All characters, lone surrogates as well."""


@pytest.mark.parametrize("text", ["", "a topic", "größer als 1", "語", "a\\b"])
def test_what_can_be_shown_stays_as_it_is(text: str) -> None:
    """Text that can be printed is not changed, in whatever language it is."""
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\ntwo\r", r"one\ntwo\r"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("\u202eright to left", r"\u202eright to left"),
        ("\u2028line", r"\u2028line"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_cannot_be_shown_is_escaped(text: str, shown: str) -> None:
    """Line ends, controls of terminals, changes of direction and lone surrogates are written out."""
    assert printable(text) == shown


def test_what_has_no_text_says_so() -> None:
    """An object whose text cannot be made has one all the same."""

    class Unspeakable:
        def __str__(self) -> str:
            raise KeyError

    assert as_text(Unspeakable()) == "(KeyError in its __str__)"
    assert as_text(5) == "5"


@pytest.mark.parametrize(("text", "shown"), [("12345", "12345"), ("123456", "12345..."), ("\n" * 6, r"\n\n\n\n\n...")])
def test_long_text_is_cut(text: str, shown: str) -> None:
    """Of a text that is longer than allowed the beginning is shown, with a sign that there was more."""
    assert printable(text, 5) == shown


@given(ANY_TEXT)
@steady(300)
def test_nothing_is_left_that_cannot_be_shown(text: str) -> None:
    """Whatever the text, what is shown is one printable line that can be written in UTF-8."""
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) <= 1


@given(ANY_TEXT, st.integers(0, 20))
@steady(300)
def test_the_length_is_bounded(text: str, most: int) -> None:
    """What is shown takes at most ten characters for each that is allowed, and three for the sign."""
    assert len(printable(text, most)) <= 10 * most + 3


@given(ANY_TEXT, st.integers(0, 20))
@steady(300)
def test_what_is_shortened_begins_like_the_text(text: str, most: int) -> None:
    """A text within the bound stays as it is, and any other is its beginning and a sign that there was more."""
    assert shorten(text, most) == (text if len(text) <= most else text[:most] + "...")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "''"),
        ("it's", '"it\'s"'),
        ("a\nb", r"'a\nb'"),
        ("x" * 78, f"'{'x' * 78}'"),
        ("x" * 79, f"'{'x' * 75}...'"),
        ("\U000e0001" * 8, "'" + r"\U000e0001" * 7 + r"\U000...'"),
    ],
    ids=["empty", "a quote in it", "a line end", "the longest", "too long", "too long when escaped"],
)
def test_quotations(text: str, shown: str) -> None:
    """A quotation stands between quotes, is escaped, and has 80 characters at most."""
    assert quote(text) == shown
    assert len(shown) <= QUOTED == 80


@given(ANY_TEXT, st.integers(10, 20))
@steady(300)
def test_quotations_are_bounded_and_printable(text: str, most: int) -> None:
    """Whatever the text, its quotation is printable, of bounded length, and says all or that something is missing."""
    shown = quote(text, most)
    assert shown.isprintable()
    assert len(shown) <= most
    assert shown == repr(text) or shown[-4:-1] == "..."


# --- the log

NASTY = "\x1b[2J\nt2bus.server: all is well\u202e" * 1000
"""Text that would clear a terminal, fake a line and turn the direction of another, and is long."""

MARKER = "4711-payload-4711"
"""What no log may contain; printable, so that it would be found however it got there."""


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Log everything that can be logged."""
    caplog.set_level(logging.DEBUG)
    return caplog


async def open_and_say(bus: t2bus.Bus, *last: bytes, shakes_hands: bool = True) -> None:
    """Connect as a peer that says this last, and wait until the bus has ended it."""
    async with open_peer(bus) as peer:
        if shakes_hands:
            await peer.shake_hands()
        await peer.send_bytes(b"".join(last))
        await peer.read_to_end()


@pytest.mark.parametrize(
    "last",
    [
        native.encode(m.Error(NASTY)),
        native.encode(m.Goodbye(NASTY)),
        native.encode(m.Subscribe(1, NASTY, 1, 1)) + native.encode(m.Goodbye("")),
        frame(b"\x82\x18\xff" + b"\x7a" + len(NASTY.encode()).to_bytes(4, "big") + NASTY.encode()),
        frame(NASTY.encode()),
    ],
)
async def test_text_of_peers_is_one_short_line_of_the_log(
    tcp: Site, log: pytest.LogCaptureFixture, last: bytes
) -> None:
    """Whatever text a peer ends with, no line of the log can be taken for two or is long."""
    await open_and_say(tcp.bus, last)
    await wait_until(lambda: tcp.bus.statistics().connections == 0)
    for text in log.messages:
        assert text.isprintable()
        assert len(text) < 2000


async def test_the_reason_of_a_peer_is_quoted(tcp: Site, log: pytest.LogCaptureFixture) -> None:
    """What a peer says is wrong stands in the log, its beginning at least, with its controls written out."""
    await open_and_say(tcp.bus, native.encode(m.Error(NASTY)))
    await wait_until(lambda: "left" in log.text)
    (text,) = [text for text in log.messages if " left" in text]
    assert text.startswith(r"client 1 (anonymous) left: it says: \x1b[2J\nt2bus.server: all is well\u202e")


async def test_refusals_are_cut(folder: Path, log: pytest.LogCaptureFixture) -> None:
    """A refusal that quotes a very long topic is one line of bounded length."""
    access = folder / "access.toml"
    access.touch()
    limits = t2bus.Limits(topic_length=10_000)
    async with t2bus.open_bus(access=access, limits=limits) as bus, bus.open_client() as client:
        with pytest.raises(t2bus.PermissionDenied):
            await client.publish_bytes("x" * 10_000, b"")
    (text,) = [text for text in log.messages if "denied" in text]
    assert "(local) denied: 'local' may not publish to 'xxx" in text
    assert text.endswith("x...")
    assert len(text) < 700


async def test_topics_are_cut(log: pytest.LogCaptureFixture) -> None:
    """A log that wants everything tells of a subscription to a very long topic in lines of bounded length."""
    async with (
        t2bus.open_bus(limits=t2bus.Limits(topic_length=10_000)) as bus,
        bus.open_client() as client,
        client.subscribe_bytes("x" * 10_000),
    ):
        pass
    said = [text for text in log.messages if "subscribed " in text]
    assert len(said) == 2
    assert max(map(len, said)) < 700


# --- payloads

ALL = "".join(f'{verb} = ["**"]\n' for verb in ("publish", "subscribe", "serve", "request"))


async def answer(requests: t2bus.Requests[bytes, bytes]) -> None:
    """Answer requests with what they say, or fail with it."""
    async for request in requests:
        if request.topic == "echo":
            await request.respond(request.body, headers=request.headers)
        else:
            await request.fail(request.body.decode())


async def fail(client: t2bus.Client) -> None:
    with pytest.raises(t2bus.RemoteError, match=MARKER):
        await client.request_bytes("fail", MARKER.encode())


async def send(client: t2bus.Client) -> None:
    async with client.open_publisher(Note, "x") as publisher:
        await publisher.send(Note(MARKER))


HEADERS = {"key": MARKER}
CALLS: dict[str, Callable[[t2bus.Client], Awaitable[object]]] = {
    "publish": lambda client: client.publish("x", Note(MARKER), headers=HEADERS),
    "publish what is compressed": lambda client: client.publish_bytes("note/x", MARKER.encode() * 1000),
    "publish what is malformed": lambda client: client.publish_bytes("note/x", MARKER.encode()),
    "open_publisher": send,
    "request": lambda client: client.request_bytes("echo", MARKER.encode(), headers=HEADERS),
    "fail": fail,
}


@pytest.mark.parametrize("rights", [ALL, ""])
@pytest.mark.parametrize("name", CALLS)
async def test_what_programs_send_is_not_logged(
    folder: Path, log: pytest.LogCaptureFixture, name: str, rights: str
) -> None:
    """Nothing of a payload, a header, a response or a failure is logged at any level, be it allowed or refused."""
    access = folder / "access.toml"
    access.write_text(f"[identity.local]\n{ALL}[everyone]\n{rights}")
    async with (
        t2bus.open_bus("tcp:127.0.0.1:0", access=access) as bus,
        bus.open_client() as local,
        local.subscribe(Note, "x") as notes,
        local.serve_bytes("echo") as echo,
        local.serve_bytes("fail") as failing,
        t2bus.open_client(bus.addresses[0]) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer, echo)
        nursery.start_soon(answer, failing)
        if rights:
            await CALLS[name](client)
            if bus.statistics().published:
                with contextlib.suppress(t2bus.MalformedMessage):
                    await notes.receive()
        else:
            with pytest.raises(t2bus.PermissionDenied):
                await CALLS[name](client)
        nursery.cancel_scope.cancel()
    assert MARKER not in log.text
    assert ("denied: " in log.text) is not bool(rights)


PUBLISH = native.encode(m.Publish(1, False, m.Publication("x", MARKER.encode())))
_BODY = PUBLISH[4:]
_AS_BYTES, _AS_TEXT = bytes([0x40 + len(MARKER)]), bytes([0x60 + len(MARKER)])
BROKEN = {
    "no message at all": frame(MARKER.encode()),
    "a frame that breaks off": frame(_BODY[:-1]),
    "more than a message": frame(_BODY + MARKER.encode()),
    "text for a payload": frame(_BODY.replace(_AS_BYTES, _AS_TEXT)),
    "a message of no kind": frame(b"\x82\x18\xff" + _AS_TEXT + MARKER.encode()),
    "a message of the bus": native.encode(m.Response(1, MARKER.encode())),
    "a used number": PUBLISH * 2,
    "a payload for a length": MARKER.encode(),
}


@pytest.mark.parametrize("shakes_hands", [True, False])
@pytest.mark.parametrize("name", BROKEN)
async def test_what_broken_peers_send_is_not_logged(
    tcp: Site, log: pytest.LogCaptureFixture, name: str, shakes_hands: bool
) -> None:
    """A frame that is malformed or out of place is told of in the log, but not what is in it."""
    await open_and_say(tcp.bus, BROKEN[name], shakes_hands=shakes_hands)
    said = "(anonymous) left: " if shakes_hands else "connection of anonymous from 127.0.0.1 ended: "
    await wait_until(lambda: said in log.text)
    assert MARKER not in log.text
    assert tcp.bus.statistics().violations == 1
