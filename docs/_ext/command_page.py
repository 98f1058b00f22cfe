"""The page of the command line, made of its own parser: each verb with its arguments, options and variables."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from typing import TYPE_CHECKING, Final

from t2bus.cli import exits
from t2bus.cli.arguments import VerbParser, add_client
from t2bus.cli.parser import make_parser
from t2bus.program.environment import variable

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHARED: Final = "Options of every client"

_SPECIAL: Final = re.compile(r"[*_\[\]<>|]")
_CODE: Final = re.compile(r"(`[^`]*`)")
_OPTION: Final = re.compile(r"(?<![\w`-])(--?[a-z0-9][a-z0-9-]*(?: [A-Z][A-Z_]*\b)?)")


def text() -> str:
    """Return a section for each verb, and first the options that all verbs have that are clients of a bus."""
    shared = client_options()
    lines = [f"## {_SHARED}", "", "The verbs that are clients of a bus have these:", "", *definitions(shared), ""]
    for name, summary, verb in verbs(make_parser()):
        lines += section(name, summary, verb, 2)
    return "\n".join(lines)


def exit_codes() -> str:
    """Return the table of exit codes, each with the docstring of its name."""
    (cls,) = (node for node in ast.parse(inspect.getsource(exits.Exit)).body if isinstance(node, ast.ClassDef))
    said = [
        node.value.value for node in cls.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ][1:]
    rows = [
        f"| {code.value} | {' '.join(str(words).split()).replace('``', '`')} |"
        for code, words in zip(exits.Exit, said, strict=True)
    ]
    last = f"| {exits.SIGNALLED} + n | Signal n stopped it before it was done. |"
    return "\n".join(["| code | means |", "|--:|---|", *rows, last])


def client_options() -> list[argparse.Action]:
    """Return the options that each verb has that is a client."""
    parser = VerbParser(add_help=False)
    add_client(parser)
    return list(parser._actions)


def verbs(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield the name, the summary and the parser of each verb below a parser, in their order."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, verb in action.choices.items():
                yield name, summaries[name], verb


def section(name: str, summary: str, verb: argparse.ArgumentParser, level: int) -> list[str]:
    """Return what the page says of a verb, and of those below it."""
    lines = [f"{'#' * level} {verb.prog}", "", prose(verb.description or summary), ""]
    below = list(verbs(verb))
    if not below:
        lines += ["```text", usage(verb), "```", ""]
        lines += arguments(verb, client_options())
        if verb.epilog:
            lines += ["```sh", verb.epilog.removeprefix("example: "), "```", ""]
    for inner, said, parser in below:
        lines += section(f"{name} {inner}", said, parser, level + 1)
    return lines


def usage(verb: argparse.ArgumentParser) -> str:
    """Return the command with its arguments; options are listed below it, so they are left out."""
    words = [verb.prog]
    if any(action.option_strings and action.dest != "help" for action in verb._actions):
        words.append("[OPTIONS]")
    show = verb._get_formatter()
    places = [action for action in verb._actions if not action.option_strings]
    words += [show._format_args(place, show._get_default_metavar_for_positional(place)) for place in places]
    return " ".join(words)


def arguments(verb: argparse.ArgumentParser, shared: list[argparse.Action]) -> list[str]:
    """Return the arguments of a verb by group; for those of every client, if it is one, a link stands."""
    known = {(*action.option_strings, action.help) for action in shared}
    is_client = known <= {(*action.option_strings, action.help) for action in verb._actions}
    lines: list[str] = []
    for group in verb._action_groups:
        own = [
            action
            for action in group._group_actions
            if action.dest != "help" and not (is_client and (*action.option_strings, action.help) in known)
        ]
        if group.description and own:
            lines += [prose(f"{(group.title or '').capitalize()}. {group.description}"), ""]
        lines += [*definitions(own), ""] if own else []
    if is_client:
        lines += [f"And the [options of every client](#{_SHARED.lower().replace(' ', '-')}).", ""]
    return lines


def definitions(actions: list[argparse.Action]) -> list[str]:
    """Return a list that defines each argument: how it is written, what it means, its default and its variable."""
    lines: list[str] = []
    for action in actions:
        said = [prose(_sentence(action))]
        if action.option_strings:
            said.append(f"Variable: `{variable(action)}`.")
        lines += [written(action), f": {' '.join(said)}", ""]
    return lines


def _sentence(action: argparse.Action) -> str:
    """Return the help of an argument with a capital letter, unless it begins with a value, and a full stop."""
    said = action.help or ""
    if said.partition(" ")[0] not in map(str, action.choices or ()):
        said = said[:1].upper() + said[1:]
    return f"{said}."


def written(action: argparse.Action) -> str:
    """Return how an argument is written: ``-v, --verbose`` or ``--ca FILE``."""
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if not action.option_strings:
        return f"`{value}`"
    if action.choices:
        value = "|".join(map(str, action.choices))
    if action.nargs == 0:
        return ", ".join(f"`{name}`" for name in action.option_strings)
    return ", ".join(f"`{name} {value}`" for name in action.option_strings)


def prose(said: str) -> str:
    """Return text of the help as Markdown: nothing in it is markup, but code is, and options are."""
    parts = _CODE.split(" ".join(said.replace("%%", "%").split()))
    return "".join(part if part.startswith("`") else _marked(part) for part in parts)


def _marked(part: str) -> str:
    pieces = _OPTION.split(part)
    return "".join(f"`{piece}`" if index % 2 else _SPECIAL.sub(r"\\\g<0>", piece) for index, piece in enumerate(pieces))
