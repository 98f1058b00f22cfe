"""``t2bus schema``: the protocols of a program as text or as an AsyncAPI document, and what breaks between two of them.

::

    $ t2bus schema lab.messages
    hello/**  publish Hello
        text: str
    $ t2bus schema lab.messages --json > lab.json
    $ t2bus schema diff lab.json lab.messages
    hello: old publishers -> new subscribers: breaks: Hello.count: is missing, and has no default

No bus is needed for it. What is said is :mod:`t2bus.schema`'s; this module finds the classes and the files.

The law of this module: what is named is imported, which runs its code, and nothing else of the program is run.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from . import arguments as types
from .arguments import add_verb
from .console import print_line
from .exits import Exit

if TYPE_CHECKING:
    import argparse
    from types import ModuleType

    from ..schema.asyncapi import Document
    from .arguments import Verbs

_DIFF: Final = "diff"
_STDIN: Final = "-"


def add_schema(verbs: Verbs) -> None:
    """Add ``schema`` to the grammar. That it begins with ``diff`` is looked at when it runs."""
    more = (
        "Each NAME is a module, as in lab.messages, for all protocols in it; a class, as in lab.messages:Hello; or a "
        "file that --json has written, as in lab.json. `t2bus schema diff OLD NEW` says what breaks whom while both "
        "are on one bus: exit code 0 for nothing, 1 for something, 2 for wrong usage. The modules are "
        "imported from the working directory, and from where Python finds them. No bus is needed for it."
    )
    example = "lab.messages --json > lab.json; t2bus schema diff lab.json lab.messages"
    verb = add_verb(verbs, "schema", "show the protocols of a program, and what a change of them breaks", more, example)
    names = "a module, MODULE:CLASS, or a FILE.json, '-' for standard input; or the word diff and two of these"
    verb.add_argument("names", nargs="+", type=types.text, metavar="NAME", help=names)
    text = "print the AsyncAPI 3.0 document; of diff an object a line: prefix, writer, reader, text, breaks"
    verb.add_argument("--json", action="store_true", help=text)
    text = "show where an error comes from"
    verb.add_argument("-v", "--verbose", action="store_true", dest="traceback", help=text)


async def schema(arguments: argparse.Namespace) -> int:
    """Show what is named, or compare it.

    Raises:
      BadSetting: something that is named is not there, or cannot be understood.

    """
    from .settings import BadSetting

    names = arguments.names
    if names[0] != _DIFF:
        return await _show(names, as_json=arguments.json)
    if len(names) != len((_DIFF, "OLD", "NEW")):
        raise BadSetting(f"diff takes two names, not {len(names) - 1}: write `t2bus schema diff OLD NEW`")
    return await _diff(names[1], names[2], as_json=arguments.json)


async def _show(names: list[str], *, as_json: bool) -> int:
    """Print the document of all that is named, or a listing of it."""
    import json

    from ..schema import listing

    found = _document(names)
    text = json.dumps(found, indent=2) if as_json else listing(found)
    for line in text.split("\n"):
        await print_line(line)
    return Exit.OK


async def _diff(old: str, new: str, *, as_json: bool) -> int:
    """Print the findings, a line each."""
    import json

    import attrs

    from ..schema import BadDocument, compare
    from .settings import BadSetting

    try:
        findings = compare(_document([old]), _document([new]))
    except BadDocument as error:
        raise BadSetting(str(error)) from error
    for finding in findings:
        await print_line(json.dumps(attrs.asdict(finding)) if as_json else str(finding))
    is_broken = any(finding.breaks for finding in findings)
    if not as_json and not is_broken:
        await print_line("nothing breaks")
    return Exit.ERROR if is_broken else Exit.OK


def _document(names: list[str]) -> Document:
    """Return the document of all that is named: that of a file as it is, or one that is made of classes."""
    from ..schema import document
    from .settings import BadSetting

    if any(map(_is_file, names)):
        if len(names) > 1:
            raise BadSetting(f"{next(filter(_is_file, names))} is a document: name it alone")
        return _read(names[0])
    protocols = [protocol for name in names for protocol in _protocols(name)]
    module = sys.modules[names[0].partition(":")[0].partition(".")[0]]
    version = str(getattr(module, "__version__", "0.0.0"))
    try:
        return document(*protocols, title=", ".join(names), version=version)
    except TypeError as error:
        raise BadSetting(str(error)) from error


def _is_file(name: str) -> bool:
    return name == _STDIN or name.endswith(".json") or os.sep in name


def _read(name: str) -> Document:
    """Read a document, and check that it is one."""
    import json

    from ..schema import BadDocument, listing
    from .settings import BadSetting

    try:
        if name == _STDIN:
            text = sys.stdin.read()
        else:
            with open(name, encoding="utf-8") as file:  # noqa: PTH123 -- "/dev/fd/63" is one too
                text = file.read()
        found: Document = json.loads(text)
        listing(found)
    except OSError as error:
        raise BadSetting(f"{name}: {error.strerror or error}") from error
    except BadDocument as error:
        raise BadSetting(f"{name}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise BadSetting(f"{name} is not JSON: {error}") from error
    return found


def _protocols(name: str) -> list[Any]:
    """Return the protocols that a name stands for."""
    from ..schema.protocols import protocols_in
    from .settings import BadSetting

    module_name, _, path = name.partition(":")
    module = _imported(module_name)
    if not path:
        if not (found := protocols_in(module)):
            raise BadSetting(f"{module_name} has no protocols: no subclass of PublishProtocol or RequestProtocol")
        return found
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part, None)
    if value is None:
        raise BadSetting(f"{module_name} has no {path!r}")
    return [value]


def _imported(name: str) -> ModuleType:
    """Import a module, also from the working directory, where a program called ``t2bus`` would not look."""
    from importlib import import_module

    from .settings import BadSetting

    if name.endswith(".py"):
        raise BadSetting(f"{name} is a file: name the module, {name.removesuffix('.py')!r}")
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109 -- sys.path has texts
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:  # whatever the code of a program raises
        raise BadSetting(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
