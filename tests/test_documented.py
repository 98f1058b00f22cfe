"""The metaclass of public classes: what it changes of a class for who looks, and that it changes nothing else."""

from __future__ import annotations

import copy
import inspect
import pickle
import pydoc
import weakref
from typing import TYPE_CHECKING, ClassVar

import pytest
import trio
from attrs import define, field, frozen

from t2bus.background import Resource
from t2bus.documented import Documented

if TYPE_CHECKING:
    from collections.abc import Callable


@frozen
class Oven(metaclass=Documented):
    """An oven."""

    number: int
    """Its number."""
    name: str = "oven"
    place: str = "lab"
    """Where it is,

    and whose.
    """


@frozen
class Kiln(Oven):
    """An oven for pots."""

    celsius: float = 900.0
    """How hot."""


@define(eq=False, slots=False)
class Handle(metaclass=Documented):
    """What t2bus gives."""

    _hidden: int
    shown: int = field(default=0, init=False)
    _for_the_house: ClassVar = ("inner",)

    def inner(self) -> None:
        """Do what nobody else does."""

    def outer(self) -> None:
        """Do what programs want."""


def text_of(cls: type, name: str) -> str | None:
    return pydoc.getdoc(inspect.getattr_static(cls, name)) or None


class TestWhatIsShown:
    """What ``help()`` goes by."""

    @pytest.mark.parametrize(
        ("cls", "name", "text"),
        [
            (Oven, "number", "Its number."),
            (Oven, "name", None),
            (Oven, "place", "Where it is,\n\nand whose."),
            (Kiln, "celsius", "How hot."),
            (Kiln, "number", None),
        ],
    )
    def test_fields_have_the_text_below_them(self, cls: type, name: str, text: str | None) -> None:
        """A field has the text below it, one without a text has none, and one that is inherited is its base's."""
        assert (text_of(cls, name) if name in vars(cls) else None) == text

    def test_without_source_there_are_no_texts(self) -> None:
        """A class whose source is not there has fields without texts."""
        namespace: dict[str, type] = {"Documented": Documented}
        exec("class Bare(metaclass=Documented):\n    __slots__ = ('number',)", namespace)
        assert text_of(namespace["Bare"], "number") is None

    def test_what_attrs_made_is_left_out(self) -> None:
        """Of a class its fields and its own methods are listed, and nothing that attrs made."""
        assert [name for name in dir(Kiln) if not name.startswith("_")] == ["celsius", "name", "number", "place"]
        assert [name for name in dir(Kiln) if name.startswith("__")] == []

    def test_what_is_for_the_house_is_left_out(self) -> None:
        """Methods that the class names as such are not listed."""
        assert "outer" in dir(Handle)
        assert "inner" not in dir(Handle)

    def test_what_async_with_calls_is_listed(self) -> None:
        """Special methods that a program calls by a statement are listed."""

        class Thing(Resource):
            async def aclose(self) -> None:
                """Close."""
                await trio.lowlevel.checkpoint()

        assert {"__aenter__", "__aexit__", "aclose"} <= set(dir(Thing))

    def test_the_arguments_of_a_class_that_is_given_are_none(self) -> None:
        """A class with a private argument is made by t2bus alone, and shows none."""
        assert (str(inspect.signature(Handle)), [*inspect.signature(Kiln).parameters]) == (
            "()",
            ["number", "name", "place", "celsius"],
        )


class TestWhatIsNotChanged:
    """That instances are as they are without it."""

    @pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda oven: pickle.loads(pickle.dumps(oven))])
    def test_instances_are_copied(self, again: Callable[[Kiln], Kiln]) -> None:
        """An instance can be copied and pickled."""
        assert again(Kiln(3)) == Kiln(3)

    def test_instances_have_slots(self) -> None:
        """An instance has slots and no dictionary, and can be referred to weakly."""
        oven = Kiln(3)
        assert not hasattr(oven, "__dict__")
        assert weakref.ref(oven)() is oven

    def test_instances_list_all_that_they_have(self) -> None:
        """What is left out of the class is listed of an instance."""
        assert {"inner", "outer", "__eq__"} <= set(dir(Handle(1)))
