"""Records: the adapters of attrs classes.

For example, with ``class Hello`` and its fields ``text: str`` and ``count: int = 0``::

    to_plain(Hello("hi", 2))          {"text": "hi", "count": 2}
    from_plain({"text": "hi"})        Hello("hi")
    from_plain({"count": 2})          Refusal: is missing; its path is .text

The theory. Two functions are generated for each class, as attrs generates ``__init__``. They have a line or two of
source for each field, around the adapter of its type. Functions that loop over the fields took 30 % longer. Generated
functions find the adapters by name when they are called: ``to_0`` and ``from_0`` are those of the first field. So the
functions exist before the fields are compiled, and a field may lead back to its class.

A value arrives as it was sent. It has been through the converter of its field already, on the other side, and a second
time may make another of it: inches of centimetres that are inches. So converters are passed by, but for those of
defaults that are filled in. Validators run, and so does ``__attrs_post_init__``; but where that, or an ``__init__`` of
the program's own, has set a field to something else, the field is set to what came.

The law of this module: the reader's class may be older or newer than the writer's. A map may have keys that the class
does not know, and may lack those of fields with a default. An array may lack its last elements, if these have defaults.
One with too many elements is refused, because it does not say which of them are new.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_origin

import attrs

from .adapters import Conversion, Refusal, TypeAdapter, deepest, mismatch, name_of, text_of
from .classes import Shape, check_shape, shape_of
from .layouts import ClassLayout, FieldLayout

if TYPE_CHECKING:
    from collections.abc import Sequence

_Compile: TypeAlias = Callable[[Any], TypeAdapter]
_Hints: TypeAlias = "list[tuple[attrs.Attribute[Any], Any]]"

_Factory: Final[Any] = attrs.Factory  # a class, which the types of attrs call a function
_Converter: Final[Any] = attrs.Converter

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
        {make}
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
    if _has_converters(cls):
        scope |= {"new": cls.__new__, "init": _init_without_converters(cls)}
    scope["keep"] = object.__setattr__
    source = _to_plain_source(shape, keys) + _from_plain_source(cls, shape, [field for field, _ in hints])
    exec(compile(source, f"<t2bus {name}>", "exec"), scope)  # noqa: S102 # written below
    layout = ClassLayout(name, shape.value, type_)
    adapter = known[type_] = TypeAdapter(
        frozenset([cls]), _PLAIN_TYPES[shape], math.inf, scope["to_plain"], scope["from_plain"], layout=layout
    )
    parts = [_compile_field(name, field, hint, compile_) for field, hint in hints]
    for index, part in enumerate(parts):
        scope[f"to_{index}"], scope[f"from_{index}"] = part.to_plain, part.from_plain
    layout.fields = tuple(_field_layout(field, part) for (field, _), part in zip(hints, parts, strict=True))
    if shape is Shape.TRANSPARENT:
        known[type_] = attrs.evolve(adapter, depth=parts[0].depth, plain_types=parts[0].plain_types)
    else:
        known[type_] = attrs.evolve(adapter, depth=1 + deepest(parts))
    return known[type_]


def _field_layout(field: attrs.Attribute[Any], part: TypeAdapter) -> FieldLayout:
    return FieldLayout(field.name, part.layout, field.default is attrs.NOTHING, field, part.to_plain)


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


def _from_plain_source(cls: type, shape: Shape, fields: Sequence[attrs.Attribute[Any]]) -> str:
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
        make=_block(_make_source(cls, fields, [*arguments, "**given"] if has_defaults else arguments)),
        locate=_LOCATE,
    )


def _block(lines: Sequence[str]) -> str:
    """Join statements for a ``try`` in a template, which must not be empty."""
    return "\n        ".join(lines) or "pass"


def _make_source(cls: type, fields: Sequence[attrs.Attribute[Any]], arguments: Sequence[str]) -> list[str]:
    """Write how an instance is made of its arguments: ``return cls(v0, **given)``, but for classes that change them."""
    if not _has_converters(cls) and not _is_changing(cls):
        return [f"return cls({', '.join(arguments)})"]
    if _has_converters(cls):
        lines = ["value = new(cls)", f"init({', '.join(['value', *arguments])})"]
    else:
        lines = [f"value = cls({', '.join(arguments)})"]
    for index, field in enumerate(fields if _is_changing(cls) else []):
        if field.default is attrs.NOTHING:
            lines.append(f"keep(value, {field.name!r}, v{index})")
        else:
            lines.append(f"if {field.name!r} in plain: keep(value, {field.name!r}, given[{field.alias!r}])")
    return [*lines, "return value"]


def _has_converters(cls: type) -> bool:
    """Whether attrs made its ``__init__``, and it converts something."""
    return "__attrs_init__" not in vars(cls) and any(field.converter for field in attrs.fields(cls))


def _is_changing(cls: type) -> bool:
    """Whether code of the program's own may set its fields when an instance is made."""
    return "__attrs_init__" in vars(cls) or hasattr(cls, "__attrs_post_init__")


def _init_without_converters(cls: type) -> Conversion:
    """Make the ``__init__`` that attrs would make of a class if its fields had no converters.

    It is that of a frozen class which has nothing else of this one: attrs writes it so that it can set any field.
    """
    fields = {
        field.name: attrs.field(
            default=_converted_default(field),
            validator=field.validator,
            init=field.init,
            kw_only=field.kw_only,
            alias=field.alias,
            metadata=field.metadata,
        )
        for field in attrs.fields(cls)
    }
    hooks = ("__attrs_pre_init__", "__attrs_post_init__")
    names = getattr(getattr(cls.__hash__, "__code__", None), "co_names", ())
    twin = attrs.make_class(
        cls.__name__,
        fields,
        class_body={name: getattr(cls, name) for name in hooks if hasattr(cls, name)},
        frozen=True,
        slots=True,
        cache_hash="_attrs_cached_hash" in names,  # such an ``__init__`` has a place to fill for it
    )
    init: Conversion = twin.__init__  # type: ignore[misc] # of the class, and of no instance
    return init


def _converted_default(field: attrs.Attribute[Any]) -> Any:
    """Return the default of a field, with its converter as a part of it."""
    default: Any = field.default
    converter: Any = field.converter
    if default is attrs.NOTHING or converter is None:
        return default

    def make(instance: object) -> object:
        value = default
        if isinstance(default, _Factory):
            value = default.factory(instance) if default.takes_self else default.factory()
        if not isinstance(converter, _Converter):
            return converter(value)
        more = [each for each, wanted in ((instance, converter.takes_self), (field, converter.takes_field)) if wanted]
        return converter.converter(value, *more)

    return attrs.Factory(make, takes_self=True)


def _compile_field(owner: str, field: attrs.Attribute[Any], hint: Any, compile_: _Compile) -> TypeAdapter:
    """Compile the type of a field. If it cannot travel, the TypeError leads to the field: ``Order.path: ...``."""
    try:
        return compile_(hint)
    except TypeError as error:
        raise TypeError(f"{owner}.{field.name}: {error}") from error
