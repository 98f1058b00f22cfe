"""``t2bus access``: whether a file of access rules is valid, and what it means for one identity and topic.

::

    $ t2bus access check access.toml
    access.toml: 2 identities, 5 rules
    $ t2bus access explain access.toml uid:1000 serve oven/off
    denied: deny.serve 'oven/off' of 'uid:1000' forbids 'oven/off'

The verdict and its words are the bus's own (:mod:`t2bus.broker.access`), so what is explained is what the bus does. No
bus is needed for it.

The law of this module: an exit code tells a denial (1) from a question that cannot be answered (2).
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from . import arguments as types
from .arguments import add_group, add_verb
from .console import counted, print_line
from .exits import Exit

if TYPE_CHECKING:
    from ..broker.access import Access
    from .arguments import Verbs

_VERBS: Final = ("publish", "subscribe", "serve", "request")
"""What a client may ask for. The right ``publish_wildcards`` is not among them: it follows from the topic."""


def add_access(verbs: Verbs) -> None:
    """Add ``check`` and ``explain`` to the grammar."""
    group = add_group(verbs, "access", "check access rules and explain them", "No bus is needed for it.")
    more = "An invalid file is exit code 1, its first error on standard error."
    check = add_verb(group, "check", "check a file of access rules", more, "access.toml")
    more = "Exit code 0 says that it is allowed, 1 that it is denied, 2 that the file or the topic is invalid."
    example = "access.toml uid:1000 subscribe 'public/**' --group gid:100"
    explain = add_verb(group, "explain", "say whether an identity may use a topic, and why", more, example)
    for verb in (check, explain):
        verb.add_argument("file", metavar="FILE", help="the rules, in TOML")
    name = "the name of who asks: uid:1000, local, anonymous, or one from a certificate"
    explain.add_argument("identity", type=types.text, metavar="IDENTITY", help=name)
    explain.add_argument("right", choices=_VERBS, metavar="VERB", help=f"one of {', '.join(_VERBS)}")
    explain.add_argument("topic", type=types.topic, metavar="TOPIC", help="what is asked for; may have wildcards")
    groups = "a group that it is in, such as gid:100; may be given several times"
    explain.add_argument("--group", action="append", type=types.text, default=[], metavar="NAME", help=groups)


async def access(arguments: argparse.Namespace) -> int:
    """Do what the action says, and return its exit code, which is 1 for a denial.

    Raises:
      InvalidAccess: ``check`` was asked for, and the file is no file of rules; exit code 1.
      BadSetting: ``explain`` was asked for, and the file or the topic is invalid; exit code 2.

    """
    return await (_check if arguments.action == "check" else _explain)(arguments)


async def _check(arguments: argparse.Namespace) -> int:
    """Print how much a file says; that it can be read at all is what was asked."""
    rules = await _load(arguments.file)
    number = len(rules.everyone) + sum(map(len, rules.identities.values()))
    identities = counted(len(rules.identities), "identity", "identities")
    await print_line(f"{arguments.file}: {identities}, {counted(number, 'rule', 'rules')}")
    return Exit.OK


async def _explain(arguments: argparse.Namespace) -> int:
    """Print the verdict on one topic, and the rule that it comes from."""
    from ..broker.access import Verb
    from ..broker.identity import Identity
    from ..errors import InvalidAccess
    from ..topic import DEPTH, LENGTH
    from .settings import BadSetting

    try:
        if arguments.right in {"serve", "request"}:  # the bus refuses wildcards there, whatever the rules are
            types.concrete_topic(arguments.topic)
        rules = await _load(arguments.file)
    except (argparse.ArgumentTypeError, InvalidAccess) as error:
        raise BadSetting(str(error)) from error
    # A bus may have raised its bounds, which are not known here: the topic is judged whatever its size.
    length, depth = max(LENGTH, len(arguments.topic)), max(DEPTH, arguments.topic.count("/") + 1)
    permissions = rules.permissions(Identity(arguments.identity, tuple(arguments.group)), length=length, depth=depth)
    explanation = permissions.explain(Verb(arguments.right), arguments.topic)
    await print_line(f"{'allowed' if explanation.allowed else 'denied'}: {explanation.text}")
    return Exit.OK if explanation.allowed else Exit.ERROR


async def _load(file: str) -> Access:
    """Return the rules of a file, or raise ``InvalidAccess``.

    It is read in a thread, which is left behind when this is cancelled: the file may be a pipe, as ``<(command)`` is,
    and a signal has to end the wait for it.
    """
    import trio

    from ..server.rules import read_access

    return await trio.to_thread.run_sync(read_access, file, abandon_on_cancel=True)
