"""The workloads, each a function that gives its cases; :data:`WORKLOADS` names them.

Counts are those of a burst. They are small, so that all workloads with five rounds end in half an hour or so on two
cores, and so that the systems of a case take turns often.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import attrs

from . import federated as f
from . import measures as m
from . import peers as p
from .measuring import Case, System
from .with_t2bus import ENCODED
from .work import FAN, TASKS, Work, batch_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Workload = Callable[[], Iterable[Case]]

_WINDOW: Final = 1024
"""Publications in flight: the default of t2bus, given to every system that lets it be chosen."""
_WINDOW_BYTES: Final = 8 << 20
_RATE: Final = {"rate": "messages/s"}
_BURSTS: Final = 10
_FEW: Final = 4
"""Bursts where each takes longer."""
_SIZES: Final = {100: 5_000, 1_000: 3_000, 16_000: 500, 256_000: 100}
"""Sizes of payloads, and the messages of a burst."""
_MORE: Final = 4
"""Times as many messages of a burst of t2bus in batches, which is over sooner."""
_ONE_BY_ONE: Final = "t2bus, one by one"


def _units(first: Mapping[str, str], each: str, *parts: str) -> dict[str, str]:
    """Return these units, and those of the processor time that one message, or one request, takes of each part."""
    return {**first, "cpu": f"us/{each}", **{f"cpu {part}": f"us/{each}" for part in parts}}


_DELIVERY: Final = _units(_RATE, "message", "publisher", "bus", "subscriber")


def _compare(peers: Sequence[p.Peer], publish: Work, subscribe: Work, processes: int = 1) -> Mapping[str, System]:
    systems = {}
    for peer in peers:
        suited = peer.suit(publish)
        taking = attrs.evolve(subscribe, count=suited.count)
        systems[peer.name] = System(partial(m.deliver, peer, suited, taking, processes), peer.ours)
    return systems


def _compare_batches(
    peers: Sequence[p.Peer], publish: Work, subscribe: Work, batch: int, processes: int = 1
) -> Mapping[str, System]:
    """Compare t2bus in batches with itself one by one, and with the others as they do it without; redis has its own."""
    first, second = (attrs.evolve(work, count=_MORE * work.count, batch=batch) for work in (publish, subscribe))
    others = _compare(peers, attrs.evolve(publish, batch=batch), subscribe, processes)
    one_by_one = _compare([p.T2BUS], publish, subscribe, processes)[p.T2BUS.name]
    return {**_compare([p.T2BUS], first, second, processes), _ONE_BY_ONE: one_by_one, **others}


def _window(size: int) -> int:
    return max(1, min(_WINDOW, _WINDOW_BYTES // size))


def one_to_one() -> Iterator[Case]:
    """One publisher and one subscriber, through a pipelined publisher, in batches, and from 256 tasks."""
    systems = [p.T2BUS, p.BARE, p.NATS, p.REDIS, p.ZMQ, p.MOSQUITTO, p.RUST]
    for size, count in _SIZES.items():
        work = Work(count=count, size=size, flight=_window(size))
        yield Case(f"1:1, {size:,} B, pipelined", _DELIVERY, _compare(systems, work, work), _BURSTS)
        # Bytes on one stream have one writer, and no batches.
        several = [peer for peer in systems if peer is not p.BARE]
        batches = _compare_batches(several[1:], work, work, batch_of(size))
        yield Case(f"1:1, {size:,} B, in batches of {batch_of(size)}", _DELIVERY, batches, _BURSTS)
        work = Work(count=max(count // 2, 2 * TASKS), size=size, flight=TASKS, tasks=True)
        yield Case(f"1:1, {size:,} B, {TASKS} tasks", _DELIVERY, _compare(several, work, work), _BURSTS)


def fan_out() -> Iterator[Case]:
    """One publisher to fifty subscribers, each with a connection of its own, in one process and in two."""
    systems = [p.T2BUS, p.NATS, p.REDIS, p.MOSQUITTO, p.RUST]
    publish = Work(count=1_000, size=100, flight=_WINDOW)
    for processes, named in ((1, ""), (2, ", two processes")):
        subscribe = attrs.evolve(publish, connections=FAN // processes)
        yield Case(f"1:{FAN}, 100 B{named}", _DELIVERY, _compare(systems, publish, subscribe, processes), _FEW)
        batches = _compare_batches(systems[1:], publish, subscribe, batch_of(100), processes)
        yield Case(f"1:{FAN}, 100 B{named}, in batches of {batch_of(100)}", _DELIVERY, batches, _FEW)


def fan_in() -> Iterator[Case]:
    """Fifty publishers, each with a connection of its own, all in one process, to one subscriber of ``sensor/**``."""
    subscribe = Work(topic="sensor/**", count=5_000, size=100)
    publish = attrs.evolve(subscribe, connections=FAN, flight=_WINDOW // 16)
    systems = [p.T2BUS, p.NATS, p.REDIS, p.MOSQUITTO, p.RUST]
    yield Case(f"{FAN}:1, sensor/**, 100 B", _DELIVERY, _compare(systems, publish, subscribe), _BURSTS)
    batches = _compare_batches(systems[1:], publish, subscribe, publish.flight)
    yield Case(f"{FAN}:1, sensor/**, 100 B, in batches of {publish.flight}", _DELIVERY, batches, _BURSTS)


_ANSWER_PARTS: Final = ("requester", "bus", "responder")
_ANSWER: Final = _units({"p50": "us", "p99": "us"}, "request", *_ANSWER_PARTS)
_ANSWERS: Final = _units({"rate": "requests/s"}, "request", *_ANSWER_PARTS)


def _compare_requests(peers: Sequence[p.Peer], work: Work) -> Mapping[str, System]:
    return {peer.name: System(partial(m.request, peer, work), peer.ours) for peer in peers}


def requests() -> Iterator[Case]:
    """One requester and one responder: alone in a loop, alone 1 ms apart, and with 64 requests in flight."""
    systems = [p.T2BUS, p.BARE, p.NATS, p.RUST]
    alone = Work(count=400, size=100)
    yield Case("request, 100 B", _ANSWER, _compare_requests(systems, alone), _BURSTS)
    spaced = attrs.evolve(alone, count=150, pause=0.001)
    yield Case("request, 100 B, 1 ms apart", _ANSWER, _compare_requests(systems, spaced), _BURSTS)
    many = attrs.evolve(alone, count=2_000, flight=64)
    yield Case("64 in flight, 100 B", _ANSWERS, _compare_requests(systems, many), _BURSTS)
    batches = _compare_requests([p.T2BUS], attrs.evolve(many, batch=many.flight))
    one_by_one = _compare_requests([p.T2BUS], many)[p.T2BUS.name]
    case = "64 in flight, 100 B, answered in batches"
    yield Case(case, _ANSWERS, {**batches, _ONE_BY_ONE: one_by_one}, _BURSTS)


_BY_SOCKET: Final = "unix socket"


def _compare_inside(what: str, count: int, size: int = 100) -> dict[str, System]:
    return {
        "in process": System(partial(m.inside, "t2bus", what, count, size)),
        "memory channel": System(partial(m.inside, "bare", what, count, size), ours=False),
    }


def _compare_batches_inside(work: Work) -> dict[str, System]:
    """Compare batches in process with one by one, with memory channels, which have no batches, and with the socket."""
    one_by_one = _compare_inside("one", work.count, work.size)
    many = attrs.evolve(work, count=_MORE * work.count, batch=batch_of(work.size))
    return {
        "in process": System(partial(m.inside, "t2bus", "batch", many.count, many.size)),
        "in process, one by one": one_by_one.pop("in process"),
        **one_by_one,
        _BY_SOCKET: System(partial(m.deliver, p.T2BUS, many, many, 1)),
    }


def in_process() -> Iterator[Case]:
    """The in-process bus, beside Trio's memory channels and the bus at a unix socket."""
    units = _units(_RATE, "message")
    for size, count in _SIZES.items():
        work = Work(count=count, size=size, flight=_window(size))
        systems = _compare_inside("one", count, size)
        systems[_BY_SOCKET] = System(partial(m.deliver, p.T2BUS, work, work, 1))
        yield Case(f"in process, 1:1, {size:,} B, pipelined", units, systems, _BURSTS)
        batches = _compare_batches_inside(work)
        yield Case(f"in process, 1:1, {size:,} B, in batches of {batch_of(size)}", units, batches, _BURSTS)
    count = _SIZES[100] // 2
    work = Work(count=count, size=100, flight=TASKS, tasks=True)
    systems = {
        "in process": System(partial(m.inside, "t2bus", "tasks", count, 100)),
        _BY_SOCKET: System(partial(m.deliver, p.T2BUS, work, work, 1)),
    }
    yield Case(f"in process, 1:1, 100 B, {TASKS} tasks", units, systems, _BURSTS)
    systems = _compare_inside("turn", 500)
    systems[_BY_SOCKET] = System(partial(m.take_turns, Work(count=500, size=100)))
    yield Case("in process, publish then receive, 100 B", units, systems, _BURSTS)
    yield Case(f"in process, 1:{FAN}, 100 B", units, _compare_inside("fan", 400), _BURSTS)
    systems = _compare_inside("ask", 400)
    systems[_BY_SOCKET] = System(partial(m.request, p.T2BUS, Work(count=400, size=100)))
    yield Case("in process, request, 100 B", _units({"p50": "us", "p99": "us"}, "request"), systems, _BURSTS)


_TWO: Final = "t2bus, two servers"


def federation() -> Iterator[Case]:
    """Two servers that are one bus, beside one server and two clustered nats-servers; and up to eight of them."""
    servers = {_TWO: f.TWO_T2BUS, "nats, two servers": f.TWO_NATS, "t2bus, one server": p.T2BUS}
    work = Work(count=300, size=100)
    alone = {name: System(partial(f.publish_alone, peer, work)) for name, peer in servers.items() if peer.ours}
    yield Case("publish to the other server, alone, 100 B", {"p50": "us", "p99": "us"}, alone, _BURSTS)
    answers = {name: System(partial(m.request, peer, work), peer.ours) for name, peer in servers.items()}
    yield Case("request to the other server, 100 B", _ANSWER, answers, _BURSTS)
    for tasks in (64, 1_000):
        many = Work(count=3_000, size=100, flight=tasks, tasks=True)
        yield Case(f"to the other server, 100 B, {tasks:,} tasks", _DELIVERY, _between(servers, many), _BURSTS)
    for size in (100, 1_000, 16_000):
        paced = Work(count=_SIZES[size], size=size, flight=_window(size))
        yield Case(f"to the other server, {size:,} B, paced", _DELIVERY, _between(servers, paced), _BURSTS)
        batches = _between(servers, attrs.evolve(paced, count=_MORE * paced.count, batch=batch_of(size)), paced)
        yield Case(f"to the other server, {size:,} B, in batches of {batch_of(size)}", _DELIVERY, batches, _BURSTS)
    units = {"memory": "MB each", "join": "ms", "idle": "ms/s each"}
    many_servers = {f"{number} servers": System(partial(f.many, number, Work(count=0, size=0))) for number in (2, 4, 8)}
    yield Case("servers on one machine", units, many_servers)
    for topic, groups in (("lab", "one group"), ("lab**", "as many groups")):
        systems = {
            f"{count:,} subs": System(partial(f.many, 2, Work(topic=topic, count=count, size=0)))
            for count in (1_000, 10_000)
        }
        yield Case(
            f"subscriptions of {groups}", {"subscribe": "us", "more": "kB elsewhere", "idle": "ms/s each"}, systems
        )


def _between(servers: Mapping[str, p.Peer], work: Work, of_others: Work | None = None) -> dict[str, System]:
    """Deliver from one server to another; those that have no batches do ``of_others``."""
    systems = {}
    for name, peer in servers.items():
        suited = work if peer.ours else of_others or work
        systems[name] = System(partial(m.deliver, peer, suited, suited, 1), peer.ours)
    return systems


def routing() -> Iterator[Case]:
    """The router alone, per publication, by how many subscriptions it has."""
    for kind in ("concrete", "wildcard"):
        systems = {f"{count:,} subs": System(partial(m.route, count, kind)) for count in (10, 1_000, 100_000)}
        yield Case(f"routing, {kind}", {"hot": "us, hot topics", "new": "us, new topics"}, systems)


def idle() -> Iterator[Case]:
    """Thousands of connections that do nothing, and one pair that asks and answers among them."""
    units = {"p50": "us", "p99": "us", "memory": "kB each", "accepted": "accepted/s"}
    systems = {f"{count:,} idle": System(partial(m.crowd, count)) for count in (0, 1_000, 10_000)}
    yield Case("idle connections", units, systems)


def typed() -> Iterator[Case]:
    """Typed messages, and their encoded bytes, one by one and in batches."""
    size = len(ENCODED)
    for batch, named in ((0, ""), (batch_of(size), f", in batches of {batch_of(size)}")):
        work = Work(topic="reading/one", count=5_000 * (_MORE if batch else 1), size=size, flight=_WINDOW, batch=batch)
        systems = {}
        for name, kind in (("raw bytes", "encoded"), ("typed", "typed")):
            one = attrs.evolve(work, kind=kind)
            systems[name] = System(partial(m.deliver, p.T2BUS, one, one, 1))
        yield Case(f"typed and raw, {size} B{named}", _DELIVERY, systems, _BURSTS)


def tls() -> Iterator[Case]:
    """Mutual TLS beside TCP and the unix socket."""
    systems = [p.T2BUS_TCP, p.T2BUS_TLS, p.T2BUS]
    for size in (100, 1_000, 16_000):
        work = Work(count=_SIZES[size], size=size, flight=_window(size))
        yield Case(f"1:1 over TLS, {size:,} B", _DELIVERY, _compare(systems, work, work), _BURSTS)
    work = Work(count=400, size=100)
    yield Case("request over TLS, 100 B", _ANSWER, _compare_requests(systems, work), _BURSTS)


def rust() -> Iterator[Case]:
    """Rust publisher and subscriber through the bus of t2bus, and Rust all through."""
    systems = [p.RUST, p.RUST_ON_T2BUS]
    for size in (100, 1_000, 16_000):
        work = Work(count=_SIZES[size], size=size, flight=_window(size))
        yield Case(f"Rust clients, {size:,} B", _DELIVERY, _compare(systems, work, work), _BURSTS)
    work = Work(count=400, size=100)
    yield Case("Rust clients, request", _ANSWER, _compare_requests(systems, work), _BURSTS)


def start_up() -> Iterator[Case]:
    """How long programs take to begin, beside the interpreter alone."""
    systems = {
        "python -c pass": System(partial(m.run, ["-c", "pass"]), ours=False),
        "t2bus --help": System(partial(m.run, ["-m", "t2bus", "--help"])),
        "import t2bus": System(partial(m.run, ["-c", "import t2bus"])),
        "t2bus serve": System(m.serve),
    }
    yield Case("start-up", {"time": "ms"}, systems, _FEW)


WORKLOADS: Final[Mapping[str, Workload]] = {
    "one-to-one": one_to_one,
    "fan-out": fan_out,
    "fan-in": fan_in,
    "requests": requests,
    "in-process": in_process,
    "federation": federation,
    "routing": routing,
    "idle": idle,
    "typed": typed,
    "tls": tls,
    "rust": rust,
    "start-up": start_up,
}
