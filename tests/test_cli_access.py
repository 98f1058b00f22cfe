"""``t2bus access``: what it prints, and its exit codes."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from t2bus.cli import main

RULES = """\
[everyone]
subscribe = ["public/**"]

[identity."uid:1000"]
publish = ["oven/**"]
serve = ["oven/*"]
deny = { serve = ["oven/off"] }

[identity."gid:100"]
request = ["*/status"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a file of rules in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("access.toml")
    path.write_text(RULES, encoding="utf-8")
    return path


class TestCheck:
    """``t2bus access check``."""

    def test_valid(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A valid file is told by its size, deny rules counted."""
        assert main(["access", "check", "access.toml"]) == 0
        assert capsys.readouterr() == ("access.toml: 2 identities, 5 rules\n", "")

    def test_one_of_each(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """One identity is no plural, nor is one rule."""
        file.write_text("identity.x.serve = ['a']", encoding="utf-8")
        assert main(["access", "check", "access.toml"]) == 0
        assert capsys.readouterr().out == "access.toml: 1 identity, 1 rule\n"

    def test_invalid(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An invalid file is told by its first error, in one line after its name."""
        file.write_text("[everyone]\nserv = []", encoding="utf-8")
        assert main(["access", "check", "access.toml"]) == 1
        assert capsys.readouterr() == (
            "",
            't2bus: access.toml: everyone: unknown key "serv": did you mean "serve"?\n',
        )

    def test_not_utf8(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file that is not UTF-8 is refused with a text that says so."""
        file.write_bytes(b"# caf\xe9")
        assert main(["access", "check", "access.toml"]) == 1
        out, err = capsys.readouterr()
        assert (out, err.startswith("t2bus: access.toml: "), err.count("\n"), "UTF-8" in err) == ("", True, 1, True)

    @pytest.mark.parametrize(("name", "why"), [("none", "No such file or directory"), (".", "Is a directory")])
    def test_unreadable(self, file: Path, name: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A file that cannot be read is told with the reason of the system."""
        assert main(["access", "check", name]) == 1
        assert capsys.readouterr() == ("", f"t2bus: {name}: {why}\n")

    def test_too_large(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file without an end is read up to the bound."""
        assert main(["access", "check", "/dev/zero"]) == 1
        assert capsys.readouterr().err.startswith("t2bus: /dev/zero: it has more than 1048576 bytes")

    def test_control_characters(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What the file has for a terminal to obey is shown escaped."""
        file.write_text(r'"\u001b[31m" = 1', encoding="utf-8")
        assert main(["access", "check", "access.toml"]) == 1
        assert capsys.readouterr().err.startswith(r't2bus: access.toml: unknown key "\x1b[31m"')

    def test_the_name_of_the_file(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The name of the file is shown escaped too."""
        file.rename("a\nb")
        assert main(["access", "check", "a\nb"]) == 0
        assert capsys.readouterr().out == "a\\nb: 2 identities, 5 rules\n"

    def test_a_terminal_without_unicode(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where only ASCII can be written, nothing else is."""
        file.rename("caf\u00e9")
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
        assert main(["access", "check", "caf\u00e9"]) == 0
        assert written.getvalue() == b"caf\\xe9: 2 identities, 5 rules\n"


class TestExplain:
    """``t2bus access explain``."""

    @pytest.mark.parametrize(
        ("asked", "says"),
        [
            ("uid:1000 subscribe public/*", "subscribe 'public/**' of everyone includes 'public/*'"),
            ("uid:1000 publish oven/x", "publish 'oven/**' of 'uid:1000' includes 'oven/x'"),
            ("--group gid:7 --group gid:100 x request a/status", "request '*/status' of 'gid:100' includes 'a/status'"),
            ("x request a/status --group gid:100", "request '*/status' of 'gid:100' includes 'a/status'"),
        ],
    )
    def test_allowed(self, file: Path, asked: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
        """What is allowed is exit code 0, with the rule that allows it."""
        assert main(["access", "explain", "access.toml", *asked.split()]) == 0
        assert capsys.readouterr() == (f"allowed: {says}\n", "")

    @pytest.mark.parametrize(
        ("asked", "says"),
        [
            ("uid:1000 serve oven/off", "deny.serve 'oven/off' of 'uid:1000' forbids 'oven/off'"),
            ("x request a/status", "no request rule of everyone includes 'a/status'"),
            (
                "uid:1000 publish oven/*",
                (
                    "no publish_wildcards rule of everyone or 'uid:1000' includes 'oven/*'; "
                    "publish 'oven/**' of 'uid:1000' does not count, for the topic has wildcards"
                ),
            ),
        ],
    )
    def test_denied(self, file: Path, asked: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
        """What is denied is exit code 1, with the rule that denies it or the lack of one."""
        assert main(["access", "explain", "access.toml", *asked.split()]) == 1
        assert capsys.readouterr() == (f"denied: {says}\n", "")

    def test_longer_topics(self, file: Path) -> None:
        """A topic may be longer and deeper than by default, for a bus may allow it."""
        assert main(["access", "explain", "access.toml", "x", "subscribe", f"public{'/a' * 200}"]) == 0

    @pytest.mark.parametrize(
        ("asked", "says"),
        [
            ("x serve a//b", "fragment 2 of topic 'a//b' is empty: take out the extra '/'"),
            ("x serve oven/*", "'oven/*' has a wildcard: name the one topic of the service"),
            ("x request **", "'**' has a wildcard"),
            ("x listen a", "argument VERB: invalid choice: 'listen'"),
        ],
    )
    def test_what_cannot_be_asked(self, file: Path, asked: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A topic or verb that the bus does not take is wrong usage, which is not a denial."""
        assert main(["access", "explain", "access.toml", *asked.split()]) == 2
        out, err = capsys.readouterr()
        assert (out, says in err) == ("", True)

    def test_invalid_file(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An invalid file is exit code 2, so that 1 says denied and nothing else."""
        file.write_text("[everyon]", encoding="utf-8")
        assert main(["access", "explain", "access.toml", "x", "serve", "a"]) == 2
        says = 't2bus: access.toml: unknown table "everyon": did you mean "everyone"?\n'
        assert capsys.readouterr() == ("", says)


class TestHelp:
    """What a user who knows nothing is told."""

    @pytest.mark.parametrize("action", ["check", "explain"])
    def test_has_an_example(self, action: str, capsys: pytest.CaptureFixture[str]) -> None:
        """The help of an action shows an example."""
        assert main(["access", action, "--help"]) == 0
        assert f"example: t2bus access {action} access.toml" in capsys.readouterr().out

    def test_an_action_is_needed(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The verb alone is wrong usage."""
        assert main(["access"]) == 2
        assert "required: ACTION" in capsys.readouterr().err
