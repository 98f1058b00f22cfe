"""Payloads: typed messages as CBOR bytes, and back.

:mod:`.codec` keeps the bounds and words the errors, :mod:`.compiler` reads annotations, :mod:`.variants` tells the
members of a union by name, :mod:`.classes` knows attrs classes, :mod:`.leaves` what has no parts, :mod:`.forms` how
parts are put together. Each imports from those after it.
"""

from .classes import Shape, check_shape, shape_of
from .codec import DEPTH, decode, decode_any, encode, encode_as, prepare
from .forms import name_of

__all__ = [
    "DEPTH",
    "Shape",
    "check_shape",
    "decode",
    "decode_any",
    "encode",
    "encode_as",
    "name_of",
    "prepare",
    "shape_of",
]
