"""What the verbs of the command line are made of: parsers that report in one line, and the types of arguments.

::

    verb = add_verb(verbs, "sub", "print what is published to a topic", "Each message is one line.", "'hello/**'")
    verb.add_argument("topic", type=topic, metavar="TOPIC")

    $ t2bus sub Hello
    t2bus: argument TOPIC: fragment 1 of topic 'Hello' has 'H' in it: use a-z, 0-9 and _ only; see `t2bus sub --help`

A type returns what the verb works with, or raises ``ArgumentTypeError``; argparse shows its text after the name of the
argument.

The law of this module: it imports nothing that needs more than the standard library, so that ``--help`` is instant, and
what ``--help`` does not need is imported inside of functions.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import sys
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..program.environment import from_environment, variable
from ..program.options import add_client_options, plain
from ..text import printable, quote
from .console import unwritable, write_all
from .exits import Exit

_OPTION: Final = re.compile(r"-[^0-9.]")
"""How an option begins; ``-5`` and ``-.5`` are values, and so is ``-`` alone. ``-0`` is one where a verb has it."""


class Parser(argparse.ArgumentParser):
    """Reports an error in one line. Options are not abbreviated: a new one could change what an abbreviation means."""

    def __init__(self, **options: Any) -> None:
        # Else argparse asks for the width again with each argument that is added.
        width = shutil.get_terminal_size().columns - 2
        formatter = partial(options.pop("formatter_class", argparse.HelpFormatter), width=width)
        super().__init__(allow_abbrev=False, formatter_class=formatter, **options)

    def error(self, message: str) -> NoReturn:
        """Report wrong usage and exit."""
        self.exit(Exit.USAGE, f"t2bus: {printable(message)}; see `{self.prog} --help`\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a verb that there is not, with the one that was probably meant."""
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:  # noqa: SLF001 -- as below
            from difflib import get_close_matches

            if near := get_close_matches(value, action.choices, 1):
                raise argparse.ArgumentError(action, f"there is no {quote(value)}: did you mean {near[0]}?")
        super()._check_value(action, value)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print what ``--help`` and ``--version`` ask for; argparse would not say that it cannot be written."""
        if file is None or file is not sys.stdout:
            super()._print_message(message, file)
            return
        try:
            write_all(file, message)
        except BrokenPipeError:  # the reader has had enough, as `| head` does
            pass
        except OSError as error:
            self.exit(Exit.ERROR, f"t2bus: {unwritable(error)}\n")


class VerbParser(Parser):
    """Takes options before, between and behind the other arguments: ``pub --text a 1`` is ``pub a 1 --text``.

    An option that is not given is looked up in the environment, as ``T2BUS_TEXT``.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse with the options in front.

        Of ``pub a --text 1`` argparse alone would not know what the 1 is: it takes an optional argument such as VALUE
        for absent where an option stands before it.
        """
        if self._subparsers is not None:  # a group: its verbs take their own options
            return super().parse_known_args(args, namespace)
        options, others = self._sorted(args)
        # Where no word may stand, argparse would take the dashes for one too many.
        words = [*options, "--", *others] if others and self._get_positional_actions() else [*options, *others]
        parsed, unknown = super().parse_known_args(words, namespace)
        if unknown:  # said here, where the help of the verb is named
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        self._add_environment(parsed, self._given(options))
        if getattr(parsed, "echo", False) and parsed.value is not None:
            self.error("argument VALUE: not allowed with --echo")
        return parsed, unknown

    def _sorted(self, args: list[str]) -> tuple[list[str], list[str]]:
        """Return the options, each with its value behind it, and the other words, both in their order."""
        options: list[str] = []
        others: list[str] = []
        rest = iter(args)
        for arg in rest:
            if arg == "--":
                others.extend(rest)
            elif (action := self._option_string_actions.get(arg)) is not None or _OPTION.match(arg):
                options.append(arg)
                if action is not None and action.nargs is None:  # it has a value of its own
                    options[-1:] = _with_value(arg, list(islice(rest, 1)))
            else:
                others.append(arg)
        return options, others

    def _given(self, options: list[str]) -> set[argparse.Action]:
        """Return the options that are among these words; ``--text`` stands for ``--strict`` too, which it excludes."""
        given = {action for option in options for action in self._named(option)}
        groups = [set(group._group_actions) for group in self._mutually_exclusive_groups]  # noqa: SLF001 -- no other way
        return given.union(*(group for group in groups if group & given))

    def _named(self, word: str) -> Iterator[argparse.Action]:
        """Yield what options a word gives: ``--count=5`` is one, ``-vn5`` are two, and a value is none."""
        if word.startswith("--"):
            words = [word.partition("=")[0]]
        else:
            words = [f"-{letter}" for letter in word[1:]] if word.startswith("-") else []
        for name in words:
            if (action := self._option_string_actions.get(name)) is None:
                return
            yield action
            if action.nargs is None:  # what follows is its value
                return

    def _add_environment(self, parsed: argparse.Namespace, given: set[argparse.Action]) -> None:
        """Set what the environment says of the options that are not given, and remember its variables for errors."""
        parsed.variables = []
        try:
            for action in self._actions:
                if action not in given:
                    for value in from_environment(action, os.environ):
                        setattr(parsed, action.dest, value)
                        parsed.variables.append(variable(action))
        except argparse.ArgumentTypeError as error:
            self.error(str(error))


def _with_value(option: str, value: list[str]) -> list[str]:
    """Return an option and its value, if it has one, as words that argparse takes for them.

    A negative number stands in the word of the option: where a verb has ``-0``, argparse takes ``-1`` for options too.
    """
    if value and value[0].startswith("-") and len(value[0]) > 1 and not _OPTION.match(value[0]):
        return [f"{option}{'=' if option.startswith('--') else ''}{value[0]}"]
    return [option, *value]


if TYPE_CHECKING:
    from collections.abc import Iterator

    Verbs = argparse._SubParsersAction[VerbParser]  # noqa: SLF001 -- argparse gives this class no public name


def add_verb(verbs: Verbs, name: str, summary: str, more: str, example: str) -> VerbParser:
    """Add a verb, and return the parser that its arguments are added to.

    ``summary`` is what the list of verbs says of it, without a full stop; ``more`` follows it in the verb's own help,
    in whole sentences; ``example`` has the arguments of a command that works.
    """
    description = f"{summary[0].upper()}{summary[1:]}. {more}"
    program = verbs._prog_prefix  # noqa: SLF001 -- argparse gives it no other way
    epilog = f"example: {program} {name} {example}".rstrip()
    return verbs.add_parser(name, help=summary, description=description, epilog=epilog)


def add_group(verbs: Verbs, name: str, summary: str, more: str) -> Verbs:
    """Add a verb that only has verbs of its own, as ``t2bus access check``; the second is in ``arguments.action``."""
    group = verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {more}")
    return group.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=VerbParser)


def add_client(verb: VerbParser) -> None:
    """Add what all verbs that are clients take: where the bus is, whom to trust there, and how to report errors."""
    add_client_options(verb)
    text = "show where an error comes from"
    verb.add_argument("-v", "--verbose", action="store_true", dest="traceback", help=text)


# --- types: what argparse shows of an ArgumentTypeError is its text


def text(argument: str) -> str:
    """Return the argument, made :func:`plain`, if it can be sent as text."""
    argument = plain(argument)
    try:
        argument.encode()
    except UnicodeEncodeError as error:  # Python makes lone surrogates of bytes that are not text
        raise argparse.ArgumentTypeError(f"{quote(argument)} is not text in the encoding of this terminal") from error
    return argument


def topic(argument: str) -> str:
    """Return the argument if it is a topic; it may have wildcards."""
    from ..topic import InvalidTopic, validate

    # How long and how deep a topic may be is for the bus to say, whose limits may have been raised.
    try:
        return validate(plain(argument), length=sys.maxsize, depth=sys.maxsize)
    except InvalidTopic as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def concrete_topic(argument: str) -> str:
    """Return the argument if it is a topic without wildcards."""
    from ..topic import is_concrete

    if is_concrete(argument := topic(argument)):
        return argument
    raise argparse.ArgumentTypeError(f"{quote(argument)} has a wildcard: name the one topic of the service")


def server(argument: str) -> str:
    """Return the argument if a server may be called so, or have it as its node."""
    if argument := text(argument):
        return argument
    raise argparse.ArgumentTypeError("a server has a name: give that, or its node")


def header(argument: str) -> tuple[str, str]:
    """Return the key and the value of ``KEY=VALUE``."""
    key, separator, value = text(argument).partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{quote(argument)} has no '=': write KEY=VALUE")
    if not key:
        raise argparse.ArgumentTypeError(f"{quote(argument)} has no key: write KEY=VALUE")
    return key, value


def count(argument: str) -> int:
    """Return the argument as a whole number above 0."""
    with contextlib.suppress(ValueError):
        if (count := int(argument)) > 0:
            return count
    raise argparse.ArgumentTypeError(f"{quote(argument)} is not a whole number above 0")


def descriptor(argument: str) -> int:
    """Return the argument as the number of an open file; whether there is one is not looked at."""
    if argument.isascii() and argument.isdigit():
        return int(argument)
    raise argparse.ArgumentTypeError(f"{quote(argument)} is not the number of an open file: write it as in 3>ready")


def seconds(argument: str) -> float:
    """Return the argument as seconds above 0, which may be a fraction or ``inf``."""
    with contextlib.suppress(ValueError):
        if (seconds := float(argument)) > 0:
            return seconds
    raise argparse.ArgumentTypeError(f"{quote(argument)} is not a number of seconds above 0")
