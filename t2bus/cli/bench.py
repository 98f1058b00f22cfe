"""``t2bus bench``: how fast a bus that runs is, with loads of one's own choice.

::

    $ t2bus bench sub
    t2bus: subscribed to bench/5f0c1a2b at unix:/run/user/1000/t2bus.sock; publish there with:
      t2bus bench pub bench/5f0c1a2b
    bench sub bench/5f0c1a2b
      messages    100000 of 128 bytes in 0.402 s
      rate        248756 messages/s, 31.84 MB/s
      CPU         2.9 us of this process per message
      lost        0

Topics below ``bench/`` are for this; elsewhere programs may listen, so those are refused unless ``--any-topic`` is
given. What is measured is in :mod:`.measurement`, the loads are in :mod:`.loads`.

The law of this module: that of :mod:`.arguments`, so that ``--help`` is instant.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from . import arguments as types
from .arguments import add_client, add_group, add_verb

if TYPE_CHECKING:
    from .arguments import VerbParser, Verbs

MESSAGES: Final = 100_000
"""What ``bench pub`` sends, and ``bench sub`` waits for, unless told otherwise."""

SERVICE: Final = "bench/echo"
"""Where ``bench request`` asks unless told otherwise."""

_REQUESTS: Final = 10_000
_SIZE: Final = 128


def add_bench(verbs: Verbs) -> None:
    """Add ``pub``, ``sub`` and ``request`` to the grammar."""
    more = "It needs a bus. Stopped by a signal it prints what was measured so far."
    group = add_group(verbs, "bench", "measure a bus that runs", more)
    random = "; by default one of chance below bench/"
    pub = add_verb(
        group, "pub", "publish as fast as possible", "Run `t2bus bench sub` first.", "bench/test --size 1024"
    )
    pub.add_argument("topic", nargs="?", type=types.topic, metavar="TOPIC", help=f"what to publish to{random}")
    _add_load(pub, MESSAGES, "messages, of all clients")
    batch = "messages that are handed over at once; by default 256"
    pub.add_argument("--batch", type=types.count, default=256, metavar="N", help=batch)
    clients = "publish by so many connections at once; by default 1"
    pub.add_argument("--clients", type=types.count, default=1, metavar="N", help=clients)
    unpaced = "wait for no subscriber: those that do not keep up miss messages"
    pub.add_argument("--unpaced", action="store_true", help=unpaced)
    more = "The clocks start when the first ones have come. It prints the command that publishes."
    sub = add_verb(group, "sub", "receive what `t2bus bench pub` publishes", more, "bench/test --wait 10")
    sub.add_argument("topic", nargs="?", type=types.topic, metavar="TOPIC", help=f"what to subscribe to{random}")
    _add_count(sub, MESSAGES, "messages, those that were lost included")
    patience = "end with exit code 5 when no message came for so long"
    sub.add_argument("--wait", type=types.seconds, default=math.inf, metavar="SECONDS", help=patience)
    more = f"`t2bus reply {SERVICE} --echo >/dev/null` answers them. Times are those of a request to its response."
    request = add_verb(group, "request", "send requests", more, "--in-flight 16")
    service = f"the service; by default {SERVICE}"
    request.add_argument("topic", nargs="?", type=types.concrete_topic, default=SERVICE, metavar="TOPIC", help=service)
    _add_load(request, _REQUESTS, "requests")
    in_flight = "requests that wait for their response at once; by default 1"
    request.add_argument("--in-flight", type=types.count, default=1, metavar="N", help=in_flight)
    for verb in (pub, sub, request):
        verb.add_argument("--json", action="store_true", help="print an object instead of lines")
        add_client(verb)


def _add_load(verb: VerbParser, number: int, of: str) -> None:
    """Add what is the same for all that send."""
    _add_count(verb, number, of)
    size = f"bytes of a payload; by default {_SIZE}"
    verb.add_argument("--size", type=types.count, default=_SIZE, metavar="BYTES", help=size)
    anywhere = "use a topic that is not below bench/, where programs may get what is sent"
    verb.add_argument("--any-topic", action="store_true", help=anywhere)


def _add_count(verb: VerbParser, number: int, of: str) -> None:
    """Add after how many it ends."""
    verb.add_argument(
        "--count", type=types.count, default=number, metavar="N", help=f"so many {of}; by default {number}"
    )
