"""What the reference shows of the public names: all of them, each by its docstring, and nothing of the house.

Autodoc and napoleon read the docstrings. This adds

* the defaults of attrs fields, and ``async with`` before what has to be entered;
* links from a bare name, such as ``Limits`` in a signature, to its page;
* warnings, which fail the build: a public name that no page has, a name on a page that is not public, and one without
  a docstring.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any, Final

from docutils import nodes
from sphinx import addnodes
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

import t2bus
from docstring_lines import (
    attributes,
    class_of,
    default_of,
    divide_raises,
    leave_out_the_law,
    leave_to_members,
    values,
    words_for_checkers,
    words_of_data,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx
    from sphinx.domains.python import ObjectEntry
    from sphinx.environment import BuildEnvironment

logger = logging.getLogger(__name__)

MODULES: Final = ("t2bus.status", "t2bus.testing", "t2bus.tls", "t2bus.topic", "t2bus.schema", "t2bus.certs")
"""Public modules beside t2bus itself."""

SINGLE: Final = {"t2bus.monitor.serve.open_monitor"}
"""Public names of modules that have no others."""

ELSEWHERE: Final = {f"t2bus.topic.{name}" for name in ("BusError", "InvalidTopic", "TopicTooBroad")}
"""Second names: these are on the page of errors, as ``t2bus.BusError``."""

WITHOUT_WORDS: Final = {"TopicTree": {"last_steps"}, "t2bus": {"__version__"}}
"""Names that say all, or of which the docstring of their class does."""

FIXTURES: Final = {"bus"}
"""Functions that pytest calls. Their docstring is that which type checkers see."""

MADE_BY_PROGRAMS: Final = {"Federation", "PublishProtocol", "Reconnect", "RequestProtocol", "Struct", "TopicTree"}
"""Classes whose signature is shown; the others are made by t2bus, or have too many optional arguments."""

_WRAPPED: Final = {
    "AbstractAsyncContextManager": ("async with ", 0),
    "AsyncGenerator": ("async with ", 0),
    "Coroutine": ("async ", 2),
}
"""What a call returns that is entered or awaited: how the page says so, and which argument of it is the result."""

_FOREIGN: Final = re.compile(r"(?:trio|ssl|pathlib|argparse|cryptography|hypothesis|datetime|collections)\b.*")


def public_names() -> set[str]:
    """Return every public name, as ``t2bus.Client`` or ``t2bus.topic.validate``."""
    names = {f"t2bus.{name}" for name in t2bus.__all__ if f"t2bus.{name}" not in MODULES}
    for module in MODULES:
        names |= {f"{module}.{name}" for name in importlib.import_module(module).__all__}
    return names - ELSEWHERE | SINGLE


# --- docstrings and signatures


def _docstring(_app: Sphinx, what: str, name: str, _member: object, _options: Any, lines: list[str]) -> None:
    if what == "module":
        leave_out_the_law(lines)
    owner, _, field = name.rpartition(".")
    short = owner.rpartition(".")[2]
    if field in FIXTURES and what == "function":
        lines[:] = words_for_checkers(owner, field)
    if what == "data":
        lines[:] = words_of_data(owner, field)
    if what in ("class", "exception"):
        leave_to_members(class_of(name), lines)
    divide_raises(lines)
    if what == "attribute" and (choices := values(owner, field)):
        lines += ["", f"One of {', '.join(f'``{choice}``' for choice in choices)}.", ""]
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # a comment: napoleon takes what is before a colon in the first line for a type
    if what == "attribute" and short in MADE_BY_PROGRAMS and (default := default_of(owner, field)):
        lines[:] = [*lines, "", default, ""]


def _prepare_classes() -> None:
    """Tell autodoc, which reads one class, of the order of inherited members, and of attributes that a docstring has.

    Inherited members come before the class's own.
    """
    for public in public_names():
        cls = class_of(public)
        if not isinstance(cls, type) or not cls.__module__.startswith("t2bus."):
            continue
        order: dict[str, int] = {}
        for base in (*cls.__mro__[1:], cls):
            if base.__module__.startswith("t2bus."):
                tags = _analyzed(base).tagorder
                own = [name for name in tags if name.startswith(f"{base.__qualname__}.")]
                for name in sorted(own, key=tags.__getitem__):
                    order.setdefault(name.removeprefix(f"{base.__qualname__}."), len(order))
        analyzer = _analyzed(cls)
        analyzer.tagorder.update({f"{cls.__qualname__}.{name}": place for name, place in order.items()})
        for name, lines in attributes(cls).items():
            analyzer.attr_docs.setdefault((cls.__qualname__, name), lines)


def _analyzed(cls: type) -> ModuleAnalyzer:
    analyzer = ModuleAnalyzer.for_module(cls.__module__)
    analyzer.analyze()
    return analyzer


def _signature(
    _app: Sphinx, what: str, name: str, _member: object, _options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    if what in ("class", "exception") and signature and name.rpartition(".")[2] not in MADE_BY_PROGRAMS:
        return "", None
    # What attrs writes where the default is made by a function.
    return (signature.replace("= NOTHING", "= ..."), returns) if signature else None


def _entered(_app: Sphinx, domain: str, _kind: str, content: addnodes.desc_content) -> None:
    """Say in the signature itself that a call is entered with ``async with``, or awaited, and show what that gives."""
    if domain != "py" or content.parent is None:
        return
    for signature in content.parent.findall(addnodes.desc_signature):
        if signature.parent is not content.parent:  # of a member, which has been here already
            continue
        _check_words(signature, content)
        for annotation in list(signature.findall(addnodes.desc_annotation)):
            if annotation.astext() == ": Final":
                signature.remove(annotation)
        returns = next(iter(signature.findall(addnodes.desc_returns)), None)
        outer = "" if returns is None else returns.astext().removeprefix(" -> ").partition("[")[0]
        if returns is not None and (found := _WRAPPED.get(outer)):
            word, place = found if signature.get("fullname") not in FIXTURES else ("fixture ", 0)
            for old in list(signature.findall(addnodes.desc_annotation)):
                signature.remove(old)
            signature.insert(0, addnodes.desc_annotation(word, word))
            returns.children = _argument(returns, place)


def _check_words(signature: addnodes.desc_signature, content: addnodes.desc_content) -> None:
    """Warn of a name about which nothing is said, not even by its members."""
    owner, _, name = f"{signature.get('module')}.{signature.get('fullname')}".rpartition(".")
    said = [node for node in content.children if not isinstance(node, nodes.comment | addnodes.index)]
    if not said and name not in WITHOUT_WORDS.get(owner.rpartition(".")[2], ()):
        logger.warning("%s.%s has no docstring", owner, name, type="public_names", subtype="docstring")


def _argument(returns: addnodes.desc_returns, wanted: int) -> list[nodes.Node]:
    """Return what stands at this place among the arguments of ``Outer[A, B, C]``."""
    depth = place = 0
    kept: list[nodes.Node] = []
    for child in returns.children:
        text = child.astext()
        if text == "[":
            depth += 1
            if depth == 1:
                continue
        elif text == "]":
            depth -= 1
        elif text == "," and depth == 1:
            place += 1
            continue
        if depth and place == wanted and (kept or text.strip()):
            kept.append(child)
    return kept


# --- links


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """Find a name of t2bus by its end, and let names of others be plain text where nobody has linked them."""
    if node.get("refdomain") != "py":
        return None
    target: str = node["reftarget"].lstrip(".~")
    found = _found(env, target)
    if len(found) == 1:
        ((name, entry),) = found
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, name)
    if _is_in_signature(node) or _FOREIGN.fullmatch(target):
        return content
    return None


def _found(env: BuildEnvironment, target: str) -> list[tuple[str, ObjectEntry]]:
    """Return what a name can mean: the end of a public one, or the place in a module that a public one comes from."""
    names = env.domains.python_domain.objects
    if ends := [(name, entry) for name, entry in names.items() if name.endswith(f".{target.removeprefix('t2bus.')}")]:
        return ends
    last = target.rpartition(".")[2] if target.startswith("t2bus.") else ""
    return [(name, names[name]) for home in ("t2bus", *MODULES) if (name := f"{home}.{last}") in names]


def _is_in_signature(node: nodes.Node) -> bool:
    above: nodes.Node | None = node.parent
    while above is not None and not isinstance(above, addnodes.desc_signature):
        above = above.parent
    return above is not None


# --- completeness


def _check(_app: Sphinx, env: BuildEnvironment) -> None:
    """Compare what the pages have with what is public."""
    shown = set(shown_names(env))
    for name in sorted(public_names() - shown):
        logger.warning("%s is public, and no page of the reference has it", name, type="public_names")
    for name in sorted(shown - public_names()):
        logger.warning("%s is in the reference, and not public", name, type="public_names")


def shown_names(env: BuildEnvironment) -> Iterator[str]:
    """Yield the names that pages of the reference have, without modules and members."""
    kinds = {"module", "method", "property", "attribute", "staticmethod", "classmethod"}
    names = env.domains.python_domain.objects.items()
    return (name for name, entry in names if entry.objtype not in kinds and not entry.aliased)


def setup(app: Sphinx) -> dict[str, Any]:
    """Join the build; docstrings are seen before napoleon reads them."""
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("autodoc-process-signature", _signature)
    app.connect("object-description-transform", _entered)
    app.connect("missing-reference", _resolve, priority=900)
    app.connect("env-check-consistency", _check)
    _prepare_classes()
    return {"parallel_read_safe": True}
