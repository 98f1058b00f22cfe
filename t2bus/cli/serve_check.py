"""``t2bus serve --check``: whether a bus could serve so, without serving.

::

    $ t2bus serve --config bus.toml --check
    t2bus: bus.toml:7: 'conections' is no limit: did you mean connections?
    t2bus: access.toml:3: identity "oven": unknown key "publsh": did you mean "publish"?
    $ t2bus serve --config fine.toml --check
    a bus could serve at unix:/run/t2bus/bus tls:0.0.0.0:4242

Files are read and listeners opened by the code that serves; then they are closed again. So an address that is in use is
a mistake too, also if this very bus uses it.

The law of this module: all mistakes are told, each in one line with its file, and the line where that is known.
"""

from __future__ import annotations

import errno
import logging
import os
import ssl
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from ..broker.access import Verb
from ..broker.identity import Identity
from ..endpoints import open_listeners
from ..errors import BindFailed, BusError, InvalidAccess, TlsFailed
from ..federation.federation import Federation, place_of
from ..mistakes import line_of
from ..pem import PemFiles, load_authority, load_own
from ..server.files import raise_soft_limit, require_files
from ..server.joining import check_federation
from ..server.rules import mistakes_of, read_access
from ..server.warnings import warn_of_expiry
from ..tls import server_context
from ..transport.address import parse
from .connecting import context_of
from .console import print_line, say
from .exits import Exit
from .federating import federation_options_of
from .inherited import take_listeners
from .monitoring import check_monitor
from .ready_file import check_ready_file
from .serve_open import federation_of, judge, plan_of
from .settings import BadSetting, examine_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Mapping, Sequence

    from .serve_open import Plan
    from .settings import Settings

_PRIVATE: Final = 0o600

_STATUS: Final = "bus/status"
"""What the monitor asks first."""

_OF_LISTENERS: Final = {
    errno.EADDRINUSE: "stop what listens there, or choose another port",
    errno.EADDRNOTAVAIL: "name an address of this machine",
    errno.ENOENT: "make its folder first",
    errno.EACCES: "choose a port from 1024 on",
}
_OF_SOCKETS: Final = {
    **_OF_LISTENERS,
    errno.EACCES: "choose a path in a folder of this user",
}
_OF_FILES: Final = {
    errno.ENOENT: "make it, or correct the path",
    errno.EACCES: "let this user read it",
    errno.EISDIR: "name a file in it",
}
"""What to do where the system's own reason is all that there is."""


async def check(arguments: argparse.Namespace) -> int:
    """Look for mistakes; return 0 if there are none, and that of wrong usage if there are."""
    settings, texts = examine_settings(arguments)
    findings = _Findings(arguments, texts)
    if arguments.ready_fd is not None:
        with findings.at():
            check_ready_file(arguments.ready_fd)
    await _check_access(settings, findings)
    with findings.at():
        raise_soft_limit(settings.limits)
    with findings.at("limits", "connections"):
        require_files(settings.limits)
    places: tuple[str, ...] = ()
    federation = None
    with findings.at("federation"):
        federation = federation_of(settings.federation)
    with findings.at():
        plan = plan_of(settings, take_listeners(), federation)
        places = plan.all_addresses
        context = _check_certificates(plan, findings)
        _check_federation(plan, context, findings)
        await _check_addresses(plan, findings)
    with findings.at():
        await check_monitor(settings.monitor)
        await _check_right(settings)
    for text in findings.texts:
        say(text, logging.ERROR)
    if findings.texts:
        return Exit.USAGE
    others = "" if federation is None else f", as a server of {federation.bus} at {federation.endpoint}"
    await print_line(f"a bus could serve at {' '.join(places)}{others}")
    return Exit.OK


@define(eq=False)
class _Findings:
    """All that is wrong."""

    arguments: argparse.Namespace
    texts: list[str] = field(factory=list)

    @contextmanager
    def at(self, *keys: str) -> Generator[None, None, None]:
        """Keep what the body raises, with the line of the configuration file that has these keys.

        There is none where an option has overruled the file.
        """
        try:
            yield
        except (BusError, BadSetting) as error:
            text = f"{error}{remedy(error)}"
            self.texts.append(text if (place := self._place(keys)) is None else f"{place}: {text}")

    def _place(self, keys: Sequence[str]) -> str | None:
        path = self.arguments.config
        if path is None or not keys or self._overruled(keys[0]):
            return None
        try:
            line = line_of(Path(path).read_text(encoding="utf-8-sig"), keys)
        except (OSError, UnicodeDecodeError):
            return None
        return None if line is None else f"{path}:{line}"

    def _overruled(self, key: str) -> bool:
        """Tell whether options have said something of what the file has under a key."""
        match key:
            case "addresses":
                return bool(self.arguments.addresses)
            case "access":
                return self.arguments.access is not None
            case "federation":
                return bool(federation_options_of(self.arguments))
            case _:
                return bool(self.arguments.limit)


def remedy(error: Exception) -> str:
    """Return what to do about an error that only has the reason of the system."""
    match error:
        case BindFailed():
            return _remedy_of(str(error), _OF_SOCKETS if " unix:" in str(error) else _OF_LISTENERS)
        case TlsFailed() | InvalidAccess():
            return _remedy_of(str(error), _OF_FILES)
        case _:
            return ""


def blamed(error: Exception, arguments: argparse.Namespace) -> str:
    """Return the text of an error, behind the setting that names the file where the file cannot even be read."""
    if not isinstance(error, InvalidAccess) or not isinstance(error.__cause__, OSError):
        return str(error)
    return f"{'access' if arguments.access is None else '--access'}: {error}"


def _remedy_of(text: str, remedies: Mapping[int, str]) -> str:
    return next((f": {remedy}" for number, remedy in remedies.items() if text.endswith(os.strerror(number))), "")


async def _check_access(settings: Settings, findings: _Findings) -> None:
    """Read the access rules, in a thread that is left behind if the file is a pipe and a signal comes."""
    if settings.access is None:
        return
    try:
        mistakes = await trio.to_thread.run_sync(mistakes_of, settings.access, abandon_on_cancel=True)
    except InvalidAccess as error:
        with findings.at("access"):
            raise BadSetting(f"{blamed(error, findings.arguments)}{remedy(error)}") from error
    else:
        findings.texts += mistakes


async def _check_right(settings: Settings) -> None:
    """Warn where access rules keep the monitor from asking the bus, so that all but its page would be refused."""
    if settings.monitor is None or settings.access is None:
        return
    with suppress(InvalidAccess):  # told already
        rules = await trio.to_thread.run_sync(read_access, settings.access, abandon_on_cancel=True)
        if not rules.permissions(Identity("local")).explain(Verb.REQUEST, _STATUS).allowed:
            right = 'request = ["bus/*"] to the identity local'
            say(f"warning: the monitor may not ask the bus: {settings.access} has to give {right}", logging.WARNING)


def _check_certificates(plan: Plan, findings: _Findings) -> ssl.SSLContext | None:
    """Load the authority and the bus's own certificate each for itself, and if they are well both as a bus does."""
    files = plan.settings.files
    if {"ca", "certificate"} <= files.keys():
        own = PemFiles(files["ca"], files["certificate"], files.get("key", files["certificate"]))
        if not _can_load(own, findings):
            return None
    context = None
    with findings.at():
        context = context_of(plan.all_addresses, files, server_context)
        warn_of_expiry(context)
    return context


def _check_federation(plan: Plan, context: ssl.SSLContext | None, findings: _Findings) -> None:
    """Do the same with what is shown to other servers; who is let in by the bus's context must not join as one."""
    match plan.federation:
        case Federation(ca=str(ca), cert=str(cert), key=str(key)):
            if not _can_load(PemFiles(ca, cert, key), findings, "federation"):
                return
    with findings.at("federation"):
        check_federation(plan.federation, context, has_rules=plan.settings.access is not None)


def _can_load(own: PemFiles, findings: _Findings, *keys: str) -> bool:
    """Load the authority and the certificate of an end, each for itself."""
    before = len(findings.texts)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for load in (partial(load_authority, context, own.ca), partial(load_own, context, own)):
        with findings.at(*keys):
            load()
    return len(findings.texts) == before


async def _check_addresses(plan: Plan, findings: _Findings) -> None:
    """Open all listeners at the same time, since an address may be named twice, and close them."""
    is_refused = partial(judge, insecure=plan.settings.insecure_no_auth)
    async with AsyncExitStack() as stack:
        for listener in plan.inherited:
            stack.push_async_callback(listener.listener.aclose)
            with findings.at():
                is_refused(listener.address, [listener.address])
        for text in plan.addresses:
            with findings.at("addresses"):
                address = parse(text)
                opened = await stack.enter_async_context(open_listeners(address, _PRIVATE))
                is_refused(address, [listener.address for listener in opened])
        if plan.federation is not None:
            with findings.at("federation", "endpoint"):
                await stack.enter_async_context(open_listeners(place_of(plan.federation.endpoint), _PRIVATE))
