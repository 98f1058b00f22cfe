"""What breaks whom when one version of a program meets another.

::

    for finding in compare(document(Hello), document(NewHello)):
        print(finding)

    hello: old publishers -> new subscribers: breaks: Hello.count: is missing, and has no default

The theory. While a fleet is being renewed, old programs and new ones are on one bus, so each direction counts: old
publishers and new subscribers, new publishers and old subscribers, and the same of requests and of their responses.
Protocols are the same if their prefix is; the name of a class is not seen on the bus.

The law of this module: pure; the findings come in the order of the prefixes, and what breaks before what does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .fits import flaws_between
from .protocols import PUBLISH, REQUEST
from .reading import protocols_of
from .words import words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .asyncapi import Document
    from .flaws import Flaw
    from .protocols import ProtocolLayout


@attrs.frozen
class Finding:
    """Something that one version of a program does not do with what another one sends, as that one means it."""

    prefix: str
    """That of the topics."""
    writer: str
    """Who sends, such as ``old publishers``."""
    reader: str
    """Who receives, such as ``new subscribers``."""
    text: str
    """What happens, and to which field: ``Hello.count: is missing, and has no default``."""
    breaks: bool
    """Whether the message, the request or the response is lost; else it is read, but not all of it, or otherwise."""

    def __str__(self) -> str:
        effect = "breaks" if self.breaks else "note"
        return f"{self.prefix}: {self.writer} -> {self.reader}: {effect}: {self.text}"


def compare(old: Document, new: Document) -> list[Finding]:
    """Return what breaks, and what is read otherwise than it is meant, between two versions of a program.

    Args:
      old: what :func:`.document` returns, or the JSON of it read again.
      new: the same of the newer version.

    Raises:
      BadDocument: one of them is none that t2bus could have written.

    """
    found = [*_findings(protocols_of(old), protocols_of(new))]
    return sorted(dict.fromkeys(found), key=lambda each: (each.prefix, not each.breaks))


def _findings(old: Sequence[ProtocolLayout], new: Sequence[ProtocolLayout]) -> Iterator[Finding]:
    """Yield the findings, role by role and prefix by prefix."""
    for role in (PUBLISH, REQUEST):
        before, after = ({each.prefix for each in side if each.role == role} for side in (old, new))
        for prefix in sorted(before | after):
            olds, news = ([each for each in side if (each.role, each.prefix) == (role, prefix)] for side in (old, new))
            if not olds:
                yield from _added(role, prefix, _moved(news, old, after))
            elif not news:
                yield from _removed(role, prefix, _moved(olds, new, before))
            else:
                yield from _both(olds, news)


def _moved(here: Sequence[ProtocolLayout], there: Sequence[ProtocolLayout], known: set[str]) -> str:
    """Return the prefix that a class of the same name has in the other version, and only there; empty if none has."""
    names = {each.name for each in here}
    found = (e.prefix for e in there if e.role == here[0].role and e.name in names and e.prefix not in known)
    return next(found, "")


def _added(role: str, prefix: str, before: str) -> Iterator[Finding]:
    """Yield what follows from a prefix that the old version does not have; ``before`` is what it had in its place."""
    why = f"the prefix was {before!r}" if before else "the old version does not know it"
    if role == PUBLISH:
        yield Finding(prefix, "new publishers", "old subscribers", f"nobody subscribes: {why}", bool(before))
    else:
        yield Finding(prefix, "new requesters", "old responders", f"ServiceNotFound: {why}", bool(before))


def _removed(role: str, prefix: str, after: str) -> Iterator[Finding]:
    """Yield what follows from a prefix that the new version does not have."""
    why = f"the prefix is {after!r}" if after else "the new version does not know it"
    if role == PUBLISH:
        yield Finding(prefix, "old publishers", "new subscribers", f"nobody subscribes: {why}", breaks=True)
    else:
        yield Finding(prefix, "old requesters", "new responders", f"ServiceNotFound: {why}", breaks=True)


def _both(olds: Sequence[ProtocolLayout], news: Sequence[ProtocolLayout]) -> Iterator[Finding]:
    """Yield the findings of protocols with one prefix: by the names of their classes, where there are several."""
    names = {each.name for each in olds} & {each.name for each in news}
    pairs = [(o, n) for o in olds for n in news if o.name == n.name]
    rest = [o for o in olds if o.name not in names], [n for n in news if n.name not in names]
    pairs += [(o, n) for o in rest[0] for n in rest[1]]
    for old, new in pairs:
        yield from _versions(old, new)


def _versions(old: ProtocolLayout, new: ProtocolLayout) -> Iterator[Finding]:
    """Yield the findings of two versions of one protocol, in each direction."""
    sends, receives = ("publishers", "subscribers") if old.role == PUBLISH else ("requesters", "responders")
    for writer, reader, of, to in ((old, new, "old", "new"), (new, old, "new", "old")):
        for flaw in flaws_between(writer.message, reader.message, writer.name):
            yield _finding(old.prefix, f"{of} {sends}", f"{to} {receives}", flaw)
        if writer.response is not None and reader.response is not None:
            for flaw in flaws_between(writer.response, reader.response, words_of(writer.response)):
                yield _finding(old.prefix, f"{of} {receives}", f"{to} {sends}", flaw)


def _finding(prefix: str, writer: str, reader: str, flaw: Flaw) -> Finding:
    return Finding(prefix, writer, reader, f"{flaw.path}: {flaw.text}", flaw.breaks)
