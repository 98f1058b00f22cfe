"""Options that are given in the environment: their names, their values, and that the command line wins."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

import pytest

from t2bus.cli import main
from t2bus.cli.parser import make_parser
from t2bus.program.environment import from_environment, variable

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUEST = ["request", "a"]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Set the variables of the test's parameter."""
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


def option(*names: str, **keywords: Any) -> argparse.Action:
    return argparse.ArgumentParser().add_argument(*names, **keywords)


class TestVariable:
    """What an option's variable is called."""

    @pytest.mark.parametrize(
        ("names", "keywords", "name"),
        [
            (["--ca"], {}, "T2BUS_CA"),
            (["-v", "--verbose"], {"dest": "traceback"}, "T2BUS_VERBOSE"),
            (["--insecure-no-auth"], {}, "T2BUS_INSECURE_NO_AUTH"),
            (["-n"], {"dest": "count"}, "T2BUS_COUNT"),
        ],
    )
    def test_name(self, names: list[str], keywords: dict[str, str], name: str) -> None:
        """It is the long name, or for a letter alone its destination."""
        assert variable(option(*names, **keywords)) == name


class TestValues:
    """How a value is read."""

    @pytest.mark.parametrize(
        ("keywords", "text", "value"),
        [
            ({}, "a b", "a b"),
            ({"type": int}, "7", 7),
            ({"choices": ["a", "b"]}, "b", "b"),
            ({"action": "append", "type": int, "default": []}, "1 2", [1, 2]),
            ({"action": "append", "default": []}, "'a b' c", ["a b", "c"]),
            ({"action": "store_true"}, "YES", True),
            ({"action": "store_true"}, "true", True),
            ({"action": "store_true"}, "1", True),
            ({"action": "store_true"}, "no", False),
            ({"action": "store_true"}, "0", False),
            ({"action": "store_const", "const": 5, "default": 4}, "yes", 5),
            ({"action": "store_const", "const": 5, "default": 4}, "false", 4),
            ({"action": "count", "default": 0}, "2", 2),
            ({"action": "count", "default": 0}, "yes", 1),
        ],
    )
    def test_is_read_as_the_option(self, keywords: dict[str, Any], text: str, value: object) -> None:
        """A value has the type of its option, a flag is one of six words, and what may be repeated is words."""
        assert from_environment(option("--it", **keywords), {"T2BUS_IT": text}) == [value]

    @pytest.mark.parametrize(
        ("keywords", "text", "says"),
        [
            ({"choices": ["a", "b"]}, "c", "T2BUS_IT: 'c' is none of a, b"),
            ({"action": "store_true"}, "2", "T2BUS_IT: '2' is neither 1, yes or true nor 0, no or false"),
            ({"action": "append", "default": []}, "'a", "T2BUS_IT: No closing quotation"),
        ],
    )
    def test_wrong(self, keywords: dict[str, Any], text: str, says: str) -> None:
        """A wrong value is refused with the name of its variable."""
        with pytest.raises(argparse.ArgumentTypeError) as caught:
            from_environment(option("--it", **keywords), {"T2BUS_IT": text})
        assert str(caught.value) == says

    @pytest.mark.parametrize("values", [{}, {"T2BUS_IT": ""}])
    def test_absent(self, values: Mapping[str, str]) -> None:
        """A variable that is empty is none."""
        assert from_environment(option("--it"), values) == []

    def test_not_for_arguments(self) -> None:
        """What is no option has no variable, and the help has none either."""
        assert from_environment(option("it"), {"T2BUS_IT": "1"}) == []
        assert from_environment(option("--it", action="help"), {"T2BUS_IT": "1"}) == []


class TestVerbs:
    """The verbs of the command line."""

    @pytest.mark.parametrize(
        ("environment", "argv", "name", "value"),
        [
            ({"T2BUS_TIMEOUT": "2"}, REQUEST, "timeout", 2.0),
            ({"T2BUS_TIMEOUT": "2"}, [*REQUEST, "--timeout", "3"], "timeout", 3.0),
            ({"T2BUS_TIMEOUT": "2"}, [*REQUEST, "--timeout=3"], "timeout", 3.0),
            ({"T2BUS_TIMEOUT": ""}, REQUEST, "timeout", math.inf),
            ({"T2BUS_ADDR": "unix:x"}, REQUEST, "addr", "unix:x"),
            ({"T2BUS_HEADER": "a=1 b=2"}, REQUEST, "header", [("a", "1"), ("b", "2")]),
            ({"T2BUS_HEADER": "a=1"}, [*REQUEST, "--header", "c=3"], "header", [("c", "3")]),
            ({"T2BUS_PEER": "uid:1"}, [*REQUEST, "--peer", "uid:2"], "peer", ["uid:2"]),
            ({"T2BUS_COUNT": "2"}, ["sub", "a"], "count", 2),
            ({"T2BUS_COUNT": "2"}, ["sub", "a", "-n3"], "count", 3),
            ({"T2BUS_COUNT": "2"}, ["sub", "a", "-vn3"], "count", 3),
            ({"T2BUS_VERBOSE": "1"}, ["sub", "a"], "traceback", True),
            ({"T2BUS_VERBOSE": "2"}, ["serve"], "verbose", 2),
            ({"T2BUS_VERBOSE": "2"}, ["serve", "-v"], "verbose", 1),
            ({"T2BUS_INSECURE_NO_AUTH": "yes"}, ["serve"], "insecure_no_auth", True),
            ({"T2BUS_TEXT": "yes"}, [*REQUEST, "--strict"], "text", False),
            ({"T2BUS_DEFAULT": "yes"}, ["register", "a", "unix:x"], "default", True),
            ({"T2BUS_JSON": "yes"}, ["context", "ls"], "json", True),
            ({"T2BUS_JSON": "yes"}, REQUEST, "json", True),
        ],
        indirect=["environment"],
    )
    def test_the_command_line_wins(self, environment: None, argv: list[str], name: str, value: object) -> None:
        """Each option is looked up in the environment where the command line has neither it nor what excludes it."""
        assert getattr(make_parser().parse_args(argv), name) == value

    @pytest.mark.parametrize(
        ("environment", "says"),
        [
            ({"T2BUS_TIMEOUT": "soon"}, "T2BUS_TIMEOUT: 'soon' is not a number of seconds above 0"),
            ({"T2BUS_WIRE": "t3"}, "T2BUS_WIRE: 't3' is none of t2bus, t2"),
            ({"T2BUS_TEXT": "\x1b"}, r"T2BUS_TEXT: '\x1b' is neither 1, yes or true nor 0, no or false"),
        ],
        indirect=["environment"],
    )
    def test_wrong(self, environment: None, says: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A wrong value is wrong usage, in a line that names the variable."""
        assert main(REQUEST) == 2
        assert capsys.readouterr() == ("", f"t2bus: {says}; see `t2bus request --help`\n")

    @pytest.mark.parametrize("environment", [{"T2BUS_TIMEOUT": "soon"}], indirect=True)
    def test_is_not_read_where_it_is_not_needed(self, environment: None) -> None:
        """A variable of an option that is given, or that the verb does not have, is not looked at."""
        assert make_parser().parse_args([*REQUEST, "--timeout", "1"]).timeout == 1
        assert make_parser().parse_args(["sub", "a"]).topics == ["a"]
