"""Values on the command line and on the screen."""

from __future__ import annotations

import json
import math

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2bus import Received
from t2bus.cli.console import counted
from t2bus.cli.notation import BadValue, diagnostic, encode_value, show_message, show_payload
from t2bus.protocol import decode_any
from t2bus.text import printable

whole = st.integers(-(2**64), 2**64 - 1)
scalars = st.none() | st.booleans() | whole | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=10
)


def shown(value: object) -> str:
    return diagnostic(value, ascii_only=False)


class TestEncodeValue:
    """What is sent for what was written."""

    @pytest.mark.parametrize(
        ("written", "sent"),
        [
            ('{"text": "Hello Alice"}', {"text": "Hello Alice"}),
            ("[1, -2.5, true, null]", [1, -2.5, True, None]),
            ('"quoted"', "quoted"),
            ("18446744073709551615", 2**64 - 1),
            ("-18446744073709551616", -(2**64)),
            ("Infinity", math.inf),
            ("hello", "hello"),
            ("{half a map", "{half a map"),
            ("", ""),
        ],
    )
    def test_json_or_text(self, written: str, sent: object) -> None:
        """JSON is sent as what it says, anything else as text."""
        assert decode_any(encode_value(written, text=False)) == sent

    @given(json_values)
    def test_all_of_json(self, value: object) -> None:
        """Whatever JSON can say of at most 64 bits arrives as it is."""
        assert decode_any(encode_value(json.dumps(value), text=False)) == value

    @pytest.mark.parametrize("written", ["1", "null", '"quoted"', "hello"])
    def test_text(self, written: str) -> None:
        """Where text is wanted, JSON is text too."""
        assert decode_any(encode_value(written, text=True)) == written

    @pytest.mark.parametrize(
        ("written", "says"),
        [
            ("18446744073709551616", "at most 64 bits"),
            ("-18446744073709551617", "at most 64 bits"),
            ("1" * 5000, "at most 64 bits"),
            ("[" * 34 + "]" * 34, "nests deeper than 32"),
            ("[" * 100_000 + "]" * 100_000, "nests deeper than 32"),
            (r'"\ud800"', "not Unicode text"),
            (r'{"\ud800": 1}', "not Unicode text"),
        ],
        ids=["large", "small", "huge", "deep", "abysmal", "surrogate", "key"],
    )
    def test_refusals(self, written: str, says: str) -> None:
        """JSON that a payload cannot hold is refused, and not sent as text."""
        with pytest.raises(BadValue, match=says):
            encode_value(written, text=False)


class TestDiagnostic:
    """What is shown of a value."""

    @given(json_values)
    def test_is_json(self, value: object) -> None:
        """What JSON can say is shown as JSON that says it."""
        assert json.loads(shown(value)) == value

    @given(json_values)
    def test_is_one_printable_line(self, value: object) -> None:
        """No text can bring control characters onto the screen."""
        assert shown(value).isprintable()

    @given(json_values)
    def test_is_ascii_if_so_wanted(self, value: object) -> None:
        """Where the screen knows ASCII only, all else is escaped, and it is the same JSON."""
        line = diagnostic(value, ascii_only=True)
        assert line.isascii()
        assert json.loads(line) == value

    @pytest.mark.parametrize(
        ("value", "line"),
        [
            (b"\x00\xff", "h'00ff'"),
            ([math.nan, math.inf, -math.inf], "[NaN, Infinity, -Infinity]"),
            ({1: "a", None: b""}, "{1: \"a\", null: h''}"),
            ({(1, 2): 3}, "{[1, 2]: 3}"),
            (1.0, "1.0"),
            ("café 😀", '"café 😀"'),
            ("\x1b[31m\x9b\u202e\u2028", r'"\u001b[31m\u009b\u202e\u2028"'),
            ("\U000e0001", r'"\udb40\udc01"'),
            ({frozenset(): 1}, '{"frozenset()": 1}'),
        ],
        ids=repr,
    )
    def test_notation(self, value: object, line: str) -> None:
        """Bytes, odd numbers and odd keys have the notation of CBOR; what is not printable is escaped."""
        assert shown(value) == line


class TestShow:
    """What is shown of a message."""

    @given(st.binary())
    def test_any_payload(self, payload: bytes) -> None:
        """Whatever the bytes, they are shown as one printable line."""
        assert show_payload(payload, ascii_only=False).isprintable()

    @pytest.mark.parametrize("payload", [b"", b"\xff", b"\x01\x01", b"\x61"])
    def test_malformed(self, payload: bytes) -> None:
        """What is not CBOR is shown as its bytes, behind a mark."""
        assert show_payload(payload, ascii_only=False) == f"malformed h'{payload.hex()}'"

    def test_message(self) -> None:
        """A message is its topic and its payload, with a tab between."""
        message = Received("a/b", cbor2.dumps({"x": 1}), {"k": "v"})
        assert show_message(message, headers=False, ascii_only=False) == 'a/b\t{"x": 1}'

    def test_headers(self) -> None:
        """If so wanted, its headers follow behind another tab."""
        message = Received("a/b", cbor2.dumps(1), {"k": "\x1b"})
        assert show_message(message, headers=True, ascii_only=False) == 'a/b\t1\t{"k": "\\u001b"}'


class TestConsole:
    """What is shown of other texts."""

    @given(st.text(st.characters()))
    def test_printable(self, text: str) -> None:
        """Whatever the text, what is left of it is one printable line."""
        assert printable(text).isprintable()

    def test_printable_escapes(self) -> None:
        """What is printable stays, what is not is escaped as in Python."""
        assert printable("café\n\x1b[31m") == r"café\n\x1b[31m"

    @pytest.mark.parametrize(("number", "says"), [(0, "0 mice"), (1, "1 mouse"), (2, "2 mice")])
    def test_counted(self, number: int, says: str) -> None:
        """A count has the number that grammar wants."""
        assert counted(number, "mouse", "mice") == says
