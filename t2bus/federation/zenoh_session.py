"""A node in Zenoh: what it declares, what it puts, and what it hears.

::

    session = NodeSession(options, node, mailbox)
    session.open()
    session.put("4f1d0c7a93b2e856", b"...")

Each node is a Zenoh *peer*: it listens, connects to its seeds, and hears from them of the other nodes (*gossip*), so
that each pair of nodes has a link of its own. On these are:

* ``t2/BUS/m/NODE/ENDPOINT/NUMBER``, a liveliness token: the node is there, and listens there;
* ``t2/BUS/n/NODE/SENDER``, what SENDER has put for NODE, which has subscribed to all senders;
* ``t2/BUS/w/ENDPOINT``, a question of somebody who misses the node there, which has subscribed to it.

Whoever sees the token of a node can send to it, for the node has subscribed before. Zenoh tells a token once over each
link. Where both ends make one at once, one of the two may break, and what was told on it is lost. So a node that is
asked for declares a token of the next number, and takes the one before back.

The law of this module: no other imports Zenoh. What is a node's is called in one thread, what is a go-between's in
another, and what Zenoh calls only notes down.
"""

from __future__ import annotations

import json
import os
from collections import deque
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import zenoh
from attrs import define, field

from .engine import Arrived, Joined, Left
from .mailbox import BESIDE
from .zenoh_settings import of_go_between, of_node

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .federation import Federation
    from .mailbox import Mailbox

_THREADS: Final = "(rx: (worker_threads: 32))"
"""Those of Zenoh's that receive. A link that is given up while data is not acknowledged, as when a cable is cut, keeps
one of them for 10 s in ``close``; of two, which is what Zenoh has by itself, none was left for the others."""

os.environ.setdefault("ZENOH_RUNTIME", _THREADS)  # read when the first node of a process is opened


@define(eq=False)
class NodeSession:
    """What is a node's: all methods are called in its thread, or in a thread of Zenoh's where they say so."""

    options: Federation
    node: str
    mailbox: Mailbox
    gone: deque[str] = field(factory=deque, init=False)
    """Nodes that nothing is sent to any more."""
    taken: int = field(default=0, init=False)
    """Bytes that Zenoh has taken to send, with what is counted beside them."""
    is_asked_for: bool = field(default=False, init=False)
    """Whether somebody misses this node, who may be linked to it."""
    _session: zenoh.Session | None = field(default=None, init=False)
    _declared: list[object] = field(factory=list, init=False)
    _token: zenoh.LivelinessToken | None = field(default=None, init=False)
    _shown: int = field(default=0, init=False)
    """How often the token was declared."""
    _tokens: dict[str, set[str]] = field(factory=dict, init=False)
    """The numbers of the tokens of each node; Zenoh has several threads for them."""
    _lock: Lock = field(factory=Lock, init=False)
    _publishers: dict[str, zenoh.Publisher] = field(factory=dict, init=False)

    def open(self) -> None:
        """Join the others."""
        session = self._session = _open(of_node(self.options, self.node))
        tokens, to_this = f"{self._key('m')}/*/*/*", self._key("n", self.node)
        self._declared = [
            session.liveliness().declare_subscriber(tokens, _direct(self._on_token), history=True),
            session.declare_subscriber(f"{to_this}/*", _direct(self._on_data)),
            session.declare_subscriber(self._key("w", self.options.endpoint), _direct(self._on_question)),
        ]
        self.show()

    def show(self) -> None:
        """Let everybody know that this node is there, once more if they do."""
        assert self._session is not None
        before, token = self._token, self._key("m", self.node, self.options.endpoint, str(self._shown))
        self._token, self._shown = self._session.liveliness().declare_token(token), self._shown + 1
        if before is not None:
            before.undeclare()

    def ask(self, endpoints: Sequence[str]) -> None:
        """Ask who is there to show itself."""
        assert self._session is not None
        for endpoint in endpoints:
            with suppress(zenoh.ZError):  # it is as another node has it, which may be what no key can have
                self._session.put(self._key("w", endpoint), b"", congestion_control=zenoh.CongestionControl.DROP)

    def close(self) -> None:
        """End everything."""
        if self._session is not None:
            self._session.close()

    def knows(self, node: str) -> bool:
        """Tell, in any thread, whether all is made that a put to this node needs."""
        return node in self._publishers and not self.gone

    def put(self, node: str, data: bytes) -> None:
        """Send to a node; waits for the lease at most, after which the link to it has ended.

        In Trio's thread where the worker has nothing to do, the node is known and little is under way to it: then Zenoh
        has room.
        """
        while self.gone:
            if (publisher := self._publishers.pop(self.gone.popleft(), None)) is not None:
                publisher.undeclare()
        if (publisher := self._publishers.get(node)) is None:
            publisher = self._publishers[node] = self._publisher(node)
        publisher.put(data)
        self.taken += len(data) + BESIDE

    def _publisher(self, node: str) -> zenoh.Publisher:
        assert self._session is not None
        return self._session.declare_publisher(
            self._key("n", node, self.node),
            congestion_control=zenoh.CongestionControl.BLOCK,
            reliability=zenoh.Reliability.RELIABLE,
        )

    def _key(self, *parts: str) -> str:
        return "/".join(("t2", self.options.bus, *parts))

    def _on_token(self, sample: zenoh.Sample) -> None:
        """Note who comes and goes, by its last token; in a thread of Zenoh's, which must not wait."""
        node, endpoint, number = str(sample.key_expr).split("/")[-3:]
        with self._lock:
            tokens = self._tokens.setdefault(node, set())
            if sample.kind == zenoh.SampleKind.PUT:
                tokens.add(number)
                self.mailbox.put(Joined(node, endpoint))
                return
            tokens.discard(number)
            if not tokens:
                del self._tokens[node]
                self.mailbox.put(Left(node))

    def _on_data(self, sample: zenoh.Sample) -> None:
        """Note what has come; as above."""
        sender = str(sample.key_expr).rpartition("/")[2]
        self.mailbox.put(Arrived(sender, sample.payload.to_bytes()))

    def _on_question(self, _: zenoh.Sample) -> None:
        """Note that somebody misses this node; as above."""
        self.is_asked_for = True


def _open(settings: dict[str, Any]) -> zenoh.Session:
    return zenoh.open(zenoh.Config.from_json5(json.dumps(settings)))


def open_go_between(options: Federation, endpoints: Sequence[str]) -> zenoh.Session:
    """Open a session of one who is no node, and connects to those at these endpoints."""
    return _open(of_go_between(options, endpoints))


def _direct(call: Callable[[zenoh.Sample], None]) -> zenoh.handlers.Callback[zenoh.Sample]:
    """Have this called in a thread of Zenoh's: one of Python's own, of which the process would wait for the end."""
    return zenoh.handlers.Callback(call, indirect=False)
