"""What the verbs of the command line are made of: parsers that report in one line, and the types of arguments.

::

    verb = add_verb(verbs, "sub", "print what is published to a topic", "Each message is one line.", "'hello/**'")
    verb.add_argument("topic", type=topic, metavar="TOPIC")

    $ t2bus sub Hello
    t2bus: argument TOPIC: fragment 1 of topic 'Hello' has 'H' in it: use a-z, 0-9 and _ only; see `t2bus sub --help`

A type returns what the verb works with, or raises ``ArgumentTypeError``; argparse shows its text after the name of the
argument.

The law of this module: it imports nothing that needs more than the standard library, so that ``--help`` is instant.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..errors import InvalidTopic
from ..text import printable, quote
from ..topic import is_concrete, validate
from .exits import Exit

_PEER: Final = re.compile(r"[ug]id:[0-9]{1,10}")
"""As in ``transport/credentials.py``, which imports attrs."""

_OPTION: Final = re.compile(r"-[^0-9.]")
"""How an option begins; ``-5`` and ``-.5`` are values, and so is ``-`` alone."""


class Parser(argparse.ArgumentParser):
    """Reports an error in one line. Options are not abbreviated: a new one could change what an abbreviation means."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Report wrong usage and exit."""
        self.exit(Exit.USAGE, f"t2bus: {printable(message)}; see `{self.prog} --help`\n")


class VerbParser(Parser):
    """Takes options before, between and behind the other arguments: ``pub --text a 1`` is ``pub a 1 --text``."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse with the options in front.

        Of ``pub a --text 1`` argparse alone would not know what the 1 is: it takes an optional argument such as VALUE
        for absent where an option stands before it.
        """
        parsed, unknown = super().parse_known_args(self._options_first(args), namespace)
        if getattr(parsed, "echo", False) and parsed.value is not None:
            self.error("argument VALUE: not allowed with --echo")
        return parsed, unknown

    def _options_first(self, args: list[str]) -> list[str]:
        """Return the words with each option and its value in front, then ``--``, then the others in their order."""
        if self._subparsers is not None:  # a group: its verbs take their own options
            return args
        options: list[str] = []
        others: list[str] = []
        rest = iter(args)
        for arg in rest:
            if arg == "--":
                others.extend(rest)
            elif _OPTION.match(arg):
                options.append(arg)
                action = self._option_string_actions.get(arg)
                if action is not None and action.nargs is None:  # it has a value of its own
                    options.extend(islice(rest, 1))
            else:
                others.append(arg)
        if not self._get_positional_actions():  # argparse would take the dashes for a word too many
            return [*options, *others]
        return [*options, "--", *others]


if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[VerbParser]  # noqa: SLF001 -- argparse gives this class no public name


def add_verb(verbs: Verbs, name: str, summary: str, more: str, example: str) -> VerbParser:
    """Add a verb, and return the parser that its arguments are added to.

    ``summary`` is what the list of verbs says of it, without a full stop; ``more`` follows it in the verb's own help,
    in whole sentences; ``example`` has the arguments of a command that works.
    """
    description = f"{summary[0].upper()}{summary[1:]}. {more}"
    program = verbs._prog_prefix  # noqa: SLF001 -- argparse gives it no other way
    return verbs.add_parser(name, help=summary, description=description, epilog=f"example: {program} {name} {example}")


def add_group(verbs: Verbs, name: str, summary: str, more: str) -> Verbs:
    """Add a verb that only has verbs of its own, as ``t2bus access check``; the second is in ``arguments.action``."""
    group = verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {more}")
    return group.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=VerbParser)


# --- types: what argparse shows of an ArgumentTypeError is its text


def plain(argument: str) -> str:
    r"""Return the argument without what Windows adds to text: a byte order mark, and a CR at the end of a line.

    A shell takes the line's end from ``$(cat value.json)`` and leaves the CR::

        >>> plain("\ufeffa\r\nb\r")
        'a\nb'

    """
    return argument.removeprefix("\ufeff").replace("\r\n", "\n").removesuffix("\r")


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
    # How long and how deep a topic may be is for the bus to say, whose limits may have been raised.
    try:
        return validate(plain(argument), length=sys.maxsize, depth=sys.maxsize)
    except InvalidTopic as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def concrete_topic(argument: str) -> str:
    """Return the argument if it is a topic without wildcards."""
    if is_concrete(argument := topic(argument)):
        return argument
    raise argparse.ArgumentTypeError(f"{quote(argument)} has a wildcard: name the one topic of the service")


def header(argument: str) -> tuple[str, str]:
    """Return the key and the value of ``KEY=VALUE``."""
    key, separator, value = text(argument).partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{quote(argument)} has no '=': write KEY=VALUE")
    return key, value


def count(argument: str) -> int:
    """Return the argument as a whole number above 0."""
    with contextlib.suppress(ValueError):
        if (count := int(argument)) > 0:
            return count
    raise argparse.ArgumentTypeError(f"{quote(argument)} is not a whole number above 0")


def peer(argument: str) -> str:
    """Return the argument if it is a peer of a unix socket, ``uid:N`` or ``gid:N``."""
    if _PEER.fullmatch(argument):
        return argument
    raise argparse.ArgumentTypeError(f"{quote(argument)} is no peer of a unix socket: write uid:N or gid:N")


def seconds(argument: str) -> float:
    """Return the argument as seconds above 0, which may be a fraction or ``inf``."""
    with contextlib.suppress(ValueError):
        if (seconds := float(argument)) > 0:
            return seconds
    raise argparse.ArgumentTypeError(f"{quote(argument)} is not a number of seconds above 0")
