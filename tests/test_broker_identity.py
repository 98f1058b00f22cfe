"""Identities: names that only the bus gives."""

from __future__ import annotations

import pytest

from t2bus.broker.identity import ANONYMOUS, LOCAL, Identity, is_reserved


@pytest.mark.parametrize("name", ["local", "LOCAL", "Anonymous", "uid:0", "gid:1000", "UID:root"])
def test_names_of_the_bus_are_reserved(name: str) -> None:
    """No certificate may bear a name that the bus gives, nor one that looks like it."""
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["oven", "localhost", "uid", "my uid:0", "anonymous coward", ""])
def test_other_names_are_free(name: str) -> None:
    """A name that only resembles one of the bus's own is nobody's."""
    assert not is_reserved(name)


def test_an_identity_is_told_by_its_name() -> None:
    """In texts for people an identity is its name, whatever groups it has."""
    assert [str(each) for each in (LOCAL, ANONYMOUS, Identity("alice", ("staff",)))] == ["local", "anonymous", "alice"]
