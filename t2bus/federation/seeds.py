"""Why a seed is not met: said in the log, since Zenoh tells nobody.

::

    WARNING t2bus.federation: the server at the seed tls:south.example:7447 is not met: the peer's certificate is of an
    authority that this end does not trust: use one `ca` on both sides, and show the intermediates

A server tries its seeds for ever, and one that refuses it looks to it like one that is not there. So after a while this
end connects to each that it has not met, shows its certificate, says nothing, and hangs up.

The law of this module: what is said of a seed is said once, and again only when it is something else.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from .. import tls
from ..errors import TlsFailed
from ..text import printable, quote
from ..transport import handshake, tcp
from ..transport.address import TlsAddress
from .federation import place_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection

    from ..transport.address import TcpAddress
    from .federation import Federation

_logger = logging.getLogger("t2bus.federation")

_AGAIN: Final = 30.0
"""Seconds between two tries."""

_HANDSHAKE: Final = 5.0
"""Seconds for a handshake of TLS."""

_ALERT: Final = 1.0
"""Seconds for a server to say that it refuses this end's certificate, which in TLS 1.3 comes after the handshake."""


async def watch_seeds(options: Federation, met: Callable[[], Collection[str]]) -> None:
    """Say in the log why seeds are not met that should have been by now; for ever.

    Args:
      options: which seeds there are, and the certificates.
      met: returns the endpoints of the servers that are there.

    """
    own, said = place_of(options.endpoint), dict[str, str]()
    context = _context(options)
    await trio.sleep(options.lease + 1)
    while True:
        for seed in options.seeds:
            if seed in met() or place_of(seed) == own:
                said.pop(seed, None)
            elif (text := await _reason(options, seed, context, met)) and said.get(seed) != text:
                said[seed] = text
                _logger.warning("the server at the seed %s is not met: %s", seed, text)
        await trio.sleep(_AGAIN)


async def _reason(
    options: Federation, seed: str, context: ssl.SSLContext | None, met: Callable[[], Collection[str]]
) -> str:
    """Return why a seed is not met, as far as that is known; nothing if it is not known to be wrong.

    One that answers may have been met by another name than it is looked for by here. So it is blamed only where nobody
    is met at all.
    """
    text = await refusal(place_of(seed), context)
    if text or met():
        return text
    return f"it answers, but no server of bus {quote(options.bus)} is there: is its --bus another one?"


def _context(options: Federation) -> ssl.SSLContext | None:
    """Return what this server shows to those it connects to; None without TLS."""
    if options.ca is None or options.cert is None:
        return None
    return tls.client_context(ca=options.ca, certificate=options.cert, key=options.key)


async def refusal(place: TcpAddress | TlsAddress, context: ssl.SSLContext | None) -> str:
    """Return why this end and the server at a place cannot meet; nothing if both would, as far as this can be told."""
    try:
        stream = await _connect(place, context)
    except OSError as error:
        return printable(error.strerror or str(error))
    except TlsFailed as error:
        return str(error)
    try:
        with trio.move_on_after(_ALERT):
            await stream.receive_some()
    except trio.BrokenResourceError as error:
        failure = handshake.failure(error)
        return "" if failure.retryable else str(failure)  # it hangs up on who says nothing
    finally:
        await trio.aclose_forcefully(stream)
    return ""


async def _connect(place: TcpAddress | TlsAddress, context: ssl.SSLContext | None) -> trio.abc.Stream:
    if isinstance(place, TlsAddress):
        assert context is not None
        return await handshake.connect(place, context, _HANDSHAKE, names_protocol=False)
    return await tcp.connect(place)
