"""Mutual TLS over TCP: handshakes that say why they failed, and the identity in a certificate.

A bus answers strangers, so it takes care on three points:

* **Turns.** A step of a handshake takes a millisecond or two of computing. If many peers come at once, only one step
  is computed in each pass of Trio's scheduler (:class:`.Turns`), so that those who are connected are served between.
* **Time.** A peer that is silent while it should speak can be told from one that waits for the bus: ``may_take`` is
  called with the seconds that the peer has, and with infinity while it is the bus's turn.
* **Alerts.** A handshake that fails ends with TLS's own alert, which ``trio.SSLStream`` leaves unsent. The connection
  is then read to its end: a socket that is closed with bytes unread discards what it has not sent yet.

In TLS 1.3 a client completes its half of the handshake before the bus has seen its certificate. So a refusal reaches
the client as an error of its first read, and :func:`failure` explains that one too.

The law of this module: whoever is refused is told why, as far as TLS has words for it and the other end listens.
"""

from __future__ import annotations

import contextlib
import math
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

import trio
from attrs import define, field

from ..broker.identity import Identity, is_reserved
from ..errors import TlsFailed
from ..text import in_words, quote
from ..tls import ALPN
from . import tcp
from .socket_stream import SocketStream
from .tls_stream import KeptContext, TlsStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .address import TlsAddress
    from .turns import Turns

_LAST_WORDS: Final = 1.0
"""Seconds that the peer has to read an alert."""

HELLO_TIME: Final = 0.1
"""Seconds that a client needs at most to send its first bytes: they follow TCP's own handshake at once."""

ANSWER_TIME: Final = 0.5
"""Seconds that a client needs at most to answer: a round trip to the other side of the world, and some computing."""

_OF_RUST: Final = ' One of the Rust crate t2_bus needs wire="t2" (on the command line --wire t2)'

_LONGEST_NAME: Final = 256
"""Characters of an identity; a DNS name has 253 at most."""


@define(eq=False)
class _Opening(trio.abc.Stream):
    """The stream below a handshake on the side of a bus: what has arrived is returned when it is this one's turn."""

    stream: trio.abc.Stream
    turns: Turns
    may_take: Callable[[float], None]
    _patience: float = field(default=HELLO_TIME, init=False)
    """Seconds that are left to the peer for its next flight, in however many pieces it comes."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive, then wait for a turn."""
        asked_at = trio.current_time()
        self.may_take(self._patience)
        data = await self.stream.receive_some(max_bytes)
        self._patience -= trio.current_time() - asked_at
        self.may_take(math.inf)
        await self.turns.take()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send as it is."""
        self._patience = ANSWER_TIME
        self.may_take(self._patience)
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as it is."""
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close it."""
        await self.stream.aclose()


async def _complete(secure: trio.SSLStream[Any], stream: SocketStream, outgoing: ssl.MemoryBIO) -> None:
    """Shake hands, or send the peer an alert that says why not, and raise ``TlsFailed``."""
    broken: trio.BrokenResourceError | None = None
    try:
        await secure.do_handshake()
    except trio.BrokenResourceError as error:
        broken = error
    if broken is not None:
        await _send_alert(stream, outgoing.read())
        raise failure(broken) from broken


def _require_protocol(secure: trio.SSLStream[Any], hint: str = "") -> None:
    """Raise ``TlsFailed`` unless both ends have named the same protocol."""
    if secure.selected_alpn_protocol() != ALPN:
        raise TlsFailed(f"the peer does not speak the protocol {ALPN} (ALPN): is it of t2bus?{hint}")


# --- the client's side


async def connect(
    address: TlsAddress, context: ssl.SSLContext, within: float, *, names_protocol: bool = True
) -> TlsStream:
    """Connect, and shake hands within so many seconds; connecting itself has no limit here. Cancelled, it closes.

    ``names_protocol`` says whether the bus has to name its protocol: those of t2bus do, those of the crate do not.

    Raises:
      OSError: nothing listens there.
      TlsFailed: the handshake failed; the text names the likely cause.

    """
    stream = SocketStream((await tcp.connect(address)).socket)
    try:
        return await _shake_hands(stream, address.host, context, within, names_protocol=names_protocol)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise


async def _shake_hands(
    stream: SocketStream, host: str, context: ssl.SSLContext, within: float, *, names_protocol: bool
) -> TlsStream:
    """Return the stream of a client after its half of the handshake; the bus may still refuse the certificate."""
    kept = KeptContext(context)
    secure = trio.SSLStream(stream, cast("ssl.SSLContext", kept), server_hostname=host)
    with trio.move_on_after(within):
        await _complete(secure, stream, kept.outgoing)
        if names_protocol:
            _require_protocol(secure, _OF_RUST)
        return TlsStream(secure, stream, kept)
    text = f"no handshake of TLS within {within:g} s: is it a t2bus bus that listens there?"
    raise TlsFailed(text, retryable=True)


# --- the bus's side


async def accept(
    stream: trio.SocketStream, context: ssl.SSLContext, turns: Turns, may_take: Callable[[float], None]
) -> TlsStream:
    """Shake hands with a client that has connected; the stream is the caller's to close, whatever happens.

    Args:
      stream: the connection.
      context: what the bus shows and asks for.
      turns: shared by all handshakes of the bus.
      may_take: called with the seconds that a willing peer needs at most for what it has to do next, and with
        ``math.inf`` when it is the bus that has to do something.

    Raises:
      TlsFailed: the handshake failed; where TLS has an alert for it, the peer was told why, as far as it listens.

    """
    kept, below = KeptContext(context), SocketStream(stream.socket)
    opening = _Opening(below, turns, may_take)
    secure: trio.SSLStream[trio.abc.Stream] = trio.SSLStream(opening, cast("ssl.SSLContext", kept), server_side=True)
    await _complete(secure, below, kept.outgoing)
    _require_protocol(secure)
    # A public attribute of Trio's: after the handshake turns are of no use, and would cost each read and write.
    secure.transport_stream = below
    return TlsStream(secure, below, kept)


async def _send_alert(stream: SocketStream, alert: bytes) -> None:
    """Send the alert, then wait for the peer to close; whatever fails in this is of no interest any more."""
    with trio.move_on_after(_LAST_WORDS), contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        if alert:
            await stream.send_all(alert)
        await stream.send_eof()
        while await stream.receive_some(4096):
            pass


def identity_of(stream: trio.abc.Stream) -> Identity:
    """Return who the certificate of the peer says it is.

    Of the subject alternative names that is the URI; if there is none, the DNS name; else the e-mail address. The
    common name counts for nothing. The stream is one that :func:`accept` has returned.

    Raises:
      TlsFailed: there is no such name, or several of the kind that counts, or it is one that no client may have, or it
        cannot be read.

    """
    try:
        certificate: Mapping[str, Any] = cast("TlsStream", stream).getpeercert() or {}
    except (ValueError, ssl.SSLError) as error:
        # An authority may sign what is not text: bytes that are not UTF-8 in a DNS name, for instance.
        raise TlsFailed("the client's certificate cannot be read: a name in it is no text") from error
    names = certificate.get("subjectAltName", ())
    for kind, word in (("URI", "URIs"), ("DNS", "DNS names"), ("email", "e-mail addresses")):
        found = [name for its_kind, name in names if its_kind == kind]
        if len(found) > 1:
            raise TlsFailed(f"the client's certificate is ambiguous: it has {len(found)} {word}; issue one with one")
        if found:
            return _checked(found[0])
    raise TlsFailed("the client's certificate names nobody: its SAN has to be a URI, a DNS name or an e-mail address")


def _checked(name: str) -> Identity:
    """Return the identity of this name, unless it is reserved, too long, or could be taken for another one."""
    # These names are ASCII by their definition. Another character may look like one of ASCII, or be read as one.
    is_plain = name.isascii() and name.isprintable() and "*" not in name
    if is_reserved(name) or not is_plain or not 0 < len(name) <= _LONGEST_NAME:
        raise TlsFailed(f"no client may have the name {quote(name, _LONGEST_NAME)} that its certificate gives it")
    return Identity(name)


# --- why

_ONE_CA: Final = "use one `ca` on both sides, and show the intermediates"

_OWN_REFUSALS: Final = {
    9: "is not valid yet: compare the clocks of both machines",
    10: "has expired: renew it, or the one above it that has (an intermediate, the authority's)",
    18: "is signed by itself: it has to be issued by the authority that this end trusts",
    **dict.fromkeys((19, 20, 21), f"is of an authority that this end does not trust: {_ONE_CA}"),
    26: "was not issued for this use: a bus needs one for servers, a client one for clients",
    62: "is for another host: connect by a name that it has, or issue one for this name",
    64: "is for another host: connect by an address that it has, or issue one for this address",
}
"""What is wrong with the peer's certificate, by OpenSSL's number (``X509_V_ERR_...``)."""

_ALERTS: Final = {
    "CERTIFICATE_REQUIRED": "it asks for a certificate, and this end has shown none",
    "UNKNOWN_CA": f"this end's certificate is of an authority that it does not trust: {_ONE_CA}",
    "CERTIFICATE_EXPIRED": "this end's certificate has expired: renew it, or the one above it that has",
    "BAD_CERTIFICATE": "this end's certificate is not valid for it: it may not be valid yet, or be for another host",
    "UNSUPPORTED_CERTIFICATE": "this end's certificate was not issued for this use: a client needs one for clients",
    "CERTIFICATE_UNKNOWN": "this end's certificate is not acceptable to it",
    "CERTIFICATE_REVOKED": "this end's certificate was revoked",
    "PROTOCOL_VERSION": "it does not speak TLS 1.3",
    "NO_APPLICATION_PROTOCOL": f"it does not speak {ALPN}",
    "HANDSHAKE_FAILURE": "both ends have no cipher in common",
}
"""What the peer's alert means, by the end of OpenSSL's name for it."""

_CLOSED: Final = "UNEXPECTED_EOF_WHILE_READING"
"""What OpenSSL says where the connection was closed."""

_OWN_REASONS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer has shown no certificate",
    "UNSUPPORTED_PROTOCOL": "the peer does not speak TLS 1.3",
    "WRONG_VERSION_NUMBER": "what the peer sends is not TLS",
    "HTTP_REQUEST": "what the peer sends is HTTP without TLS",
    _CLOSED: "the peer closed the connection in the middle of the handshake: does it speak TLS?",
}


def failure(error: BaseException) -> TlsFailed:
    """Return the error for a handshake that broke, with the likely cause in words.

    Three causes are told apart: this end refused the other's certificate, the other end sent an alert, or this end
    cannot read what it was sent. Without any of them the connection was closed.
    """
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        wrong = _OWN_REFUSALS.get(cause.verify_code, f"was refused: {cause.verify_message}")
        return TlsFailed(f"the peer's certificate {wrong}")
    if isinstance(cause, ssl.SSLError):
        reason = cause.reason or _CLOSED
        _, is_alert, alert = reason.partition("_ALERT_")
        if is_alert:
            return TlsFailed(f"the peer refused this end: {_ALERTS.get(alert, in_words(alert))}")
        return TlsFailed(_OWN_REASONS.get(reason, f"TLS says: {in_words(reason)}"), retryable=reason == _CLOSED)
    text = "the connection was closed in the middle of the handshake: the peer may have refused this end's certificate"
    return TlsFailed(text, retryable=True)
