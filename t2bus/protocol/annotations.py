"""Annotations: which types they stand for, once their names are found and their type variables are filled.

For example, with ``class Page(Generic[T])`` and its fields ``items: list["T"]`` and ``next: Self | None``::

    of Page[int]    list[int] and Page[int] | None
    of Page         list[Any] and Page | None

The theory. An annotation stands in a :class:`Scope`. A name in it is one of the class body, of the class line, of the
function around the class, or of the module. Fields do not count: in ``date: date`` the second is the type. Type
variables stand for the arguments of the class; without arguments for their default, their bound, or ``Any``.

A name in quotes is an **alias** of what it names, and so is what ``type X = ...`` makes. Nobody looks at what an alias
stands for before that is needed. So it may be defined later, and may contain itself.

The law of this module: it knows names and type variables, and nothing of which types can travel.
"""

from __future__ import annotations

import inspect
import sys
from types import FrameType, ModuleType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, ForwardRef, Literal, Self, TypeVar, Union, get_args, get_origin

import attrs

from .adapters import name_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping  # noqa: TC004 -- nobody asks for the types of the fields of Scope

_LOCAL: Final = ".<locals>."
"""What stands in the qualified name of a class behind the function that it is defined in."""


@attrs.frozen
class Scope:
    """Where an annotation stands. Two are equal if every annotation stands for the same in both."""

    module: str
    owner: type | None = None
    variables: tuple[tuple[Any, Any], ...] = ()
    """What each type variable stands for, and ``Self``."""
    names: Mapping[str, Any] = attrs.field(factory=dict, eq=False)
    """Those of the function around the class."""

    def look_up(self, text: str) -> Any:
        """Return what an annotation in quotes names. Raises TypeError, which says where that was looked for."""
        try:
            return eval(text, vars(sys.modules[self.module]), self._locals())  # noqa: S307 -- annotations are code
        except NameError as error:
            raise TypeError(f"{error}; {self._remedy()}") from error
        except Exception as error:  # whatever the evaluation of an annotation raises
            raise TypeError(f"{text!r} is not found in {self.module}: {text_of(error)}") from error

    def _locals(self) -> dict[str, Any]:
        """Return the names that come before those of the module."""
        owner = self.owner
        if owner is None:
            return {}
        fields = {field.name for field in attrs.fields(owner)} if attrs.has(owner) else set()
        body = {name: value for name, value in vars(owner).items() if name not in fields and _is_named(value)}
        variables = {variable.__name__: variable for variable in getattr(owner, "__type_params__", ())}
        return {**self.names, owner.__name__: owner, **variables, **body}

    def _remedy(self) -> str:
        remedy = f"names are looked for in {self.module} when the program runs: define or import it there"
        if self.owner is not None and _LOCAL in self.owner.__qualname__:
            return f"{remedy}, or in the function before the protocol"
        return f"{remedy}, outside `if TYPE_CHECKING:`"


def _is_named(value: object) -> bool:
    """Whether a value in a class body may be meant by an annotation: methods, properties and slots are not."""
    return isinstance(value, type) or not hasattr(type(value), "__get__")


@attrs.frozen(repr=False)
class Reference:
    """An annotation in quotes, as an alias of what it names there."""

    text: str
    scope: Scope

    def __repr__(self) -> str:
        return self.text

    @property
    def __value__(self) -> Any:
        return resolve(self.scope.look_up(self.text), self.scope)


def resolve(hint: Any, scope: Scope) -> Any:
    """Return the type that an annotation stands for in its scope, with references for what is in quotes."""
    if isinstance(hint, ForwardRef):
        hint = hint.__forward_arg__
    if isinstance(hint, str):
        return Reference(hint, scope)
    if isinstance(hint, TypeVar) or hint is Self:
        return dict(scope.variables).get(hint, hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Annotated, Final):
        return resolve(arguments[0], scope)
    if not arguments or origin is Literal:
        return hint
    resolved = tuple(resolve(argument, scope) for argument in arguments)
    if all(new is old for new, old in zip(resolved, arguments, strict=True)):
        return hint
    return Union[resolved] if origin in (Union, UnionType) else origin[resolved]  # noqa: UP007 -- of a tuple


def look_up(hint: Any) -> Any:
    """Return what a resolved annotation names that is in quotes as a whole. Raises TypeError if that is not found."""
    return look_up(hint.__value__) if isinstance(hint, Reference) else hint


# --- aliases


def is_alias(type_: Any) -> bool:
    """Whether it is an alias, with or without arguments. Its value is not looked at: its names may come later."""
    origin = get_origin(type_) or type_
    return not isinstance(origin, type) and inspect.getattr_static(origin, "__value__", None) is not None


def value_of(alias: Any) -> Any:
    """Return the type that an alias stands for. Raises TypeError if a name in it is not found."""
    origin = get_origin(alias) or alias
    if isinstance(origin, Reference):
        return origin.__value__
    try:
        value = origin.__value__
    except Exception as error:  # whatever the evaluation of an annotation raises
        raise TypeError(f"the alias {name_of(alias)} is not found in {origin.__module__}: {text_of(error)}") from error
    variables = _filled(getattr(origin, "__type_params__", ()), get_args(alias), default_of)
    return resolve(value, Scope(origin.__module__, None, tuple(variables.items())))


# --- classes


def scopes_of(type_: Any, names: Mapping[str, Any], fill: Callable[[TypeVar], Any] | None = None) -> dict[type, Scope]:
    """Return the scope of the annotations of a class, and of those of each of its bases.

    ``names`` are those of the function around the class, if it has not kept them itself (:func:`names_around`);
    ``fill`` says what a type variable without an argument stands for.
    """
    found: dict[type, Scope] = {}

    def visit(base: Any, arguments: tuple[Any, ...]) -> None:
        owner = get_origin(base) or base
        if not isinstance(owner, type) or owner in found:
            return
        variables = _filled(getattr(owner, "__parameters__", ()), arguments, fill or default_of)
        own_names = vars(owner).get("_t2bus_names") or names
        found[owner] = scope = Scope(owner.__module__, owner, (*variables.items(), (Self, type_)), own_names)
        for parent in vars(owner).get("__orig_bases__", owner.__bases__):
            visit(parent, tuple(resolve(argument, scope) for argument in get_args(parent)))

    visit(type_, get_args(type_))
    return found


def _filled(parameters: Any, arguments: tuple[Any, ...], fill: Callable[[TypeVar], Any]) -> dict[Any, Any]:
    """Return what the type variables of a class or an alias stand for; others than of one type stand for nothing."""
    if not all(isinstance(parameter, TypeVar) for parameter in parameters):
        return {}
    given = dict(zip(parameters, arguments, strict=False))
    return {parameter: given[parameter] if parameter in given else fill(parameter) for parameter in parameters}


def default_of(variable: TypeVar) -> Any:
    """Return what a type variable stands for that has no argument, as type checkers take it."""
    value: Any = variable.__bound__ or Any
    if variable.__constraints__:
        value = Union[variable.__constraints__]  # noqa: UP007 -- of a tuple
    if has_default(variable):
        value = variable.__default__  # type: ignore[attr-defined] # of Python 3.13, and of typing_extensions
    return resolve(value, Scope(variable.__module__))


def has_default(variable: TypeVar) -> bool:
    """Whether a type variable was declared with a default."""
    return bool(getattr(variable, "has_default", bool)())


def variables_in(hint: Any) -> set[TypeVar]:
    """Return the type variables in an annotation."""
    if isinstance(hint, TypeVar):
        return {hint}
    return set().union(*map(variables_in, get_args(hint)))


def names_around(cls: type) -> dict[str, Any]:
    """Return what a function that defines a class has for annotations in it: its types, aliases and modules so far."""
    function, _, _ = cls.__qualname__.rpartition(_LOCAL)
    frame: FrameType | None = sys._getframe(1) if function else None  # noqa: SLF001 -- as inspect's own
    while frame is not None:
        if frame.f_code.co_qualname == function and frame.f_globals.get("__name__") == cls.__module__:
            return {name: value for name, value in frame.f_locals.items() if _is_type_like(value)}
        frame = frame.f_back
    return {}


def _is_type_like(value: object) -> bool:
    """Whether an annotation may name it. Other values of a function are not kept alive for its classes."""
    of_typing = type(value).__module__ in ("types", "typing", "typing_extensions")
    return isinstance(value, type | ModuleType) or of_typing
