"""``t2bus register``, ``unregister`` and ``context``: what they print, and their exit codes."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli_helpers import run
from t2bus.called import install
from t2bus.certs import issue_client, make_ca
from t2bus.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

    import t2bus

    Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder whose file of contexts is not there yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "contexts.toml"
    monkeypatch.setenv("T2BUS_CONTEXTS", str(path))
    return path


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command in this process."""

    def say(*words: str) -> tuple[int, str, str]:
        code = main(words)
        return code, *capsys.readouterr()

    return say


class TestPrograms:
    """The installed program, from a name to a message."""

    async def test_a_name_is_an_address(self, bus: t2bus.Bus) -> None:
        """What is registered is found by its name, and as the default without one."""
        assert await run("register", "lab", *bus.addresses, "--default") == (
            0,
            "",
            f"t2bus: name:lab is {bus.addresses[0]} now, and the default\n",
        )
        for options in ([], ["--addr", "name:lab"]):
            code, out, _ = await run("pub", "a", "1", *options)
            assert (code, out) == (0, "")

    async def test_an_address_comes_first(self, bus: t2bus.Bus) -> None:
        """``T2BUS_ADDR`` comes before the default context, and ``--addr`` before both."""
        await run("register", "away", "unix:away", "--default")
        here, away = {"T2BUS_ADDR": bus.addresses[0]}, {"T2BUS_ADDR": "unix:elsewhere"}
        assert (await run("pub", "a", "1"))[0] == 3
        assert (await run("pub", "a", "1", env=here))[0] == 0
        assert (await run("pub", "a", "1", "--addr", *bus.addresses, env=away))[0] == 0

    async def test_unknown_name(self) -> None:
        """A name that is not known is wrong usage, and the nearest one is named."""
        await run("register", "lab", "unix:x")
        told = "t2bus: 'name:lap' is not known: did you mean name:lab?\n"
        assert await run("sub", "a", "--addr", "name:lap") == (2, "", told)

    async def test_not_for_serve(self) -> None:
        """``serve`` takes addresses, and says so."""
        code, out, said = await run("serve", "name:lab")
        assert (code, out) == (2, "")
        assert said.startswith(
            "t2bus: 'name:lab' is the name of a context, which only clients look up: write unix:PATH"
        )

    async def test_broken_file(self, path: Path) -> None:
        """A broken file is one line for each verb that needs it, and none for those that do not."""
        await run("register", "lab", "unix:x", "--default")
        with path.open("a") as file:
            file.write("x = \n")
        for words in (["sub", "a"], ["context", "ls"], ["register", "b", "unix:x"]):
            code, out, said = await run(*words)
            assert (code, out) == (2, "")
            assert said == f"t2bus: {path}, line 5: Invalid value; correct that line, or remove the file\n"
        assert (await run("sub", "a", "--addr", "unix:x"))[0] == 3

    async def test_json(self) -> None:
        """The list can be had as JSON, one object a line."""
        await run("register", "a", "unix:/a", "--default")
        await run("register", "b", "tcp:127.0.0.1:1", "--wire", "t2")
        code, out, _ = await run("context", "ls", "--json")
        assert code == 0
        assert [json.loads(line) for line in out.splitlines()] == [
            {"name": "a", "address": "unix:/a", "default": True},
            {"name": "b", "address": "tcp:127.0.0.1:1", "wire": "t2", "default": False},
        ]


class TestRegister:
    """Writing a name down."""

    def test_says_what_it_replaces(self, say: Say) -> None:
        """Where a name was another bus, that is said."""
        assert say("register", "lab", "unix:/a") == (0, "", "t2bus: name:lab is unix:/a now\n")
        assert say("register", "lab", "unix:/a") == (0, "", "t2bus: name:lab is unix:/a now\n")
        told = "t2bus: name:lab is unix:/b now, in the place of unix:/a, and the default\n"
        assert say("register", "lab", "unix:/b", "--default") == (0, "", told)

    def test_warns_of_missing_certificates(self, say: Say) -> None:
        """A bus that certificates are needed for may have none of its own, of which it warns."""
        warning = "t2bus: warning: tls:far:1 needs certificates, and name:far has none: each command has to name them"
        assert say("register", "far", "tls:far:1") == (0, "", f"{warning}\nt2bus: name:far is tls:far:1 now\n")

    def test_paths_are_whole(self, say: Say, tmp_path: Path) -> None:
        """The path of a socket and those of certificates mean the same in every folder."""
        make_ca(tmp_path / "certs")
        issue_client(tmp_path / "certs", "alice")
        files = ["--ca", "certs/ca.pem", "--certificate", "certs/alice.pem", "--key", "certs/alice.key"]
        assert say("register", "near", "unix:x")[0] == say("register", "far", "tls:far:1", *files)[0] == 0
        assert say("context", "show", "near")[1] == f"name\tnear\naddress\tunix:{tmp_path}/x\ndefault\tno\n"
        assert say("context", "show", "far")[1].splitlines()[1:] == [
            "address\ttls:far:1",
            f"ca\t{tmp_path}/certs/ca.pem",
            f"certificate\t{tmp_path}/certs/alice.pem",
            f"key\t{tmp_path}/certs/alice.key",
            "default\tno",
        ]

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["Lab", "unix:x"], "'Lab' is no name of a context: use a-z, 0-9, _ and -, with no - in front"),
            (["lab", "nowhere"], "'nowhere' is no address: write unix:PATH"),
            (["lab", "unix:"], "'unix:' names no path: "),
            (["lab", "name:oven"], "'name:oven' is the name of a context"),
            (["lab", "unix:x", "--ca", "ca.pem"], "certificates are for tls: addresses, and unix:"),
            (["lab", "tls:x:1", "--ca", "ca.pem"], "certificates need ca and certificate"),
            (["lab", "tls:x:1", "--ca", "none.pem", "--certificate", "none.pem"], "cannot read /"),
            (["lab", "tcp:127.0.0.1:1", "--peer", "uid:1"], "peers are for unix: addresses, and tcp:127.0.0.1:1 is"),
            (["lab", "unix:x", "--peer", "alice"], "argument --peer: 'alice' is no peer of a unix socket: write uid:N"),
            (["lab", "unix:\x1b"], ""),
        ],
    )
    def test_wrong(self, words: list[str], says: str, say: Say, path: Path) -> None:
        """What cannot be is wrong usage or is written down as it is, in one printable line."""
        code, out, said = say("register", *words)
        assert (code, out) == (2 if says else 0, "")
        assert said.startswith(f"t2bus: {says}")
        assert said.removesuffix("\n").isprintable()
        assert path.exists() is not bool(says)

    def test_peers(self, say: Say) -> None:
        """Whose bus it may be is written down, shown, and forgotten with the next address of that name."""
        assert say("register", "oven", "unix:/x", "--peer", "uid:1000", "--peer", "gid:100")[0] == 0
        assert "peers\tuid:1000 gid:100" in say("context", "show", "oven")[1].splitlines()
        assert json.loads(say("context", "ls", "--json")[1])["peers"] == ["uid:1000", "gid:100"]
        assert say("register", "oven", "unix:/x")[0] == 0
        assert "peers" not in say("context", "show", "oven")[1]

    def test_unwritable(self, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that cannot be written is exit code 1, with the remedy."""
        monkeypatch.setenv("T2BUS_CONTEXTS", "/proc/t2bus/contexts.toml")
        code, out, said = say("register", "lab", "unix:x")
        assert (code, out) == (1, "")
        assert said.startswith("t2bus: /proc/t2bus/contexts.toml cannot be written: ")
        assert said.endswith(": make its folder writable, or name another file in T2BUS_CONTEXTS\n")


class TestUnregister:
    """Forgetting a name."""

    def test_is_forgotten(self, say: Say) -> None:
        """A name that is forgotten is not known, and no default."""
        say("register", "lab", "unix:/x", "--default")
        assert say("unregister", "lab") == (0, "", "t2bus: name:lab is forgotten\n")
        assert say("context", "ls") == (
            0,
            "",
            "t2bus: no context is registered: `t2bus register NAME ADDR` makes one\n",
        )

    def test_unknown(self, say: Say) -> None:
        """A name that is not known cannot be forgotten."""
        assert say("unregister", "lab")[0] == 2


class TestContext:
    """Listing, showing and choosing."""

    def test_use(self, say: Say) -> None:
        """Another default is shown as such, in the list and without a name."""
        say("register", "a", "unix:/a", "--default")
        say("register", "b", "unix:/b")
        assert say("context", "use", "b") == (0, "", "t2bus: name:b is the default now\n")
        assert say("context", "ls") == (0, "a\tunix:/a\nb\tunix:/b\tdefault\n", "")
        shown = {"name": "b", "address": "unix:/b", "default": True}
        assert json.loads(say("context", "show", "--json")[1]) == shown

    def test_no_default(self, say: Say) -> None:
        """Without a default there is none to be shown."""
        told = "there is no default context: name one, or make one the default with `t2bus context use NAME`"
        assert say("context", "show") == (2, "", f"t2bus: {told}\n")

    @pytest.mark.parametrize("words", [["ls"], ["show", "lab"], ["use", "lab"], ["import", "file"]])
    def test_needs_the_extra(self, words: list[str], say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without platformdirs each says which extra is needed, with exit code 1."""
        monkeypatch.delenv("T2BUS_CONTEXTS")
        monkeypatch.setitem(sys.modules, "platformdirs", None)
        Path("file").touch()
        told = f"contexts need the package platformdirs: run `{install('cli')}`"
        assert say("context", *words) == (1, "", f"t2bus: {told}\n")

    def test_the_extra_is_one(self) -> None:
        """The extra that is named brings the packages."""
        needs = {re.split("[<>;]", each)[0] for each in requires("t2bus") or () if "'cli'" in each or '"cli"' in each}
        assert needs >= {"platformdirs", "shtab", "tomli-w"}


class TestImport:
    """Taking over what the Rust crate's tool knows."""

    def test_home(self, say: Say, tmp_path: Path) -> None:
        """Its file in the home folder is read; its first name becomes the default, and all speak its wire."""
        (tmp_path / ".t2").write_text("lab tcp:127.0.0.1:4242\nold unix:/run/old\n")
        assert say("context", "import") == (0, "", f"t2bus: 2 contexts imported from {tmp_path}/.t2\n")
        assert say("context", "ls")[1] == "lab\ttcp:127.0.0.1:4242\tdefault\nold\tunix:/run/old\n"
        assert "wire\tt2" in say("context", "show", "old")[1].splitlines()

    def test_names_that_exist(self, say: Say) -> None:
        """A name that exists stays as it is, and so does the default."""
        say("register", "lab", "unix:/x", "--default")
        Path("names").write_text("old unix:/run/old\nlab tcp:127.0.0.1:4242\n")
        told = "t2bus: name:lab is known already and stays as it is\nt2bus: 1 context imported from names\n"
        assert say("context", "import", "names") == (0, "", told)
        assert say("context", "ls")[1] == "lab\tunix:/x\tdefault\nold\tunix:/run/old\n"

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (None, "names does not exist: name the file in which the tool t2 keeps its names"),
            (
                "lab\n",
                "names, line 1: 'lab' has no address: write NAME tcp:HOST:PORT or NAME unix:PATH; correct that line",
            ),
        ],
    )
    def test_wrong(self, text: str | None, says: str, say: Say, path: Path) -> None:
        """A file that is not there, or is none, is told, and nothing is imported."""
        if text is not None:
            Path("names").write_text(text)
        code, out, said = say("context", "import", "names")
        assert (code, out) == (2, "")
        assert said.startswith(f"t2bus: {says}")
        assert not path.exists()
