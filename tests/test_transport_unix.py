"""Unix sockets: nobody else's path is taken, and nothing is left behind."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import string
import threading
from typing import TYPE_CHECKING

import pytest
import trio.testing

import t2bus
from bus_helpers import Note, is_cancelled_at, names
from t2bus.transport.address import MAX_PATH

if TYPE_CHECKING:
    from pathlib import Path


async def works(path: Path) -> bool:
    async with t2bus.open_client(f"unix:{path}") as client:
        return await client.publish("x", Note("")) == 0


def leave_stale_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))


async def test_a_socket_is_for_its_owner_alone(folder: Path) -> None:
    """The socket has mode 0600, whatever the umask, and is the only file that is made."""
    before = os.umask(0)
    try:
        async with t2bus.open_bus(f"unix:{folder}/bus") as bus:
            assert bus.addresses == (f"unix:{folder}/bus",)
            assert stat.S_IMODE((folder / "bus").stat().st_mode) == 0o600
            assert names(folder) == ["bus"]
    finally:
        os.umask(before)


async def test_the_socket_is_removed_at_the_end(folder: Path) -> None:
    """A bus that has ended, well or not, leaves no file."""
    async with t2bus.open_bus(f"unix:{folder}/bus"):
        pass
    with pytest.raises(KeyError):
        async with t2bus.open_bus(f"unix:{folder}/bus"):
            raise KeyError
    with trio.CancelScope() as scope:
        async with t2bus.open_bus(f"unix:{folder}/bus"):
            scope.cancel()
            await trio.sleep_forever()
    assert names(folder) == []


async def test_a_stale_socket_is_replaced(folder: Path) -> None:
    """A socket that a dead process left is replaced."""
    leave_stale_socket(folder / "bus")
    async with t2bus.open_bus(f"unix:{folder}/bus"):
        assert await works(folder / "bus")
    assert names(folder) == []


async def test_a_live_socket_is_never_replaced(folder: Path) -> None:
    """A path where a bus answers raises ``BindFailed``, and that bus is untouched."""
    async with t2bus.open_bus(f"unix:{folder}/bus"):
        with pytest.raises(t2bus.BindFailed, match="a bus is running there"):
            async with t2bus.open_bus(f"unix:{folder}/bus"):
                pass
        assert await works(folder / "bus")


async def test_a_socket_that_is_slow_to_answer_is_never_replaced(folder: Path) -> None:
    """A socket whose backlog is full is alive, and nothing waits for it."""
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(folder / "bus"))
        busy.listen(0)
        first.connect(str(folder / "bus"))
        with trio.fail_after(1), pytest.raises(t2bus.BindFailed, match="is in use"):
            async with t2bus.open_bus(f"unix:{folder}/bus"):
                pass
        assert (folder / "bus").is_socket()


@pytest.mark.parametrize("kind", ["file", "folder", "pipe", "link"])
async def test_what_is_no_socket_is_never_replaced(folder: Path, kind: str) -> None:
    """Anything else at the path raises ``BindFailed`` that says what to do, and stays as it is."""
    path = folder / "bus"
    match kind:
        case "file":
            path.write_text("precious")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to("nowhere")
    before = path.lstat()
    with pytest.raises(t2bus.BindFailed, match="is not a socket: remove it or choose another path"):
        async with t2bus.open_bus(f"unix:{path}"):
            pass
    assert path.lstat() == before


async def test_only_its_own_socket_is_removed(folder: Path) -> None:
    """What somebody else put at the path meanwhile is left there."""
    async with t2bus.open_bus(f"unix:{folder}/bus"):
        (folder / "bus").unlink()
        (folder / "bus").write_text("precious")
    assert (folder / "bus").read_text() == "precious"


async def test_a_socket_that_is_gone_is_no_error(folder: Path) -> None:
    """A bus whose socket was removed, with its folder, ends as usual."""
    place = folder / "place"
    place.mkdir()
    async with t2bus.open_bus(f"unix:{place}/bus"):
        (place / "bus").unlink()
        place.rmdir()
        place.write_text("no folder any more")


async def test_a_relative_path_is_removed_from_another_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path means the working directory at the time of opening."""
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder)
    async with t2bus.open_bus("unix:bus") as bus:
        assert bus.addresses == ("unix:bus",)
        monkeypatch.chdir(folder / "elsewhere")
    assert not (folder / "bus").exists()


@pytest.mark.parametrize("path", ["missing/bus", "file/bus"])
async def test_a_path_that_cannot_be(folder: Path, path: str) -> None:
    """A path in no folder raises ``BindFailed`` with the system's reason."""
    (folder / "file").write_text("")
    with pytest.raises(t2bus.BindFailed, match=r"cannot listen at unix:.*(No such file|Not a directory)"):
        async with t2bus.open_bus(f"unix:{folder}/{path}"):
            pass


def longest(folder: Path, name: str) -> Path:
    """Return a path of this name, in a new folder, which has as many bytes as the kernel takes."""
    place = folder / ("d" * (MAX_PATH - 1 - len(os.fsencode(folder / name))))
    place.mkdir()
    return place / name


@pytest.mark.parametrize("name", ["b", "é", "bus", "a_name_of_some_length"])
async def test_the_longest_path(folder: Path, name: str) -> None:
    """A path works up to the length that the kernel takes, however short its name is."""
    path = longest(folder, name)
    async with t2bus.open_bus(f"unix:{path}"):
        assert await works(path)
        assert names(path.parent) == [name]
    assert names(path.parent) == []


async def test_the_longest_path_where_no_name_is_free(folder: Path) -> None:
    """Where all names that are as short as the path's are taken ``BindFailed`` says so, and nothing is replaced."""
    path = longest(folder, "b")
    others = sorted({*string.ascii_letters, *string.digits, "-", "_"} - {"b"})
    for other in others:
        path.with_name(other).touch()
    with pytest.raises(t2bus.BindFailed, match="there is no free name of so few bytes beside it"):
        async with t2bus.open_bus(f"unix:{path}"):
            pass
    assert names(path.parent) == others


async def test_of_two_that_start_at_once_one_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus that comes second to a free path raises ``BindFailed`` and leaves the first one's socket alone."""
    async with t2bus.open_bus(f"unix:{folder}/first"):
        really_link = os.link

        def late(source: str | Path, target: str | Path) -> None:
            (folder / "first").rename(target)  # so it comes after the look
            really_link(source, target)

        monkeypatch.setattr(os, "link", late)
        with pytest.raises(t2bus.BindFailed, match="another bus took it just now"):
            async with t2bus.open_bus(f"unix:{folder}/bus"):
                pass
        assert names(folder) == ["bus"]
        assert await works(folder / "bus")


def test_many_buses_that_replace_one_stale_socket(folder: Path) -> None:
    """Of many threads that find a dead socket at the same time exactly one gets the path."""
    leave_stale_socket(folder / "bus")
    barrier = threading.Barrier(8)
    won: list[str] = []

    async def race() -> None:
        barrier.wait()
        try:
            async with t2bus.open_bus(f"unix:{folder}/bus"):
                won.append("won")
                await trio.to_thread.run_sync(barrier.wait)
        except t2bus.BindFailed:
            await trio.to_thread.run_sync(barrier.wait)

    threads = [threading.Thread(target=trio.run, args=(race,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == ["won"]


async def test_a_folder_that_is_locked_for_long_is_used_all_the_same(
    autojump_clock: trio.testing.MockClock, folder: Path
) -> None:
    """A lock that some other program keeps on the folder delays a bus by a second and no more."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        start = trio.current_time()
        async with t2bus.open_bus(f"unix:{folder}/bus"):
            assert trio.current_time() - start == pytest.approx(1, abs=0.1)
            assert await works(folder / "bus")
    finally:
        os.close(descriptor)


async def test_a_bus_that_is_cancelled_while_it_opens_leaves_nothing(folder: Path) -> None:
    """Cancelled at any moment of opening, a bus leaves no socket."""

    async def open_and_close() -> None:
        async with t2bus.open_bus(f"unix:{folder}/bus", "tcp:127.0.0.1:0"):
            pass

    step = 1
    while await is_cancelled_at(step, open_and_close):
        assert names(folder) == []
        step += 1
    assert step > 2
