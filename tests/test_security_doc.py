"""What docs/security.md promises is held by tests: elsewhere by those it names, of the defaults of ``serve`` here.

The files that it and the other pages show are valid.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

import promise_tests
from cli_helpers import command
from t2bus.broker.access import Verb
from t2bus.broker.access_file import parse
from t2bus.broker.identity import Identity
from t2bus.cli import main
from t2bus.cli.parser import make_parser
from t2bus.cli.serve_open import federation_of
from t2bus.cli.settings import read_settings
from t2bus.contexts.document import read_contexts

ROOT = Path(__file__).parents[1]
SECURITY = ROOT / "docs" / "security.md"
COMMAND_LINE = ROOT / "docs" / "command-line.md"
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]

_FILE = re.compile(r"^(?:<!-- (?P<name>\S+) -->\n)?```toml\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def files(name: str) -> list[tuple[Path, str]]:
    """Return the files of this name that the pages show."""
    return [
        (page, found["text"])
        for page in PAGES
        for found in _FILE.finditer(page.read_text(encoding="utf-8"))
        if found["name"] == name
    ]


# --- promises


def test_every_promise_is_held() -> None:
    """Each promise names tests, and those exist."""
    promised = promise_tests.promised_of_security()
    tests = promise_tests.all_tests()
    assert {name for names in promised.values() for name in names} <= tests.keys()
    assert [title for title, names in promised.items() if not names] == []


def test_every_promise_links_to_its_tests() -> None:
    """Each promise ends with a link to the section that lists its tests."""
    titles = list(promise_tests.promised_of_security())
    links = re.findall(
        r"^\[The tests of this promise\]\(promise-tests\.md#(.+)\)$", SECURITY.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert links == [re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles]


def test_nothing_else_is_named() -> None:
    """Whatever looks like the name of a test on the page is one of those that are checked."""
    named = [name for names in promise_tests.promised_of_security().values() for name in names]
    assert re.findall(r"(?:Test\w+\.)?\btest_\w+", SECURITY.read_text(encoding="utf-8")) == named


def test_every_verb_is_explained() -> None:
    """The page has a row for each verb of the access rules."""
    rows = re.findall(r"^\| `(\w+)` \| .* \|$", SECURITY.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(rows) >= {verb.value for verb in Verb}


# --- files


def test_every_file_is_of_a_kind() -> None:
    """Each piece of TOML on a page says which file it is, so that it is checked as such."""
    shown = [found["name"] for page in PAGES for found in _FILE.finditer(page.read_text(encoding="utf-8"))]
    assert set(shown) == {"access.toml", "bus.toml", "contexts.toml"}


@pytest.mark.parametrize(("page", "text"), files("contexts.toml"), ids=lambda value: getattr(value, "stem", ""))
def test_contexts_are_valid(page: Path, text: str) -> None:
    """Contexts that a page shows can be read."""
    assert read_contexts(text, page.parent).default == "lab"


@pytest.mark.parametrize(("page", "text"), files("access.toml"), ids=lambda value: getattr(value, "stem", ""))
def test_access_rules_are_valid(page: Path, text: str) -> None:
    """Access rules that a page shows can be read."""
    parse(text)


@pytest.mark.parametrize(("page", "text"), files("bus.toml"), ids=lambda value: getattr(value, "stem", ""))
def test_settings_are_valid(page: Path, text: str, tmp_path: Path) -> None:
    """A configuration file that a page shows can be read, with nothing left at its default by mistake."""
    (tmp_path / "bus.toml").write_text(text, encoding="utf-8")
    settings = read_settings(make_parser().parse_args(["serve", "--config", str(tmp_path / "bus.toml")]))
    assert settings.addresses
    assert settings.files == {
        "ca": f"{tmp_path}/ca.pem",
        "certificate": f"{tmp_path}/bus.pem",
        "key": f"{tmp_path}/bus.key",
    }
    assert settings.access == str(tmp_path / "access.toml")
    assert (federation_of(settings.federation) is not None) == ("[federation]" in text)


@pytest.mark.parametrize("verb", Verb)
def test_one_identity_can_be_shut_out(verb: Verb) -> None:
    """The rules by which the page shuts one identity out deny it every verb, whatever everyone may do."""
    (text,) = (text for page, text in files("access.toml") if page == SECURITY and "mallory" in text)
    everything = "\n".join(f'{each.value} = ["**"]' for each in Verb)
    permissions = parse(f"[everyone]\n{everything}\n{text}").permissions(Identity("mallory"))
    for topic in "a", "a/b/c", "*", "**":
        assert not permissions.explain(verb, topic).allowed


def test_what_explain_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page of the command line shows what ``t2bus access explain`` prints of the rules before it."""
    ((_, text),) = (each for each in files("access.toml") if each[0] == COMMAND_LINE)
    (tmp_path / "access.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    page = COMMAND_LINE.read_text(encoding="utf-8")
    (words,) = re.findall(r"^t2bus (access explain .*)$", page, re.MULTILINE)
    (shown,) = re.findall(r"^```text\n(denied: .*?)^```$", page, re.MULTILINE | re.DOTALL)
    main(words.split())
    assert capsys.readouterr().out == shown


# --- the defaults of serve

# What the host is written as tells nothing: "0" and, with glibc, "*" are all interfaces.
ELSEWHERE = ["tcp:0.0.0.0:0", "tcp:[::]:0", "tcp:0:0", "tcp:*:0"]


@pytest.mark.parametrize("address", ELSEWHERE)
def test_serve_refuses_plain_tcp_beyond_this_machine(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An address that other machines can reach without TLS is wrong usage, and the text says what to do."""
    assert main(["serve", "tcp:127.0.0.1:0", address]) == 2
    said = capsys.readouterr().err
    assert f"{address} can be reached from other machines, without encryption or identities: use tls: instead" in said
    assert "--insecure-no-auth" in said
    assert "serving" not in said


@pytest.mark.parametrize("address", ELSEWHERE)
def test_serve_can_be_told_to_take_the_risk(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--insecure-no-auth`` such an address is not refused, but the next one for its own reason."""
    assert main(["serve", address, "tls:127.0.0.1:0", "--insecure-no-auth"]) == 2
    assert capsys.readouterr().err.startswith("t2bus: tls:127.0.0.1:0 needs certificates: ")


async def test_serve_warns_of_plain_tcp_on_loopback() -> None:
    """On loopback a bus is served over plain TCP, after a warning of the other users of the machine."""
    async with command("serve", "tcp:127.0.0.1:0") as serve:
        warning = await serve.stderr.until("warning: every user of this machine can use the bus")
        assert "unix:PATH is for this user alone" in warning
        await serve.stderr.until("serving at tcp:127.0.0.1:")


def test_serve_wants_certificates_for_tls(capsys: pytest.CaptureFixture[str]) -> None:
    """An address of TLS without certificates is wrong usage, and the text names the options."""
    assert main(["serve", "tls:127.0.0.1:0"]) == 2
    assert "name them with --ca, --certificate and --key" in capsys.readouterr().err


async def test_serve_reads_its_files_again_on_sighup(folder: Path) -> None:
    """SIGHUP puts new rules in force, and says why not where they cannot be used."""
    rules = folder / "access.toml"
    rules.touch()
    async with command("serve", f"unix:{folder}/bus", "--access", str(rules)) as serve:
        await serve.stderr.until("to talk")
        serve.process.send_signal(signal.SIGHUP)
        assert await serve.stderr.next() == "t2bus: reloaded certificates and access rules"
        rules.write_text("subscribe")
        serve.process.send_signal(signal.SIGHUP)
        said = await serve.stderr.next()
        assert said.startswith(f"t2bus: not reloaded, what was in force stays so: {rules}: invalid TOML")
