"""The grammar of the command line. It imports what the standard library has, so that ``--help`` is instant."""

from __future__ import annotations

import argparse
import contextlib
import math
import re
import sys
from itertools import islice
from typing import Any, Final, NoReturn

from ..errors import InvalidTopic
from ..topic import is_concrete, validate
from .console import printable
from .exits import Exit

__all__ = ["make_parser"]

_DESCRIPTION: Final = """\
A message bus: publish/subscribe and request/response between programs.

Topics are full ones, prefix included; `*` stands for one fragment and `**` for any number of them. A VALUE is sent as
the JSON that it is, or else as text. What arrives is shown in CBOR's diagnostic notation, which is JSON wherever JSON
can say it; `malformed` stands before bytes that are not CBOR.
"""

_EPILOG: Final = """\
exit codes: 0 done, 1 error, 2 wrong usage (also an invalid topic, address or VALUE), 3 no bus can be reached, 4 nobody
serves the topic, 5 no answer in time; 128 + n when signal n stopped it before it was done.
"""

_ADDRESS: Final = "unix:PATH or tcp:HOST:PORT"
_SHOWN: Final = 80
"""Characters that the text of an error quotes."""

_OPTION: Final = re.compile(r"-[^0-9.]")


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(Exit.USAGE, f"t2bus: {printable(message)}; see `{self.prog} --help`\n")


class _Verb(_Parser):
    """Takes options before, between and behind the other arguments."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # argparse alone takes an optional argument for absent where an option stands before it: of `pub a --text 1` it
        # would not know what the 1 is.
        parsed, unknown = super().parse_known_args(self._options_first(args), namespace)
        if getattr(parsed, "echo", False) and parsed.value is not None:
            self.error("argument VALUE: not allowed with --echo")
        return parsed, unknown

    def _options_first(self, args: list[str]) -> list[str]:
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
        return [*options, "--", *others]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; what it parses has a ``verb`` and that verb's arguments."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="t2bus", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=raw)
    # Nothing inside the package imports it by name; and importlib.metadata would need an installed one.
    package = sys.modules[__name__.partition(".")[0]]
    parser.add_argument("--version", action="version", version=f"t2bus {package.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Verb)
    _add_serve(verbs)
    _add_sub(verbs)
    _add_pub(verbs)
    _add_request(verbs)
    _add_reply(verbs)
    return parser


def _add_verb(verbs: argparse._SubParsersAction[_Verb], name: str, summary: str, more: str, example: str) -> _Verb:
    description = f"{summary[0].upper()}{summary[1:]}. {more}"
    return verbs.add_parser(name, help=summary, description=description, epilog=f"example: t2bus {name} {example}")


def _add_serve(verbs: argparse._SubParsersAction[_Verb]) -> None:
    more = "The first signal shuts it down in an orderly way within 5 s (exit code 0), a second one at once (128 + n)."
    verb = _add_verb(verbs, "serve", "run a bus until SIGINT or SIGTERM", more, "unix:my_bus tcp:127.0.0.1:4242")
    where = f"where to listen, {_ADDRESS}; by default a unix socket that only this user can reach"
    verb.add_argument("addresses", nargs="*", metavar="ADDR", help=where)
    log = "log how connections are lost; -vv for all there is"
    verb.add_argument("-v", "--verbose", action="count", default=0, help=log)


def _add_sub(verbs: argparse._SubParsersAction[_Verb]) -> None:
    more = "Each message is one line: its topic, a tab, its payload. Ends with SIGINT or SIGTERM (exit code 0)."
    verb = _add_verb(verbs, "sub", "print what is published to a topic", more, "'hello/**'")
    verb.add_argument("topic", type=_topic, metavar="TOPIC", help="what to subscribe to; may have wildcards")
    _add_printing(verb, "messages")
    _add_addr(verb)


def _add_pub(verbs: argparse._SubParsersAction[_Verb]) -> None:
    example = """hello/alice '{"text": "Hello Alice"}'"""
    more = "Without a VALUE it publishes each line of standard input, at the pace of its subscribers."
    verb = _add_verb(verbs, "pub", "publish a message to a topic", more, example)
    verb.add_argument("topic", type=_topic, metavar="TOPIC", help="what to publish to; may have wildcards")
    _add_value(verb, "the message; '-' or none for the lines of standard input")
    _add_headers(verb)
    _add_addr(verb)


def _add_request(verbs: argparse._SubParsersAction[_Verb]) -> None:
    example = """hello '{"name": "Alice"}' --timeout 2"""
    more = "What is printed is the payload of the response."
    verb = _add_verb(verbs, "request", "send a request and print its response", more, example)
    verb.add_argument("topic", type=_concrete_topic, metavar="TOPIC", help="the service, without wildcards")
    _add_value(verb, "the request; '-' for all of standard input; by default {}")
    patience = "how long the command may take; by default as long as the service and the bus let it wait"
    verb.add_argument("--timeout", type=_seconds, default=math.inf, metavar="SECONDS", help=patience)
    _add_headers(verb)
    _add_addr(verb)


def _add_reply(verbs: argparse._SubParsersAction[_Verb]) -> None:
    example = """hello '{"text": "Hello"}'"""
    more = "They are printed as `t2bus sub` prints messages. Ends with SIGINT or SIGTERM (exit code 0)."
    verb = _add_verb(verbs, "reply", "answer the requests to a topic, and print them", more, example)
    verb.add_argument("topic", type=_concrete_topic, metavar="TOPIC", help="the service, without wildcards")
    _add_value(verb, "the response; '-' for all of standard input; by default null")
    verb.add_argument("--echo", action="store_true", help="answer each request with its own payload")
    _add_printing(verb, "requests")
    _add_addr(verb)


def _add_value(verb: _Verb, text: str) -> None:
    verb.add_argument("value", nargs="?", type=_text, metavar="VALUE", help=text)
    verb.add_argument("--text", action="store_true", help="send VALUE as text, also if it is JSON")


def _add_printing(verb: _Verb, what: str) -> None:
    verb.add_argument(
        "-n", type=_count, default=math.inf, dest="count", metavar="COUNT", help=f"end after COUNT {what}"
    )
    verb.add_argument("--headers", action="store_true", help="print headers too, after another tab")


def _add_headers(verb: _Verb) -> None:
    text = "a header to send with it; may be given several times"
    verb.add_argument("--header", action="append", type=_header, default=[], metavar="K=V", help=text)


def _add_addr(verb: _Verb) -> None:
    text = f"where the bus is, {_ADDRESS}; by default where `t2bus serve` is"
    verb.add_argument("--addr", metavar="ADDR", help=text)


# --- types: what argparse shows of an ArgumentTypeError is its text


def _text(argument: str) -> str:
    try:
        argument.encode()
    except UnicodeEncodeError as error:  # bytes that are no text came in as lone surrogates
        raise argparse.ArgumentTypeError(
            f"{argument[:_SHOWN]!r} is not text in the encoding of this terminal"
        ) from error
    return argument


def _topic(argument: str) -> str:
    # A topic is as long and as deep as the bus says it may be, not as the defaults say.
    try:
        return validate(argument, length=sys.maxsize, depth=sys.maxsize)
    except InvalidTopic as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _concrete_topic(argument: str) -> str:
    if is_concrete(_topic(argument)):
        return argument
    raise argparse.ArgumentTypeError(f"{argument[:_SHOWN]!r} has a wildcard: name the one topic of the service")


def _header(argument: str) -> tuple[str, str]:
    key, separator, value = _text(argument).partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{argument[:_SHOWN]!r} has no '=': write KEY=VALUE")
    return key, value


def _count(argument: str) -> int:
    with contextlib.suppress(ValueError):
        if (count := int(argument)) > 0:
            return count
    raise argparse.ArgumentTypeError(f"{argument[:_SHOWN]!r} is not a whole number above 0")


def _seconds(argument: str) -> float:
    with contextlib.suppress(ValueError):
        if (seconds := float(argument)) > 0:
            return seconds
    raise argparse.ArgumentTypeError(f"{argument[:_SHOWN]!r} is not a number of seconds above 0")
