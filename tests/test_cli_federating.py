"""``t2bus serve --federate``: what makes a server one of several, from options, a file and the environment."""

from __future__ import annotations

import shlex
import socket
from typing import TYPE_CHECKING

import pytest

import t2bus
from bus_helpers import names
from cli_helpers import command, python, run
from t2bus.called import install
from t2bus.certs import Role, issue_server, make_ca
from t2bus.cli import main
from t2bus.cli.parser import make_parser
from t2bus.cli.serve_open import federation_of
from t2bus.cli.settings import BadSetting, read_settings

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
addresses = ["unix:bus"]

[federation]
bus = "plant"
endpoint = "tls:north.example:7447"
seeds = ["tls:south.example:7447", "tls:west.example:7447"]
ca = "members/ca.pem"
cert = "/etc/north.pem"
key = "north.key"
min_members = 2
group_depth = 3
name = "north"
lease = 4
"""
TCP = "--federate tcp:127.0.0.1:0 --bus plant"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bus.toml"


@pytest.fixture
def members(folder: Path) -> Path:
    """Make an authority for servers, and the certificate of the first."""
    make_ca(folder / "members", role=Role.MEMBER)
    return folder / "members"


def read(options: str) -> t2bus.Federation | None:
    """Read what is said after ``t2bus serve``."""
    return federation_of(read_settings(make_parser().parse_args(["serve", *shlex.split(options)])).federation)


def showing(members: Path, name: str = "bus") -> list[str]:
    own = [f"--fed-cert={members}/{name}.pem", f"--fed-key={members}/{name}.key"]
    return ["--federate", "tls:127.0.0.1:0", "--bus", "plant", f"--fed-ca={members}/ca.pem", *own]


def mistakes(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Check, and return the lines that say what is wrong, after exit code 2."""
    assert main(["serve", "--check", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return [line.removeprefix("t2bus: ") for line in said.err.splitlines()]


class TestSaid:
    """What is said of a federation."""

    def test_nothing(self) -> None:
        """Without an option a bus is one server."""
        assert read("") is None

    def test_by_options(self) -> None:
        """Each option says what its name says."""
        options = (
            "--bus plant --federate tls:a:1 --seed tls:b:2 --seed tls:c:3 --fed-ca d --fed-cert e --fed-key f "
            "--min-members 2 --group-depth 3 --lease 4.5 --fed-name north"
        )
        assert read(options) == t2bus.Federation(
            bus="plant",
            endpoint="tls:a:1",
            seeds=["tls:b:2", "tls:c:3"],
            ca="d",
            cert="e",
            key="f",
            min_members=2,
            group_depth=3,
            lease=4.5,
            name="north",
        )

    def test_little(self) -> None:
        """What is not said is as it is by default."""
        assert read(TCP) == t2bus.Federation(bus="plant", endpoint="tcp:127.0.0.1:0")

    def test_by_a_file(self, file: Path) -> None:
        """The file says the same as the options, and names files from its own folder on."""
        file.write_text(WHOLE)
        assert read(f"--config {file}") == t2bus.Federation(
            bus="plant",
            endpoint="tls:north.example:7447",
            seeds=["tls:south.example:7447", "tls:west.example:7447"],
            ca=file.parent / "members/ca.pem",
            cert="/etc/north.pem",
            key=file.parent / "north.key",
            min_members=2,
            group_depth=3,
            lease=4,
            name="north",
        )

    def test_options_overrule_the_file(self, file: Path) -> None:
        """What an option says counts, and the file counts where no option speaks."""
        file.write_text(WHOLE)
        both = read(f"--config {file} --seed tls:east.example:7447 --fed-key mine.key --lease 1")
        assert both is not None
        assert (both.bus, both.seeds, both.key) == ("plant", ("tls:east.example:7447",), "mine.key")
        assert (both.ca, both.min_members, both.lease) == (f"{file.parent}/members/ca.pem", 2, 1)

    def test_by_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each option can be given in the environment, seeds with spaces between, and the command line wins."""
        said = {"FEDERATE": "tls:a:1", "SEED": "tls:b:2 tls:c:3", "BUS": "plant", "LEASE": "3", "MIN_MEMBERS": "2"}
        for name, value in {**said, "FED_CA": "d", "FED_CERT": "e", "FED_KEY": "f", "GROUP_DEPTH": "3"}.items():
            monkeypatch.setenv(f"T2BUS_{name}", value)
        assert read("--lease 4 --bus mill") == t2bus.Federation(
            bus="mill",
            endpoint="tls:a:1",
            seeds=["tls:b:2", "tls:c:3"],
            ca="d",
            cert="e",
            key="f",
            min_members=2,
            group_depth=3,
            lease=4,
        )


class TestWrong:
    """What makes no federation."""

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ("--seed tcp:127.0.0.1:1", "needs --federate, --bus (in a configuration file, endpoint, bus in [fed"),
            ("--federate tcp:127.0.0.1:1", "a federation needs --bus (in a configuration file, bus in [federation])"),
            ("--federate tls:a:1 --bus b --fed-cert c", "a federation needs --fed-ca, --fed-key (in a configuration"),
            ("--federate a:1 --bus b", "'a:1' is no address: write tls:a:1"),
            ("--federate unix:a --bus b", "'unix:a' is for this machine alone: servers meet at tls:HOST:PORT"),
            ("--federate tcp:192.0.2.1:1 --bus b", "write tls:192.0.2.1:1"),
            ("--federate tcp:127.0.0.1:1 --bus B", "'B' is no name of a bus: use a-z, 0-9 and _ only"),
            (f"{TCP} --seed tls:a:1", "the seed 'tls:a:1' is of another kind than the endpoint"),
            (f"{TCP} --fed-ca a", "certificates are of no use at the endpoint tcp:127.0.0.1:0"),
            (f"{TCP} --lease 0.1", "lease is 0.1: set it from 0.5 to"),
            (f"{TCP} --min-members 5000", "min_members is 5000: set it from 1 to"),
            (f"{TCP} --group-depth 5000", "group_depth is 5000: set it from 1 to"),
        ],
    )
    def test_options(self, options: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
        """What cannot be is wrong usage, told in one line before anything is opened."""
        assert main(["serve", *shlex.split(options)]) == 2
        said = capsys.readouterr().err
        assert says in said
        assert said.count("\n") == 1

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ("--min-members 0", "argument --min-members: '0' is not a whole number above 0"),
            ("--group-depth some", "argument --group-depth: 'some' is not a whole number above 0"),
            ("--lease soon", "argument --lease: 'soon' is not a number of seconds above 0"),
        ],
    )
    def test_numbers(self, options: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
        """An option that is no number is refused by its name."""
        assert main(["serve", *shlex.split(options)]) == 2
        assert capsys.readouterr().err.startswith(f"t2bus: {says}")

    @pytest.mark.parametrize(
        ("text", "line", "says"),
        [
            ("federation = 'plant'", 1, "federation: this is no table"),
            ("[federation]\nseed = ['tls:a:1']", 2, "'seed' is no key of [federation]: did you mean seeds?"),
            ("[federation]\nbus = 'a'\nseeds = 'tls:a:1'", 3, "seeds: this is no list of texts"),
            ("[federation]\nca = 1", 2, "ca: this is no text in quotes"),
            ("[federation]\nmin_members = 1.5", 2, "min_members: this is no whole number"),
            ("[federation]\nmin_members = true", 2, "min_members: this is no whole number"),
            ("[federation]\nlease = 'long'", 2, "lease: this is no number"),
        ],
    )
    def test_files(self, file: Path, text: str, line: int, says: str) -> None:
        """A value of another type is refused with its line, and a word that is not known with the nearest."""
        file.write_text(text)
        with pytest.raises(BadSetting) as caught:
            read(f"--config {file}")
        assert str(caught.value) == f"{file}:{line}: {says}"


class TestServing:
    """A server that runs."""

    async def test_it_says_where_it_is(self, members: Path) -> None:
        """It says where others find it, after its own addresses, and ends at a signal."""
        async with command("serve", f"unix:{members}/bus", *showing(members)) as serve:
            assert (
                await serve.stderr.until("others find") == "t2bus: others find this server of plant at tls:127.0.0.1:0"
            )
            async with t2bus.open_client(f"unix:{members}/bus"):
                pass
            serve.process.terminate()
            assert await serve.end() == 0

    async def test_a_missing_extra(self, folder: Path) -> None:
        """Where the engine is not installed, the command to install it is said, and nothing is opened."""
        program = "import sys; sys.modules['zenoh'] = None; from t2bus.cli import main; sys.exit(main(sys.argv[1:]))"
        async with python("-c", program, "serve", f"unix:{folder}/bus", *shlex.split(TCP)) as serve:
            assert await serve.end() == 1
            (said,) = await serve.stderr.rest()
        remedy = f"run `{install('zenoh')}`"
        assert said == f"t2bus: federation needs the package eclipse-zenoh: {remedy}"
        assert names(folder) == []

    async def test_a_certificate_of_no_use(self, members: Path) -> None:
        """A certificate that the others would refuse is wrong usage, and nothing is opened."""
        issue_server(members, "server", ["127.0.0.1"])
        code, out, said = await run("serve", f"unix:{members}/bus", *showing(members, "server"))
        assert (code, out) == (2, "")
        assert said.startswith(f"t2bus: the certificate in {members}/server.pem would be refused: unsuitable ")
        assert said.count("\n") == 1
        assert "bus" not in names(members)

    async def test_an_endpoint_in_use_at_the_start(self, folder: Path) -> None:
        """A server whose endpoint is in use says what to do, as of any other address."""
        with socket.create_server(("127.0.0.1", 0)) as sock:
            place = f"tcp:127.0.0.1:{sock.getsockname()[1]}"
            code, _, text = await run("serve", f"unix:{folder}/bus", "--federate", place, "--bus", "plant")
        remedy = "stop what listens there, or choose another port"
        said = f"t2bus: cannot listen for other servers at {place}: Address already in use: {remedy}\n"
        assert (code, text) == (1, said)


class TestCheck:
    """``serve --check``."""

    def test_nothing_wrong(self, members: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What others would take costs exit code 0, and one line says which bus that is."""
        assert main(["serve", "--check", f"unix:{members}/bus", *showing(members)]) == 0
        expected = f"a bus could serve at unix:{members}/bus, as a server of plant at tls:127.0.0.1:0\n"
        assert capsys.readouterr() == (expected, "")

    def test_an_endpoint_in_use(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An endpoint that is in use is told with the line of the file and what to do."""
        config = folder / "bus.toml"
        with socket.create_server(("127.0.0.1", 0)) as sock:
            place = f"tcp:127.0.0.1:{sock.getsockname()[1]}"
            config.write_text(f'addresses = ["unix:{folder}/bus"]\n[federation]\nbus = "plant"\nendpoint = "{place}"\n')
            (said,) = mistakes(capsys, "--config", str(config))
        remedy = "stop what listens there, or choose another port"
        assert said == f"{config}:4: cannot listen at {place}: Address already in use: {remedy}"

    def test_an_address_of_the_bus(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Clients and servers cannot come to the same address."""
        with socket.create_server(("127.0.0.1", 0)) as sock:
            place = f"tcp:127.0.0.1:{sock.getsockname()[1]}"
        (*_, said) = mistakes(capsys, place, "--federate", place, "--bus", "plant")
        assert said.startswith(f"cannot listen at {place}: Address already in use: ")

    def test_files_that_are_not_there(self, members: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Each file that cannot be read is told, and the other mistakes too."""
        files = ["--fed-ca", f"{members}/no.pem", "--fed-cert", f"{members}/nobody.pem", "--fed-key", "nobody.key"]
        said = mistakes(capsys, "my_bus", "--federate", "tls:127.0.0.1:0", "--bus", "plant", *files)
        assert [line.partition(": ")[0] for line in said] == [
            f"cannot read {members}/no.pem",
            "cannot read nobody.key",
            "'my_bus' is no address",
        ]

    def test_too_little(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What is missing is told with the line of the table, unless an option has said a part of it."""
        config = folder / "bus.toml"
        config.write_text(f'addresses = ["unix:{folder}/bus"]\n\n[federation]\nlease = 1\n')
        (said,) = mistakes(capsys, "--config", str(config))
        assert said.startswith(f"{config}:3: a federation needs --federate, --bus ")
        (said,) = mistakes(capsys, "--config", str(config), "--bus", "plant")
        assert said.startswith("a federation needs --federate (")

    def test_what_follows_from_a_mistake(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A value that cannot be read is told once, and not as one that is missing."""
        config = folder / "bus.toml"
        config.write_text(f'addresses = ["unix:{folder}/bus"]\n[federation]\nbus = "plant"\nendpoint = 7447\n')
        assert mistakes(capsys, "--config", str(config)) == [f"{config}:4: endpoint: this is no text in quotes"]

    def test_the_authority_of_the_clients(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """With access rules, an authority that has certified clients must not certify servers."""
        make_ca(folder / "certs")
        issue_server(folder / "certs", "north", ["127.0.0.1"], role=Role.MEMBER)
        (folder / "access.toml").touch()
        files = {"ca": "ca.pem", "certificate": "bus.pem", "key": "bus.key"}
        tls = [f"--{name}={folder}/certs/{file}" for name, file in files.items()]
        words = ["tls:127.0.0.1:0", *tls, *showing(folder / "certs", "north")]
        assert main(["serve", "--check", *words]) == 0
        assert " WARNING t2bus.server: whoever the authority in " in capsys.readouterr().err
        (said,) = mistakes(capsys, *words, "--access", f"{folder}/access.toml")
        assert "no access rule would hold for it" in said
