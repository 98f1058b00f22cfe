"""Where mistakes in a file of TOML are, and that one does not hide the next."""

from __future__ import annotations

import pytest

from t2bus.mistakes import Mistakes, line_of

TEXT = """\
# a comment = 1
addresses = [
    "unix:a",
]
"quoted key" = 1

[tls]
ca = "x"
  key = 'a = b'

[ identity . "uid:1000" ]
deny = { serve = [] }
[identity.'a.b']   # behind a table
deny.publish = ["x"]

[[items]]
ca = 1
"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("addresses",), 2),
        (("quoted key",), 5),
        (("tls",), 7),
        (("tls", "ca"), 8),
        (("tls", "key"), 9),
        (("tls", "gone"), 7),
        (("identity", "uid:1000"), 11),
        (("identity", "uid:1000", "deny", "serve"), 12),
        (("identity", "a.b"), 13),
        (("identity", "a.b", "deny", "publish"), 14),
        (("a",), None),
        (("a comment",), None),
        ((), None),
    ],
)
def test_line(keys: tuple[str, ...], line: int | None) -> None:
    """The line is that of the value, or of the nearest table around it, or none."""
    assert line_of(TEXT, keys) == line


def test_all_are_gathered() -> None:
    """Each mistake is kept with its keys, and what follows is looked at."""
    mistakes = Mistakes(ValueError)
    with mistakes.at("tls"):
        for key in ("ca", "key"):
            with mistakes.at(key):
                int(key)
    with mistakes.at():
        int("whole")
    assert [mistake.show("f", TEXT) for mistake in mistakes.found] == [
        "f:8: invalid literal for int() with base 10: 'ca'",
        "f:9: invalid literal for int() with base 10: 'key'",
        "f: invalid literal for int() with base 10: 'whole'",
    ]


def test_other_errors_leave() -> None:
    """What is no mistake of the kind that is gathered leaves."""
    mistakes = Mistakes(ValueError)
    with pytest.raises(KeyError), mistakes.at("a"):
        raise KeyError
    assert mistakes.found == []
