"""How a client comes to its bus, once and again: connect, shake hands, and wait longer from one try to the next.

::

    client   HELLO    the version of the wire, the compressions that it can read, and its name
    bus      WELCOME  the bounds of the client, and the number of its connection; or ERROR, which says why not

A bus may send more right behind its WELCOME, so what came together with that is handed on.

The law of this module: a connection that does not become a client is closed, and the error says what to do, and whether
to try again.
"""

from __future__ import annotations

import contextlib
import logging
import random
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, evolve, field, frozen
from attrs.validators import ge, gt, le

from ..documented import Documented
from ..endpoints import connect, open_transport
from ..errors import BusError, ConnectFailed, ProtocolViolation, TlsFailed
from ..log_limiter import LogLimiter
from ..text import as_text
from ..tls import reread
from ..transport.address import UnixAddress
from ..transport.handshake import failure
from ..wire.messages import Error, Welcome
from ..wire.native import VERSION

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from ..endpoints import ClientTransport
    from ..limits import Limits
    from ..transport.address import Address
    from ..wire.messages import Hello, ServerMessage

_logger = logging.getLogger("t2bus.client")

_WHO_LISTENS: Final = (
    "is it a t2bus bus that listens there? One with TLS is at a tls: address, and one of the Rust crate t2_bus needs "
    'wire="t2" (on the command line --wire t2)'
)


@define(frozen=True)
class Dialled:
    """A connection whose bus has let the client in; ``rest`` is what came together with the WELCOME."""

    transport: ClientTransport
    welcome: Welcome
    rest: Sequence[ServerMessage]


@define(frozen=True, kw_only=True)
class Destination:
    """Where a bus is, and how to come in."""

    place: Address | trio.abc.Stream | Callable[[], Awaitable[trio.abc.Stream]]
    limits: Limits
    tls: ssl.SSLContext | None
    peers: frozenset[str]
    wire: str
    hello: Hello

    async def dial(self) -> Dialled:
        """Connect and shake hands.

        Raises:
          ConnectFailed, TlsFailed: as ``t2bus.open_client``.

        """
        stream, stays_here = await self._open_stream()
        transport = open_transport(stream, self.limits, wire=self.wire, stays_here=stays_here)
        try:
            return await self._shake_hands(transport)
        except BaseException:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await transport.aclose()
            raise

    async def _open_stream(self) -> tuple[trio.abc.Stream, bool]:
        """Return a stream to the bus, and whether it never leaves the machine."""
        place = self.place
        if isinstance(place, trio.abc.Stream):
            return place, False
        if callable(place):
            try:
                return await _open(place), False
            except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
                reason = as_text(error) or type(error).__name__
                raise ConnectFailed(f"cannot open a stream to the bus: {reason}", retryable=True) from error
        stream = await connect(place, self.limits, self.tls, self.peers, wire=self.wire)
        return stream, isinstance(place, UnixAddress)

    async def _shake_hands(self, transport: ClientTransport) -> Dialled:
        """Send HELLO and hear the WELCOME.

        Raises:
          ConnectFailed: what answers is no bus, or does not let this client in, or nothing answers within
            ``Limits.handshake_time``.
          TlsFailed: the connection has TLS and broke. A bus that refuses a certificate is heard of only now, with the
            first read.

        """
        limits = self.limits
        messages: list[ServerMessage] = []
        try:
            with trio.move_on_after(limits.handshake_time) as scope:
                await transport.send([self.hello])
                while not messages:
                    messages += await transport.receive()
        except (trio.EndOfChannel, trio.BrokenResourceError) as error:
            if transport.is_secure:
                raise failure(error) from error
            text = f"the connection was closed before a bus answered: {_WHO_LISTENS}"
            raise ConnectFailed(text, retryable=True) from error
        except ProtocolViolation as error:
            raise ConnectFailed(f"what listens there does not speak the wire of t2bus: {error}") from error
        if scope.cancelled_caught:
            text = f"no bus answered within {limits.handshake_time:g} s: {_WHO_LISTENS}"
            raise ConnectFailed(text, retryable=True)
        first, *rest = messages
        if isinstance(first, Error):
            raise ConnectFailed(f"the bus did not let this client in: {first.text}")
        if not isinstance(first, Welcome) or first.version != VERSION:
            raise ConnectFailed("the bus answered something else than a WELCOME of this version of the wire")
        transport.set_frame_limit(first.delivery)
        return Dialled(transport, first, rest)


# Code of the program, which may take long: an interrupt ends it, as it would in a task of the program's own.
@trio.lowlevel.disable_ki_protection
async def _open(place: Callable[[], Awaitable[trio.abc.Stream]]) -> trio.abc.Stream:
    return await place()


# --- again


_LOG_INTERVAL: Final = 60.0
"""Seconds between two warnings that there is no connection yet; what fails in between is for those who look closely."""


def _seconds(default: float) -> Any:
    return field(default=default, validator=gt(0))


@frozen(kw_only=True)
class Reconnect(metaclass=Documented):
    """How a client comes back to a bus that it has lost, or that is not there yet.

    ::

        async with t2bus.open_client("unix:my_bus", reconnect=t2bus.Reconnect(longest=5.0)) as client: ...

    Each wait is twice as long as the one before. It begins with ``first`` again once a connection has lasted for longer
    than the last wait.

    Raises:
      ValueError: a time is not above 0, ``longest`` is below ``first``, or ``jitter`` is not from 0 to 1.

    """

    first: float = _seconds(0.1)
    """Seconds to wait before it tries again for the first time."""
    longest: float = _seconds(10.0)
    """Seconds between two tries, at most."""
    jitter: float = field(default=0.2, validator=[ge(0), le(1)])
    """How much longer or shorter a wait may be by chance, as a share of it: so that many clients of a bus that was
    restarted do not come at the same moment."""

    def __attrs_post_init__(self) -> None:
        """Refuse bounds that contradict each other."""
        if self.longest < self.first:
            raise ValueError(f"longest={self.longest:g} has to be at least first={self.first:g}")


@define(eq=False)
class Redial:
    """A destination that is tried again, and how long to wait before."""

    _destination: Destination
    _policy: Reconnect
    _wait: float = field(init=False)
    _log: LogLimiter = field(factory=partial(LogLimiter, _LOG_INTERVAL), init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with the first wait."""
        self._wait = self._policy.first

    def next_delay(self) -> float:
        """Return how long to wait now, and double it for the next time."""
        policy, wait = self._policy, self._wait
        self._wait = min(2 * wait, policy.longest)
        return wait * random.uniform(1 - policy.jitter, 1 + policy.jitter)  # noqa: S311 -- no secret

    def note_lasted(self, seconds: float) -> None:
        """Begin with the first wait again if a connection has lasted for longer than the last one."""
        if 2 * seconds > self._wait:
            self._wait = self._policy.first

    def log_loss(self, error: BusError | None) -> None:
        """Log why a connection was lost; a warning of what fails next comes a while later."""
        self._log.allows(None, trio.current_time())
        _logger.warning("%s: it connects again", error)

    def log_failure(self, error: ConnectFailed) -> None:
        """Log why there is no connection yet: the first time at once, since the address may be mistyped."""
        is_due = self._log.allows(None, trio.current_time())
        _logger.log(logging.WARNING if is_due else logging.DEBUG, "not connected yet, it tries again: %s", error)

    async def dial(self) -> Dialled:
        """Connect, with certificates as their files are now; those that cannot be used leave the old ones in place."""
        destination = self._destination
        if destination.tls is not None:
            with contextlib.suppress(TlsFailed):
                destination = self._destination = evolve(destination, tls=reread(destination.tls))
        return await destination.dial()

    async def dial_until_there(self) -> Dialled:
        """Connect for the first time, whenever the bus is there.

        Raises:
          ConnectFailed: trying again does not help.

        """
        while True:
            try:
                return await self._destination.dial()
            except ConnectFailed as error:
                if not error.retryable:
                    raise
                self.log_failure(error)
            await trio.sleep(self.next_delay())
