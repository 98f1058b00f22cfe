"""Payloads: typed messages as CBOR bytes, and back.

:mod:`.codec` bounds and words it, :mod:`.compiler` reads annotations, :mod:`.classes` knows attrs classes and
:mod:`.forms` what all types are made of. Arrows point from left to right.
"""

from .codec import DEPTH, decode, decode_any, encode, encode_as, prepare
from .forms import name_of

__all__ = ["DEPTH", "decode", "decode_any", "encode", "encode_as", "name_of", "prepare"]
