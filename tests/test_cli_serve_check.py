"""``t2bus serve --check``: all mistakes at once, and nothing left behind."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

import t2bus
from bus_helpers import names
from cli_helpers import run
from supervisor_helpers import serve_inherited
from t2bus.certs import make_ca
from t2bus.cli import main
from t2bus.cli.serve_check import remedy
from tls_helpers import AGO, LONG_AGO, expires_in, leaf, write

if TYPE_CHECKING:
    from pathlib import Path

BAD = """\
addresses = ["unix:/nowhere/bus", "my_bus", "tcp:0.0.0.0:0"]
access = "access.toml"
peers = ["alice"]
insecure = 1

[tls]
ca = "no.pem"
certificate = "bus.pem"
kee = "x"

[limits]
connections = 9999999999
conections = 1
stall = -1
"""

BAD_RULES = """\
[everyone]
subscribe = ["a", "B"]
publsh = ["x"]

[identity."uid:1000"]
deny = { serv = ["x"] }
"""


def mistakes(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Check, and return the lines that say what is wrong, after exit code 2."""
    assert main(["serve", "--check", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return [line.removeprefix("t2bus: ") for line in said.err.splitlines()]


def check_one(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    (line,) = mistakes(capsys, *words)
    return line


class TestAll:
    """Everything is looked at."""

    async def test_nothing_wrong(self, folder: Path) -> None:
        """What could be served costs exit code 0 and one line on standard output, and leaves nothing."""
        make_ca(folder)
        config = folder / "bus.toml"
        config.write_text(
            f'addresses = ["unix:{folder}/bus", "tls:127.0.0.1:0"]\n'
            '[tls]\nca = "ca.pem"\ncertificate = "bus.pem"\nkey = "bus.key"\n'
        )
        before = names(folder)
        code, out, err = await run("serve", "--config", str(config), "--check")
        assert (code, out, err) == (0, f"a bus could serve at unix:{folder}/bus tls:127.0.0.1:0\n", "")
        assert names(folder) == before

    def test_every_mistake(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """All mistakes of all files are told, with file and line, and no other."""
        config, rules = folder / "bus.toml", folder / "access.toml"
        config.write_text(BAD)
        rules.write_text(BAD_RULES)
        said = mistakes(capsys, "--config", str(config))
        assert [line.partition(": ")[0] for line in said] == [
            *(f"{config}:{line}" for line in (4, 3, 9, 13, 14)),
            *(f"{rules}:{line}" for line in (2, 3, 6)),
            f"{config}:12",
            *(f"cannot read {folder}/{name}" for name in ("no.pem", "bus.pem")),
            *[f"{config}:1"] * 3,
        ]

    def test_an_option_is_no_line(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What an option has overruled in the file is not blamed on a line of it."""
        config = folder / "bus.toml"
        config.write_text('addresses = ["unix:a"]\n')
        assert check_one(capsys, "my_bus", "--config", str(config)).startswith("'my_bus' is no address: ")

    @pytest.mark.parametrize(
        ("text", "says"),
        [(None, ": No such file or directory"), ("a = \n", " is not TOML: Invalid value (at line 1, column 5)")],
    )
    def test_no_settings(self, text: str | None, says: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A configuration file that cannot be read at all is a mistake of its own."""
        config = folder / "bus.toml"
        if text is not None:
            config.write_text(text)
        assert check_one(capsys, f"unix:{folder}/bus", "--config", str(config)).startswith(f"{config}{says}")


class TestAddresses:
    """Whether addresses could be listened at."""

    def test_in_use(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An address that is in use is told with what to do."""
        with socket.create_server(("127.0.0.1", 0)) as sock:
            address = f"tcp:127.0.0.1:{sock.getsockname()[1]}"
            assert check_one(capsys, address) == (
                f"cannot listen at {address}: Address already in use: stop what listens there, or choose another port"
            )

    @pytest.mark.parametrize(
        ("address", "says"),
        [
            ("unix:/root/bus", "choose a path in a folder of this user"),
            ("tcp:127.0.0.1:1", "choose a port from 1024 on"),
        ],
    )
    def test_of_another_user(self, address: str, says: str) -> None:
        """An address that this user may not have is told with what to do about an address of its kind."""
        error = t2bus.BindFailed(f"cannot listen at {address}: {os.strerror(errno.EACCES)}")
        assert remedy(error) == f": {says}"

    def test_twice(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An address that is named twice is told as such; port 0 is another one each time."""
        assert check_one(capsys, f"unix:{folder}/bus", f"unix:{folder}/bus") == f"unix:{folder}/bus is named twice"
        assert names(folder) == []
        assert main(["serve", "--check", "tcp:127.0.0.1:0", "tcp:127.0.0.1:0"]) == 0

    async def test_inherited(self) -> None:
        """Sockets that are inherited are looked at as well."""
        with socket.create_server(("0.0.0.0", 0)) as sock:
            async with serve_inherited([sock], "--check") as serve:
                assert await serve.end() == 2
                assert "can be reached from other machines" in await serve.stderr.next()


class TestFiles:
    """Certificates and access rules."""

    def test_expired(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A certificate that clients would refuse is a mistake."""
        files = write(folder, "end", leaf("127.0.0.1", not_before=LONG_AGO, not_after=AGO))
        options = ["--ca", str(files.ca), "--certificate", str(files.certificate), "--key", str(files.key)]
        said = check_one(capsys, "tls:127.0.0.1:0", *options)
        assert said == f"the certificate in {files.certificate} would be refused: certificate has expired"

    def test_expires(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A certificate that expires soon is no mistake, but is warned of."""
        files = write(folder, "end", expires_in(days=3))
        options = ["--ca", str(files.ca), "--certificate", str(files.certificate), "--key", str(files.key)]
        assert main(["serve", "--check", "tls:127.0.0.1:0", *options]) == 0
        assert "the bus's certificate expires at" in capsys.readouterr().err

    def test_none(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An address of TLS without certificates is a mistake."""
        assert check_one(capsys, "tls:127.0.0.1:0").startswith("tls:127.0.0.1:0 needs certificates: name them with ")

    def test_no_rules(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Access rules that are not there are a mistake."""
        said = check_one(capsys, f"unix:{folder}/bus", "--access", f"{folder}/access.toml")
        wrong = f"{folder}/access.toml: No such file or directory: make it, or correct the path"
        assert said == f"--access: {wrong}"
        config = folder / "bus.toml"
        config.write_text(f'addresses = ["unix:{folder}/bus"]\naccess = "access.toml"\n')
        assert check_one(capsys, "--config", str(config)) == f"{config}:2: access: {wrong}"

    @pytest.mark.parametrize(("rules", "lines"), [("", 1), ('[identity.local]\nrequest = ["bus/*"]\n', 0)])
    def test_the_monitor_s_right(
        self, rules: str, lines: int, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Access rules that keep the monitor from asking are warned of."""
        access = folder / "access.toml"
        access.write_text(rules)
        words = [f"unix:{folder}/bus", "--access", str(access), "--monitor", f"unix:{folder}/monitor"]
        assert main(["serve", "--check", *words]) == 0
        said = capsys.readouterr().err.splitlines()
        warning = f"the monitor may not ask the bus: {access} has to give request"
        assert [warning in line for line in said] == [True] * lines

    def test_ready_file(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file to write to that is not open is a mistake."""
        said = check_one(capsys, f"unix:{folder}/bus", "--ready-fd", "250")
        assert said.startswith("--ready-fd 250: there is no such open file")
