"""``t2bus certs``: what it prints, and its exit codes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import t2bus
from t2bus.called import install
from t2bus.cli import main
from t2bus.cli.arguments import Parser, VerbParser
from t2bus.cli.certificates import add_certs
from t2bus.cli.parser import make_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

INIT = """\
wrote {0}/ca.pem and {0}/ca.key, valid until DATE: the CA
wrote {0}/bus.pem and {0}/bus.key, valid until DATE: the bus at {1}
start the bus:
  python -m t2bus serve {2} --ca {0}/ca.pem --certificate {0}/bus.pem --key {0}/bus.key
make the certificate of a client:
  python -m t2bus certs issue alice{3}
"""

ISSUE = """\
wrote certs/alice.pem and certs/alice.key, valid until DATE: the client alice
connect to the bus:
  python -m t2bus sub '**' --addr tls:localhost:4242 \
--ca certs/ca.pem --certificate certs/alice.pem --key certs/alice.key
"""

SERVER = """\
wrote certs/b.pem and certs/b.key, valid until DATE: a bus at ::2
start the bus:
  python -m t2bus serve 'tls:[::2]:4242' --ca certs/ca.pem --certificate certs/b.pem --key certs/b.key
"""

INIT_OF_MEMBERS = """\
wrote {0}/ca.pem and {0}/ca.key, valid until DATE: the CA
wrote {0}/bus.pem and {0}/bus.key, valid until DATE: a server at localhost, 127.0.0.1, ::1, {1}
start the server:
  python -m t2bus serve --bus plant --federate {2} --fed-ca {0}/ca.pem --fed-cert {0}/bus.pem --fed-key {0}/bus.key
make the certificate of another server:
  python -m t2bus certs issue south --member --host south.example{3}
"""

MEMBER = """\
wrote members/south.pem and members/south.key, valid until DATE: a server at south.example
start the server; replace HOST:7447 by the endpoint of a server that runs:
  python -m t2bus serve --bus plant --federate tls:south.example:7447 --seed tls:HOST:7447 \
--fed-ca members/ca.pem --fed-cert members/south.pem --fed-key members/south.key
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="t2bus")
    add_certs(parser.add_subparsers(dest="verb", required=True, parser_class=VerbParser))
    return parser.parse_args(["certs", *words])


def run(*words: str) -> int:
    return main(["certs", *words])


def undated(text: str) -> str:
    lines = text.splitlines(keepends=True)
    dated = [line.partition(", valid until ") for line in lines]
    return "".join(f"{before}{mark}DATE{after[10:]}" if mark else before for before, mark, after in dated)


class TestInit:
    """The CA and the bus."""

    def test_prints_what_is_next(self, capfd: pytest.CaptureFixture[str]) -> None:
        """It says what it wrote and how to start the bus and to make a client's certificate."""
        assert run("init") == 0
        shown = INIT.format("certs", "localhost, 127.0.0.1, ::1", "tls:127.0.0.1:4242", "")
        assert undated(capfd.readouterr().out) == shown

    def test_takes_a_folder_and_hosts(self, capfd: pytest.CaptureFixture[str]) -> None:
        """The bus listens at the first host that was asked for, and the folder goes on to the next command."""
        assert run("init", "--host", "a.example", "mine", "--host", "10.0.0.1") == 0
        hosts = "localhost, 127.0.0.1, ::1, a.example, 10.0.0.1"
        shown = INIT.format("mine", hosts, "tls:a.example:4242", " --folder mine")
        assert undated(capfd.readouterr().out) == shown

    def test_quotes_for_the_shell(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A folder with a space is one word of the commands that are printed."""
        assert run("init", "my certs") == 0
        serve = capfd.readouterr().out.splitlines()[3]
        assert shlex.split(serve)[4:7] == ["tls:127.0.0.1:4242", "--ca", "my certs/ca.pem"]

    @pytest.mark.parametrize("folder", ["my certs", "-certs", "it's $(mine)"])
    def test_what_is_next_works(self, folder: str, capfd: pytest.CaptureFixture[str]) -> None:
        """The command that is printed can be copied as it is, whatever the name of the folder."""
        assert run("init", "--", folder) == 0
        issue = capfd.readouterr().out.splitlines()[-1]
        assert main(shlex.split(issue)[3:]) == 0
        sub = make_parser().parse_args(shlex.split(capfd.readouterr().out.splitlines()[-1])[3:])
        context = t2bus.tls.client_context(ca=sub.ca, certificate=sub.certificate, key=sub.key)
        assert t2bus.tls.expiry(context) is not None

    def test_prints_nothing_unprintable(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A folder whose name would speak to the terminal is shown escaped."""
        assert run("init", "a\x1b[31m") == 0
        assert "\x1b" not in capfd.readouterr().out

    def test_never_replaces_a_ca(self, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A second CA in the folder is an error, and the first stays."""
        run("init")
        before = (here / "certs/ca.key").read_bytes()
        assert run("init") == 1
        assert "t2bus: certs/ca.key exists: it is never replaced" in capfd.readouterr().err
        assert (here / "certs/ca.key").read_bytes() == before

    def test_reports_the_file_that_fails(self, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """An error of the system is one line that names the file."""
        (here / "file").touch()
        assert run("init", "file/certs") == 1
        assert capfd.readouterr().err == "t2bus: file/certs: Not a directory\n"

    @pytest.mark.parametrize("words", [["--host", "*.example"], ["--days", "99999"]])
    def test_wrong_requests_are_wrong_usage(self, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        """A host or days that cannot be certified are exit code 2."""
        assert run("init", *words) == 2
        assert len(capfd.readouterr().err.splitlines()) == 1


class TestIssue:
    """Clients and further buses."""

    @pytest.fixture(autouse=True)
    def ca(self, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Make a CA."""
        run("init")
        capfd.readouterr()

    def test_prints_what_is_next(self, capfd: pytest.CaptureFixture[str]) -> None:
        """It says what it wrote and how the client connects."""
        assert run("issue", "alice") == 0
        assert undated(capfd.readouterr().out) == ISSUE

    def test_takes_a_folder(self, here: Path) -> None:
        """The folder of the CA can be another than the usual one."""
        run("init", "mine")
        assert run("issue", "alice", "--folder", "mine", "--days", "1") == 0
        assert (here / "mine/alice.key").exists()

    def test_issues_to_a_bus(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A further bus has the hosts that were given and no others."""
        assert run("issue", "--server", "b", "--host", "::2") == 0
        assert undated(capfd.readouterr().out) == SERVER

    def test_renews_if_asked_to(self, capfd: pytest.CaptureFixture[str]) -> None:
        """What exists is replaced with ``--renew`` only."""
        assert [run("issue", "alice"), run("issue", "alice"), run("issue", "alice", "--renew")] == [0, 1, 0]
        assert capfd.readouterr().err == "t2bus: certs/alice.key exists: renew it with --renew\n"

    def test_says_the_hosts_of_one_renewed(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A bus that is renewed for another host keeps those that it had, and all are told."""
        assert run("issue", "bus", "--server", "--renew", "--host", "bus.example") == 0
        (written, *_) = capfd.readouterr().out.splitlines()
        assert written.endswith(": a bus at localhost, 127.0.0.1, ::1, bus.example")

    @pytest.mark.parametrize(
        "words", [["uid:0"], ["a b"], ["ca"], ["b", "--server"], ["alice", "--host", "a.example"], ["*"]]
    )
    def test_wrong_requests_are_wrong_usage(self, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        """A name or hosts that cannot be certified are exit code 2."""
        assert run("issue", *words) == 2
        assert len(capfd.readouterr().err.splitlines()) == 1

    def test_needs_a_ca(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Without a CA it says how to make one."""
        assert run("issue", "alice", "--folder", "none") == 1
        assert capfd.readouterr().err == (
            "t2bus: no authority in none: name its folder with --folder, "
            "or make one with `python -m t2bus certs init none`\n"
        )


class TestMembers:
    """Servers that are one bus."""

    def test_have_an_authority_of_their_own(self, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Their authority is in a folder of its own, and it says how the first is started and the next certified."""
        assert run("init") == 0
        capfd.readouterr()
        assert run("init", "--member", "--host", "north.example") == 0
        shown = INIT_OF_MEMBERS.format("members", "north.example", "tls:north.example:7447", "")
        assert undated(capfd.readouterr().out) == shown
        assert (here / "members/ca.pem").read_bytes() != (here / "certs/ca.pem").read_bytes()

    def test_in_another_folder(self, capfd: pytest.CaptureFixture[str]) -> None:
        """The folder can be another one, and goes on to the next command; an address of IPv6 is in brackets."""
        assert run("init", "mine", "--member", "--host", "::2") == 0
        shown = INIT_OF_MEMBERS.format("mine", "::2", "'tls:[::2]:7447'", " --folder mine")
        assert undated(capfd.readouterr().out) == shown

    def test_next_one(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A further server has the hosts that were given and no others, and is renewed with them."""
        assert run("init", "--member") == 0
        capfd.readouterr()
        assert run("issue", "south", "--member", "--host", "south.example") == 0
        assert undated(capfd.readouterr().out) == MEMBER
        assert run("issue", "south", "--member", "--renew") == 0
        assert undated(capfd.readouterr().out) == MEMBER

    @pytest.mark.parametrize("host", ["localhost", "north.example"])
    def test_next_one_on_the_same_host(self, host: str, capfd: pytest.CaptureFixture[str]) -> None:
        """A further server on the host of the first one is told no port that the first one has."""
        assert run("init", "--member", "--host", "north.example") == 0
        capfd.readouterr()
        assert run("issue", "south", "--member", "--host", host) == 0
        _, told, command = capfd.readouterr().out.splitlines()
        assert told == (
            "start the server; replace PORT by a free port and HOST:7447 by the endpoint of a server that runs:"
        )
        assert f" --federate tls:{host}:PORT --seed tls:HOST:7447 " in command

    def test_the_first_one_renewed(self, capfd: pytest.CaptureFixture[str]) -> None:
        """The first server keeps its port when its certificate is renewed."""
        assert run("init", "--member", "--host", "north.example") == 0
        assert run("issue", "bus", "--member", "--renew") == 0
        assert " --federate tls:localhost:7447 " in capfd.readouterr().out.splitlines()[-1]

    def test_without_the_first_one(self, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Where the first certificate is not in the folder, another server is told the usual port."""
        assert run("init", "--member", "--host", "north.example") == 0
        (here / "members/bus.pem").unlink()
        assert run("issue", "south", "--member", "--host", "north.example") == 0
        assert " --federate tls:north.example:7447 " in capfd.readouterr().out.splitlines()[-1]

    def test_needs_a_ca(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Without a CA it says how to make one for servers."""
        assert run("issue", "south", "--member", "--host", "south.example") == 1
        said = (
            "no authority in members: name its folder with --folder, "
            "or make one with `python -m t2bus certs init --member members`"
        )
        assert capfd.readouterr().err == f"t2bus: {said}\n"

    def test_commands_are_taken(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A server could be started by the command that is printed."""
        assert run("init", "--member", "my members") == 0
        words = shlex.split(capfd.readouterr().out.splitlines()[3].replace(":7447", ":0"))
        assert main([*words[3:], "unix:bus", "--check"]) == 0

    def test_wrong_requests_are_wrong_usage(self, capfd: pytest.CaptureFixture[str]) -> None:
        """A server that others find nowhere, and one that is a bus of its own too, are exit code 2."""
        assert run("init", "--member") == 0
        assert run("issue", "south", "--member") == 2
        assert run("issue", "south", "--member", "--server", "--host", "south.example") == 2
        assert len(capfd.readouterr().err.splitlines()) == 2


class TestWithoutCryptography:
    """An installation without the extra."""

    @pytest.fixture
    def absent(self, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
        """Forget what needs cryptography."""
        for name in [name for name in sys.modules if name.startswith("t2bus.certs")]:
            monkeypatch.delitem(sys.modules, name)
        return monkeypatch

    def test_says_what_to_install(self, absent: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        """Without cryptography the one line of the error names the extra."""
        absent.setitem(sys.modules, "cryptography", None)
        assert run("init") == 1
        said = capfd.readouterr().err
        assert said == f"t2bus: certificates need the package cryptography: run `{install('certs')}`\n"
        assert sys.executable in said

    def test_the_extra_is_one(self) -> None:
        """The extra that is named is one of the package, and brings cryptography."""
        needs = [each for each in requires("t2bus") or () if "extra ==" in each]
        assert [re.split("[>;]", each)[0] for each in needs if "certs" in each] == ["cryptography"]

    def test_programs_are_told_too(self, absent: pytest.MonkeyPatch) -> None:
        """Whoever imports the module in a program without cryptography is told of the extra."""
        absent.setitem(sys.modules, "cryptography", None)
        with pytest.raises(ModuleNotFoundError, match=r"pip install 't2bus\[certs\]'"):
            import_module("t2bus.certs")

    def test_hides_no_other_fault(self, absent: pytest.MonkeyPatch) -> None:
        """Another module that is missing is not taken for cryptography."""
        absent.setitem(sys.modules, "ipaddress", None)
        with pytest.raises(ModuleNotFoundError, match="ipaddress"):
            run("init")

    def test_help_needs_nothing(self) -> None:
        """The grammar of the verb imports neither Trio nor cryptography."""
        code = "import sys, t2bus.cli.certificates; print([m for m in ('trio', 'cryptography') if m in sys.modules])"
        root = Path(t2bus.__file__).parents[1]
        done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


def test_wants_an_action(capsys: pytest.CaptureFixture[str]) -> None:
    """Without ``init`` or ``issue`` the usage is wrong."""
    with pytest.raises(SystemExit) as end:
        parsed([])
    assert end.value.code == 2
    assert "ACTION" in capsys.readouterr().err
