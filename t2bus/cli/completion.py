"""``t2bus completion``: what a shell needs to complete the verbs and options of ``t2bus``.

::

    $ t2bus completion bash > ~/.local/share/bash-completion/completions/t2bus

It is made by shtab, of the grammar itself, so it has all that ``--help`` has.

The law of this module: it knows no verb and no option by name.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from .arguments import add_verb
from .console import Output, say
from .exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .arguments import Verbs

_SHELLS: Final = ("bash", "zsh", "tcsh")


def add_completion(verbs: Verbs, grammar: argparse.ArgumentParser) -> None:
    """Add ``completion`` to a grammar, of which it tells a shell."""
    more = "How a shell is told is in its manual. Needs the extra t2bus[cli]."
    example = "bash > ~/.local/share/bash-completion/completions/t2bus"
    verb = add_verb(verbs, "completion", "print what a shell needs to complete commands", more, example)
    verb.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=f"one of {', '.join(_SHELLS)}")
    verb.set_defaults(grammar=grammar)


async def completion(arguments: argparse.Namespace) -> int:
    """Print it; without shtab the exit code is 1, and the user is told."""
    output = Output()
    try:
        import shtab
    except ModuleNotFoundError as error:
        if error.name != "shtab":
            raise
        say("completion needs the package shtab: run `python -m pip install 't2bus[cli]'`")
        return Exit.ERROR
    kinds: dict[object, Any] = {"FILE": shtab.FILE, "FOLDER": shtab.DIRECTORY}
    for action in _actions(arguments.grammar):
        if action.metavar in kinds:
            action.complete = kinds[action.metavar]  # type: ignore[attr-defined]  # shtab reads it there
    await output.write(shtab.complete(arguments.grammar, arguments.shell))
    return Exit.OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield all arguments of a grammar, those of its verbs too."""
    for action in parser._actions:  # noqa: SLF001 -- argparse lists them nowhere else
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- argparse gives it no public name
            for verb in action.choices.values():
                yield from _actions(verb)
