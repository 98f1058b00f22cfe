"""Remedies: what to do about a type that cannot travel.

::

    a class of the program's own     decorate it with @attrs.frozen
    Sequence[int]                    write list or tuple
    numpy.ndarray, complex           say how it travels, with t2bus.register_scalar

The law of this module: it advises nothing that cannot be done. A class of a library cannot be decorated, and one that
derives from ``tuple`` should not be.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, abc, defaultdict, deque
from typing import Any, Final, Generic, get_origin, is_typeddict

from .classes import is_class

_INSTEAD: Final[dict[Any, str]] = {
    **dict.fromkeys((abc.Sequence, abc.Iterable, abc.Collection, abc.Iterator), "list or tuple"),
    **dict.fromkeys((abc.MutableSequence, deque), "list"),
    **dict.fromkeys((abc.Mapping, abc.MutableMapping, OrderedDict, defaultdict), "dict"),
    abc.Set: "set or frozenset",
    abc.MutableSet: "set",
    **dict.fromkeys((bytearray, memoryview), "bytes"),
}


def remedy(type_: Any, root: Any) -> str:
    """Return what to say behind the name of a type that cannot travel, if there is something.

    ``root`` is the class that asks for it: a class of the same package is the program's own.
    """
    origin = get_origin(type_) or type_
    if origin in _INSTEAD:
        return f": write {_INSTEAD[origin]}, which says what to build"
    if is_typeddict(origin) or getattr(origin, "_is_protocol", False):
        return ": write an attrs class in its place"
    if not isinstance(origin, type) or origin is type or origin.__module__ in ("collections.abc", "typing"):
        return ""
    if all(base in (object, Generic) or is_class(base) or _is_own(base, root) for base in origin.__mro__):
        return ": decorate it with @attrs.frozen"
    return f": say how this class of {origin.__module__} travels, with t2bus.register_scalar"


def _is_own(cls: type, root: Any) -> bool:
    """Whether a class is of the program's own code, or a base of t2bus."""
    package, _, _ = cls.__module__.partition(".")
    own, _, _ = getattr(get_origin(root) or root, "__module__", package).partition(".")
    return package in (own, "t2bus") and package not in sys.stdlib_module_names
