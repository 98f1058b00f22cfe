"""The grammar of the command line: help, usage errors, and where options may stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import t2bus
from t2bus.cli import main
from t2bus.cli.parser import make_parser

LOOKING = ["status", "clients", "services", "subs", "ls", "events", "ping", "top"]
VERBS = ["serve", "sub", "pub", "request", "reply", "match", "register", *LOOKING]


class TestHelp:
    """What a user who knows nothing is told."""

    def test_lists_the_verbs(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The help names every verb and the exit codes."""
        assert main(["--help"]) == 0
        said = capsys.readouterr().out
        assert [verb for verb in VERBS if f"\n    {verb} " not in said] == []
        assert "exit codes: 0 done" in said

    def test_tells_of_the_environment(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The help of the program says that options can be given in the environment."""
        assert main(["--help"]) == 0
        assert "--addr as T2BUS_ADDR" in capsys.readouterr().out

    @pytest.mark.parametrize("verb", VERBS)
    def test_of_a_verb(self, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
        """The help of a verb shows an example."""
        assert main([verb, "--help"]) == 0
        assert f"\nexample: t2bus {verb} " in capsys.readouterr().out

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The version is that of the package."""
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"t2bus {t2bus.__version__}\n"

    @pytest.mark.parametrize("words", [["--version"], ["--help"], ["sub", "--help"], ["context", "ls", "--help"]])
    def test_full(self, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Where it cannot be written that is said, and the exit code is 1."""
        with Path("/dev/full").open("w") as full:
            monkeypatch.setattr("sys.stdout", full)
            assert main(words) == 1
        assert capsys.readouterr().err == "t2bus: standard output cannot be written: No space left on device\n"

    def test_nobody_reads(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """A reader that has had enough is no error."""
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as closed:
            monkeypatch.setattr("sys.stdout", closed)
            assert main(["--help"]) == 0
        assert capsys.readouterr().err == ""

    def test_is_instant(self) -> None:
        """The help of the program imports neither Trio nor attrs or cbor2."""
        command = [sys.executable, "-X", "importtime", "-m", "t2bus", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
        assert "argparse" in imported
        assert not {"trio", "attr", "attrs", "cbor2"} & imported


class TestUsage:
    """Wrong command lines cost exit code 2 and are answered in one line."""

    @pytest.mark.parametrize(
        ("argv", "says"),
        [
            ([], "the following arguments are required: VERB; see `t2bus --help`"),
            (["frob"], "argument VERB: invalid choice: 'frob'"),
            (["sbu"], "argument VERB: there is no 'sbu': did you mean sub?; see `t2bus --help`"),
            (["context", "lis"], "argument ACTION: there is no 'lis': did you mean ls?; see `t2bus context --help`"),
            (["sub"], "the following arguments are required: TOPIC; see `t2bus sub --help`"),
            (["sub", "Bad"], "argument TOPIC: fragment 1 of topic 'Bad' has 'B' in it: use a-z, 0-9 and _ only"),
            (["sub", "a", "-n", "0"], "argument -n: '0' is not a whole number above 0"),
            (["sub", "a", "-n", "x"], "argument -n: 'x' is not a whole number above 0"),
            (["sub", "a", "--addr"], "argument --addr: expected one argument"),
            (["request", "a", "1", "b"], "unrecognized arguments: b; see `t2bus request --help`"),
            (["services", "--all"], "unrecognized arguments: --all; see `t2bus services --help`"),
            (["context", "ls", "--all"], "unrecognized arguments: --all; see `t2bus context ls --help`"),
            (["pub", "a", "1", "--count", "-1"], "argument --count: '-1' is not a whole number above 0"),
            (["pub", "a", "1", "--require", "-1"], "argument --require: '-1' is not a whole number above 0"),
            (["pub", "a", "1", "--interval", "-.5"], "argument --interval: '-.5' is not a number of seconds above 0"),
            (["sub", "a", "-n", "-1"], "argument -n: '-1' is not a whole number above 0"),
            (["status", "--at", ""], "argument --at: a server has a name: give that, or its node"),
            (["pub", "a", "1", "--header", "=x"], "argument --header: '=x' has no key: write KEY=VALUE"),
            (["sub", "a", "--head"], "unrecognized arguments: --head"),
            (["sub", "a", "--\x1b[31m"], r"unrecognized arguments: --\x1b[31m"),
            (["pub", "a", "1", "--header", "k"], "argument --header: 'k' has no '=': write KEY=VALUE"),
            (["pub", "a", "\udcff"], r"argument VALUE: '\udcff' is not text in the encoding of this terminal"),
            (["request", "a/*"], "argument TOPIC: 'a/*' has a wildcard: name the one topic of the service"),
            (["request", "a", "--timeout", "soon"], "argument --timeout: 'soon' is not a number of seconds above 0"),
            (["request", "a", "--timeout", "nan"], "argument --timeout: 'nan' is not a number of seconds above 0"),
            (["request", "a", "--timeout", "-1"], "argument --timeout: '-1' is not a number of seconds above 0"),
            (["reply", "**"], "argument TOPIC: '**' has a wildcard: name the one topic of the service"),
            (["reply", "a", "1", "--echo"], "argument VALUE: not allowed with --echo; see `t2bus reply --help`"),
        ],
    )
    def test_is_explained(self, argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
        """The line says what is wrong, and nothing is written to standard output."""
        assert main(argv) == 2
        said = capsys.readouterr()
        assert said.err.startswith(f"t2bus: {says}")
        assert said.err.count("\n") == 1
        assert said.out == ""

    def test_of_the_module(self) -> None:
        """The process ends with the exit code that the command line returned."""
        done = subprocess.run([sys.executable, "-m", "t2bus"], capture_output=True, timeout=60, check=False)
        assert done.returncode == 2


class TestOptions:
    """Where options may stand."""

    @pytest.mark.parametrize(
        "argv",
        [
            ["pub", "--addr", "unix:x", "--text", "a", "1"],
            ["pub", "a", "--addr", "unix:x", "--text", "1"],
            ["pub", "a", "--addr=unix:x", "1", "--text"],
            ["pub", "a", "1", "--text", "--addr", "unix:x"],
            ["pub", "--text", "--addr", "unix:x", "--", "a", "1"],
        ],
    )
    def test_anywhere(self, argv: list[str]) -> None:
        """Options may stand before, between and behind the arguments."""
        arguments = make_parser().parse_args(argv)
        assert (arguments.topic, arguments.value, arguments.addr, arguments.text) == ("a", "1", "unix:x", True)

    def test_between_addresses(self) -> None:
        """The addresses of a bus may have options between them."""
        arguments = make_parser().parse_args(["serve", "unix:a", "-vv", "unix:b", "-v"])
        assert (arguments.addresses, arguments.verbose) == (["unix:a", "unix:b"], 3)

    def test_a_nought_that_is_an_option(self) -> None:
        """``-0`` is an option where a verb has it, and other numbers are values there; elsewhere it is one too."""
        parse = make_parser().parse_args
        assert (parse(["pub", "a", "-5", "-0"]).value, parse(["pub", "-0", "a", "-5"]).null) == ("-5", True)
        assert parse(["pub", "a", "--", "-0"]).value == "-0"
        assert parse(["request", "a", "-0"]).value == "-0"

    @pytest.mark.parametrize("value", ["-5", "-0.5", "-.5", "-", ""])
    def test_values_with_a_dash(self, value: str) -> None:
        """A negative number, a dash and an empty text are values, not options."""
        assert make_parser().parse_args(["pub", "a", value, "--text"]).value == value

    def test_behind_a_double_dash(self) -> None:
        """What stands behind ``--`` is a value, whatever it looks like."""
        assert make_parser().parse_args(["pub", "a", "--", "--text"]).value == "--text"

    def test_headers_gather(self) -> None:
        """Headers gather, and their values may have ``=`` in them."""
        arguments = make_parser().parse_args(["pub", "--header", "a=1=2", "t", "--header", "b="])
        assert arguments.header == [("a", "1=2"), ("b", "")]

    def test_topics_are_as_long_as_the_bus_takes(self) -> None:
        """The length of a topic is for the bus to judge, whose limits may be other ones."""
        topic = "/".join(["a" * 30] * 30)
        assert make_parser().parse_args(["sub", topic]).topics == [topic]
