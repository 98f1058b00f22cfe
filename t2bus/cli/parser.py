"""The grammar of the command line: its verbs, their arguments, and the help of each.

::

    >>> arguments = make_parser().parse_args(["pub", "hello/alice", "hi", "--header", "k=v"])
    >>> arguments.verb, arguments.topic, arguments.value, arguments.header
    ('pub', 'hello/alice', 'hi', [('k', 'v')])

Each verb has a function here, which says its help and its arguments. What several verbs take is in functions of its
own, such as ``_add_value``.

The law of this module: that of :mod:`.arguments`, so that ``--help`` is instant.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING, Final

from ..program.options import add_certificates, add_peer, plain
from . import arguments
from .access_check import add_access
from .arguments import Parser, VerbParser, add_client, add_verb
from .bench import add_bench
from .certificates import add_certs
from .completion import add_completion
from .federating import add_federation
from .looking import add_looking
from .matching import add_match
from .naming import add_names
from .schemas import add_schema
from .supervision import add_supervision

if TYPE_CHECKING:
    from .arguments import Verbs

_DESCRIPTION: Final = """\
A message bus: publish/subscribe and request/response between programs.

Topics are full ones, prefix included; `*` stands for one fragment and `**` for any number of them. A VALUE is sent as
the JSON that it is, or else as text; --strict refuses what is not JSON. What arrives is shown in CBOR's diagnostic
notation, which is JSON wherever JSON can say it; `malformed` stands before bytes that are not CBOR. With --json what is
printed is one JSON object a line.
"""

_EPILOG: Final = """\
Every option can be given in the environment too, --addr as T2BUS_ADDR and --ca as T2BUS_CA; the command line wins. A
flag is 1, yes or true there, or 0, no or false; what may be given several times is separated by spaces.

exit codes: 0 done, 1 error, 2 wrong usage (also an invalid topic, address or VALUE), 3 no bus can be reached or it is
lost, 4 nobody serves the topic, 5 no answer or message in time, 6 the service failed, 7 the access rules deny it, 8
accepted for too few; 128 + n when signal n stopped it before it was done.
"""

_ADDRESS: Final = "unix:PATH, tcp:HOST:PORT or tls:HOST:PORT"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; what it parses has a ``verb`` and that verb's arguments.

    Wrong usage raises ``SystemExit(2)`` after one line on standard error, ``--help`` and ``--version`` raise
    ``SystemExit(0)``.
    """
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="t2bus", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=raw)
    # By way of sys.modules, for nothing inside the package imports its public names; importlib.metadata would need an
    # installed package.
    package = sys.modules[__name__.partition(".")[0]]
    parser.add_argument("--version", action="version", version=f"t2bus {package.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=VerbParser)
    _add_serve(verbs)
    _add_sub(verbs)
    _add_pub(verbs)
    _add_request(verbs)
    _add_reply(verbs)
    add_looking(verbs)
    add_bench(verbs)
    add_match(verbs)
    add_names(verbs)
    add_access(verbs)
    add_certs(verbs)
    add_schema(verbs)
    add_completion(verbs, parser)
    return parser


def _add_serve(verbs: Verbs) -> None:
    """Add ``serve``. Addresses and limits are checked when it runs, as a configuration file may name them too."""
    more = (
        "The first signal shuts it down in an orderly way within 5 s (exit code 0), a second one at once (128 + n). "
        "SIGHUP reads certificates and access rules again."
    )
    verb = add_verb(verbs, "serve", "run a bus until SIGINT or SIGTERM", more, "unix:my_bus tcp:127.0.0.1:4242")
    where = f"where to listen, {_ADDRESS}; by default a unix socket that only this user can reach"
    verb.add_argument("addresses", nargs="*", type=plain, metavar="ADDR", help=where)
    verb.add_argument("--config", metavar="FILE", help="a configuration file (TOML), which options overrule")
    add_certificates(verb, "bus")
    rules = "the access rules (TOML); nobody may do anything that they do not allow"
    verb.add_argument("--access", metavar="FILE", help=rules)
    add_peer(verb, "who may connect to unix sockets beside this user, uid:N or gid:N; may be given several times")
    limit = "a bound of t2bus.Limits, such as connections=4096; may be given several times"
    verb.add_argument("--limit", action="append", default=[], metavar="NAME=VALUE", help=limit)
    insist = "let anybody who can reach a tcp: address of another interface than loopback use the bus"
    verb.add_argument("--insecure-no-auth", action="store_true", help=insist)
    look = "metrics, health and a page about the bus, at HOST:PORT of loopback or unix:PATH; needs t2bus[monitor]"
    verb.add_argument("--monitor", type=plain, metavar="ADDR", help=look)
    log = "log who comes, leaves, claims, releases and lags; -vv also subscriptions"
    verb.add_argument("-v", "--verbose", action="count", default=0, help=log)
    add_supervision(verb)
    add_federation(verb)


def _add_sub(verbs: Verbs) -> None:
    """Add ``sub``; :mod:`.subscribing` runs it. Its patience is infinite by default, as its count is."""
    more = (
        "Each message is one line: its topic, a tab, its payload; one that several TOPICs match is printed for each. "
        "Ends with SIGINT or SIGTERM (exit code 0)."
    )
    verb = add_verb(verbs, "sub", "print what is published to topics", more, "'hello/**'")
    topics = "what to subscribe to; may have wildcards"
    verb.add_argument("topics", nargs="+", type=arguments.topic, metavar="TOPIC", help=topics)
    _add_printing(verb, "messages; with --rate, after so many seconds")
    patience = "end with exit code 5 when no message came for so long"
    verb.add_argument("--wait", type=arguments.seconds, default=math.inf, metavar="SECONDS", help=patience)
    ignored = "print nothing of a topic that this one includes; may be given several times"
    verb.add_argument("--ignore", action="append", type=arguments.topic, default=[], metavar="TOPIC", help=ignored)
    rate = "print once a second how many messages and bytes of payloads came, not the messages"
    verb.add_argument("--rate", action="store_true", help=rate)
    add_client(verb)


def _add_pub(verbs: Verbs) -> None:
    """Add ``pub``. VALUE may be left out, so the words are sorted first (:class:`.VerbParser`)."""
    example = """hello/alice '{"text": "Hello Alice"}'"""
    more = "Without a VALUE it publishes each line of standard input, at the pace of its subscribers."
    verb = add_verb(verbs, "pub", "publish a message to a topic", more, example)
    verb.add_argument("topic", type=arguments.topic, metavar="TOPIC", help="what to publish to; may have wildcards")
    _add_value(verb, "the message; '-' or none for the lines of standard input")
    verb.add_argument("--count", type=arguments.count, metavar="N", help="publish VALUE so many times")
    interval = "publish a message only when the one before is so old"
    verb.add_argument("--interval", type=arguments.seconds, metavar="SECONDS", help=interval)
    require = "end with exit code 8 at the first message that is accepted for fewer connections"
    verb.add_argument("--require", type=arguments.count, metavar="N", help=require)
    _add_null(verb, "each message of standard input ends with NUL, not with the end of a line")
    _add_headers(verb)
    add_client(verb)


def _add_request(verbs: Verbs) -> None:
    """Add ``request``; :mod:`.requesting` runs it, and ``reply``. A service is at one topic, so wildcards are wrong."""
    example = """hello '{"name": "Alice"}' --timeout 2"""
    more = "What is printed is the payload of the response."
    verb = add_verb(verbs, "request", "send a request and print its response", more, example)
    verb.add_argument("topic", type=arguments.concrete_topic, metavar="TOPIC", help="the service, without wildcards")
    _add_value(verb, "the request; '-' for all of standard input; by default {}")
    patience = "how long the command may take; by default as long as the service and the bus let it wait"
    verb.add_argument("--timeout", type=arguments.seconds, default=math.inf, metavar="SECONDS", help=patience)
    _add_json(verb)
    _add_headers(verb)
    add_client(verb)


def _add_reply(verbs: Verbs) -> None:
    """Add ``reply``; that ``--echo`` has no VALUE is checked when both are parsed (:class:`.VerbParser`)."""
    example = """hello '{"text": "Hello"}'"""
    more = "They are printed as `t2bus sub` prints messages. Ends with SIGINT or SIGTERM (exit code 0)."
    verb = add_verb(verbs, "reply", "answer the requests to a topic, and print them", more, example)
    verb.add_argument("topic", type=arguments.concrete_topic, metavar="TOPIC", help="the service, without wildcards")
    _add_value(verb, "the response; '-' for all of standard input; by default null")
    verb.add_argument("--echo", action="store_true", help="answer each request with its own payload")
    _add_printing(verb, "requests")
    add_client(verb)


def _add_value(verb: VerbParser, text: str) -> None:
    """Add VALUE, which may be left out, and how it is read; ``text`` says what it is and what it is by default."""
    verb.add_argument("value", nargs="?", type=arguments.text, metavar="VALUE", help=text)
    reading = verb.add_mutually_exclusive_group()
    reading.add_argument("--text", action="store_true", help="send VALUE as text, also if it is JSON")
    reading.add_argument("--strict", action="store_true", help="refuse a VALUE that is not JSON")


def _add_printing(verb: VerbParser, what: str) -> None:
    """Add how many messages are printed, and how; the count is infinite by default, so that a loop needs no other
    case.
    """
    verb.add_argument(
        "-n", type=arguments.count, default=math.inf, dest="count", metavar="COUNT", help=f"end after COUNT {what}"
    )
    verb.add_argument("--headers", action="store_true", help="print headers too, after another tab")
    _add_json(verb)
    time = "print the local time of each in front, with --json as RFC 3339 has it"
    verb.add_argument("--time", action="store_true", help=time)
    colour = "colour topics; auto, which is the default, does so on a terminal unless NO_COLOR is set"
    verb.add_argument("--color", choices=["auto", "always", "never"], default="auto", help=colour)
    _add_null(verb, "end each record with NUL, not with the end of a line")


def _add_json(verb: VerbParser) -> None:
    """Add ``--json``, which means the same everywhere: of messages their parts, as :mod:`.message_lines` has them."""
    text = "print an object a line: topic, value, and headers if there are any; cbor too where JSON cannot say all"
    verb.add_argument("--json", action="store_true", help=text)


def _add_null(verb: VerbParser, text: str) -> None:
    """Add ``-0``, as ``xargs`` and ``find -print0`` have it."""
    verb.add_argument("-0", action="store_true", dest="null", help=text)


def _add_headers(verb: VerbParser) -> None:
    """Add ``--header``, which gathers pairs of text."""
    text = "a header to send with it; may be given several times"
    verb.add_argument("--header", action="append", type=arguments.header, default=[], metavar="K=V", help=text)
