"""Shapes: which the line of a class may ask for, and when a class that cannot have its shape is found out."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from attrs import frozen

from t2bus.protocol import PublishProtocol, RequestProtocol, Struct, encode

BASES = ["Struct", "PublishProtocol, prefix='a'", "RequestProtocol[int], prefix='a'"]


def defined(source: str) -> Any:
    """Run the statement of a class called A and return the class."""
    bases = (Struct, PublishProtocol, RequestProtocol)
    names: dict[str, Any] = {base.__name__: base for base in bases}
    exec(source, names)
    return names["A"]


@pytest.mark.parametrize("decorate", [attrs.frozen, attrs.define, attrs.define(slots=False), attrs.frozen(slots=False)])
@pytest.mark.parametrize(("option", "payload"), {"transparent": b"\x05", "as_array": b"\x81\x05"}.items())
@pytest.mark.parametrize("bases", BASES)
def test_the_class_line_asks_for_a_shape(bases: str, option: str, payload: bytes, decorate: Any) -> None:
    """Protocols and structs of every kind of attrs class are bare values or arrays if their class line says so."""
    cls = decorate(defined(f"class A({bases}, {option}=True): x: int"))
    assert encode(cls(5)) == payload


@pytest.mark.parametrize("bases", BASES)
def test_a_class_has_one_shape(bases: str) -> None:
    """Both options at once are a TypeError where the class is written."""
    with pytest.raises(TypeError, match=r"^A cannot be transparent and an array: choose one of them$"):
        defined(f"class A({bases}, transparent=True, as_array=True): x: int")


@pytest.mark.parametrize("decorate", [attrs.frozen, attrs.define(slots=False)])
@pytest.mark.parametrize(("body", "fields"), {"pass": "none", "x: int = 1; y: int = 2": "x, y"}.items())
@pytest.mark.parametrize("bases", BASES)
def test_a_transparent_class_takes_one_field(bases: str, body: str, fields: str, decorate: Any) -> None:
    """Another number of fields is a TypeError where the class is decorated."""
    with pytest.raises(TypeError, match=rf"^A is transparent: it takes one field, not {fields}$"):
        decorate(defined(f"class A({bases}, transparent=True): {body}"))


def test_a_subclass_inherits_the_shape() -> None:
    """A class line without an option leaves the shape as it is."""

    @frozen
    class Parent(Struct, as_array=True):
        x: int

    @frozen
    class Child(Parent):
        y: int

    assert encode(Child(1, 2)) == b"\x82\x01\x02"


def test_other_bases_may_look_at_the_fields() -> None:
    """What another base does with the class that attrs has made is done as well."""
    seen: list[type] = []

    class Base:
        @classmethod
        def __attrs_init_subclass__(cls) -> None:
            seen.append(cls)

    @frozen
    class Message(PublishProtocol, Base, prefix="a"):
        pass

    assert seen == [Message]
