"""Docstrings of classes and of their fields, as their program has written them.

::

    @frozen
    class Reading:
        '''What an oven measures.'''       doc_of(Reading)            "What an oven measures."
        celsius: float                     docs_of_fields(Reading)    {"celsius": "Of the plate."}
        '''Of the plate.'''

The law of this module: it never fails. Where there is no source, as in a shell, fields have no docstrings.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any, get_origin


def doc_of(type_: Any) -> str:
    """Return the docstring that a class has of its own, or ``""``; that of a base says nothing about it."""
    doc = vars(get_origin(type_) or type_).get("__doc__")
    return inspect.cleandoc(doc) if isinstance(doc, str) else ""


def docs_of_fields(type_: Any) -> dict[str, str]:
    """Return the text in quotes below each field of a class, and of its bases, that has one."""
    found: dict[str, str] = {}
    for cls in reversed((get_origin(type_) or type_).__mro__):
        if "__attrs_attrs__" in vars(cls):
            found |= _in_body(cls)
    return found


def _in_body(cls: type) -> dict[str, str]:
    try:
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return {}
    if not isinstance(definition, ast.ClassDef):
        return {}
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found
