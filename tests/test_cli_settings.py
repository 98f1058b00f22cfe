"""What ``t2bus serve`` is told: options, the configuration file, and how the two come together."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import attrs
import pytest

from t2bus.certs import issue_client, make_ca
from t2bus.cli import main
from t2bus.cli.parser import make_parser
from t2bus.cli.settings import BadSetting, Settings, read_settings
from t2bus.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
addresses = ["unix:bus", "tls:0.0.0.0:4242"]
access = "access.toml"
peers = ["uid:1000", "gid:100"]
insecure_no_auth = true

[tls]
ca = "certs/ca.pem"
certificate = "/etc/bus.pem"
key = "bus.key"

[limits]
connections = 4096
drain = 2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bus.toml"


TOO_LITTLE = "outbox_bytes of at least as much, not 16777216: what fits nowhere reaches nobody"


def read(options: str) -> Settings:
    """Read what is said after ``t2bus serve``."""
    return read_settings(make_parser().parse_args(["serve", *shlex.split(options)]))


def test_nothing_said() -> None:
    """Without options everything is as it is by default."""
    assert read("") == Settings()


def test_options() -> None:
    """Each option says what its name says."""
    options = "tls:h:1 unix:b --ca a --certificate b --key c --access d --peer uid:1 --peer gid:2 --insecure-no-auth"
    assert read(options) == Settings(
        addresses=("tls:h:1", "unix:b"),
        files={"ca": "a", "certificate": "b", "key": "c"},
        access="d",
        peers=("uid:1", "gid:2"),
        insecure_no_auth=True,
    )


def test_limits_of_which_one_needs_the_other() -> None:
    """Limits are compared when all are known, in whatever order they are given."""
    limits = read("--limit frame=40000000 --limit outbox_bytes=50000000").limits
    assert limits == Limits(frame=40_000_000, outbox_bytes=50_000_000)


def test_limits() -> None:
    """Counts and times are limits; of two values for one the last counts."""
    limits = read("--limit connections=9 --limit stall=0.5 --limit connections=10").limits
    assert limits == Limits(connections=10, stall=0.5)


def test_a_file(file: Path) -> None:
    """The file says the same as the options, and names files from its own folder on."""
    file.write_text(WHOLE, encoding="utf-8")
    folder = file.parent
    assert read(f"--config {file}") == Settings(
        addresses=("unix:bus", "tls:0.0.0.0:4242"),
        files={"ca": f"{folder}/certs/ca.pem", "certificate": "/etc/bus.pem", "key": f"{folder}/bus.key"},
        access=f"{folder}/access.toml",
        peers=("uid:1000", "gid:100"),
        limits=Limits(connections=4096, drain=2),
        insecure_no_auth=True,
    )


def test_options_overrule_the_file(file: Path) -> None:
    """What an option says counts, and the file counts where no option speaks."""
    file.write_text(WHOLE, encoding="utf-8")
    both = read(f"unix:other --config {file} --key mine.key --limit drain=3")
    alone = read(f"--config {file}")
    assert both == attrs.evolve(
        alone,
        addresses=("unix:other",),
        files=alone.files | {"key": "mine.key"},
        limits=Limits(connections=4096, drain=3),
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--limit connections", "--limit 'connections': write NAME=VALUE"),
        ("--limit connections=many", "--limit connections: 'many' is no number"),
        ("--limit connections=1.5", "limit connections: 1.5 is no whole number"),
        ("--limit connections=0", "limit connections: 0 is too small: it has to be above 0"),
        ("--limit stall=-1", "limit stall: -1 is too small: it has to be above 0"),
        (
            "--limit frame=40000000",
            f"limits: frame=40000000 needs {TOO_LITTLE}",
        ),
        ("--limit conections=1", "'conections' is no limit: did you mean connections?"),
    ],
)
def test_wrong_options(options: str, says: str) -> None:
    """A limit that is none is refused with its name and the reason."""
    with pytest.raises(BadSetting) as caught:
        read(options)
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = ", "is not TOML: "),
        pytest.param("a = " + "[" * 100_000, "is not TOML: it is nested too deeply", id="deep"),
        pytest.param("a = " + "1" * 5000, "is not TOML: Exceeds the limit", id="digits"),
        ("address = ['unix:a']", "'address' is no key: did you mean addresses?"),
        (
            "zzz = 1",
            "'zzz' is no key: there are addresses, access, peers, insecure_no_auth, monitor, tls, federation, limits",
        ),
        ("addresses = 'unix:a'", "addresses: this is no list of texts"),
        ("addresses = [1]", "addresses: this is no list of texts"),
        ("access = 1", "access: this is no text in quotes"),
        ("insecure_no_auth = 1", "insecure_no_auth: this is no true or false"),
        ("peers = ['alice']", "peers: 'alice' is no peer of a unix socket"),
        ("tls = 'ca.pem'", "tls: this is no table"),
        ("[tls]\ncert = 'a'", "'cert' is no key of [tls]"),
        ("[tls]\nca = 1", "ca: this is no text in quotes"),
        ("[limits]\nconnections = true", "limit connections: True is no whole number"),
        ("[limits]\nstall = 'long'", "limit stall: 'long' is no number"),
    ],
)
def test_wrong_files(file: Path, text: str, says: str) -> None:
    """A file with anything else in it is refused with its name, the place and the reason."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadSetting) as caught:
        read(f"--config {file}")
    assert str(caught.value).startswith(str(file))
    assert says in str(caught.value)


def test_a_missing_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is wrong usage, told in one line."""
    assert main(["serve", "--config", str(file)]) == 2
    assert capsys.readouterr().err == f"t2bus: {file}: No such file or directory\n"


@pytest.mark.parametrize("verb", ["serve tls:127.0.0.1:0", "pub a 1 --addr tls:127.0.0.1:1"])
def test_certificates_that_cannot_be_used(verb: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A certificate that is not there is wrong usage of either end."""
    assert main([*shlex.split(verb), "--ca", str(file), "--certificate", str(file)]) == 2
    assert f"cannot read {file}: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "variables"),
    [
        ("sub a", {"T2BUS_ADDR": "foo"}),
        ("sub a", {"T2BUS_ADDR": "unix:x", "T2BUS_CA": "ca.pem"}),
        ("serve", {"T2BUS_LIMIT": "frame"}),
        ("serve", {"T2BUS_CONFIG": "nope.toml"}),
    ],
)
def test_variables_are_named(
    verb: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where settings are wrong the variables that are set are named, since nobody sees them in the command."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(shlex.split(verb)) == 2
    assert capsys.readouterr().err.endswith(f" (the environment has {', '.join(variables)})\n")


def test_access_rules_that_are_not_there(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Access rules that cannot be read are wrong usage, told with the setting that names them and the remedy."""
    gone = file.with_name("gone.toml")
    said = f"{gone}: No such file or directory: make it, or correct the path\n"
    assert main(["serve", f"unix:{file}.sock", "--access", str(gone)]) == 2
    assert capsys.readouterr().err == f"t2bus: --access: {said}"
    file.write_text('access = "gone.toml"\n')
    assert main(["serve", f"unix:{file}.sock", "--config", str(file)]) == 2
    assert capsys.readouterr().err == f"t2bus: access: {said}"


def test_access_rules_with_a_mistake(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Access rules that say what cannot be are wrong usage."""
    file.write_text("[everyone]\npublsh = []\n")
    assert main(["serve", f"unix:{file}.sock", "--access", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"t2bus: {file}: ")


def test_more_connections_than_files(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit that the system does not allow is wrong usage."""
    assert main(["serve", f"unix:{file}.sock", "--limit", "connections=1000000000"]) == 2
    assert "too few for 1000000000 connections" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "name", "says"),
    [
        ("serve tls:127.0.0.1:0", "alice", "a client's certificate; a bus needs one made by `{} NAME --server`"),
        ("pub a 1 --addr tls:127.0.0.1:1", "bus", "a bus's certificate; a client needs one made by `{} NAME`"),
    ],
)
def test_certificates_of_the_other_end(
    verb: str, name: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A certificate that is for the other end of a connection is told as such, with the command that makes another."""
    make_ca(tmp_path)
    issue_client(tmp_path, "alice")
    own = tmp_path / f"{name}.pem"
    files = ["--ca", str(tmp_path / "ca.pem"), "--certificate", str(own), "--key", str(own.with_suffix(".key"))]
    assert main([*shlex.split(verb), *files]) == 2
    command = "python -m t2bus certs issue"
    assert capsys.readouterr().err == f"t2bus: {own} is {says.format(command)}\n"


@pytest.mark.parametrize("verb", ["serve tcp:127.0.0.1:0", "pub a 1 --addr tcp:127.0.0.1:1"])
def test_certificates_without_tls(verb: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Certificates beside an address that has no use for them are a mistake that would send everything in clear."""
    assert main([*shlex.split(verb), "--ca", str(file), "--certificate", str(file)]) == 2
    assert "certificates are for tls: addresses" in capsys.readouterr().err
