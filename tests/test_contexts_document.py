"""Buses that are known by name, as values and as text."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from t2bus import InvalidAddress
from t2bus.contexts.document import BusContext, Contexts, document_of, read_contexts, read_crate_file

FOLDER = Path("/etc/t2bus")

FILE = """\
default = "lab"

[contexts.lab]
address = "tls:bus.example:4242"
ca = "ca.pem"
certificate = "/home/alice.pem"

[contexts.old]
address = "tcp:127.0.0.1:4242"
wire = "t2"
"""
OVEN = BusContext("unix:/run/oven", peers=("uid:1000", "gid:100"))
LAB = BusContext("tls:bus.example:4242", {"ca": "/etc/t2bus/ca.pem", "certificate": "/home/alice.pem"})
OLD = BusContext("tcp:127.0.0.1:4242", wire="t2")

NAMES = st.from_regex(r"[a-z0-9_][a-z0-9_-]{0,9}", fullmatch=True)
PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0/."), min_size=1).map(lambda name: f"/{name}")
FILES = st.fixed_dictionaries({"ca": PATHS, "certificate": PATHS}, optional={"key": PATHS})
BUSES = st.one_of(
    st.builds(BusContext, st.sampled_from(["unix:x", "tcp:[::1]:1"]), wire=st.sampled_from(["t2", "t2bus"])),
    st.builds(BusContext, st.just("tls:a:1"), FILES),
    st.builds(BusContext, st.just("unix:x"), peers=st.just(OVEN.peers)),
)


class TestReading:
    """From text to values."""

    def test_all(self) -> None:
        """A file has contexts, of which one is the default; certificates count from its folder."""
        assert read_contexts(FILE, FOLDER) == Contexts({"lab": LAB, "old": OLD}, "lab")

    def test_peers(self) -> None:
        """Whose bus it may be stands with the address of a unix socket."""
        text = "[contexts.oven]\naddress = 'unix:/run/oven'\npeers = ['uid:1000', 'gid:100']\n"
        assert read_contexts(text, FOLDER) == Contexts({"oven": OVEN})

    def test_empty(self) -> None:
        """An empty file knows nothing."""
        assert read_contexts("", FOLDER) == Contexts()

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("x = \n", "line 1: Invalid value"),
            ("\n[contexts.a]\naddress = 'unix:x\n", "line 3: "),
            ("[contexts.a", "line 1: Expected ']' at the end of a table declaration"),
            pytest.param("a = " + "[" * 100_000, "it is no TOML: it is nested too deeply", id="deep"),
            pytest.param("a = " + "1" * 5000, "it is no TOML: Exceeds the limit", id="digits"),
            ("x = 1", "'x' is no key: there are default, contexts"),
            ("contexts = 1", "contexts: this is no table"),
            ("[contexts]\na = 1", "line 2: [contexts.a] a: this is no table"),
            ("\n[contexts.a]\n", "line 2: [contexts.a] it has no address"),
            (
                "[ contexts . 'a' ]\nadress = ''",
                "line 1: [contexts.a] 'adress' is no key: did you mean address?",
            ),
            ("[contexts.a]\naddress = 5", "line 1: [contexts.a] address: this is no text in quotes"),
            ("[contexts.a]\naddress = 'x'", "line 1: [contexts.a] 'x' is no address: "),
            ("[contexts.a]\naddress = 'name:a'", "line 1: [contexts.a] 'name:a' is the name of a context"),
            (
                "[contexts.a]\naddress = 'unix:x'\nwire = 't3'",
                "line 1: [contexts.a] there is no wire 't3': it is t2bus or t2",
            ),
            (
                "[contexts.a]\naddress = 'unix:x'\npeers = 'a'",
                "line 1: [contexts.a] peers: this is no list of texts",
            ),
            (
                "[contexts.a]\naddress = 'unix:x'\npeers = [1]",
                "line 1: [contexts.a] peers: this is no list of texts",
            ),
            ("[contexts.a]\naddress = 'unix:x'\npeers = ['a']", "line 1: [contexts.a] 'a' is no peer of a unix socket"),
            (
                "[contexts.a]\naddress = 'tcp:x:1'\npeers = ['uid:1']",
                "line 1: [contexts.a] peers are for unix: addresses",
            ),
            ("[contexts.a]\naddress = 'unix:x'\nca = 'b'", "line 1: [contexts.a] certificates are for tls: addresses"),
            (
                "[contexts.a]\naddress = 'tls:x:1'\nca = 'b'",
                "line 1: [contexts.a] certificates need ca and certificate",
            ),
            (
                "[contexts.A]\naddress = 'unix:x'",
                "line 1: [contexts.A] 'A' is no name of a context: use a-z, 0-9, _ and -",
            ),
            ("contexts.a = { }\n", "line 1: [contexts.a] it has no address"),
            ("\ndefault = 'a'\n", "line 2: 'name:a' is not known: no context is"),
            ("default = 5\n", "line 1: default: this is no text in quotes"),
        ],
    )
    def test_wrong(self, text: str, says: str) -> None:
        """What cannot be is refused, with the line as far as that is known, and the table."""
        with pytest.raises(InvalidAddress) as caught:
            read_contexts(text, FOLDER)
        assert str(caught.value).startswith(says)

    @given(st.dictionaries(NAMES, BUSES, max_size=4))
    def test_is_what_was_written(self, known: dict[str, BusContext]) -> None:
        """What is written is read as the same, whatever the paths are called."""
        for contexts in [Contexts(known), *(Contexts(known, name) for name in known)]:
            assert read_contexts(tomli_w.dumps(document_of(contexts)), FOLDER) == contexts

    def test_is_written_as_shown(self) -> None:
        """What is as usual is not written."""
        assert document_of(Contexts({"a": BusContext("unix:x")})) == {"contexts": {"a": {"address": "unix:x"}}}
        assert document_of(Contexts({"old": OLD}, "old")) == tomllib.loads(FILE.replace('"lab"', '"old"')) | {
            "contexts": {"old": {"address": OLD.address, "wire": "t2"}}
        }


class TestFinding:
    """Looking up a name."""

    @pytest.mark.parametrize(
        ("known", "name", "says"),
        [
            ([], "lab", "'name:lab' is not known: no context is registered; `t2bus register NAME ADDR` makes one"),
            (["lab", "oven"], "lap", "'name:lap' is not known: did you mean name:lab?"),
            (["lab", "oven"], "xyz", "'name:xyz' is not known: there are lab, oven"),
            (
                ["lab"],
                "",
                "'' is no name of a context: use a-z, 0-9, _ and -, with no - in front and 64 characters at most",
            ),
            (["lab"], "-", "'-' is no name of a context: use a-z"),
            (["lab"], "a" * 65, "'aaaaaa"),
        ],
    )
    def test_unknown(self, known: list[str], name: str, says: str) -> None:
        """A name that is not known is answered with the nearest one, or with all."""
        with pytest.raises(InvalidAddress) as caught:
            Contexts(dict.fromkeys(known, OLD)).find(name)
        assert str(caught.value).startswith(says)


class TestChanging:
    """Values that differ by one context."""

    def test_adding(self) -> None:
        """A name that exists is given its new bus, in its old place."""
        contexts = Contexts({"a": OLD, "b": OLD}, "a").adding("a", LAB)
        assert list(contexts.known.items()) == [("a", LAB), ("b", OLD)]

    def test_removing_the_default(self) -> None:
        """Where the default is removed there is none."""
        contexts = Contexts({"a": OLD, "b": OLD}, "a")
        assert contexts.removing("a") == Contexts({"b": OLD})
        assert contexts.removing("b") == Contexts({"a": OLD}, "a")

    def test_using(self) -> None:
        """The default is one that is known."""
        assert Contexts({"a": OLD}).using("a") == Contexts({"a": OLD}, "a")
        with pytest.raises(InvalidAddress, match="did you mean name:a"):
            Contexts({"a": OLD}).using("aa")


class TestCrateFile:
    """The file in which the Rust crate's tool keeps its names."""

    def test_all(self) -> None:
        """Each line is a context that speaks the crate's wire, and the first is the default."""
        text = "lab tcp:127.0.0.1:4242\n\nmy_bus unix:/run/my bus\n"
        lab, other = BusContext("tcp:127.0.0.1:4242", wire="t2"), BusContext("unix:/run/my bus", wire="t2")
        assert read_crate_file(text) == Contexts({"lab": lab, "my_bus": other}, "lab")

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("lab", "line 1: 'lab' has no address: write NAME tcp:HOST:PORT or NAME unix:PATH"),
            ("a unix:x\nb tcp:127.0.0.1", "line 2: 'tcp:127.0.0.1' lacks a host or a port"),
            ("A unix:x", "line 1: 'A' is no name of a context"),
        ],
    )
    def test_wrong(self, text: str, says: str) -> None:
        """A line that is none of that tool's is refused with its number."""
        with pytest.raises(InvalidAddress) as caught:
            read_crate_file(text)
        assert str(caught.value).startswith(says)
