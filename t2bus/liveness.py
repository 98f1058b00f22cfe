"""Whether the peer is still there: ping when it has been silent, give it up when it stays so.

Both ends run this, each with the instants at which it read something. Silence, not the age of a ping, is what counts:
a peer that sends anything at all is alive, and a busy connection carries no pings.

The law of this module: time is an argument.
"""

from __future__ import annotations

from attrs import define, field


@define(eq=False)
class Liveness:
    """The silence of one peer, in seconds since it was last heard of."""

    ping_interval: float
    silence: float
    heard_at: float
    pinged: bool = field(default=False, init=False)

    def heard(self, read_at: float) -> None:
        """Note when something was last read from the peer; if that is known already, nothing changes."""
        if read_at > self.heard_at:
            self.heard_at = read_at
            self.pinged = False

    def ping_is_due(self, now: float) -> bool:
        """Tell whether to send a ping now; one for each silence."""
        if self.pinged or now - self.heard_at < self.ping_interval:
            return False
        self.pinged = True
        return True

    def is_gone(self, now: float) -> bool:
        """Tell whether the peer has been silent for too long."""
        return now - self.heard_at >= self.silence
