"""Typed messages: their prefixes, their response types, and attrs classes as CBOR and back, exact in both directions.

:mod:`.declaration` has the bases of a program's classes, :mod:`.payload` keeps the bounds and words the errors,
:mod:`.compiler` makes an adapter of each type, :mod:`.variants` tells the members of a union by name, :mod:`.records`
converts attrs classes, :mod:`.remedies` knows what to do about types that cannot travel, :mod:`.standard` has the types
of the standard library, :mod:`.enums` its enums, :mod:`.classes` knows the fields of classes, :mod:`.scalars` has the
types without parts, :mod:`.annotations` finds what an annotation names, :mod:`.adapters` has the types with parts,
:mod:`.layouts` says of each adapter what it does. Each imports only from those after it, which ``lint-imports`` checks.
"""

from .adapters import name_of
from .compiler import register_scalar
from .declaration import PublishProtocol, RequestProtocol, Struct, full_topic, prefix_of, response_type
from .payload import decode, decode_all, decode_any, encode, encode_all, encode_as

__all__ = [
    "PublishProtocol",
    "RequestProtocol",
    "Struct",
    "decode",
    "decode_all",
    "decode_any",
    "encode",
    "encode_all",
    "encode_as",
    "full_topic",
    "name_of",
    "prefix_of",
    "register_scalar",
    "response_type",
]
