"""Addresses: ``unix:PATH``, ``tcp:HOST:PORT`` and ``tls:HOST:PORT``, read and written.

::

    >>> parse("tcp:127.0.0.1:4242")
    TcpAddress(host='127.0.0.1', port=4242)
    >>> str(TlsAddress("::1", 4242))
    'tls:[::1]:4242'

The host of a ``tcp:`` or ``tls:`` address is a name, an IPv4 address, or an IPv6 address in brackets. Port 0, for a
listener, is any free port. The path of a ``unix:`` address may be relative to the working directory.

The law of this module: an address that was written is read as the same address. Nothing here looks a name up or opens
anything; :func:`default_address` may make a folder.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Final

from attrs import frozen

from ..errors import InvalidAddress
from ..text import quote

_EXAMPLES: Final = "write unix:PATH, tcp:HOST:PORT or tls:HOST:PORT, such as unix:my_bus or tcp:127.0.0.1:4242"
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
      InvalidAddress: the text names none; the error says how addresses are written.
      TypeError: it is not text.

    """
    if not isinstance(text, str):
        raise TypeError(f"an address is text, not {type(text).__name__}: {_EXAMPLES}")
    kind, separator, rest = text.partition(":")
    if separator and kind == "unix":
        return _parse_unix(text, rest)
    if separator and kind == "tcp":
        return TcpAddress(*_parse_host(text, rest))
    if separator and kind == "tls":
        return TlsAddress(*_parse_host(text, rest))
    raise InvalidAddress(f"{quote(text)} is no address: {_EXAMPLES}")


def _parse_unix(text: str, path: str) -> UnixAddress:
    """Read the path of an address; its length counts in the bytes that the kernel is given."""
    try:
        length = len(os.fsencode(path))
    except UnicodeEncodeError:  # no file can have such a name
        length = 0
    if not length or "\0" in path:
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


def default_address() -> str:
    """Return the address that ``t2bus serve`` without an address uses: a unix socket that only this user can reach.

    It is ``unix:/run/user/1000/t2bus.sock``, for example: in the user's runtime folder (``XDG_RUNTIME_DIR``). Where
    there is none, it is in a folder of mode 0700 below the one for temporary files, which is made if need be. A program
    and its bus find the same address, as long as both have the same user and the same environment.

    Raises:
      InvalidAddress: that folder exists and is not this user's own.

    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return f"unix:{runtime}/t2bus.sock"
    folder = Path(tempfile.gettempdir()) / f"t2bus-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise InvalidAddress(f"{folder} is not a folder that only this user can use: remove it or name an address")
    return f"unix:{folder}/t2bus.sock"
