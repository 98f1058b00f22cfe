"""Unix sockets between users: a bus is for its own user and those it names, and a client knows whose bus it meets."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

import t2bus
from bus_helpers import Note, names, wait_until
from cli_helpers import run
from program_helpers import open_program
from t2bus.transport import credentials, unix

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import trio

OWN = f"uid:{os.geteuid()}"
OTHER_USER, OTHER_GROUP = 65_534, 65_533

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")

BECOME_ANOTHER = f"""
    import os, sys, trio
    from t2bus import ConnectFailed, open_bus, open_client

    # Only now, for another user may not be allowed to read the modules.
    os.setgroups([])
    os.setresgid({OTHER_GROUP}, {OTHER_GROUP}, {OTHER_GROUP})
    os.setresuid({OTHER_USER}, {OTHER_USER}, {OTHER_USER})
    address, *peers = sys.argv[1:]
"""

CLIENT = f"""{BECOME_ANOTHER}
    async def main():
        try:
            async with open_client(address, peers=peers) as client:
                print("connected:", await client.publish_bytes("x", b"hello"), flush=True)
                await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        except ConnectFailed as error:
            print("not connected:", error, flush=True)

    trio.run(main)
"""

BUS = f"""{BECOME_ANOTHER}
    async def main():
        async with open_bus(address, peers=peers):
            print("open", flush=True)
            await trio.sleep_forever()

    trio.run(main)
"""


@pytest.fixture
def place(folder: Path) -> Path:
    """Give a folder that another user can go through, and may make files in."""
    folder.chmod(0o777)
    return folder


@asynccontextmanager
async def another_users_bus(place: Path, *peers: str) -> AsyncGenerator[str, None]:
    """Open a bus of another user; give its address."""
    address = f"unix:{place}/other"
    async with open_program(BUS, address, *peers) as program:
        assert await program.stdout.next() == "open"
        yield address


# --- this user


async def test_peers_are_known_by_their_user(folder: Path) -> None:
    """The identity of a client is its user, as the kernel says, however many it has; in-process clients are apart."""
    address = f"unix:{folder}/bus"
    async with (
        t2bus.open_bus(address) as bus,
        bus.open_client(),
        t2bus.open_client(address),
        t2bus.open_client(address),
    ):
        assert bus.statistics().identities == {OWN: 2, "local": 1}


@pytest.mark.parametrize(("peers", "mode"), [((), 0o600), (("uid:12345",), 0o666), (("gid:12345",), 0o666)])
async def test_the_mode_of_the_socket(folder: Path, peers: tuple[str, ...], mode: int) -> None:
    """The file is closed to other users unless peers are named; then the bus itself tells who may."""
    before = os.umask(0o077)
    try:
        async with t2bus.open_bus(f"unix:{folder}/bus", peers=peers):
            assert stat.S_IMODE((folder / "bus").stat().st_mode) == mode
    finally:
        os.umask(before)


async def test_naming_peers_shuts_nobody_out(folder: Path) -> None:
    """A bus that names others is still open to its own user, and a client that does still meets its own user's bus."""
    address = f"unix:{folder}/bus"
    async with (
        t2bus.open_bus(address, peers=("uid:12345",)),
        t2bus.open_client(address, peers=["gid:12345"]) as client,
    ):
        assert await client.publish("x", Note("")) == 0


@pytest.mark.parametrize(
    ("peers", "error", "says"),
    [
        (("root",), ValueError, "'root' is no peer"),
        (("uid:1", "gid:"), ValueError, "'gid:' is no peer"),
        ("uid:1000", TypeError, r"write \('uid:1000',\)"),
    ],
)
async def test_wrong_peers_are_told_before_anything_is_opened(
    folder: Path, peers: Any, error: type[Exception], says: str
) -> None:
    """Peers that are none raise in the caller, on both sides, and no socket is made."""
    with pytest.raises(error, match=says):
        async with t2bus.open_bus(f"unix:{folder}/bus", peers=peers):
            pass
    with pytest.raises(error, match=says):
        async with t2bus.open_client(f"unix:{folder}/bus", peers=peers):
            pass
    assert names(folder) == []


async def test_who_cannot_be_known_is_not_let_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system does not say who a peer is, or not any more, that peer is refused and the bus goes on."""

    def fail(stream: trio.SocketStream) -> NoReturn:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    monkeypatch.setattr(credentials, "identity_of", fail)
    async with t2bus.open_bus(f"unix:{folder}/bus") as bus, bus.open_client() as client:
        with pytest.raises(t2bus.ConnectFailed, match="does not say who this is"):
            async with t2bus.open_client(bus.addresses[0]):
                pass
        assert await client.publish("x", Note("")) == 0
    assert caplog.messages == ["connection of an unknown user refused: the system does not say who this is"]


async def test_a_bus_that_cannot_be_known_is_not_connected_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not say whose bus it is, a client does not connect, and closes what it opened."""

    def fail(stream: trio.SocketStream) -> NoReturn:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(unix, "identity_of", fail)
    async with t2bus.open_bus(f"unix:{folder}/bus") as bus:
        with pytest.raises(t2bus.ConnectFailed, match=os.strerror(errno.EOPNOTSUPP)):
            async with t2bus.open_client(bus.addresses[0]):
                pass
        await wait_until(lambda: bus.statistics().violations + bus.statistics().connections == 0)


# --- another user's client


@needs_root
async def test_the_kernel_keeps_other_users_out(place: Path) -> None:
    """Another user cannot even connect to a socket that is closed to it."""
    address = f"unix:{place}/bus"
    async with t2bus.open_bus(address) as bus, open_program(CLIENT, address) as program:
        assert "Permission denied" in await program.stdout.until("not connected")
        assert bus.statistics().refused == 0


@needs_root
@pytest.mark.parametrize("peers", [(), ("uid:12345", f"gid:{OTHER_USER}", f"uid:{OTHER_GROUP}")])
async def test_the_bus_turns_other_users_away(
    place: Path, peers: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Where the file lets another user through the bus does not, tells it why, logs it, and goes on."""
    address = f"unix:{place}/bus"
    refusal = (
        f"uid:{OTHER_USER} may not connect: this bus is for its own user and its peers; it has to be started with "
        f"`--peer uid:{OTHER_USER}` (peers=['uid:{OTHER_USER}'] in a program)"
    )
    async with t2bus.open_bus(address, peers=peers) as bus, t2bus.open_client(address) as client:
        (place / "bus").chmod(0o666)
        async with open_program(CLIENT, address) as program:
            assert refusal in await program.stdout.until("not connected")
        assert caplog.messages == [f"connection of uid:{OTHER_USER} refused: {refusal}"]
        assert bus.statistics().refused == 1
        assert bus.statistics().identities == {OWN: 1}
        assert await client.publish("x", Note("")) == 0


@needs_root
@pytest.mark.parametrize("closed", ["socket", "folder"])
async def test_who_cannot_reach_the_socket_is_told_how_peers_are_let_in(place: Path, closed: str) -> None:
    """Where the system does not let another user through, the remedy is a bus that names it, not a second bus."""
    address, user = f"unix:{place}/bus", f"uid:{OTHER_USER}"
    async with t2bus.open_bus(address):
        if closed == "folder":
            (place / "bus").chmod(0o666)
            (place / ".").chmod(0o700)
        async with open_program(CLIENT, address) as program:
            assert await program.stdout.next() == (
                f"not connected: cannot connect to {address}: Permission denied. If another user's bus is there, it "
                f"has to be started with `--peer {user}` (peers=['{user}'] in a program), and {user} has to be let "
                f"into the folder {place}"
            )


@needs_root
@pytest.mark.parametrize("peer", [f"uid:{OTHER_USER}", f"gid:{OTHER_GROUP}"])
async def test_a_peer_is_let_in(place: Path, peer: str) -> None:
    """Another user is let in by its number or its group's, under its own identity, and trusts the bus of root."""
    address = f"unix:{place}/bus"
    async with (
        t2bus.open_bus(address, peers=(peer,)) as bus,
        bus.open_client() as client,
        client.subscribe_bytes("**") as messages,
        open_program(CLIENT, address) as program,
    ):
        assert await program.stdout.next() == "connected: 1"
        assert (await messages.receive()).body == b"hello"
        assert bus.statistics().identities == {f"uid:{OTHER_USER}": 1, "local": 1}
        await program.stdin.aclose()
        await wait_until(lambda: bus.statistics().connections == 1)


@needs_root
@pytest.mark.parametrize("owner", [f"uid:{OTHER_USER}", f"gid:{OTHER_GROUP}"])
async def test_peers_have_rights_of_their_own(place: Path, owner: str) -> None:
    """Access rules know another user by its number and by its group's."""
    access = place / "access.toml"
    access.write_text(f'[identity."{owner}"]\npublish = ["x"]\n')
    address = f"unix:{place}/bus"
    async with t2bus.open_bus(address, peers=(f"uid:{OTHER_USER}",), access=access) as bus:
        async with open_program(CLIENT, address) as program:
            assert await program.stdout.next() == "connected: 0"
        async with t2bus.open_client(address) as client:
            with pytest.raises(t2bus.PermissionDenied, match=f"'{OWN}' may not"):
                await client.publish_bytes("x", b"")
        assert bus.statistics().denied == 1


# --- another user's bus


@needs_root
async def test_another_users_bus_is_not_trusted(place: Path) -> None:
    """A client that meets a bus of a user it did not name says who that is and tells it nothing."""
    async with another_users_bus(place, "uid:0") as address:
        with pytest.raises(t2bus.ConnectFailed) as caught:
            async with t2bus.open_client(address):
                pass
        assert str(caught.value) == (
            f"another user (uid:{OTHER_USER}) listens at {address}: "
            f"if that is the bus you mean, say so with `--peer uid:{OTHER_USER}` (peers=['uid:{OTHER_USER}'] in a "
            "program)"
        )


@needs_root
@pytest.mark.parametrize("peer", [f"uid:{OTHER_USER}", f"gid:{OTHER_GROUP}"])
async def test_another_users_bus_can_be_named(place: Path, peer: str) -> None:
    """A client that names its user, or the group, connects to another user's bus."""
    async with another_users_bus(place, "uid:0") as address, t2bus.open_client(address, peers=(peer,)) as client:
        assert await client.publish("x", Note("")) == 0


@needs_root
async def test_another_users_bus_has_a_name(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose bus it is may be written down with its name, and peers that are given take the place of those."""
    contexts = tmp_path / "contexts.toml"
    monkeypatch.setenv("T2BUS_CONTEXTS", str(contexts))
    async with another_users_bus(place, "uid:0") as address:
        contexts.write_text(f"[contexts.oven]\naddress = '{address}'\npeers = ['uid:{OTHER_USER}']\n")
        async with t2bus.open_client("name:oven") as client:
            assert await client.publish("x", Note("")) == 0
        for options, code in ([], 0), (["--peer", "uid:12345"], 3):
            assert (await run("pub", "x", "1", "--addr", "name:oven", *options))[0] == code
        with pytest.raises(t2bus.ConnectFailed, match="another user"):
            async with t2bus.open_client("name:oven", peers=["uid:12345"]):
                pass


@needs_root
async def test_both_sides_have_to_agree(place: Path) -> None:
    """Root can reach every socket, but a bus that did not name it does not let it in."""
    async with another_users_bus(place) as address:
        with pytest.raises(t2bus.ConnectFailed, match="uid:0 may not connect"):
            async with t2bus.open_client(address, peers=(f"uid:{OTHER_USER}",)):
                pass


@needs_root
async def test_another_users_socket_is_never_replaced(place: Path) -> None:
    """A bus at a path where another user's bus lives fails and leaves it alone."""
    async with another_users_bus(place, "uid:0") as address:
        with pytest.raises(t2bus.BindFailed, match="in use"):
            async with t2bus.open_bus(address):
                pass
        async with t2bus.open_client(address, peers=(f"uid:{OTHER_USER}",)) as client:
            assert await client.publish("x", Note("")) == 0
