"""Access rules from end to end: a file, clients over a unix socket and in this process, the log, and a reload."""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio.testing
from attrs import frozen

import t2bus
from bus_helpers import HELLO, Add, Connect, Note, Sum, add, names, open_peer, settle, wait_until
from t2bus.wire import messages as m

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

KINDS = {"memory": "local", "unix": f"uid:{os.geteuid()}"}
"""Ways to a bus, each with the identity of who comes that way."""

VERBS = ("publish", "publish_wildcards", "subscribe", "serve", "request")

ALL = dict.fromkeys(VERBS, '["**"]')


def rules(table: str, verbs: Mapping[str, str]) -> str:
    return "\n".join([f"[{table}]", *(f"{verb} = {topics}" for verb, topics in verbs.items()), ""])


def all_but(*verbs: str) -> str:
    return rules("everyone", {verb: topics for verb, topics in ALL.items() if verb not in verbs})


@frozen
class Guarded:
    """A bus with access rules."""

    bus: t2bus.Bus
    connect: Connect
    file: Path
    who: str

    def reload(self, text: str) -> None:
        """Put other rules in force."""
        self.file.write_text(text)
        self.bus.reload()


@asynccontextmanager
async def open_guarded(kind: str, folder: Path, text: str) -> AsyncGenerator[Guarded, None]:
    """Open a bus with these rules and the way to it."""
    file = folder / "access.toml"
    file.write_text(text)
    async with t2bus.open_bus(f"unix:{folder}/bus", access=file) as bus:
        connect = bus.open_client if kind == "memory" else partial(t2bus.open_client, bus.addresses[0])
        yield Guarded(bus, connect, file, KINDS[kind])


async def subscribe(client: t2bus.Client, topic: str) -> None:
    async with client.subscribe(Note, topic):
        pass


async def subscribe_bytes(client: t2bus.Client, topic: str) -> None:
    async with client.subscribe_bytes(f"note/{topic}"):
        pass


async def subscribe_into(client: t2bus.Client, topic: str) -> None:
    send, receive = trio.open_memory_channel[t2bus.Received[Note] | t2bus.BusError](1)
    with send, receive:
        async with client.subscribe_into(Note, topic, send):
            pass


async def send(client: t2bus.Client, topic: str, *, paced: bool = True) -> None:
    async with client.open_publisher(Note, topic, paced=paced) as publisher:
        await publisher.send(Note("x"))


async def send_bytes(client: t2bus.Client, topic: str) -> None:
    async with client.open_bytes_publisher(f"note/{topic}") as publisher:
        await publisher.send(b"x")


async def serve(client: t2bus.Client, topic: str) -> None:
    async with client.serve(Add, topic):
        pass


async def serve_bytes(client: t2bus.Client, topic: str) -> None:
    async with client.serve_bytes(f"add/{topic}"):
        pass


async def serve_with(client: t2bus.Client, topic: str) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(client.serve_with, Add, topic, add)
        nursery.cancel_scope.cancel()


async def request(client: t2bus.Client, topic: str) -> None:
    assert await client.request(topic, Add(1, 2)) == Sum(3)


async def request_bytes(client: t2bus.Client, topic: str) -> None:
    await client.request_bytes(f"add/{topic}", b"\xa2dleft\x01eright\x02")


CALLS: dict[str, tuple[str, Callable[[t2bus.Client], Awaitable[object]], str]] = {
    "publish": ("publish", lambda c: c.publish("x", Note("")), "publish to 'note/x'"),
    "publish_bytes": ("publish", lambda c: c.publish_bytes("note/x", b""), "publish to 'note/x'"),
    "open_publisher": ("publish", lambda c: send(c, "x"), "publish to 'note/x'"),
    "unpaced": ("publish", lambda c: send(c, "x", paced=False), "publish to 'note/x'"),
    "open_bytes_publisher": ("publish", lambda c: send_bytes(c, "x"), "publish to 'note/x'"),
    "wildcards": ("publish_wildcards", lambda c: c.publish("*", Note("")), "publish with wildcards to 'note/*'"),
    "a publisher to wildcards": ("publish_wildcards", lambda c: send(c, "*"), "publish with wildcards to 'note/*'"),
    "subscribe": ("subscribe", lambda c: subscribe(c, "*"), "subscribe to 'note/*'"),
    "subscribe_bytes": ("subscribe", lambda c: subscribe_bytes(c, "x"), "subscribe to 'note/x'"),
    "subscribe_into": ("subscribe", lambda c: subscribe_into(c, "**"), "subscribe to 'note/**'"),
    "serve": ("serve", lambda c: serve(c, "x"), "serve 'add/x'"),
    "serve_bytes": ("serve", lambda c: serve_bytes(c, "x"), "serve 'add/x'"),
    "serve_with": ("serve", lambda c: serve_with(c, "x"), "serve 'add/x'"),
    "request": ("request", lambda c: request(c, "there"), "request 'add/there'"),
    "request_bytes": ("request", lambda c: request_bytes(c, "there"), "request 'add/there'"),
}
"""All calls that need a right: which, how, and the words for it."""


async def refusal(client: t2bus.Client, name: str) -> str:
    """Make a call that must be refused; return the text of its error."""
    raised: list[t2bus.PermissionDenied] = []
    try:
        await CALLS[name][1](client)
    except* t2bus.PermissionDenied as group:  # the nursery around serve_with wraps it
        raised += [error for error in group.exceptions if isinstance(error, t2bus.PermissionDenied)]
    (error,) = raised
    return str(error)


# --- the rules in force


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
async def test_a_call_without_its_right_is_refused(folder: Path, kind: str, name: str) -> None:
    """Each call raises ``PermissionDenied`` that names the identity, the verb and the topic, and the client goes on."""
    verb, _, phrase = CALLS[name]
    async with open_guarded(kind, folder, all_but(verb)) as guarded, guarded.connect() as client:
        assert await refusal(client, name) == f"{guarded.who!r} may not {phrase}"
        assert guarded.bus.statistics().denied == 1
        assert guarded.bus.statistics().connections == 1
        if verb != "subscribe":
            await subscribe(client, "x")
        assert client.statistics().subscriptions == guarded.bus.statistics().subscriptions == 0
        assert client.statistics().services == guarded.bus.statistics().services == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
async def test_a_call_needs_its_own_right_and_no_other(folder: Path, kind: str, name: str) -> None:
    """With the one right, given to its identity, each call does what it does."""
    verb, call, _ = CALLS[name]
    text = rules(f'identity."{KINDS[kind]}"', {verb: ALL[verb]})
    async with open_guarded(kind, folder, text) as guarded, guarded.connect() as client:
        if verb == "request":
            with pytest.raises(t2bus.ServiceNotFound):
                await call(client)
        else:
            await call(client)
        assert guarded.bus.statistics().denied == 0


async def test_rules_are_for_whom_they_name(folder: Path) -> None:
    """What one identity may do nobody else may, and who is not named may do nothing at all."""
    text = rules("identity.local", ALL)
    async with (
        open_guarded("unix", folder, text) as guarded,
        guarded.bus.open_client() as local,
        guarded.connect() as other,
        local.subscribe(Note, "x") as notes,
    ):
        for name in CALLS:
            await refusal(other, name)
        assert guarded.bus.statistics().denied == len(CALLS)
        assert await local.publish("x", Note("")) == 1
        assert (await notes.receive()).body == Note("")


async def test_groups_have_rights(folder: Path) -> None:
    """A unix peer has the rights of its group as well."""
    text = rules(f'identity."gid:{os.getegid()}"', {"publish": '["note/x"]'})
    async with open_guarded("unix", folder, text) as guarded, guarded.connect() as client:
        assert await client.publish("x", Note("")) == 0


async def test_wildcards_are_a_right_of_their_own(folder: Path) -> None:
    """Who may publish to every topic may still not publish to several at once, unless told so."""
    text = rules("everyone", {"publish": '["**"]', "publish_wildcards": '["note/a/*"]'})
    async with open_guarded("memory", folder, text) as guarded, guarded.connect() as client:
        assert await client.publish("b/x", Note("")) == 0
        assert await client.publish("a/*", Note("")) == 0
        for topic in ("b/*", "a/**", "*/x"):
            with pytest.raises(t2bus.PermissionDenied, match="publish with wildcards"):
                await client.publish(topic, Note(""))


async def test_denial_wins(folder: Path) -> None:
    """What is denied is not reached, neither by name nor within something larger."""
    text = rules("everyone", ALL) + rules("everyone.deny", {"publish": '["note/secret"]', "subscribe": '["*/secret"]'})
    async with open_guarded("memory", folder, text) as guarded, guarded.connect() as client:
        assert await client.publish("open", Note("")) == 0
        await subscribe(client, "open")
        for topic in ("secret", "*"):
            with pytest.raises(t2bus.PermissionDenied):
                await client.publish(topic, Note(""))
            with pytest.raises(t2bus.PermissionDenied):
                await subscribe(client, topic)


async def test_a_refused_publication_in_a_row_is_told_once(folder: Path) -> None:
    """A publisher that may not raises at a later ``send`` or at ``flush``, and nothing of it reaches anybody."""
    async with (
        open_guarded("unix", folder, all_but("publish")) as guarded,
        guarded.connect() as client,
        client.subscribe(Note, "**") as notes,
    ):
        publisher = client.open_publisher(Note, "x")
        await publisher.send(Note("1"))
        await publisher.send(Note("2"))
        with pytest.raises(t2bus.PermissionDenied):
            await publisher.flush()
        await publisher.flush()
        assert publisher.accepted == 0
        await publisher.aclose()
        with trio.move_on_after(0.01) as scope:
            await notes.receive()
        assert scope.cancelled_caught
        assert guarded.bus.statistics().published == 0


async def test_a_response_needs_no_right_and_comes_once(folder: Path) -> None:
    """The server needs the right to serve alone, the requester that to request, and an answer is handed over once."""
    text = rules("identity.local", {"serve": '["add/x"]'})
    text += rules(f'identity."{KINDS["unix"]}"', {"request": '["add/x"]'})
    async with (
        open_guarded("unix", folder, text) as guarded,
        guarded.bus.open_client() as server,
        guarded.connect() as client,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(server.serve_with, Add, "x", add)
        for number in range(3):
            assert await client.request("x", Add(number, 1)) == Sum(number + 1)
        statistics = guarded.bus.statistics()
        assert (statistics.requests, statistics.late_responses, statistics.denied) == (3, 0, 0)
        nursery.cancel_scope.cancel()


# --- the log


async def test_denials_are_logged_once_in_a_second(
    folder: Path, caplog: pytest.LogCaptureFixture, clock: trio.testing.MockClock
) -> None:
    """Of what one identity is refused one line in a second is logged, and each identity has its own."""
    denied_to = "denied: {!r} may not publish to 'note/{}'"
    async with (
        open_guarded("unix", folder, "") as guarded,
        guarded.bus.open_client() as local,
        guarded.connect() as other,
    ):
        for topic in ("first", "second", "third"):
            for client in (local, other):
                with pytest.raises(t2bus.PermissionDenied):
                    await client.publish(topic, Note(""))
            if topic == "second":
                await trio.sleep(1)
        assert guarded.bus.statistics().denied == 6
    assert [message[message.index("denied") :] for message in caplog.messages] == [
        denied_to.format(who, topic) for topic in ("first", "third") for who in (KINDS["memory"], KINDS["unix"])
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


# --- other rules


@pytest.mark.parametrize("kind", KINDS)
async def test_new_rules_hold_for_who_is_connected(folder: Path, kind: str) -> None:
    """After a reload the next call is judged by the new rules, whatever was allowed or refused before."""
    async with open_guarded(kind, folder, all_but("request")) as guarded, guarded.connect() as client:
        assert await client.publish("x", Note("")) == 0
        await refusal(client, "request")
        guarded.reload(all_but("publish"))
        await refusal(client, "publish")
        with pytest.raises(t2bus.ServiceNotFound):
            await request(client, "there")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_subscriber_that_may_not_any_more_is_disconnected(
    folder: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told which right it lost, in its error and in the log; what it had received before is still there."""
    caplog.set_level(logging.INFO, "t2bus")
    reason = f"the access rules have changed: {KINDS[kind]!r} may not subscribe to 'note/x'"
    async with open_guarded(kind, folder, rules("everyone", ALL)) as guarded, guarded.connect() as client:
        async with client.subscribe(Note, "x") as notes:
            await client.publish("x", Note("before"))
            guarded.reload(all_but("subscribe"))
            assert (await notes.receive()).body == Note("before")
            with pytest.raises(t2bus.Disconnected) as caught:
                await notes.receive()
        assert reason in str(caught.value)
        with pytest.raises(t2bus.Disconnected):
            await client.publish("x", Note(""))
        await wait_until(lambda: guarded.bus.statistics().connections == 0)
    assert f"left: {reason}" in caplog.text


async def test_others_stay(folder: Path) -> None:
    """A reload costs nobody a connection who has nothing that is forbidden now."""
    text = rules("identity.local", ALL)
    async with (
        open_guarded("unix", folder, rules("everyone", ALL)) as guarded,
        guarded.bus.open_client() as local,
        guarded.connect() as loser,
        guarded.connect() as bystander,
        local.subscribe(Note, "x") as notes,
        loser.serve(Add, "x") as requests,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(local.serve_with, Add, "mine", add)
        guarded.reload(text)
        with pytest.raises(t2bus.Disconnected, match="may not serve 'add/x'"):
            await requests.receive()
        with pytest.raises(t2bus.ServiceNotFound):
            await local.request("x", Add(1, 2))
        assert await local.request("mine", Add(1, 2)) == Sum(3)
        await local.publish("x", Note("after"))
        assert (await notes.receive()).body == Note("after")
        await refusal(bystander, "publish")
        await wait_until(lambda: guarded.bus.statistics().connections == 2)
        nursery.cancel_scope.cancel()


async def test_who_does_not_leave_is_cut_off(
    folder: Path, clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A peer that lost its right, reads nothing and does not close is gone after ``Limits.drain``, unheard and
    unserved from the first moment.
    """
    caplog.set_level(logging.INFO, "t2bus")
    file = folder / "access.toml"
    file.write_text(rules("everyone", ALL))
    async with (
        t2bus.open_bus("tcp:127.0.0.1:0", access=file) as bus,
        bus.open_client() as local,
        open_peer(bus) as peer,
    ):
        await peer.shake_hands()
        await peer.send(m.Subscribe(1, "x", 1000, 1 << 30), m.Claim(2, "raw", 10, 1000))
        await peer.expect(m.Accepted)
        for _ in range(12):  # more than the kernel takes, so that the bus is left with some of it
            await local.publish_bytes("x", os.urandom(1_000_000))
        assert bus.statistics().buffered_bytes > 0
        file.write_text(rules("identity.local", ALL))
        bus.reload()
        start = trio.current_time()
        assert await local.publish_bytes("x", b"secret") == 0
        with pytest.raises(t2bus.ServiceNotFound):
            await local.request_bytes("raw", b"secret")
        await peer.send(HELLO, m.Publish(3, False, m.Publication("x", b"")))  # what it says now means nothing
        await trio.sleep(4.9)
        assert bus.statistics().connections == 2
        await trio.sleep(0.2)
        assert bus.statistics().connections == 1
        assert trio.current_time() - start < 6
        assert bus.statistics().violations == 0
        assert all(message.publication.payload != b"secret" for message in await deliveries(peer.read_to_end()))
    assert "the access rules have changed: 'anonymous' may not subscribe to 'x'" in caplog.text


async def deliveries(messages: Awaitable[list[m.ServerMessage]]) -> list[m.Deliver]:
    return [message for message in await messages if isinstance(message, m.Deliver)]


@pytest.mark.parametrize("text", ["[everyone", '[everyone]\npublish = ["A"]', None])
async def test_a_file_that_cannot_be_used_changes_nothing(folder: Path, text: str | None) -> None:
    """A reload of a file that is wrong or missing raises, and the old rules stay in force for everyone."""
    async with (
        open_guarded("unix", folder, all_but("request")) as guarded,
        guarded.connect() as client,
        client.subscribe(Note, "x") as notes,
    ):
        if text is None:
            guarded.file.unlink()
        else:
            guarded.file.write_text(text)
        with pytest.raises(t2bus.InvalidAccess, match=r"access\.toml: "):
            guarded.bus.reload()
        await settle()
        assert await client.publish("x", Note("still")) == 1
        assert (await notes.receive()).body == Note("still")
        await refusal(client, "request")


async def test_a_bus_without_rules_can_be_reloaded(folder: Path) -> None:
    """Where there is nothing to read again a reload is nothing."""
    async with t2bus.open_bus() as bus, bus.open_client() as client:
        bus.reload()
        assert await client.publish("x", Note("")) == 0


@pytest.mark.parametrize("text", ["[everyone", None])
async def test_a_bus_with_a_wrong_file_is_not_opened(folder: Path, text: str | None) -> None:
    """A bus whose file cannot be used raises before it listens anywhere."""
    file = folder / "access.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(t2bus.InvalidAccess, match=r"access\.toml: "):
        async with t2bus.open_bus(f"unix:{folder}/bus", access=file):
            pass
    assert names(folder) == ([] if text is None else ["access.toml"])
