"""What ``help()`` shows of a public class: what a program uses of it, and what each of its fields is.

::

    @frozen(kw_only=True)
    class Limits(metaclass=Documented):
        connections: int = 1024
        \"\"\"Connections of one bus.\"\"\"

Without this, ``help(Limits)`` shows a dozen methods that attrs has made, and of a field only its name. As the metaclass
of enumerations does, this one has ``dir()`` of the class give what is worth showing, which ``help()``, pydoc and Sphinx
go by. The text below a field is not kept by Python; it is read from the source when somebody asks for it.

The law of this module: nothing is done before somebody looks, and instances are as they are without it.
"""

from __future__ import annotations

import inspect
from abc import ABCMeta
from functools import cache
from itertools import pairwise
from typing import Any, Final

_SPOKEN: Final = frozenset(["__aenter__", "__aexit__", "__aiter__", "__anext__"])
"""Special methods that a program calls by ``async with`` and ``async for``."""


class Documented(type):
    """The metaclass of public classes.

    A class may name methods that are for the rest of t2bus and not for programs, in ``_for_the_house``.
    """

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Documented:
        """Make a class whose slots, if it has some, have texts."""
        slots = namespace.get("__slots__")
        if not isinstance(slots, tuple):
            return super().__new__(cls, name, bases, namespace, **options)
        texts = namespace["__slots__"] = FieldTexts(dict.fromkeys(slots))
        made = texts.owner = super().__new__(cls, name, bases, namespace, **options)
        return made

    def __dir__(cls) -> list[str]:
        """List what a program uses of the class: nothing that attrs made, or that a number or a tuple has."""
        hidden = getattr(cls, "_for_the_house", ())
        bases = [base for base in cls.__mro__ if base.__module__ != "builtins"]
        names = {name for base in bases for name in vars(base) if name in _SPOKEN or not name.startswith("__")}
        return sorted(names.difference(hidden))

    @property
    def __signature__(cls) -> inspect.Signature | None:
        """An empty one for a class that programs do not make instances of: some of its fields are private."""
        fields = getattr(cls, "__attrs_attrs__", ())
        return inspect.Signature() if any(field.init and field.name.startswith("_") for field in fields) else None


class DocumentedAbstract(Documented, ABCMeta):
    """The same for a class with abstract bases, as all resources and channels have."""


class FieldTexts(dict[str, str | None]):
    """The slots of a class, each with the text below it in the source: where ``help()`` looks for it."""

    owner: type

    def __getitem__(self, name: str) -> str | None:
        return _texts(self.owner).get(name)


@cache
def _texts(owner: type) -> dict[str, str]:
    """Read the texts below the fields of a class; none where there is no source."""
    import ast  # noqa: PLC0415 -- for those who look

    try:
        body = ast.parse(inspect.getsource(owner)).body[0]
    except (OSError, SyntaxError, TypeError):
        return {}
    assert isinstance(body, ast.ClassDef)
    texts = {}
    for field, text in pairwise(body.body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as said)):
                texts[name] = inspect.cleandoc(said)
    return texts
