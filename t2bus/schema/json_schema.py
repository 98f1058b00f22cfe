"""Layouts as JSON Schema: what a payload holds, as far as JSON Schema can say it, and the rest in ``x-t2bus-`` words.

::

    datetime            {"type": "string", "x-t2bus-type": "datetime"}
    bytes               {"type": "string", "contentEncoding": "base64", "x-t2bus-type": "bytes"}
    set[int]            {"type": "array", "items": {...}, "uniqueItems": true, "x-t2bus-type": "set"}
    dict[str, float]    {"type": "object", "additionalProperties": {"type": "number"}, "x-t2bus-type": "dict"}
    class Point         {"$ref": "#/components/schemas/Point"}

The theory. A payload is CBOR, and a schema speaks of the JSON that shows it best: byte strings are text in base64, and
all else is what it is. ``format`` is given where all values have it: a ``datetime`` may lack the offset that
``date-time`` asks for. The draft is 7, which is what AsyncAPI 3.0 takes.

The law of this module: what is written is exactly what the schema accepts, or more; and all that :mod:`.reading` needs
to make the layout again is there.
"""

from __future__ import annotations

import base64
import re
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, TypeAlias, assert_never, get_origin

import attrs

from ..protocol.layouts import (
    Alias,
    AnyPlain,
    Basic,
    Bits,
    Choices,
    ClassLayout,
    Either,
    Entries,
    FieldLayout,
    Layout,
    Positions,
    Repeated,
    Variant,
    Written,
)
from .prose import doc_of, docs_of_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

Schema: TypeAlias = dict[str, Any]

KIND: Final = "x-t2bus-type"
DEFAULT: Final = "x-t2bus-default"
"""A default that is made anew each time, or that JSON cannot say: as text."""

NUMBER: Final = "x-t2bus-number"
"""A value that is no number of JSON: ``inf``."""

BASIC: Final[dict[str, Schema]] = {
    "None": {"type": "null"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer", "minimum": -(2**64), "maximum": 2**64 - 1},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64", KIND: "bytes"},
}

_FORMATS: Final = {"date": "date", "UUID": "uuid", "IPv4Address": "ipv4"}

_EMPTY: Final[tuple[Any, ...]] = (list, dict, set, frozenset, tuple)
"""What makes a default that is the same each time: nothing in it."""


def component_name(text: str) -> str:
    """Return a text as a name that AsyncAPI takes: ``Event[int]`` as ``Event_int``."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_")


def to_json(item: object) -> Any:
    """Return the JSON value that shows a plain item; byte strings, also as keys, are text in base64."""
    if isinstance(item, bytes):
        return base64.b64encode(item).decode()
    if isinstance(item, list):
        return [to_json(each) for each in item]
    if isinstance(item, dict):
        return {to_json(key): to_json(value) for key, value in item.items()}
    return item


@attrs.define(eq=False)
class SchemaWriter:
    """Writes schemas, and gathers those of classes, which have names."""

    definitions: dict[str, Schema] = attrs.field(factory=dict)
    _names: dict[Any, str] = attrs.field(factory=dict)
    """Of classes and aliases, by themselves."""

    def schema_of(self, layout: Layout) -> Schema:
        """Return the schema of a layout, which refers to those of its classes."""
        match layout:
            case Basic():
                return dict(BASIC[layout.name])
            case Written():
                return self._written(layout)
            case Choices():
                return _choices(layout)
            case Bits():
                return _bits(layout)
            case Repeated():
                more: Schema = {} if layout.kind == "list" else {KIND: layout.kind}
                unique: Schema = {"uniqueItems": True} if layout.kind in ("set", "frozenset") else {}
                return {"type": "array", "items": self.schema_of(layout.part), **unique, **more}
            case Positions():
                return {**self._positions(layout.parts), KIND: "tuple"}
            case Entries():
                return self._entries(layout)
            case Variant():
                return self._variant(layout)
            case Either():
                return {"anyOf": [self.schema_of(member) for member in _flat(layout.members)]}
            case AnyPlain():
                return {KIND: "Any"}
            case ClassLayout() | Alias():
                return {"$ref": f"#/components/schemas/{self._defined(layout)}"}
            case _:
                assert_never(layout)

    def _written(self, layout: Written) -> Schema:
        schema = self.schema_of(layout.wire)
        if layout.is_own:
            return {"title": layout.name, KIND: "scalar", "allOf": [schema]}
        return {**schema, **({"format": _FORMATS[layout.name]} if layout.name in _FORMATS else {}), KIND: layout.name}

    def _positions(self, parts: Iterable[Layout]) -> Schema:
        schemas = [self.schema_of(part) for part in parts]
        if not schemas:
            return {"type": "array", "maxItems": 0}
        number = len(schemas)
        return {
            "type": "array",
            "items": schemas,
            "minItems": number,
            "maxItems": number,
            "additionalItems": False,
        }

    def _entries(self, layout: Entries) -> Schema:
        if not layout.is_map:
            pair = self._positions((layout.key, layout.part))
            return {"type": "array", "items": pair, KIND: "dict"}
        names: Schema = {} if _is_str(layout.key) else {"propertyNames": self.schema_of(layout.key)}
        return {"type": "object", **names, "additionalProperties": self.schema_of(layout.part), KIND: "dict"}

    def _variant(self, layout: Variant) -> Schema:
        if is_alone(layout):
            return {"type": "string", "enum": [layout.tag], KIND: "variant"}
        inside = {layout.tag: self.schema_of(layout.layout)}
        return {
            "type": "object",
            "properties": inside,
            "required": [layout.tag],
            "additionalProperties": False,
            KIND: "variant",
        }

    def _defined(self, layout: ClassLayout | Alias) -> str:
        """Return the name of a class or an alias, whose schema is written on the first call."""
        if layout.type_ in self._names:
            return self._names[layout.type_]
        name = self._names[layout.type_] = self._new_name(layout)
        self.definitions[name] = {}  # that it is known, should it lead back to itself
        if isinstance(layout, Alias):
            assert layout.target is not None, "an adapter is finished before anybody sees it"
            schema = self.schema_of(layout.target)
        else:
            schema = self._class(layout)
        self.definitions[name].update(schema)
        return name

    def _new_name(self, layout: ClassLayout | Alias) -> str:
        """Return a name that AsyncAPI takes, and that no other class has: with the module in front if need be."""
        module = getattr(get_origin(layout.type_) or layout.type_, "__module__", "")
        names = (layout.name, f"{module}.{layout.name}", *(f"{layout.name}_{number}" for number in range(2, 1000)))
        return next(name for name in map(component_name, names) if name not in self.definitions)

    def _class(self, layout: ClassLayout) -> Schema:
        schema: Schema = {"title": layout.name, KIND: "class"}
        if doc := doc_of(layout.type_):
            schema["description"] = doc
        docs = docs_of_fields(layout.type_)
        fields = {field.name: self._field(field, docs.get(field.name, "")) for field in layout.fields}
        required = [field.name for field in layout.fields if field.is_required]
        if layout.shape == "transparent":
            [(name, inner)] = fields.items()
            return schema | {"allOf": [inner], "x-t2bus-field": name}
        if layout.shape == "as_array":
            least = max((at + 1 for at, field in enumerate(layout.fields) if field.is_required), default=0)
            array = self._positions(field.layout for field in layout.fields) | {"minItems": least}
            if fields:
                array["items"] = list(fields.values())
            return schema | array | {"x-t2bus-fields": list(fields), "x-t2bus-required": required}
        return schema | {"type": "object", "properties": fields, **({"required": required} if required else {})}

    def _field(self, field: FieldLayout, doc: str) -> Schema:
        """Return the schema of a field with its docstring and default, which may not stand beside a reference."""
        schema = self.schema_of(field.layout)
        more: Schema = {"description": doc} if doc else {}
        if not field.is_required:
            more |= _default(field)
        if more and ("$ref" in schema or more.keys() & schema.keys()):
            schema = {"allOf": [schema]}
        return schema | more


def _choices(layout: Choices) -> Schema:
    """Return the schema of a closed set; apart are bytes, which look like text in JSON, and what it cannot say."""
    parts: list[Schema] = []
    for is_bytes in (False, True):
        found = [to_json(value) for value in layout.values if isinstance(value, bytes) is is_bytes]
        if values := [value for value in found if _is_json(value)]:
            parts.append({"enum": values} | (BASIC["bytes"] if is_bytes else {}))
        parts += ({"type": "number", NUMBER: repr(value)} for value in found if not _is_json(value))
    if not parts:
        parts = [{"not": {}}]
    schema = parts[0] if len(parts) == 1 else {"anyOf": parts}
    if not layout.name:
        return schema
    also: Schema = {"x-t2bus-also-read": dict(layout.also)} if layout.also else {}
    if KIND in schema or len(parts) > 1:
        schema = {"allOf": [schema]}
    return {"title": layout.name, KIND: "enum", **schema, **also}


def _bits(layout: Bits) -> Schema:
    limit = BASIC["int"]["maximum"] if layout.boundary == "KEEP" else layout.mask
    return {
        "title": layout.name,
        "type": "integer",
        "minimum": 0,
        "maximum": limit,
        KIND: "flags",
        "x-t2bus-members": dict(layout.members),
        "x-t2bus-boundary": layout.boundary,
    }


def _default(field: FieldLayout) -> Schema:
    """Return what stands for the default of a field: the JSON of it, or the name of what makes it."""
    attribute, to_plain = field.attribute, field.to_plain
    value = attribute.default
    factory = getattr(value, "factory", None)
    if factory is not None and factory not in _EMPTY:
        name = getattr(factory, "__name__", "<lambda>")
        return {DEFAULT: "made anew" if name == "<lambda>" else f"{name}()"}
    try:
        if factory is not None:
            value = factory()
        if attribute.converter is not None:
            value = attribute.converter(value)
        assert to_plain is not None
        item = to_json(to_plain(value))
    except Exception:  # noqa: BLE001 -- whatever a converter raises, and defaults that cannot be sent
        return {DEFAULT: "not known here"}
    return {"default": item} if _is_json(item) else {DEFAULT: repr(item)}


def _is_json(item: Any) -> bool:
    """Whether JSON can say it: numbers that are not finite are none there."""
    if isinstance(item, dict):
        return all(map(_is_json, item.values()))
    return all(map(_is_json, item)) if isinstance(item, list) else not isinstance(item, float) or isfinite(item)


def _flat(members: Iterable[Layout]) -> list[Layout]:
    """Return the members of a union, and in their place those of unions that are members."""
    found: list[Layout] = []
    for member in members:
        found += _flat(member.members) if isinstance(member, Either) else [member]
    return found


def is_alone(layout: Variant) -> bool:
    """Whether it is written as its name alone: a map without fields."""
    inner = layout.layout
    return isinstance(inner, ClassLayout) and not inner.shape and not inner.fields


def _is_str(layout: Layout) -> bool:
    return isinstance(layout, Basic) and layout.name == "str"
