"""``t2bus match``: whether a publication to one topic reaches a subscription to another.

::

    $ t2bus match 'lobby/*' '*/alice'
    match: both hold 'lobby/alice'; neither includes the other

The verdict and its words are those of :mod:`t2bus.topic`, so ``python -m t2bus.topic`` says the same, but for the bus's
own topics: that module knows topics, and this verb a bus.

The law of this module: an exit code tells no match (1) from topics that are invalid (2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import arguments as types
from .arguments import add_verb
from .console import Output
from .exits import Exit

if TYPE_CHECKING:
    import argparse

    from .arguments import Verbs


def add_match(verbs: Verbs) -> None:
    """Add ``match`` to the grammar."""
    more = "Exit code 0 says that it does, 1 that it does not, 2 that a topic is invalid. No bus is needed for it."
    about = "say whether a publication reaches a subscription, and why"
    verb = add_verb(verbs, "match", about, more, "'hello/*' hello/alice")
    sub, pub = "the subscribed topic, such as 'hello/*'", "the published topic, such as hello/alice or 'hello/**'"
    verb.add_argument("sub", type=types.topic, metavar="SUB", help=sub)
    verb.add_argument("pub", type=types.topic, metavar="PUB", help=pub)


async def match(arguments: argparse.Namespace) -> int:
    """Print the verdict; the exit code says it too. What a wildcard would meet of the bus's own topics is no match.

    Raises:
      InvalidTopic: a topic is longer or deeper than a bus takes it by default.

    """
    from ..broker.routes import is_own
    from ..topic import explain, intersects

    sub, pub = arguments.sub, arguments.pub
    matches, text = intersects(sub, pub), explain(sub, pub)
    if matches and is_own(sub) != is_own(pub):
        matches = False
        text = "no match on a bus: topics below bus/ are its own, and a wildcard in front does not reach them"
    await Output().write(text)
    return Exit.OK if matches else Exit.ERROR
