"""``t2bus.schema``: what it says of two versions is what happens between them."""

from __future__ import annotations

import json
from contextlib import suppress
from copy import deepcopy
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from pure_helpers import steady
from schema_helpers import LEAVES, SETS, VARIANTS, mistakes_in, pairs, protocol_of, values_of
from t2bus.errors import MalformedMessage
from t2bus.protocol import decode, decode_any, encode
from t2bus.schema import BadDocument, compare, document, listing
from t2bus.schema.json_schema import to_json

if TYPE_CHECKING:
    from schema_helpers import Pair


@lru_cache(maxsize=100)
def documented(protocol: Any) -> Any:
    """Return its document, as it is when it was written to a file and read again; no example if it cannot travel."""
    try:
        return json.loads(json.dumps(document(protocol), allow_nan=False))
    except TypeError:  # a union whose members look alike
        assume(False)
        raise


def refused(writer: Any, reader: Any) -> list[Any]:
    """Return the values of one protocol that another does not read."""
    found = []
    [field] = writer.__attrs_attrs__
    for value in values_of(field.type):
        payload = encode(writer(value))
        try:
            decode(payload, reader)
        except MalformedMessage as error:
            found.append((value, str(error)))
    return found


def check(old: Any, new: Any) -> None:
    """Check that a reader is told to be broken if and only if it refuses a value of the writer, both ways."""
    findings = compare(documented(old), documented(new))
    for writer, reader, side in ((old, new, "old publishers"), (new, old, "new publishers")):
        told = [finding.text for finding in findings if finding.breaks and finding.writer == side]
        failed = refused(writer, reader)
        # Whether two elements of a tuple can be equal is not looked at more closely than by their types.
        assert bool(told) == bool(failed) or (told and "may occur twice" in told[0]), (side, told, failed)


@steady(1000)
@given(pairs())
def test_breaks_what_is_refused(pair: Pair) -> None:
    """It says that a reader is broken if and only if there is a value of the writer that the reader refuses."""
    check(*map(protocol_of, pair))


@pytest.mark.parametrize("types", [LEAVES, SETS, VARIANTS], ids=["leaves", "sets", "variants"])
def test_breaks_what_is_refused_of_each_and_each(types: list[Any]) -> None:
    """So it does for each two of many types without parts, of sets of these, and of unions."""
    protocols = list(map(protocol_of, types))
    for old, new in combinations(protocols, 2):
        check(old, new)


@given(pairs())
def test_finds_nothing_between_equals(pair: Pair) -> None:
    """A program and itself understand each other, whatever its types are."""
    made = documented(protocol_of(pair[0]))
    assert compare(made, made) == []


@steady(400)
@given(pairs())
def test_schemas_accept_what_is_written(pair: Pair) -> None:
    """The schema of a protocol accepts, formats included, the JSON that shows each payload of it."""
    protocol = protocol_of(pair[0])
    made = documented(protocol)
    schema = {"$ref": "#/components/schemas/Message", "components": made["components"]}
    validator = Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)
    for value in values_of(pair[0]):
        shown = to_json(decode_any(encode(protocol(value))))
        assert [error.message for error in validator.iter_errors(shown)] == [], value


@given(pairs())
def test_documents_are_of_asyncapi(pair: Pair) -> None:
    """The document of any protocol is one that the official schema of AsyncAPI 3.0.0 accepts."""
    assert mistakes_in(documented(protocol_of(pair[0]))) == []


@given(st.data())
def test_any_other_document_is_refused(data: st.DataObject) -> None:
    """A document in which something was changed by hand is compared, or refused as a bad one, and nothing else."""
    made = documented(protocol_of(data.draw(pairs())[0]))
    changed = deepcopy(made)
    change(data, changed)
    with suppress(BadDocument):
        compare(changed, made)
    with suppress(BadDocument):
        listing(changed)


def change(data: st.DataObject, node: Any) -> None:
    """Replace, or remove, something in a document."""
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = data.draw(st.sampled_from(keys))
        if isinstance(node[key], dict | list) and node[key] and data.draw(st.integers(0, 6)):
            node = node[key]
            continue
        if data.draw(st.booleans()):
            node[key] = data.draw(st.sampled_from([None, 1, "x", "dict", "variant", "class", [], {}, [1], {"x": 1}]))
        else:
            del node[key]
        return
