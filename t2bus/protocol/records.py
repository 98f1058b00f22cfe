"""Records: the adapters of attrs classes.

For example, with ``class Hello`` and its fields ``text: str`` and ``count: int = 0``::

    to_plain(Hello("hi", 2))          {"text": "hi", "count": 2}
    from_plain({"text": "hi"})        Hello("hi")
    from_plain({"count": 2})          Refusal: is missing; its path is .text

The theory. Two functions are generated for each class, as attrs generates ``__init__``. They have a line or two of
source for each field, around the adapter of its type. Functions that loop over the fields took 30 % longer. Generated
functions find the adapters by name when they are called: ``to_0`` and ``from_0`` are those of the first field. So the
functions exist before the fields are compiled, and a field may lead back to its class.

The law of this module: the reader's class may be older or newer than the writer's. A map may have keys that the class
does not know, and may lack those of fields with a default. An array may lack its last elements, if these have defaults.
One with too many elements is refused, because it does not say which of them are new.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_origin

import attrs

from .adapters import Refusal, TypeAdapter, deepest, mismatch, name_of, text_of
from .classes import Shape, check_shape, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_Compile: TypeAlias = Callable[[Any], TypeAdapter]
_Hints: TypeAlias = "list[tuple[attrs.Attribute[Any], Any]]"

# ``step`` is the field at work, ``""`` if none is. To assign it costs less than a function with a ``try`` around each
# field. To look for the flaw after a failure would cost nothing before, but let a hostile payload cost twice.
_LOCATE: Final = """
    except Refusal as refusal:
        refusal.path.append(step)
        raise
    except Exception as error:
        raise Refusal(text_of(error), step) from error
"""

_TO_PLAIN: Final = """
def to_plain(value):
    if type(value) is not cls:
        raise mismatch(name, value)
    try:
        step = ""
        {read}
        {convert}
{locate}
    return {result}
"""

_FROM_PLAIN: Final = """
def from_plain(plain):
    {unpack}
    try:
        {read}
    except KeyError as error:
        raise Refusal("is missing", "." + error.args[0]) from error
    try:
        {convert}
        step = ""
        return cls({arguments})
{locate}
"""

# How ``from_plain`` makes a map of a plain item of each shape. An array with fewer elements lacks the last keys.
_UNPACK: Final = {
    Shape.MAP: """
    if type(plain) is not dict:
        raise mismatch(name + " as dict", plain)
    """,
    Shape.ARRAY: """
    if type(plain) is not list:
        raise mismatch(name + " as list", plain)
    if len(plain) > len(keys):
        raise Refusal(f"expected {len(keys)} elements, got {len(plain)}")
    plain = dict(zip(keys, plain))
    """,
    Shape.TRANSPARENT: "plain = {keys[0]: plain}",
}

_PLAIN_TYPES: Final[dict[Shape, frozenset[type]]] = {
    Shape.MAP: frozenset([dict]),
    Shape.ARRAY: frozenset([list]),
    Shape.TRANSPARENT: frozenset(),  # those of its field
}


def record(type_: Any, hints: _Hints, known: dict[Any, TypeAdapter], compile_: _Compile) -> TypeAdapter:
    """Make the adapter of an attrs class, whose fields have these types, and put it into ``known``.

    While the fields are compiled it is there already, with an infinite depth and, for a transparent class, without
    plain types. What a converter, a validator or ``__attrs_post_init__`` raises becomes the text of a refusal.

    Raises:
      TypeError: the class has not the fields that its shape needs, or has a field whose type cannot travel.

    """
    cls = get_origin(type_) or type_
    check_shape(cls)
    name, shape = name_of(type_), shape_of(cls)
    keys = [field.name for field, _ in hints]
    scope = {"cls": cls, "name": name, "keys": keys, "Refusal": Refusal, "mismatch": mismatch, "text_of": text_of}
    source = _to_plain_source(shape, keys) + _from_plain_source(shape, [field for field, _ in hints])
    exec(compile(source, f"<t2bus {name}>", "exec"), scope)  # noqa: S102 # written below
    adapter = known[type_] = TypeAdapter(
        frozenset([cls]), _PLAIN_TYPES[shape], math.inf, scope["to_plain"], scope["from_plain"]
    )
    parts = [_compile_field(name, field, hint, compile_) for field, hint in hints]
    for index, part in enumerate(parts):
        scope[f"to_{index}"], scope[f"from_{index}"] = part.to_plain, part.from_plain
    if shape is Shape.TRANSPARENT:
        known[type_] = attrs.evolve(adapter, depth=parts[0].depth, plain_types=parts[0].plain_types)
    else:
        known[type_] = attrs.evolve(adapter, depth=1 + deepest(parts))
    return known[type_]


def _to_plain_source(shape: Shape, keys: Sequence[str]) -> str:
    """Write ``to_plain``.

    For a first field ``text`` it has the lines ``v0 = value.text`` and ``step = ".text"; v0 = to_0(v0)``. The result is
    ``{"text": v0}``, ``[v0]`` or ``v0``, depending on the shape. All values are read before the first is converted, so
    that an instance that was never initialised is told from a field that does not fit.
    """
    values = [f"v{index}" for index in range(len(keys))]
    read = [f"v{index} = value.{key}" for index, key in enumerate(keys)]
    convert = [f"step = {'.' + key!r}; v{index} = to_{index}(v{index})" for index, key in enumerate(keys)]
    results = {
        Shape.MAP: "{" + ", ".join(f"{key!r}: {value}" for key, value in zip(keys, values, strict=True)) + "}",
        Shape.ARRAY: "[" + ", ".join(values) + "]",
        Shape.TRANSPARENT: ", ".join(values),
    }
    return _TO_PLAIN.format(read=_block(read), convert=_block(convert), locate=_LOCATE, result=results[shape])


def _from_plain_source(shape: Shape, fields: Sequence[attrs.Attribute[Any]]) -> str:
    """Write ``from_plain``.

    A field without a default must be there. It is a positional argument, or one by name if it is keyword-only: for a
    field ``text`` the call is ``cls(v0)`` or ``cls(text=v0)``. A field with a default is passed by name if it is there.
    If not it is left out, and the class fills it in.
    """
    has_defaults = any(field.default is not attrs.NOTHING for field in fields)
    read, convert, arguments = ["given = {}"] if has_defaults else [], [], []
    for index, field in enumerate(fields):
        step = f"step = {'.' + field.name!r}; "
        if field.default is attrs.NOTHING:
            read.append(f"v{index} = plain[{field.name!r}]")
            convert.append(f"{step}v{index} = from_{index}(v{index})")
            arguments.append(f"{field.alias}=v{index}" if field.kw_only else f"v{index}")
        else:
            given = f"given[{field.alias!r}] = from_{index}(plain[{field.name!r}])"
            convert.append(f"if {field.name!r} in plain: {step}{given}")
    return _FROM_PLAIN.format(
        unpack=_UNPACK[shape],
        read=_block(read),
        convert=_block(convert),
        arguments=", ".join([*arguments, "**given"] if has_defaults else arguments),
        locate=_LOCATE,
    )


def _block(lines: Sequence[str]) -> str:
    """Join statements for a ``try`` in a template, which must not be empty."""
    return "\n        ".join(lines) or "pass"


def _compile_field(owner: str, field: attrs.Attribute[Any], hint: Any, compile_: _Compile) -> TypeAdapter:
    """Compile the type of a field. If it cannot travel, the TypeError leads to the field: ``Order.path: ...``."""
    try:
        return compile_(hint)
    except TypeError as error:
        raise TypeError(f"{owner}.{field.name}: {error}") from error
