"""What ``t2bus serve`` is told: by options, and by a configuration file that the options overrule.

The file is TOML. Its keys are the long names of the options, in the plural where there may be several::

    addresses = ["unix:/run/t2bus/bus", "tls:0.0.0.0:4242"]
    access = "access.toml"
    peers = ["gid:100"]
    monitor = "127.0.0.1:4280"

    [tls]
    ca = "ca.pem"
    certificate = "bus.pem"
    key = "bus.key"

    [federation]
    bus = "plant"
    endpoint = "tls:north.example:7447"

    [limits]
    connections = 4096

So ``t2bus serve --config bus.toml --limit connections=100`` has all of this, but 100 connections. Certificates and
rules that the file names are relative to its folder, so that the folder can be moved; the paths of sockets are not.

The law of this module: a word that is not known is an error, which names the word that was probably meant. A misspelt
setting is never ignored.
"""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
from attrs import field, frozen

from ..contexts.document import FILES
from ..limits import Limits
from ..mistakes import Mistakes, read_toml, require_known, texts, typed
from ..program.opening import files_of
from ..transport.credentials import check_peers
from .federating import FEDERATION_KINDS, FEDERATION_PATHS, federation_options_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

# Read from the class itself, so that a new limit can be set at once.
_LIMITS: Final = {each.name: each.type for each in attrs.fields(attrs.resolve_types(Limits))}
_WORDS: Final = ("addresses", "access", "peers", "insecure_no_auth", "monitor", "tls", "federation", "limits")


class BadSetting(Exception):
    """An option or the configuration file says what cannot be; the text names it. Exit code 2."""


class MissingPackage(BadSetting):
    """What a setting asks for needs an extra that is not installed; the text says how to get it. Exit code 1."""


_of_type = partial(typed, error=BadSetting)
_texts = partial(texts, error=BadSetting)
_require_known = partial(require_known, error=BadSetting)


@frozen
class Settings:
    """What a bus is to be: the arguments of ``t2bus.open_bus``, and what only ``serve`` asks for."""

    addresses: tuple[str, ...] = ()
    """Empty for the default one."""
    files: dict[str, str] = field(factory=dict)
    """Paths under ``ca``, ``certificate`` and ``key``, as far as they are named."""
    access: str | None = None
    """The path of the access rules; without them everybody who is let in may do everything."""
    peers: tuple[str, ...] = ()
    """Who may connect to unix sockets beside this user, as ``uid:N`` or ``gid:N``."""
    limits: Limits = field(factory=Limits)
    insecure_no_auth: bool = False
    """Whether a ``tcp:`` address may be reached from other machines."""
    monitor: str | None = None
    """Where the monitor listens; None for no monitor."""
    federation: dict[str, Any] = field(factory=dict)
    """What is said of the fields of :class:`t2bus.Federation`; empty for a bus that is one server."""


def read_settings(arguments: argparse.Namespace) -> Settings:
    """Return what the options say, and the configuration file where they say nothing.

    An option takes the place of all that the file has for it: addresses are not added to addresses. Limits, the three
    files of TLS and the fields of a federation are each a setting of its own. The configuration file is read; files
    that it names are not.

    Raises:
      BadSetting: what they say cannot be; it is the first mistake.

    """
    settings, mistakes = examine_settings(arguments)
    if mistakes:
        raise BadSetting(mistakes[0])
    return settings


def examine_settings(arguments: argparse.Namespace) -> tuple[Settings, list[str]]:
    """Return the settings as far as they can be, and all that cannot be, each in a line."""
    settings, texts = Settings(), list[str]()
    if arguments.config is not None:
        settings, texts = _read_file(Path(arguments.config))
    mistakes = Mistakes(BadSetting)
    changes: list[tuple[str, object]] = []
    for each in arguments.limit:
        with mistakes.at():
            changes.append(_option(each))
    addresses = tuple(arguments.addresses) or settings.addresses
    for address in dict.fromkeys(addresses):
        with mistakes.at():
            if addresses.count(address) > 1 and not address.endswith(":0"):  # port 0 is another one each time
                raise BadSetting(f"{address} is named twice")
    settings = attrs.evolve(
        settings,
        addresses=tuple(each for i, each in enumerate(addresses) if each.endswith(":0") or each not in addresses[:i]),
        files=settings.files | files_of(arguments),
        access=arguments.access or settings.access,
        peers=tuple(arguments.peer) or settings.peers,
        limits=_with_limits(settings.limits, changes, mistakes),
        insecure_no_auth=arguments.insecure_no_auth or settings.insecure_no_auth,
        monitor=arguments.monitor or settings.monitor,
        federation=settings.federation | federation_options_of(arguments),
    )
    return settings, texts + [mistake.text for mistake in mistakes.found]


# --- the file


def _read_file(path: Path) -> tuple[Settings, list[str]]:
    """Read the configuration file; every mistake begins with its path, and the line where that is known."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = read_toml(text)
    except OSError as error:
        return Settings(), [f"{path}: {error.strerror or error}"]
    except ValueError as error:  # of the bytes, or of the text
        return Settings(), [f"{path} is not TOML: {error}"]
    mistakes = Mistakes(BadSetting)
    settings = _settings(document, path.parent, mistakes)
    return settings, [mistake.show(str(path), text) for mistake in mistakes.found]


def _settings(document: dict[str, Any], folder: Path, mistakes: Mistakes) -> Settings:
    """Check a document of TOML and return what it says; files that it names count from the folder."""
    values: dict[str, Any] = {}
    for word in document:
        with mistakes.at(word):
            _require_known([word], _WORDS, "key")
    with mistakes.at("addresses"):
        values["addresses"] = _texts(document, "addresses")
    with mistakes.at("access"):
        access = _of_type(document, "access", str, None)
        values["access"] = None if access is None else str(folder / access)
    with mistakes.at("peers"):
        values["peers"] = _peers(document)
    with mistakes.at("insecure_no_auth"):
        values["insecure_no_auth"] = _of_type(document, "insecure_no_auth", bool, False)  # noqa: FBT003 -- the default
    with mistakes.at("monitor"):
        values["monitor"] = _of_type(document, "monitor", str, None)
    with mistakes.at("tls"):
        files = values["files"] = {}
        for name in (tls := _of_type(document, "tls", dict, {})):
            with mistakes.at(name):
                _require_known([name], FILES, "key of [tls]")
                files[name] = str(folder / _of_type(tls, name, str, ""))
    with mistakes.at("federation"):
        values["federation"] = _federation(_of_type(document, "federation", dict, {}), folder, mistakes)
    with mistakes.at("limits"):
        values["limits"] = _with_limits(Limits(), _of_type(document, "limits", dict, {}).items(), mistakes)
    return Settings(**values)


def _federation(table: dict[str, Any], folder: Path, mistakes: Mistakes) -> dict[str, Any]:
    """Return what the table of a federation says, or nothing if a part of it cannot be read.

    Whether it can be a federation is not looked at, for options may say the rest.
    """
    values: dict[str, Any] = {}
    before = len(mistakes.found)
    for name in table:
        with mistakes.at(name):
            _require_known([name], FEDERATION_KINDS, "key of [federation]")
            kind = FEDERATION_KINDS[name]
            value: Any = _texts(table, name) if kind is list else _of_type(table, name, kind, None)
            values[name] = str(folder / value) if name in FEDERATION_PATHS else value
    return values if len(mistakes.found) == before else {}


def _peers(document: dict[str, Any]) -> tuple[str, ...]:
    peers = _texts(document, "peers")
    try:
        check_peers(peers)
    except ValueError as error:
        raise BadSetting(f"peers: {error}") from error
    return peers


# --- limits


def _option(text: str) -> tuple[str, object]:
    """Read ``NAME=VALUE``, with an int for VALUE where that is possible, and else a float."""
    name, separator, value = text.partition("=")
    if not separator:
        raise BadSetting(f"--limit {text!r}: write NAME=VALUE")
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return name, kind(value)
    raise BadSetting(f"--limit {name}: {value!r} is no number")


def _with_limits(limits: Limits, changes: Iterable[tuple[str, object]], mistakes: Mistakes) -> Limits:
    """Return the limits with these changes, each checked by itself first so that the mistake names it."""
    changed: dict[str, int] = {}
    for name, value in changes:
        with mistakes.at(name):
            _require_known([name], _LIMITS, "limit")
            kinds = (int,) if _LIMITS[name] is int else (int, float)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise BadSetting(f"limit {name}: {value!r} is no {'whole number' if kinds == (int,) else 'number'}")
            if value <= 0:
                raise BadSetting(f"limit {name}: {value!r} is too small: it has to be above 0")
            changed[name] = cast("int", value)
    with mistakes.at():
        try:
            limits = attrs.evolve(limits, **changed)
        except ValueError as error:
            raise BadSetting(f"limits: {error}") from error
    return limits
