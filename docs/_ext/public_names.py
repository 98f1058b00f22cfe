"""What the reference shows of the public names: all of them, each by its docstring, and nothing of the house.

Autodoc and napoleon read the docstrings. This adds

* the defaults of attrs fields, and ``async with`` before what has to be entered;
* links from a bare name, such as ``Limits`` in a signature, to its page;
* warnings, which fail the build: a public name that no page has, a name on a page that is not public, and one without
  a docstring.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import attrs
from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx import addnodes
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

import t2bus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

logger = logging.getLogger(__name__)

MODULES: Final = ("t2bus.status", "t2bus.testing", "t2bus.tls", "t2bus.topic", "t2bus.certs")
"""Public modules beside t2bus itself."""

ELSEWHERE: Final = {f"t2bus.topic.{name}" for name in ("BusError", "InvalidTopic", "TopicTooBroad")}
"""Second names: these are on the page of errors, as ``t2bus.BusError``."""

WITHOUT_WORDS: Final = {
    "Bus": {"limits"},
    "BusStatistics": {"subscriptions"},
    "ClientStatistics": {"subscriptions", "services"},
    "Publisher": {"paced"},
    "Reconnect": {"first", "longest", "jitter"},
    "ClientStatus": {"subscriptions", "services"},
    "Clients": {"clients"},
    "Event": {"name", "identity"},
    "MemberStatus": {"node", "received_bytes", "sent_bytes"},
    "Members": {"members"},
    "ServiceStatus": {"topic", "name", "identity"},
    "Services": {"services"},
    "Status": {"subscriptions"},
    "SubscriptionStatus": {"topic", "name", "identity", "delivered"},
    "Subscriptions": {"subscriptions"},
    "Topics": {"topics"},
    "UnsteadyBus": {"limits"},
    "Pair": {"certificate", "key"},
    "certs": {"CA_DAYS", "LEAF_DAYS", "LOCAL_HOSTS"},
    "t2bus": {"__version__"},
    "tls": {"ALPN"},
    "topic": {"DEPTH", "LENGTH"},
}
"""Fields and constants whose name says all, or whose class does."""

MADE_BY_PROGRAMS: Final = {"Federation", "PublishProtocol", "Reconnect", "RequestProtocol", "Struct", "TopicTree"}
"""Classes whose signature is shown; the others are made by t2bus, or have too many optional arguments."""

_LAW: Final = re.compile(r"The laws? of this module")
_ENTERED: Final = re.compile(r"(?:AbstractAsyncContextManager|AsyncGenerator|AsyncIterator)\[(.+?)(?:, None)?\]")
_AWAITED: Final = re.compile(r"Coroutine\[Any, Any, (.+)\]")
_FOREIGN: Final = re.compile(r"(?:trio|ssl|pathlib|argparse|cryptography|hypothesis|datetime|collections)\b.*")


def public_names() -> set[str]:
    """Return every public name, as ``t2bus.Client`` or ``t2bus.topic.validate``."""
    names = {f"t2bus.{name}" for name in t2bus.__all__ if f"t2bus.{name}" not in MODULES}
    for module in MODULES:
        names |= {f"{module}.{name}" for name in importlib.import_module(module).__all__}
    return names - ELSEWHERE


# --- docstrings and signatures


def _docstring(_app: Sphinx, what: str, name: str, member: object, options: Any, lines: list[str]) -> None:
    if what == "module":
        _leave_out_the_law(lines)
    owner, _, field = name.rpartition(".")
    short = owner.rpartition(".")[2]
    if what == "data":
        lines[:] = _words_of_data(owner, field)
    if not any(line.strip() for line in lines) and field not in WITHOUT_WORDS.get(short, ()):
        logger.warning("%s has no docstring", name, type="public_names", subtype="docstring")
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # a comment: napoleon takes what is before a colon in the first line for a type
    if what == "attribute" and (default := _default(owner, field)):
        lines[:] = [*lines, "", default, ""]


def _words_of_data(module: str, name: str) -> list[str]:
    """Return the docstring of a constant, which may be defined in a module below the public one."""
    homes = [home for home in sorted(sys.modules) if home == module or home.startswith(f"{module}.")]
    found = (ModuleAnalyzer.for_module(home).find_attr_docs().get(("", name)) for home in homes)
    return next((list(lines) for lines in found if lines), [])


def _leave_out_the_law(lines: list[str]) -> None:
    """Take out what a module says to those who change it, which is always the last but for how to get it."""
    for number, line in enumerate(lines):
        if _LAW.match(line):
            rest = lines[number:]
            end = rest.index("") if not line.rstrip().endswith(":") else len(rest)
            del lines[number : number + end]
            return


def _default(owner: str, field: str) -> str:
    """Return what the page says of the default of an attrs field, or nothing."""
    module, _, name = owner.rpartition(".")
    cls = getattr(importlib.import_module(module), name, None) if module else None
    if cls is None or not attrs.has(cls) or name not in MADE_BY_PROGRAMS:
        return ""
    found = attrs.fields_dict(cls).get(field)
    if found is None:
        return ""
    if found.default is attrs.NOTHING:
        return "Required."
    if isinstance(found.default, attrs.Factory):  # type: ignore[arg-type] -- it is a class, that is typed as a function
        return ""
    return f"By default ``{found.default!r}``."


def _signature(
    _app: Sphinx, what: str, name: str, _member: object, _options: Any, signature: str | None, _returns: str | None
) -> tuple[str | None, str | None] | None:
    if what in ("class", "exception") and signature and name.rpartition(".")[2] not in MADE_BY_PROGRAMS:
        return "", None
    return None


def _entered(_app: Sphinx, domain: str, _kind: str, content: addnodes.desc_content) -> None:
    """Say in the signature itself that a call is entered with ``async with``, or awaited, and show what that gives."""
    if domain != "py" or not isinstance(content.parent, addnodes.desc):
        return
    for signature in content.parent.findall(addnodes.desc_signature):
        for returns in list(signature.findall(addnodes.desc_returns)):
            for pattern, word in ((_ENTERED, "async with "), (_AWAITED, "async ")):
                if pattern.fullmatch(returns.astext()):
                    _unwrap(signature, returns, word, leave=2 if pattern is _AWAITED else 0)


def _unwrap(signature: addnodes.desc_signature, returns: addnodes.desc_returns, word: str, *, leave: int) -> None:
    """Put the word first, and leave of ``Outer[A, B, C]`` the argument that counts."""
    if not signature.astext().startswith("async "):
        signature.insert(0, addnodes.desc_annotation(word, word))
    else:
        first = next(iter(signature.findall(addnodes.desc_annotation)))
        first.replace_self(addnodes.desc_annotation(word, word))
    depth, place = 0, 0
    kept: list[nodes.Node] = []
    for child in list(returns.children):
        text = child.astext()
        if text == "]":
            depth -= 1
        if depth and not (depth == 1 and text in {",", " "}) and place == leave:
            kept.append(child)
        if depth == 1 and text == ",":
            place += 1
        if text == "[":
            depth += 1
    returns.clear()
    returns.extend(kept)


# --- links


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """Find a name of t2bus by its end, and let names of others be plain text where nobody has linked them."""
    if node.get("refdomain") != "py":
        return None
    target: str = node["reftarget"].lstrip(".~")
    domain = env.get_domain("py")
    found = [(name, entry) for name, entry in domain.objects.items() if name.endswith(f".{target.removeprefix('t2bus.')}")]
    if not found:
        last = target.rpartition(".")[2]
        found = [
            (name, entry)
            for name, entry in domain.objects.items()
            if target.startswith("t2bus.") and name in (f"t2bus.{last}", *(f"{module}.{last}" for module in MODULES))
        ]
    if len(found) == 1:
        name, entry = found[0]
        from sphinx.util.nodes import make_refnode

        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, name)
    if _is_in_signature(node) or _FOREIGN.fullmatch(target):
        return content
    return None


def _is_in_signature(node: nodes.Node) -> bool:
    while (node := node.parent) is not None:  # type: ignore[assignment] -- of a document it is None
        if isinstance(node, addnodes.desc_signature):
            return True
    return False


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
    return (name for name, entry in env.get_domain("py").objects.items() if entry.objtype not in kinds and not entry.aliased)


def setup(app: Sphinx) -> dict[str, Any]:
    """Join the build; docstrings are seen before napoleon reads them."""
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("autodoc-process-signature", _signature)
    app.connect("object-description-transform", _entered)
    app.connect("missing-reference", _resolve, priority=900)
    app.connect("env-check-consistency", _check)
    app.add_lexer("mermaid", TextLexer)  # the source of a diagram, where a page has one
    return {"parallel_read_safe": True}
