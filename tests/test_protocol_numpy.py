"""The numbers of numpy, as they come out of its arrays."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from attrs import frozen

from t2bus.errors import MalformedMessage
from t2bus.protocol import decode, encode, encode_as

np: Any = importlib.import_module("numpy")  # its stubs are not for every Python that type checkers are asked about


@frozen
class Sample:
    value: float
    count: int
    name: str
    raw: bytes


def test_numbers_and_texts_arrive_as_those_of_python() -> None:
    """A field takes what an array holds, and what arrives is plain."""
    sent = Sample(np.array([0.1])[0], np.array([3])[0], np.array(["a"])[0], np.array([b"b"])[0])
    assert repr(decode(encode(sent), Sample)) == repr(Sample(0.1, 3, "a", b"b"))


KINDS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_integer_is_an_int(kind: str) -> None:
    """The largest and the smallest of each kind travel."""
    bounds = np.iinfo(kind)
    numbers = list(np.array([bounds.min, bounds.max], dtype=kind))
    for type_ in (list[int], list[int | None], Any):
        assert repr(decode(encode_as(numbers, type_), type_)) == repr([int(bounds.min), int(bounds.max)])


@pytest.mark.parametrize("type_", [list[float], list[float | None], tuple[float, ...]])
def test_a_list_of_an_array_is_taken(type_: Any) -> None:
    """What iterating over an array gives is a list of floats."""
    values = list(np.linspace(0.0, 1.0, 5))
    sent: Any = tuple(values) if type_ == tuple[float, ...] else values
    assert list(decode(encode_as(sent, type_), type_)) == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("type_", "value", "text"),
    [
        (int, "float64", "int: expected int, got float64"),
        (float, "float32", "float: expected float, got float32"),
        (int, "bool", "int: expected int, got bool"),
    ],
)
def test_what_is_another_number_is_refused(type_: Any, value: str, text: str) -> None:
    """A float is no int, one of 32 bits is none of 64, and a bool is no number."""
    with pytest.raises(MalformedMessage, match=f"^{text}"):
        encode_as(np.ones(1, dtype=value)[0], type_)


def test_an_array_is_no_list() -> None:
    """An array is refused, with its name."""
    with pytest.raises(MalformedMessage, match=r"^list\[float\]: expected list, got ndarray$"):
        encode_as(np.zeros(3), list[float])
