"""Typed messages: their prefixes, their response types, and attrs classes as CBOR and back, exact in both directions.

:mod:`.declaration` has the bases of a program's classes, :mod:`.payload` keeps the bounds and words the errors,
:mod:`.compiler` reads annotations, :mod:`.variants` tells the members of a union by name, :mod:`.records` converts
attrs classes, :mod:`.classes` knows their fields, :mod:`.scalars` has the types without parts, :mod:`.adapters` those
with parts. Each imports only from those after it, which ``lint-imports`` checks.
"""

from .declaration import PublishProtocol, RequestProtocol, Struct, full_topic, prefix_of, response_type
from .payload import decode, decode_any, encode, encode_as

__all__ = [
    "PublishProtocol",
    "RequestProtocol",
    "Struct",
    "decode",
    "decode_any",
    "encode",
    "encode_as",
    "full_topic",
    "prefix_of",
    "response_type",
]
