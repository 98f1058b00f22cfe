"""The file of contexts: where it is, and that it is never half written."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import t2bus
from cli_helpers import python
from t2bus.called import install
from t2bus.certs import issue_client, make_ca
from t2bus.contexts.document import BusContext, Contexts
from t2bus.contexts.file import change, contexts_path, load

if TYPE_CHECKING:
    from collections.abc import Mapping

WRITER = """
import sys
from t2bus.contexts.document import BusContext
from t2bus.contexts.file import change
for number in range(20):
    change(lambda contexts: contexts.adding(f"{sys.argv[1]}{number}", BusContext("unix:x")))
"""

KILLED = """
import os
from t2bus.contexts.document import BusContext
from t2bus.contexts import file

os.fsync = lambda number: os._exit(9)
file.change(lambda contexts: contexts.adding("b", BusContext("unix:x")))
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a file of contexts, which is not there."""
    path = tmp_path / "folder" / "contexts.toml"
    monkeypatch.setenv("T2BUS_CONTEXTS", str(path))
    return path


def add(name: str, bus: BusContext = BusContext("unix:x")) -> None:  # noqa: B008 -- it is frozen
    change(lambda contexts: contexts.adding(name, bus))


class TestPlace:
    """Where the file is."""

    @pytest.mark.parametrize(
        ("environment", "place"),
        [
            ({"T2BUS_CONTEXTS": "/a/b.toml", "XDG_CONFIG_HOME": "/c"}, "/a/b.toml"),
            ({"T2BUS_CONTEXTS": "", "XDG_CONFIG_HOME": "/c"}, "/c/t2bus/contexts.toml"),
            ({"T2BUS_CONTEXTS": "", "XDG_CONFIG_HOME": "", "HOME": "/d"}, "/d/.config/t2bus/contexts.toml"),
        ],
    )
    @pytest.mark.skipif(sys.platform != "linux", reason="the configuration folder is another one elsewhere")
    def test_is(self, environment: Mapping[str, str], place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is the file that is named, or else in the user's configuration folder."""
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert contexts_path() == Path(place)

    @pytest.mark.parametrize("package", ["platformdirs", "tomli_w"])
    def test_needs_packages(self, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a package the text names it and the extra."""
        monkeypatch.delenv("T2BUS_CONTEXTS")
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(t2bus.InvalidAddress) as caught:
            add("a")
        remedy = f"run `{install('cli')}`"
        assert str(caught.value) == f"contexts need the package {package.replace('_', '-')}: {remedy}"


class TestReading:
    """What a file knows."""

    def test_absent(self, path: Path) -> None:
        """A file that does not exist knows nothing."""
        assert load(path) == Contexts()

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"x", ", line 1: Expected '=' after a key in a key/value pair; correct that line, or remove the file"),
            (b"\xff", ": 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte; correct that line"),
            (b"[contexts.a]\naddress = 'x'", ", line 1: [contexts.a] 'x' is no address: write unix:PATH"),
            (b"#" * ((1 << 20) + 1), ": it has more than 1048576 bytes"),
        ],
        ids=["toml", "utf-8", "address", "size"],
    )
    def test_broken(self, data: bytes, says: str, path: Path) -> None:
        """A broken file is told in one line, which names it, the line and the remedy."""
        path.parent.mkdir()
        path.write_bytes(data)
        with pytest.raises(t2bus.InvalidAddress) as caught:
            load(path)
        assert str(caught.value).startswith(f"{path}{says}")
        assert str(caught.value).isprintable()

    def test_unreadable(self, path: Path) -> None:
        """What cannot be read is told with the remedy."""
        path.mkdir(parents=True)
        with pytest.raises(t2bus.InvalidAddress) as caught:
            load(path)
        assert str(caught.value) == (
            f"{path} cannot be read: Is a directory; name a bus with --addr, or another file in T2BUS_CONTEXTS"
        )

    def test_in_a_closed_folder(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that this user cannot even look at is told likewise."""

        def closed(self: Path) -> bool:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

        monkeypatch.setattr(type(path), "is_fifo", closed)
        with pytest.raises(t2bus.InvalidAddress) as caught:
            load(path)
        assert str(caught.value) == (
            f"{path} cannot be read: Permission denied; name a bus with --addr, or another file in T2BUS_CONTEXTS"
        )

    def test_pipe(self, path: Path) -> None:
        """A pipe, for which one might wait for ever, is refused."""
        path.parent.mkdir()
        os.mkfifo(path)
        with pytest.raises(t2bus.InvalidAddress, match=r"contexts\.toml is a pipe: name a file in T2BUS_CONTEXTS"):
            load(path)

    def test_byte_order_mark(self, path: Path) -> None:
        """What an editor of Windows puts in front does not matter."""
        path.parent.mkdir()
        path.write_text("[contexts.a]\naddress = 'unix:x'", encoding="utf-8-sig")
        assert list(load(path).known) == ["a"]


class TestWriting:
    """Changing the file."""

    def test_is_for_this_user_alone(self, path: Path) -> None:
        """The file has mode 0600, though an old one had another, and its folder 0700."""
        add("a")
        path.chmod(0o644)
        add("b")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert list(load(path).known) == ["a", "b"]

    def test_leaves_nothing_else(self, path: Path) -> None:
        """Neither a change nor one that fails leaves another file."""
        add("a")
        with pytest.raises(t2bus.InvalidAddress):
            add("B")
        assert [each.name for each in path.parent.iterdir()] == ["contexts.toml"]

    def test_a_link_stays(self, path: Path, tmp_path: Path) -> None:
        """Where the file is a link, the file that it leads to is changed."""
        path.parent.mkdir()
        path.symlink_to(tmp_path / "real.toml")
        add("a")
        assert path.is_symlink()
        assert list(load(tmp_path / "real.toml").known) == ["a"]

    def test_unwritable(self, path: Path) -> None:
        """What cannot be written is told with the remedy."""
        path.parent.write_text("")
        with pytest.raises(OSError, match=r"contexts\.toml cannot be written: .*: make its folder writable, or name"):
            add("a")

    def test_a_device_is_not_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """``/dev/null`` knows nothing and stays what it is."""
        monkeypatch.setenv("T2BUS_CONTEXTS", os.devnull)
        assert load(contexts_path()) == Contexts()
        with pytest.raises(OSError, match="/dev/null cannot be written: it is no regular file: "):
            add("a")
        assert Path(os.devnull).is_char_device()

    def test_broken_file_is_kept(self, path: Path) -> None:
        """A file that cannot be read is not replaced."""
        path.parent.mkdir()
        path.write_text("x")
        with pytest.raises(t2bus.InvalidAddress, match="correct that line"):
            add("a")
        assert path.read_text() == "x"

    def test_two_writers(self, path: Path) -> None:
        """Two processes that change the file at once lose nothing of each other."""
        writers = [subprocess.Popen([sys.executable, "-c", WRITER, name]) for name in "ab"]
        assert [writer.wait(60) for writer in writers] == [0, 0]
        assert sorted(load(path).known) == sorted(f"{name}{number}" for name in "ab" for number in range(20))

    def test_a_crash(self, path: Path) -> None:
        """Whoever is killed in the middle of writing leaves the old file."""
        add("a")
        assert subprocess.run([sys.executable, "-c", KILLED], check=False, timeout=60).returncode == 9
        assert list(load(path).known) == ["a"]


class TestPrograms:
    """``name:NAME`` as the address of a program."""

    async def test_is_an_address(self, path: Path, bus: t2bus.Bus) -> None:
        """A program connects to what is known by the name."""
        add("lab", BusContext(bus.addresses[0]))
        async with t2bus.open_client("name:lab") as client:
            assert await client.publish_bytes("a", b"") == 0

    async def test_certificates(self, path: Path, tmp_path: Path) -> None:
        """The certificates of the context are shown, unless the program has its own."""
        folder = tmp_path / "certs"
        make_ca(folder)
        alice, bob = (issue_client(folder, name) for name in ("alice", "bob"))
        ca = str(folder / "ca.pem")
        tls = t2bus.tls.server_context(ca=ca, certificate=folder / "bus.pem", key=folder / "bus.key")
        own = t2bus.tls.client_context(ca=ca, certificate=bob.certificate, key=bob.key)
        async with t2bus.open_bus("tls:127.0.0.1:0", tls=tls) as bus:
            files = {"ca": ca, "certificate": str(alice.certificate), "key": str(alice.key)}
            add("lab", BusContext(bus.addresses[0], files))
            async with t2bus.open_client("name:lab"), t2bus.open_client("name:lab", tls=own):
                assert bus.statistics().identities == {"alice": 1, "bob": 1}

    async def test_unknown(self, path: Path) -> None:
        """A name that is not known is an invalid address."""
        add("lab")
        with pytest.raises(t2bus.InvalidAddress, match="did you mean name:lab"):
            async with t2bus.open_client("name:lap"):
                pass

    async def test_not_for_a_bus(self, path: Path) -> None:
        """A bus is given addresses, and says so."""
        add("lab")
        with pytest.raises(
            t2bus.InvalidAddress, match="'name:lab' is the name of a context, which only clients look up"
        ):
            async with t2bus.open_bus("name:lab"):
                pass

    async def test_needs_no_extra(self, path: Path, address: str) -> None:
        """A program that only uses names needs none of the packages of the extra, where the file is named."""
        add("lab", BusContext(address))
        code = """if True:
            import sys, trio, t2bus
            sys.modules["platformdirs"] = sys.modules["tomli_w"] = None
            async def main():
                async with t2bus.open_client("name:lab") as client:
                    print(await client.request_bytes("echo", b"1"))
            trio.run(main)"""
        async with python("-c", code) as program:
            assert await program.stdout.rest() == ["b'1'"]
