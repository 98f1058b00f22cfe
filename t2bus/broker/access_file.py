"""The file of access rules.

It is TOML::

    [everyone]
    subscribe = ["public/**"]

    [identity."spiffe://lab/oven"]
    publish = ["oven/**"]
    publish_wildcards = ["oven/**"]
    serve = ["oven/set"]

    [identity."uid:1000"]
    subscribe = ["**"]
    request = ["*/status"]
    deny = { subscribe = ["secret/**"] }

Of ``publsh = [...]`` the error says ``everyone: unknown key "publsh": did you mean "publish"?``. A misspelt rule would
let somebody in, or lock a client out, without notice. So whatever is not a rule is an error, which names the place in
the file and the word that was probably meant.

The law of this module: text in, rules out; a file is valid as a whole or not at all.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidAccess, InvalidTopic
from ..mistakes import Mistake, Mistakes, read_toml
from ..text import QUOTED, shorten
from ..topic import validate
from .access import Access, Rules, Verb

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST: Final = 1024 * 1024
"""Bytes of a file: 5,000 identities with ten rules each fit. A file of this size took 0.8 s to read."""

RULES: Final = 1000
"""Rules of one table. A verdict that is not remembered looks at the rules that meet the topic, usually for 50 us. A
thousand rules of 16 fragments that all meet a topic with wildcards took 50 ms: as long as ``Limits.matching_steps``
lets one publication take."""

_ALIKE: Final = 0.7
"""How alike two words must be for one to be a misspelling of the other, of 1; difflib's 0.6 would take ``version`` for
``everyone``."""

_VERBS: Final = {verb.value: verb for verb in Verb}

_TYPES: Final[dict[type, str]] = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    list: "an array",
    dict: "a table",
}
"""TOML's words for the types that tomllib returns; all others are dates and times."""


def parse(text: str) -> Access:
    """Return the rules of a file. One without rules is valid: it denies everything.

    Raises:
      InvalidAccess: the text is no such file; the error is the first in it.

    """
    access, found = _read(text)
    if found:
        raise found[0].error
    return access


def mistakes_in(text: str) -> list[Mistake]:
    """Return all that is wrong in a file."""
    return _read(text)[1]


def _read(text: str) -> tuple[Access, list[Mistake]]:
    """Return the rules of a file as far as they are valid, and what is not."""
    mistakes = Mistakes(InvalidAccess)
    access = Access(Rules(), {})
    with mistakes.at():
        access = _access(_document(text), mistakes)
    return access, mistakes.found


def _document(text: str) -> dict[str, Any]:
    # Counted in bytes as in a file: who reads one byte more than these never takes a part of the rules for the whole.
    if len(text.encode(errors="surrogatepass")) > LARGEST:
        raise InvalidAccess(f"it has more than {LARGEST} bytes: use wildcards and groups")
    try:
        return read_toml(text)
    except ValueError as error:
        raise InvalidAccess(f"invalid TOML: {error}") from error


def _access(document: dict[str, Any], mistakes: Mistakes) -> Access:
    """Read the tables of the file; each function below reads one level deeper, and is told the place for its errors."""
    everyone = Rules()
    identities: dict[str, Rules] = {}
    for key, value in document.items():
        with mistakes.at(key):
            if key == "everyone":
                everyone = _rules("everyone", value, mistakes)
            elif key == "identity":
                identities = _identities(value, mistakes)
            elif key in _VERBS or key == "deny":
                raise InvalidAccess(f'"{key}" stands outside of a table: put it below [everyone] or [identity."NAME"]')
            else:
                raise InvalidAccess(_unknown(key, value, ["everyone", "identity"]))
    return Access(everyone, identities)


def _identities(value: object, mistakes: Mistakes) -> dict[str, Rules]:
    identities: dict[str, Rules] = {}
    tables = _table("identity", value)
    if "" in tables:
        raise InvalidAccess('identity "": the name is empty: for all identities use [everyone]')
    for name, rules in tables.items():
        with mistakes.at(name):
            identities[name] = _rules(f"identity {_quoted(name)}", rules, mistakes)
    return identities


def _rules(place: str, value: object, mistakes: Mistakes) -> Rules:
    allow: dict[Verb, tuple[str, ...]] = {}
    deny: dict[Verb, tuple[str, ...]] = {}
    for key, content in _table(place, value).items():
        with mistakes.at(key):
            if key in _VERBS:
                allow[_VERBS[key]] = _topics(f"{place}: {key}", content, mistakes)
            elif key == "deny":
                deny = _deny(place, content, mistakes)
            elif isinstance(content, dict) and place != "everyone":
                hint = 'a name with dots needs quotes, as in [identity."bus.example"]'
                raise InvalidAccess(f"{place}: {_unknown(key, content, ['deny'], hint)}")
            else:
                raise InvalidAccess(f"{place}: {_unknown(key, content, [*_VERBS, 'deny'])}")
    rules = Rules(allow, deny)
    if len(rules) > RULES:
        raise InvalidAccess(f"{place}: there are {len(rules)} rules where {RULES} are allowed: use wildcards")
    return rules


def _deny(place: str, value: object, mistakes: Mistakes) -> dict[Verb, tuple[str, ...]]:
    deny: dict[Verb, tuple[str, ...]] = {}
    for key, content in _table(f"{place}: deny", value).items():
        with mistakes.at(key):
            if key not in _VERBS:
                raise InvalidAccess(f"{place}: deny: {_unknown(key, content, _VERBS)}")
            deny[_VERBS[key]] = _topics(f"{place}: deny.{key}", content, mistakes)
    return deny


def _topics(place: str, value: object, mistakes: Mistakes) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidAccess(f'{place}: it must be an array of topics, such as ["a/**"], not {_type(value)}')
    topics: list[str] = []
    for number, topic in enumerate(value, 1):
        with mistakes.at():
            if not isinstance(topic, str):
                raise InvalidAccess(f"{place}: item {number} must be a topic in quotes, not {_type(topic)}")
            try:
                validate(topic)
            except InvalidTopic as error:
                raise InvalidAccess(f"{place}: {shorten(topic, QUOTED)!r} is no topic: {error}") from error
            topics.append(topic)
    return tuple(topics)


def _table(place: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidAccess(f"{place}: it must be a table, not {_type(value)}")
    return value


def _unknown(key: str, value: object, known: Iterable[str], hint: str = "") -> str:
    """Say that a key is not known, with the key that was probably meant, or the hint, or all keys that there are."""
    kind = "table" if isinstance(value, dict) else "key"
    *others, last = known
    if near := get_close_matches(key[:QUOTED], [*others, last], n=1, cutoff=_ALIKE):
        hint = f'did you mean "{near[0]}"?'
    hint = hint or f"there are {', '.join(others)} and {last}"
    return f"unknown {kind} {_quoted(key)}: {hint}"


def _type(value: object) -> str:
    return _TYPES.get(type(value), "a date or time")


def _quoted(key: str) -> str:
    """Return a key as the file has it, between the quotes of TOML."""
    return f'"{shorten(key, QUOTED)}"'
