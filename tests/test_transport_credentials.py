"""Credentials of unix sockets: what the kernel's answer says, and who is trusted for it."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest
import trio

from t2bus.broker.identity import Identity
from t2bus.transport.credentials import check_peers, from_bsd, from_linux, identity_of, is_ours

if TYPE_CHECKING:
    from collections.abc import Collection

OURS = f"uid:{os.geteuid()}"
SOMEBODY = Identity("uid:12345", ("gid:100", "gid:2000"))


def test_linux() -> None:
    """On Linux the answer is process, user and group."""
    assert from_linux(struct.pack("=iII", 77, 1000, 100)) == Identity("uid:1000", ("gid:100",))


def test_numbers_have_no_sign() -> None:
    """The highest numbers of users are numbers too: -2 is whoever a network's file system does not know."""
    assert from_linux(struct.pack("=iII", 77, 0xFFFFFFFE, 0xFFFFFFFF)) == Identity(
        "uid:4294967294", ("gid:4294967295",)
    )


@pytest.mark.parametrize("groups", [[], [20], [20, 12, 61], list(range(16))])
def test_bsd(groups: list[int]) -> None:
    """On macOS and the BSDs it is version, user, and as many of 16 groups as it says."""
    rest = [999] * (16 - len(groups))
    data = struct.pack("=IIhH16I", 0, 501, len(groups), 0xFFFF, *groups, *rest)
    assert from_bsd(data) == Identity("uid:501", tuple(f"gid:{group}" for group in groups))


async def test_both_ends_are_told() -> None:
    """Each end of a connection is told the user and the group of the other."""
    for end in socket.socketpair(socket.AF_UNIX):
        async with trio.SocketStream(trio.socket.from_stdlib_socket(end)) as stream:
            identity = identity_of(stream)
            assert identity.name == OURS
            assert f"gid:{os.getegid()}" in identity.groups


def test_this_user_is_trusted() -> None:
    """A program trusts its own user, whatever the groups."""
    assert is_ours(Identity(OURS), frozenset())


@pytest.mark.parametrize(
    ("peers", "is_let_in"),
    [
        ((), False),
        (("uid:12345",), True),
        (("uid:1234",), False),
        (("uid:123456", "gid:10"), False),
        (("gid:100",), True),
        (("gid:2000",), True),
        (("uid:1", "gid:2000"), True),
        (("gid:12345",), False),
        (("uid:100",), False),
    ],
)
def test_others_have_to_be_named(peers: tuple[str, ...], is_let_in: bool) -> None:
    """Another user is trusted when it, or a group of its, is among the peers."""
    assert is_ours(SOMEBODY, check_peers(peers)) is is_let_in


@pytest.mark.parametrize("user", [0, 1000])
def test_root_is_trusted_where_that_is_said(user: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The superuser's bus is trusted by clients, and its group is not; a bus does not trust it as a client."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert is_ours(Identity(f"uid:{user}", ("gid:0",)), frozenset(), root=True)
    assert is_ours(Identity(f"uid:{user}", ("gid:0",)), frozenset()) is (user == 1000)
    assert not is_ours(Identity("uid:1", ("gid:0",)), frozenset(), root=True)


@pytest.mark.parametrize("peers", [(), ["uid:0"], {"uid:1000", "gid:100"}, ("gid:4294967295",)])
def test_peers(peers: Collection[str]) -> None:
    """Peers are users and groups by number."""
    assert check_peers(peers) == frozenset(peers)


@pytest.mark.parametrize(
    "peer", ["", "root", "uid:", "uid:root", "uid:-1", "pid:1", "uid:1 ", " uid:1", "uid:1\n", "UID:1", "uid:٣", "1000"]
)
def test_what_is_no_peer(peer: str) -> None:
    """Anything else is an error that names it and says what to write."""
    with pytest.raises(ValueError, match=r"write uid:N or gid:N") as caught:
        check_peers(("uid:1", peer))
    assert repr(peer) in str(caught.value)


def test_one_text_is_no_collection() -> None:
    """A text alone is a mistake that is told, with what was meant."""
    with pytest.raises(TypeError, match=r"write \('uid:1000',\)"):
        check_peers("uid:1000")
