"""``t2bus completion``: what a shell needs to complete the verbs and options of ``t2bus``.

::

    $ t2bus completion bash > ~/.local/share/bash-completion/completions/t2bus

It is made by shtab, of the grammar itself, so it has all that ``--help`` has. What is known about a value, such as that
it is a file or a bus that has a name, is told by its name in the help: ``FILE``, or ``--addr ADDR``.

The law of this module: it knows no verb by name.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from ..called import install
from .arguments import add_verb
from .console import Output, say
from .exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .arguments import Verbs

_SHELLS: Final = ("bash", "zsh", "tcsh")

_NAMES: Final = "env T2BUS_JSON= t2bus context ls 2>/dev/null | cut -f 1 | sed s/^/name:/"
"""What a shell runs to know the buses that have names; without the extra, or without names, it prints nothing."""

_ADDRESS: Final = {"bash": "_t2bus_names", "zsh": f"($({_NAMES}))", "tcsh": f"`{_NAMES}`"}

_BASH: Final = """
_t2bus_names() {
  compgen -W "$(NAMES)" -- "$1"
}
# Bash takes name:lab for three words; here it is one.
_t2bus() {
  local split=("${COMP_WORDS[@]:0:COMP_CWORD+1}") word
  local COMP_WORDS=() COMP_CWORD=-1
  for word in "${split[@]}"; do
    if (( COMP_CWORD >= 0 )) && [[ $word == :* || ${COMP_WORDS[COMP_CWORD]} == *: ]]; then
      COMP_WORDS[COMP_CWORD]+=$word
    else
      COMP_CWORD=$((COMP_CWORD + 1))
      COMP_WORDS[COMP_CWORD]=$word
    fi
  done
  _shtab_t2bus
  word=${COMP_WORDS[COMP_CWORD]}
  if [[ $COMP_WORDBREAKS == *:* ]]; then
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
  fi
}
complete -o bashdefault -F _t2bus t2bus""".replace("NAMES", _NAMES)


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
        say(f"completion needs the package shtab: run `{install('cli')}`")
        return Exit.ERROR
    kinds: dict[object, Any] = {"FILE": shtab.FILE, "FOLDER": shtab.DIRECTORY, "--addr": _ADDRESS}
    for action in _actions(arguments.grammar):
        for name in (action.metavar, *action.option_strings):
            if name in kinds:
                action.complete = kinds[name]  # type: ignore[attr-defined]  # shtab reads it there
    script = shtab.complete(arguments.grammar, arguments.shell)
    await output.write(script + _BASH if arguments.shell == "bash" else script)
    return Exit.OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield all arguments of a grammar, those of its verbs too."""
    for action in parser._actions:  # noqa: SLF001 -- argparse lists them nowhere else
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 -- argparse gives it no public name
            for verb in action.choices.values():
                yield from _actions(verb)
