"""Reading the file of access rules: as a whole or not at all, and every error names the file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from t2bus.broker.access import Verb
from t2bus.broker.access_file import LARGEST
from t2bus.broker.identity import ANONYMOUS
from t2bus.errors import InvalidAccess, PermissionDenied
from t2bus.server.rules import read_access

if TYPE_CHECKING:
    from pathlib import Path

RULES = '[everyone]\nsubscribe = ["public/**"]\n'
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.toml"


@pytest.mark.parametrize(
    "data", [RULES.encode(), BYTE_ORDER_MARK + RULES.encode(), RULES.replace("\n", "\r\n").encode()]
)
def test_rules_are_read(path: Path, data: bytes) -> None:
    """The rules of a file are in force, whichever editor wrote it."""
    path.write_bytes(data)
    permissions = read_access(path).permissions(ANONYMOUS)
    permissions.check(Verb.SUBSCRIBE, "public/a")
    with pytest.raises(PermissionDenied):
        permissions.check(Verb.SUBSCRIBE, "private")


def test_a_path_may_be_text(path: Path) -> None:
    """A path is a ``str`` or a ``Path``, as for ``open``."""
    path.write_text(RULES)
    assert read_access(str(path)) == read_access(path)


def test_an_empty_file_allows_nothing(path: Path) -> None:
    """A file without rules is one, and denies everything."""
    path.touch()
    with pytest.raises(PermissionDenied):
        read_access(path).permissions(ANONYMOUS).check(Verb.PUBLISH, "a")


def test_a_missing_file(path: Path) -> None:
    """A file that is not there is named, with the system's own words."""
    with pytest.raises(InvalidAccess) as caught:
        read_access(path)
    assert str(caught.value) == f"{path}: No such file or directory"
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_folder(tmp_path: Path) -> None:
    """A folder is no file of rules."""
    with pytest.raises(InvalidAccess, match="directory"):
        read_access(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(path: Path) -> None:
    """A file that this user may not read is named."""
    path.write_text(RULES)
    path.chmod(0)
    with pytest.raises(InvalidAccess, match="Permission denied"):
        read_access(path)


@pytest.mark.parametrize("data", [b'[everyone]\nsubscribe = ["\xff"]\n', RULES.encode("utf-16")])
def test_what_is_no_text(path: Path, data: bytes) -> None:
    """Bytes that are not UTF-8 are no rules."""
    path.write_bytes(data)
    with pytest.raises(InvalidAccess, match=r"access\.toml: it is not text in UTF-8"):
        read_access(path)


@pytest.mark.parametrize(
    ("text", "says"), [("[everyone", "invalid TOML"), ("[everybody]", "everyone"), ('[everyone]\nserve = ["A"]', "'A'")]
)
def test_what_is_no_rule(path: Path, text: str, says: str) -> None:
    """An error in the file names the file and the place in it."""
    path.write_text(text)
    with pytest.raises(InvalidAccess, match=says) as caught:
        read_access(path)
    assert str(caught.value).startswith(f"{path}: ")


def padded(head: bytes, size: int, filler: str) -> bytes:
    """Lengthen a file to a size, with a comment."""
    comment = f"# {filler * size}".encode()
    return head + comment[: size - len(head)]


@pytest.mark.parametrize("head", [b"", BYTE_ORDER_MARK])
def test_the_largest_file(path: Path, head: bytes) -> None:
    """A file of as many bytes as allowed is read to its end."""
    path.write_bytes(padded(head + RULES.encode(), LARGEST, "x"))
    read_access(path).permissions(ANONYMOUS).check(Verb.SUBSCRIBE, "public/a")


@pytest.mark.parametrize("head", [b"", BYTE_ORDER_MARK, BYTE_ORDER_MARK + b"#\n"])
@pytest.mark.parametrize("filler", ["x", "ß"])
def test_a_part_is_never_taken_for_the_whole(path: Path, head: bytes, filler: str) -> None:
    """A file that is larger than allowed is refused for that, wherever reading it ended and however it began."""
    path.write_bytes(padded(head + RULES.encode(), 2 * LARGEST, filler))
    with pytest.raises(InvalidAccess, match=f"more than {LARGEST} bytes"):
        read_access(path)
