"""The grammar of the verbs that look at a bus: ``status``, ``clients``, ``services``, ``subs``, ``members``, ``ls``,
``events``, ``ping`` and ``top``.

::

    add_looking(verbs)

What they show is what the bus says of itself (:mod:`t2bus.status`).

The law of this module: that of :mod:`.arguments`, so that ``--help`` is instant.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Final

from ..text import quote
from . import arguments as types
from .arguments import add_client, add_verb

if TYPE_CHECKING:
    from .arguments import VerbParser, Verbs

KINDS: Final = (
    "connected",
    "left",
    "subscribed",
    "unsubscribed",
    "claimed",
    "released",
    "lagging",
    "denied",
    "joined",
    "lost",
)
"""As ``EventKind`` in ``broker/events.py``, which imports attrs."""

_TIMEOUT: Final = 5.0
"""Seconds until a ping is lost."""


def add_looking(verbs: Verbs) -> None:
    """Add the verbs to the grammar."""
    for name, (summary, more) in _LISTS.items():
        _add_list(verbs, name, summary, more)
    _add_ls(verbs)
    _add_events(verbs)
    _add_ping(verbs)
    _add_top(verbs)


_LISTS: Final = {
    "status": ("show what the bus is and does", "Figures since it opened, and what it does in a second."),
    "clients": ("list who is connected", "By name, with messages and bytes each way, what waits and what was dropped."),
    "services": ("list who serves what", "By topic, with the requests that are pending and those it was handed."),
    "subs": ("list who subscribes to what", "By topic, with what is free of each window and what was dropped."),
    "members": (
        "list the other servers of the bus",
        "By name, with messages and bytes each way, what waits, what was dropped, and when each was heard last.",
    ),
}


_OF_EACH: Final = ("clients", "subs", "ls")
"""The verbs of what each server says of itself alone, so that there is something to be had from all of them."""


def _add_list(verbs: Verbs, name: str, summary: str, more: str) -> None:
    verb = add_verb(verbs, name, summary, more, "--json")
    _add_format(verb)
    _add_once(verb)
    _add_servers(verb, name)
    add_client(verb)


def _add_ls(verbs: Verbs) -> None:
    more = "Those that were published to lately, and those that are served."
    verb = add_verb(verbs, "ls", "list the topics that there are", more, "'oven/**' --watch")
    text = "only those that this one meets; may have wildcards"
    verb.add_argument("topic", nargs="?", type=types.topic, metavar="TOPIC", help=text)
    _add_format(verb)
    how = verb.add_mutually_exclusive_group()
    text = "go on each second: in place on a terminal, else with a line for each that has changed"
    how.add_argument("--watch", action="store_true", help=text)
    _add_once(how)
    _add_servers(verb, "ls")
    add_client(verb)


def _add_events(verbs: Verbs) -> None:
    more = f"KIND is one of {', '.join(KINDS)}. Ends with SIGINT or SIGTERM (exit code 0)."
    verb = add_verb(verbs, "events", "print what happens on the bus", more, "lagging denied")
    verb.add_argument("kinds", nargs="*", type=kind, metavar="KIND", help="only these; by default all")
    _add_count(verb, "end after COUNT events")
    _add_format(verb)
    add_client(verb)


def kind(argument: str) -> str:
    """Return the argument if it is a kind of event."""
    # Not by `choices`: those of Python 3.11 refuse that there is none.
    if (argument := types.text(argument)) in KINDS:
        return argument
    raise argparse.ArgumentTypeError(f"{quote(argument)} is no kind of event: there are {', '.join(KINDS)}")


def _add_ping(verbs: Verbs) -> None:
    more = "Asks for bus/status, and goes on when the bus comes back. Ends with SIGINT or SIGTERM too."
    verb = add_verb(verbs, "ping", "measure how long the bus takes to answer", more, "-n 5")
    _add_count(verb, "end after COUNT questions")
    text = "seconds between two; by default 1"
    verb.add_argument("--interval", type=types.seconds, default=1.0, metavar="SECONDS", help=text)
    text = f"seconds until a question is lost; by default {_TIMEOUT:g}"
    verb.add_argument("--timeout", type=types.seconds, default=_TIMEOUT, metavar="SECONDS", help=text)
    _add_format(verb)
    add_client(verb)


def _add_top(verbs: Verbs) -> None:
    more = (
        "Tables of clients, services, subscriptions, topics and other servers; `h` shows the keys, and `q` ends it. "
        "Needs the extra t2bus[cli]; without a terminal it needs nothing and prints the table of clients each second."
    )
    verb = add_verb(verbs, "top", "watch the bus live", more, "--addr unix:my_bus")
    _add_count(verb, "end after COUNT looks")
    add_client(verb)


def _add_servers(verb: VerbParser, name: str) -> None:
    """Add which of several servers that are one bus are asked."""
    which = verb.add_mutually_exclusive_group()
    text = "ask this server of the bus, by its name or its node, and not the one that is connected to"
    which.add_argument("--at", type=types.server, metavar="SERVER", help=text)
    if name in _OF_EACH:
        which.add_argument("--all", action="store_true", help="ask all servers of the bus, and say of each line which")
    text = "how long a server has to answer; by default 10"
    verb.add_argument("--timeout", type=types.seconds, metavar="SECONDS", help=text)


def _add_count(verb: VerbParser, text: str) -> None:
    verb.add_argument("-n", type=types.count, default=math.inf, dest="count", metavar="COUNT", help=text)


def _add_format(verb: VerbParser) -> None:
    verb.add_argument("--json", action="store_true", help="print each as one JSON object a line")


def _add_once(verb: VerbParser | argparse._MutuallyExclusiveGroup) -> None:
    text = "look once, at once, and show no rates; else they are of two looks, one second apart"
    verb.add_argument("--once", action="store_true", help=text)
