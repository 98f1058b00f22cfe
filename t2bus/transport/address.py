"""Addresses: ``unix:PATH``, ``tcp:HOST:PORT`` and ``tls:HOST:PORT``, read and written.

::

    >>> parse("tcp:127.0.0.1:4242")
    TcpAddress(host='127.0.0.1', port=4242)
    >>> str(TlsAddress("::1", 4242))
    'tls:[::1]:4242'

The host of a ``tcp:`` or ``tls:`` address is a name, an IPv4 address, or an IPv6 address in brackets. Port 0, for a
listener, is any free port. The path of a ``unix:`` address may be relative to the working directory.

URLs are no addresses, and are answered with the address that is meant: ``tcp://HOST:PORT`` with ``tcp:HOST:PORT``.

The law of this module: an address that was written is read as the same address. Nothing here looks a name up or opens
anything.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from typing import Final

from attrs import frozen

from ..errors import InvalidAddress
from ..text import quote

_EXAMPLES: Final = "write unix:PATH, tcp:HOST:PORT or tls:HOST:PORT, such as unix:my_bus or tcp:127.0.0.1:4242"
_URL: Final = re.compile(r"(unix|tcp|tls)://(.*)", re.IGNORECASE | re.DOTALL)
_HOST_AND_PORT: Final = re.compile(r"(localhost|[^:/]*\.[^:/]*|\[.*\]):[0-9]+")
_MAX_PORT: Final = 65_535
MAX_PATH: Final = 107 if sys.platform.startswith("linux") else 103
"""Bytes that fit in ``sockaddr_un``, beside its final 0."""


@frozen
class UnixAddress:
    """A unix domain socket: for this machine, and the kernel says who is at the other end."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@frozen
class TcpAddress:
    """A TCP port of a host: nothing is encrypted, and all clients are ``anonymous``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp:{_bracketed(self.host)}:{self.port}"


@frozen
class TlsAddress:
    """A TCP port of a host where mutual TLS is spoken: the certificates say who is at either end."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tls:{_bracketed(self.host)}:{self.port}"


def _bracketed(host: str) -> str:
    """Return a host as an address has it: the colons of IPv6 are not the one before the port."""
    return f"[{host}]" if ":" in host else host


Address = UnixAddress | TcpAddress | TlsAddress


def parse(text: str) -> Address:
    """Return the address that the text names; whether anything is there is not looked at.

    Raises:
      InvalidAddress: the text names none; the error says which is probably meant, or how addresses are written.
      TypeError: it is not text.

    """
    if not isinstance(text, str):
        raise TypeError(f"an address is text, not {type(text).__name__}: {_EXAMPLES}")
    try:
        return _parse(text)
    except InvalidAddress as error:
        if (meant := _meant(text)) is None:
            raise
        raise InvalidAddress(f"{quote(text)} is no address: write {meant}") from error


def _parse(text: str) -> Address:
    kind, separator, rest = text.partition(":")
    if separator and kind == "unix":
        return _parse_unix(text, rest)
    if separator and kind == "tcp":
        return TcpAddress(*_parse_host(text, rest))
    if separator and kind == "tls":
        return TlsAddress(*_parse_host(text, rest))
    if separator and kind == "name":
        raise InvalidAddress(f"{quote(text)} is the name of a context, which only clients look up: {_EXAMPLES}")
    raise InvalidAddress(f"{quote(text)} is no address: {_EXAMPLES}")


def _meant(text: str) -> str | None:
    """Return the address that a URL, a path, or a host and a port alone stand for; None if there is no telling."""
    url = _URL.fullmatch(text)
    if url is None:
        is_path, is_host = text.startswith(("/", "./", "../")), _HOST_AND_PORT.fullmatch(text) is not None
        guess = f"unix:{text}" if is_path else f"tcp:{text}"
        return guess if (is_path or is_host) and _is_address(guess) else None
    kind, rest = url[1].lower(), url[2]
    if kind == "unix":
        guess = f"unix:{'/' * rest.startswith('/')}{rest.lstrip('/')}"
        return guess if _is_address(guess) else None
    guess = f"{kind}:{rest.partition('/')[0]}"
    if _is_address(f"{guess}:0"):
        return f"{guess}:PORT"
    return guess if _is_address(guess) else None


def _is_address(text: str) -> bool:
    try:
        _parse(text)
    except InvalidAddress:
        return False
    return True


def _parse_unix(text: str, path: str) -> UnixAddress:
    """Read the path of an address; its length counts in the bytes that the kernel is given."""
    try:
        length = len(os.fsencode(path))
    except UnicodeEncodeError:  # no file can have such a name
        length = 0
    if not length or "\0" in path or path.startswith("//"):
        raise InvalidAddress(f"{quote(text)} names no path: {_EXAMPLES}")
    if length > MAX_PATH:
        raise InvalidAddress(f"the path of a unix socket has at most {MAX_PATH} bytes, this one {length}")
    return UnixAddress(path)


def _parse_host(text: str, rest: str) -> tuple[str, int]:
    """Read the host and the port of an address. ``int`` alone would take ``+1``, ``1_0`` and digits of any script."""
    if "/" in rest:
        raise InvalidAddress(f"{quote(text)} has slashes, which no host and no port has: {_EXAMPLES}")
    host, _, port = rest.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidAddress(f"{quote(text)}: put an IPv6 address in brackets, as in [::1]:4242")
    if not host:
        raise InvalidAddress(f"{quote(text)} lacks a host or a port: {_EXAMPLES}")
    if not (port.isascii() and port.isdigit() and len(port) <= len(str(_MAX_PORT)) and int(port) <= _MAX_PORT):
        raise InvalidAddress(f"{quote(text)} has no port from 0 to {_MAX_PORT}: {_EXAMPLES}")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Tell whether this is an IP address that is reached from this machine only; a name, not looked up, is none."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
