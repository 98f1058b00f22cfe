"""Options that are given in the environment: ``--timeout 2`` is also ``T2BUS_TIMEOUT=2``.

::

    >>> parser = argparse.ArgumentParser()
    >>> option = parser.add_argument("--dry-run", action="store_true")
    >>> variable(option), from_environment(option, {"T2BUS_DRY_RUN": "yes"})
    ('T2BUS_DRY_RUN', [True])

This is worked out from the option itself, so no list of variables has to be kept. A variable that is empty counts as
not set. The words of an option that may be given several times are separated by spaces, and quoted as in a shell.

The law of this module: a value from the environment is read as the one on the command line is, or refused with the name
of its variable. Standard library only.
"""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any, Final

from ..text import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX: Final = "T2BUS_"
_FLAGS: Final = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}


def variable(option: argparse.Action) -> str:
    """Return the name of an option's variable, made of its long name, or of its destination if it has only a letter."""
    long = next((name for name in option.option_strings if name.startswith("--")), option.dest)
    return _PREFIX + long.removeprefix("--").replace("-", "_").upper()


def from_environment(option: argparse.Action, environment: Mapping[str, str]) -> list[Any]:
    """Return what the environment says of an option, in a list; an empty one if it says nothing.

    Raises:
      ArgumentTypeError: the value is wrong; the text begins with the name of the variable.

    """
    name = variable(option)
    text = environment.get(name)
    if not text or not option.option_strings or option.default is argparse.SUPPRESS:  # as --help and --version have
        return []
    try:
        return [_read(option, text)]
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{name}: {error}") from error


def _read(option: argparse.Action, text: str) -> Any:
    """Read a value as the option does, by what kind of option it is."""
    if option.nargs == 0:
        return _flag(option, text)
    if isinstance(option.default, list):  # it may be given several times
        return [_checked(option, word) for word in shlex.split(text)]
    return _checked(option, text)


def _flag(option: argparse.Action, text: str) -> Any:
    """Read a flag; one that is counted, as ``-vv`` is, may be a number too."""
    is_counted = option.const is None
    if is_counted and text.isascii() and text.isdigit():
        return int(text)
    if (is_on := _FLAGS.get(text.lower())) is None:
        raise ValueError(f"{quote(text)} is neither 1, yes or true nor 0, no or false")
    if is_counted:
        return int(is_on)
    return option.const if is_on else option.default


def _checked(option: argparse.Action, text: str) -> Any:
    """Read one value with the type of the option, and look it up in its choices."""
    kind = option.type or str
    assert callable(kind)
    value = kind(text)
    if option.choices is not None and value not in option.choices:
        raise ValueError(f"{quote(text)} is none of {', '.join(map(str, option.choices))}")
    return value
