"""The grammar of the command line: its verbs, their arguments, and the help of each.

::

    >>> arguments = make_parser().parse_args(["pub", "hello/alice", "hi", "--header", "k=v"])
    >>> arguments.verb, arguments.topic, arguments.value, arguments.header
    ('pub', 'hello/alice', 'hi', [('k', 'v')])

Each verb has a function here, which says its help and its arguments. What several verbs take is in functions of its
own, such as ``_add_addr``.

The law of this module: that of :mod:`.arguments`, so that ``--help`` is instant.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING, Final

from . import arguments
from .access_check import add_access
from .arguments import Parser, VerbParser, add_verb
from .certificates import add_certs
from .looking import add_looking

if TYPE_CHECKING:
    from .arguments import Verbs

_DESCRIPTION: Final = """\
A message bus: publish/subscribe and request/response between programs.

Topics are full ones, prefix included; `*` stands for one fragment and `**` for any number of them. A VALUE is sent as
the JSON that it is, or else as text; --json refuses what is no JSON. What arrives is shown in CBOR's diagnostic
notation, which is JSON wherever JSON can say it; `malformed` stands before bytes that are not CBOR.
"""

_EPILOG: Final = """\
exit codes: 0 done, 1 error, 2 wrong usage (also an invalid topic, address or VALUE), 3 no bus can be reached or it was
lost, 4 nobody serves the topic, 5 no answer in time, 7 denied by access rules; 128 + n when signal n stopped it before
it was done.
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
    for verb in add_looking(verbs):
        _add_addr(verb)
    add_access(verbs)
    add_certs(verbs)
    return parser


def _add_serve(verbs: Verbs) -> None:
    """Add ``serve``. Addresses and limits are checked when it runs, as a configuration file may name them too."""
    more = (
        "The first signal shuts it down in an orderly way within 5 s (exit code 0), a second one at once (128 + n). "
        "SIGHUP reads certificates and access rules again."
    )
    verb = add_verb(verbs, "serve", "run a bus until SIGINT or SIGTERM", more, "unix:my_bus tcp:127.0.0.1:4242")
    where = f"where to listen, {_ADDRESS}; by default a unix socket that only this user can reach"
    verb.add_argument("addresses", nargs="*", type=arguments.plain, metavar="ADDR", help=where)
    verb.add_argument("--config", metavar="FILE", help="a configuration file (TOML), which options overrule")
    _add_certificates(verb, "bus")
    rules = "the access rules (TOML); nobody may do anything that they do not allow"
    verb.add_argument("--access", metavar="FILE", help=rules)
    _add_peer(verb, "who may connect to unix sockets beside this user, uid:N or gid:N; may be given several times")
    limit = "a bound of t2bus.Limits, such as connections=4096; may be given several times"
    verb.add_argument("--limit", action="append", default=[], metavar="NAME=VALUE", help=limit)
    insist = "let anybody who can reach a tcp: address of another interface than loopback use the bus"
    verb.add_argument("--insecure-no-auth", action="store_true", help=insist)
    log = "log connections that end; -vv also those that begin, subscriptions, claims and what is dropped"
    verb.add_argument("-v", "--verbose", action="count", default=0, help=log)


def _add_sub(verbs: Verbs) -> None:
    """Add ``sub``; :mod:`.publishing` runs it, and ``pub``."""
    more = "Each message is one line: its topic, a tab, its payload. Ends with SIGINT or SIGTERM (exit code 0)."
    verb = add_verb(verbs, "sub", "print what is published to a topic", more, "'hello/**'")
    verb.add_argument("topic", type=arguments.topic, metavar="TOPIC", help="what to subscribe to; may have wildcards")
    _add_printing(verb, "messages")
    _add_addr(verb)


def _add_pub(verbs: Verbs) -> None:
    """Add ``pub``. VALUE may be left out, so the words are sorted first (:class:`.VerbParser`)."""
    example = """hello/alice '{"text": "Hello Alice"}'"""
    more = "Without a VALUE it publishes each line of standard input, at the pace of its subscribers."
    verb = add_verb(verbs, "pub", "publish a message to a topic", more, example)
    verb.add_argument("topic", type=arguments.topic, metavar="TOPIC", help="what to publish to; may have wildcards")
    _add_value(verb, "the message; '-' or none for the lines of standard input")
    _add_headers(verb)
    _add_addr(verb)


def _add_request(verbs: Verbs) -> None:
    """Add ``request``; :mod:`.requesting` runs it, and ``reply``. A service is at one topic, so wildcards are wrong."""
    example = """hello '{"name": "Alice"}' --timeout 2"""
    more = "What is printed is the payload of the response."
    verb = add_verb(verbs, "request", "send a request and print its response", more, example)
    verb.add_argument("topic", type=arguments.concrete_topic, metavar="TOPIC", help="the service, without wildcards")
    _add_value(verb, "the request; '-' for all of standard input; by default {}")
    patience = "how long the command may take; by default as long as the service and the bus let it wait"
    verb.add_argument("--timeout", type=arguments.seconds, default=math.inf, metavar="SECONDS", help=patience)
    _add_headers(verb)
    _add_addr(verb)


def _add_reply(verbs: Verbs) -> None:
    """Add ``reply``; that ``--echo`` has no VALUE is checked when both are parsed (:class:`.VerbParser`)."""
    example = """hello '{"text": "Hello"}'"""
    more = "They are printed as `t2bus sub` prints messages. Ends with SIGINT or SIGTERM (exit code 0)."
    verb = add_verb(verbs, "reply", "answer the requests to a topic, and print them", more, example)
    verb.add_argument("topic", type=arguments.concrete_topic, metavar="TOPIC", help="the service, without wildcards")
    _add_value(verb, "the response; '-' for all of standard input; by default null")
    verb.add_argument("--echo", action="store_true", help="answer each request with its own payload")
    _add_printing(verb, "requests")
    _add_addr(verb)


def _add_value(verb: VerbParser, text: str) -> None:
    """Add VALUE, which may be left out, and how it is read; ``text`` says what it is and what it is by default."""
    verb.add_argument("value", nargs="?", type=arguments.text, metavar="VALUE", help=text)
    reading = verb.add_mutually_exclusive_group()
    reading.add_argument("--text", action="store_true", help="send VALUE as text, also if it is JSON")
    reading.add_argument("--json", action="store_true", help="refuse a VALUE that is not JSON")


def _add_printing(verb: VerbParser, what: str) -> None:
    """Add how much is printed; the count is infinite by default, so that a loop needs no other case."""
    verb.add_argument(
        "-n", type=arguments.count, default=math.inf, dest="count", metavar="COUNT", help=f"end after COUNT {what}"
    )
    verb.add_argument("--headers", action="store_true", help="print headers too, after another tab")


def _add_headers(verb: VerbParser) -> None:
    """Add ``--header``, which gathers pairs of text."""
    text = "a header to send with it; may be given several times"
    verb.add_argument("--header", action="append", type=arguments.header, default=[], metavar="K=V", help=text)


def _add_addr(verb: VerbParser) -> None:
    """Add what all verbs that are clients take: where the bus is, its wire, and whom to trust there."""
    text = f"where the bus is, {_ADDRESS}; by default where `t2bus serve` is"
    verb.add_argument("--addr", type=arguments.plain, metavar="ADDR", help=text)
    wire = "t2 for a bus of the Rust crate t2_bus, which has no headers; by default t2bus"
    verb.add_argument("--wire", choices=["t2bus", "t2"], default="t2bus", help=wire)
    _add_certificates(verb, "client")
    _add_peer(verb, "whose bus it may be at a unix socket beside this user's and root's, uid:N or gid:N")


def _add_certificates(verb: VerbParser, whose: str) -> None:
    """Add the three files of mutual TLS; which of them are needed depends on the address."""
    verb.add_argument("--ca", metavar="FILE", help="for tls: the certificate of the authority that both ends trust")
    verb.add_argument("--certificate", metavar="FILE", help=f"for tls: the {whose}'s own certificate")
    verb.add_argument("--key", metavar="FILE", help="for tls: its private key, unless that is in --certificate")


def _add_peer(verb: VerbParser, text: str) -> None:
    """Add ``--peer``: on either side of a unix socket, who beside this user may be at the other end."""
    verb.add_argument("--peer", action="append", type=arguments.peer, default=[], metavar="ID", help=text)
