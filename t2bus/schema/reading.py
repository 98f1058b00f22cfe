"""Documents, and what they say: from AsyncAPI and JSON Schema back to protocols and their layouts.

::

    {"type": "string", "x-t2bus-type": "datetime"}      Written("datetime", Basic("str"))
    {"$ref": "#/components/schemas/Point"}              ClassLayout("Point", ...)

The theory. A document may be older than this version of t2bus, or newer, or written by hand. What has no ``x-t2bus-``
words is read as JSON Schema means it, as far as t2bus has something like it.

The law of this module: of what :mod:`.asyncapi` writes nothing is lost that matters on the bus; and of anything else it
makes layouts, or raises :exc:`BadDocument` and nothing else.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

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
from .asyncapi import PREFIX, ROLE
from .json_schema import DEFAULT, KIND, NUMBER
from .pieces import kinds, read
from .protocols import PUBLISH, REQUEST, ProtocolLayout

if TYPE_CHECKING:
    from .asyncapi import Document
    from .json_schema import Schema

_BASIC: Final = {"null": "None", "boolean": "bool", "integer": "int", "number": "float", "string": "str"}
_HERE: Final = "#/components/schemas/"


class BadDocument(ValueError):
    """A document is none that ``t2bus schema`` could have written; the text says where."""


def protocols_of(document: Document) -> list[ProtocolLayout]:
    """Return the protocols that a document tells of, in its order.

    Raises:
      BadDocument: it is no AsyncAPI document, or one whose channels say nothing of t2bus.

    """
    given: Any = document
    if not isinstance(given, dict) or not str(given.get("asyncapi", "")).startswith("3."):
        raise BadDocument("this is no AsyncAPI 3 document: write it with `t2bus schema --json`")
    try:
        reader = _SchemaReader(document)
        found = _protocols(document, reader)
        _walk(reader)
    except BadDocument:
        raise
    except RecursionError as error:
        raise BadDocument("its schemas refer to each other without end") from error
    except (KeyError, TypeError, ValueError, AttributeError, LookupError) as error:
        raise BadDocument(f"it lacks what t2bus writes: {type(error).__name__}: {error}") from error
    return found


def _protocols(document: Document, reader: _SchemaReader) -> list[ProtocolLayout]:
    found = []
    messages = document["components"]["messages"]
    for name, channel in document["channels"].items():
        if ROLE not in channel:
            continue  # that of a reply
        role, prefix = _text(channel[ROLE]), _text(channel[PREFIX])
        if role not in (PUBLISH, REQUEST):
            raise BadDocument(f"channel {name!r}: {ROLE} is neither {PUBLISH} nor {REQUEST}")
        for key in channel["messages"]:
            message = messages[key]
            response = None
            if role == REQUEST:
                response = reader.layout_of(messages[message["x-t2bus-response"]]["payload"])
            layout = reader.layout_of(message["payload"])
            found.append(ProtocolLayout(role, prefix, _text(message["name"]), layout, response))
    return found


def _walk(reader: _SchemaReader) -> None:
    """Take all that has a name apart once, which ends with a RecursionError where something is made of itself alone."""
    for layout in reader.known.values():
        for piece in read(layout):
            kinds(piece)


@attrs.define(eq=False)
class _SchemaReader:
    """Reads the schemas of one document; classes, and aliases, once each."""

    document: Document
    known: dict[str, ClassLayout | Alias] = attrs.field(factory=dict)

    def layout_of(self, schema: Schema) -> Layout:
        """Return the layout that a schema stands for."""
        if "$ref" in schema:
            return self._named(_text(schema["$ref"]))
        kind = _text(schema[KIND]) if KIND in schema else None
        match kind:
            case "Any":
                return AnyPlain()
            case "scalar":
                return Written(_text(schema["title"]), self.layout_of(schema["allOf"][0]), is_own=True)
            case "enum":
                return attrs.evolve(self._choices(schema), name=_text(schema["title"]))
            case "flags":
                return _bits(schema)
            case "variant":
                return self._variant(schema)
            case "class":
                raise BadDocument(f"the class {schema.get('title')!r} stands in place: move it to components")
        if "allOf" in schema:
            return self.layout_of(schema["allOf"][0])
        if "anyOf" in schema:
            return Either(tuple(map(self.layout_of, schema["anyOf"])))
        if schema.keys() & {"enum", "not", NUMBER}:
            return self._choices(schema)
        return self._of_type(schema, kind)

    def _of_type(self, schema: Schema, kind: str | None) -> Layout:
        """Return the layout of a schema that has a type, and perhaps a word for which of those that look so."""
        type_ = schema.get("type")
        if type_ == "array":
            return self._array(schema, kind)
        if type_ == "object":
            key = self.layout_of(schema.get("propertyNames", {"type": "string"}))
            return Entries(key, self.layout_of(schema.get("additionalProperties", {})), is_map=True)
        if type_ is None:
            return AnyPlain()
        basic = Basic("bytes" if kind == "bytes" else _BASIC[type_])
        return basic if kind is None or kind == "bytes" else Written(kind, basic)

    def _array(self, schema: Schema, kind: str | None) -> Layout:
        if kind == "dict":
            key, part = map(self.layout_of, schema["items"]["items"])
            return Entries(key, part, is_map=False)
        if "items" not in schema and schema.get("maxItems") == 0:
            return Positions(())
        items = schema.get("items", {})
        if isinstance(items, list):
            return Positions(tuple(map(self.layout_of, items)))
        return Repeated(kind or "list", self.layout_of(items))

    def _choices(self, schema: Schema) -> Choices:
        """Return a closed set; of values that are bytes the text is in base64."""
        parts = [part for outer in schema.get("allOf", [schema]) for part in outer.get("anyOf", [outer])]
        values: list[Any] = []
        for part in parts:
            given = part.get("enum", [])
            values += map(_decoded, given) if part.get(KIND) == "bytes" else given
            values += [float(part[NUMBER])] if NUMBER in part else []
        return Choices("", tuple(values), _texts(schema.get("x-t2bus-also-read", {})))

    def _variant(self, schema: Schema) -> Variant:
        if "enum" in schema:
            [tag] = schema["enum"]
            return Variant(_text(tag), ClassLayout(tag, ""))
        [(tag, inner)] = schema["properties"].items()
        return Variant(tag, self.layout_of(inner))

    def _named(self, reference: str) -> Layout:
        """Return the class or the alias that a reference leads to."""
        name = reference.removeprefix(_HERE)
        if not reference.startswith(_HERE) or name not in self.document["components"]["schemas"]:
            raise BadDocument(f"{reference!r} leads nowhere: references begin with {_HERE}")
        if name in self.known:
            return self.known[name]
        schema = self.document["components"]["schemas"][name]
        if schema.get(KIND) != "class" and "properties" not in schema:
            alias = self.known[name] = Alias(name)
            alias.target = self.layout_of(schema)
            return alias
        layout = self.known[name] = ClassLayout(_text(schema.get("title", name)), _shape(schema))
        layout.doc = _text(schema.get("description", ""))
        layout.fields = tuple(self._fields(schema, layout.shape))
        return layout

    def _fields(self, schema: Schema, shape: str) -> list[FieldLayout]:
        if shape == "transparent":
            return [self._field(_text(schema["x-t2bus-field"]), schema["allOf"][0], is_required=True)]
        required = schema.get("x-t2bus-required") or schema.get("required") or []
        if shape == "as_array":
            named = dict(zip(map(_text, schema["x-t2bus-fields"]), schema.get("items", ()), strict=True))
        else:
            named = schema.get("properties", {})
        return [self._field(name, inner, is_required=name in required) for name, inner in named.items()]

    def _field(self, name: str, schema: Schema, *, is_required: bool) -> FieldLayout:
        default = repr(schema["default"]) if "default" in schema else _text(schema.get(DEFAULT, ""))
        doc = _text(schema.get("description", ""))
        return FieldLayout(name, self.layout_of(schema), is_required, doc=doc, default=default)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadDocument(f"{value!r} stands where there has to be text")
    return value


def _texts(value: Any) -> dict[str, str]:
    return {_text(key): _text(each) for key, each in value.items()}


def _bits(schema: Schema) -> Bits:
    members = schema["x-t2bus-members"]
    if not all(type(value) is int for value in members.values()):
        raise BadDocument("a member of flags has no number")
    return Bits(_text(schema["title"]), dict(members), _text(schema["x-t2bus-boundary"]))


def _shape(schema: Schema) -> str:
    if schema.get("type") == "array":
        return "as_array"
    return "" if schema.get("type") == "object" else "transparent"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise BadDocument(f"{text!r} is no base64") from error
