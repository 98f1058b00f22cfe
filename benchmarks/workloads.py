"""The workloads, each a function that gives its cases; :data:`WORKLOADS` names them.

Counts are small, so that all of them with five rounds end in a quarter of an hour on two cores.
"""

from __future__ import annotations

import json
import resource
import socket
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from t2bus.wire.messages import Hello
from t2bus.wire.native import VERSION, encode

from . import peers as p
from .measuring import Case, Measure
from .programs import Failed, Program, Skipped, python, wait_for
from .with_t2bus import ENCODED
from .work import TASKS, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Workload = Callable[[], Iterable[Case]]

_WINDOW: Final = 1024
"""Publications in flight: the default of t2bus, given to every system that lets it be chosen."""
_WINDOW_BYTES: Final = 8 << 20
_RATE: Final = {"rate": "messages/s"}
_SIZES: Final = {100: 100_000, 1_000: 60_000, 16_000: 10_000, 256_000: 2_000}
"""Sizes of payloads, and the messages of one measurement."""


def deliver(peer: p.Peer, publish: Work, subscribe: Work, processes: int = 1) -> dict[str, float]:
    """Publish once, and return the deliveries per second, from the first to the last that was taken.

    Each of the subscribing processes does the work of ``subscribe``.
    """
    with peer.open() as address, ExitStack() as stack:
        subscribers = [stack.enter_context(peer.start("subscribe", address, subscribe)) for _ in range(processes)]
        for subscriber in subscribers:
            subscriber.wait_until_ready()
        publisher = stack.enter_context(peer.start("publish", address, publish))
        try:
            results = [subscriber.result() for subscriber in subscribers]
        except Failed:
            # A publisher that failed explains a subscriber that waits.
            publisher.check()
            raise
        wanted = subscribe.count * subscribe.connections * processes
        accepted, taken = publisher.result().get("accepted", wanted), sum(result["taken"] for result in results)
        if accepted != wanted or taken != wanted:
            raise Failed(f"accepted {accepted} and taken {taken} of {wanted}")
        seconds = max(result["last"] for result in results) - min(result["first"] for result in results)
        return {"rate": (wanted - 1) / seconds}


def _compare(peers: Sequence[p.Peer], publish: Work, subscribe: Work, processes: int = 1) -> Mapping[str, Measure]:
    measures = {}
    for peer in peers:
        suited = peer.suit(publish)
        measures[peer.name] = partial(deliver, peer, suited, attrs.evolve(subscribe, count=suited.count), processes)
    return measures


def _window(size: int) -> int:
    return max(1, min(_WINDOW, _WINDOW_BYTES // size))


def one_to_one() -> Iterator[Case]:
    """One publisher and one subscriber, through a pipelined publisher and from 256 tasks."""
    systems = [p.T2BUS, p.BARE, p.NATS, p.REDIS, p.ZMQ, p.MOSQUITTO, p.RUST]
    for size, count in _SIZES.items():
        work = Work(count=count, size=size, flight=_window(size))
        yield Case(f"1:1, {size:,} B, pipelined", _RATE, _compare(systems, work, work))
        work = Work(count=count // 2, size=size, flight=TASKS, tasks=True)
        # Bytes on one stream have one writer.
        several = [peer for peer in systems if peer is not p.BARE]
        yield Case(f"1:1, {size:,} B, {TASKS} tasks", _RATE, _compare(several, work, work))


def fan_out() -> Iterator[Case]:
    """One publisher to fifty subscribers, each with a connection of its own, in one process and in two."""
    systems = [p.T2BUS, p.NATS, p.REDIS, p.MOSQUITTO, p.RUST]
    publish = Work(count=4_000, size=100, flight=_WINDOW)
    for processes, named in ((1, ""), (2, ", two processes")):
        subscribe = attrs.evolve(publish, connections=50 // processes)
        yield Case(f"1:50, 100 B{named}", _RATE, _compare(systems, publish, subscribe, processes))


def fan_in() -> Iterator[Case]:
    """Fifty publishers, each with a connection of its own, all in one process, to one subscriber of ``sensor/**``."""
    subscribe = Work(topic="sensor/**", count=50_000, size=100)
    publish = attrs.evolve(subscribe, connections=50, flight=_WINDOW // 16)
    systems = [p.T2BUS, p.NATS, p.REDIS, p.MOSQUITTO, p.RUST]
    yield Case("50:1, sensor/**, 100 B", _RATE, _compare(systems, publish, subscribe))


def request(peer: p.Peer, work: Work) -> dict[str, float]:
    """Ask, and return the times of a request, and how many were answered per second."""
    with peer.open() as address, ExitStack() as stack:
        stack.enter_context(peer.start("answer", address, work)).wait_until_ready()
        return _answers(stack.enter_context(peer.start("ask", address, work)), work)


def _answers(asker: Program, work: Work) -> dict[str, float]:
    measured: dict[str, Any] = asker.result()
    if len(measured["times"]) != work.count:
        raise Failed(f"{len(measured['times'])} of {work.count} requests were answered")
    quantiles = statistics.quantiles(measured["times"], n=100)
    return {"p50": quantiles[49] * 1e6, "p99": quantiles[98] * 1e6, "rate": work.count / measured["seconds"]}


def requests() -> Iterator[Case]:
    """One requester and one responder: alone, and with 64 requests in flight."""
    systems = [p.T2BUS, p.BARE, p.NATS, p.RUST]
    alone, many = Work(count=4_000, size=100), Work(count=20_000, size=100, flight=64)
    units = {"p50": "us", "p99": "us"}
    yield Case("request, 100 B", units, {peer.name: partial(request, peer, alone) for peer in systems})
    yield Case("64 in flight, 100 B", {"rate": "requests/s"}, {q.name: partial(request, q, many) for q in systems})


def _inside(system: str, what: str, count: int, size: int = 100) -> dict[str, float]:
    with python("inside", system, what, count, size) as program:
        measured = program.result()
    if what == "ask":
        return {name: seconds * 1e6 for name, seconds in measured.items()}
    return {"rate": count * (50 if what == "fan" else 1) / measured["seconds"]}


def in_process() -> Iterator[Case]:
    """The in-process bus, beside Trio's memory channels and the bus at a unix socket."""
    systems = {"in process": "t2bus", "memory channel": "bare"}
    by_socket = "unix socket"
    for size, count in _SIZES.items():
        measures: dict[str, Measure] = {
            name: partial(_inside, system, "one", count, size) for name, system in systems.items()
        }
        work = Work(count=count, size=size, flight=_window(size))
        measures[by_socket] = partial(deliver, p.T2BUS, work, work)
        yield Case(f"in process, 1:1, {size:,} B, pipelined", _RATE, measures)
    count = _SIZES[100] // 2
    work = Work(count=count, size=100, flight=TASKS, tasks=True)
    measures = {
        "in process": partial(_inside, "t2bus", "tasks", count),
        by_socket: partial(deliver, p.T2BUS, work, work),
    }
    yield Case(f"in process, 1:1, 100 B, {TASKS} tasks", _RATE, measures)
    measures = {name: partial(_inside, system, "turn", 10_000) for name, system in systems.items()}
    measures[by_socket] = partial(_take_turns, Work(count=10_000, size=100))
    yield Case("in process, publish then receive, 100 B", _RATE, measures)
    measures = {name: partial(_inside, system, "fan", 2_000) for name, system in systems.items()}
    yield Case("in process, 1:50, 100 B", _RATE, measures)
    measures = {name: partial(_inside, system, "ask", 4_000) for name, system in systems.items()}
    measures[by_socket] = partial(request, p.T2BUS, Work(count=4_000, size=100))
    yield Case("in process, request, 100 B", {"p50": "us", "p99": "us"}, measures)


def _take_turns(work: Work) -> dict[str, float]:
    """Publish and receive in turn, through a server of its own."""
    with p.T2BUS.open() as address, p.T2BUS.start("turn", address, work) as program:
        return {"rate": work.count / program.result()["seconds"]}


def _route(subscriptions: int, kind: str) -> dict[str, float]:
    with python("routing", subscriptions, kind) as program:
        return {topics: seconds * 1e6 for topics, seconds in program.result().items()}


def routing() -> Iterator[Case]:
    """The router alone, per publication, by how many subscriptions it has."""
    for kind in ("concrete", "wildcard"):
        measures = {f"{count:,} subs": partial(_route, count, kind) for count in (10, 1_000, 100_000)}
        yield Case(f"routing, {kind}", {"hot": "us, hot topics", "new": "us, new topics"}, measures)


_PAIR: Final = Work(count=1_000, size=100)


def _crowd(count: int) -> dict[str, float]:
    """Measure a pair that asks and answers among idle connections, and what those cost."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < count + 200:
        raise Skipped(f"a process may open {files} files here: `ulimit -Hn`")
    with p.open_crowded(count + 2) as (address, server), ExitStack() as stack:
        measured = {}
        if count:
            before = _resident(server.pid)
            idle = stack.enter_context(python("idle", address, count)).wait_until_ready()
            measured = {"memory": (_resident(server.pid) - before) / count, **json.loads(idle)}
        stack.enter_context(p.T2BUS.start("answer", address, _PAIR)).wait_until_ready()
        asker = stack.enter_context(p.T2BUS.start("ask", address, _PAIR))
        return {**measured, **_answers(asker, _PAIR)}


def _resident(pid: int) -> float:
    """Return the resident memory of a process, in kB."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        raise Skipped("memory is read from /proc, which is not on this machine")
    return float(status.read_text().partition("VmRSS:")[2].split()[0])


def idle() -> Iterator[Case]:
    """Thousands of connections that do nothing, and one pair that asks and answers among them."""
    units = {"p50": "us", "p99": "us", "memory": "kB each", "accepted": "accepted/s"}
    measures = {f"{count:,} idle": partial(_crowd, count) for count in (0, 1_000, 10_000)}
    yield Case("idle connections", units, measures)


def typed() -> Iterator[Case]:
    """Typed messages, and their encoded bytes."""
    work = Work(topic="reading/one", count=100_000, size=len(ENCODED), flight=_WINDOW)
    measures = {}
    for name, kind in (("raw bytes", "encoded"), ("typed", "typed")):
        one = attrs.evolve(work, kind=kind)
        measures[name] = partial(deliver, p.T2BUS, one, one)
    yield Case(f"typed and raw, {len(ENCODED)} B", _RATE, measures)


def tls() -> Iterator[Case]:
    """Mutual TLS beside TCP and the unix socket."""
    systems = [p.T2BUS_TCP, p.T2BUS_TLS, p.T2BUS]
    for size in (100, 1_000, 16_000):
        work = Work(count=_SIZES[size], size=size, flight=_window(size))
        yield Case(f"1:1 over TLS, {size:,} B", _RATE, _compare(systems, work, work))
    work = Work(count=2_000, size=100)
    measures = {peer.name: partial(request, peer, work) for peer in systems}
    yield Case("request over TLS, 100 B", {"p50": "us", "p99": "us"}, measures)


def rust() -> Iterator[Case]:
    """Rust publisher and subscriber through the bus of t2bus, and Rust all through."""
    systems = [p.RUST, p.RUST_ON_T2BUS]
    for size in (100, 1_000, 16_000):
        work = Work(count=_SIZES[size], size=size, flight=_window(size))
        yield Case(f"Rust clients, {size:,} B", _RATE, _compare(systems, work, work))
    work = Work(count=2_000, size=100)
    measures = {peer.name: partial(request, peer, work) for peer in systems}
    yield Case("Rust clients, request", {"p50": "us", "p99": "us"}, measures)


def _run(*arguments: str) -> dict[str, float]:
    started = time.perf_counter()
    with Program(sys.executable, *arguments) as program:
        program.wait()
    return {"time": (time.perf_counter() - started) * 1e3}


def _serve() -> dict[str, float]:
    """Return the time until the first byte of the WELCOME."""
    hello = encode(Hello(VERSION, "benchmark"))
    with tempfile.TemporaryDirectory(prefix="t2bus-bench-") as folder:
        path = Path(folder) / "bus"
        started = time.perf_counter()
        with Program(sys.executable, "-m", "t2bus", "serve", f"unix:{path}"):
            wait_for(path)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
                sock.sendall(hello)
                sock.recv(1)
            return {"time": (time.perf_counter() - started) * 1e3}


def start_up() -> Iterator[Case]:
    """How long programs take to begin, beside the interpreter alone."""
    measures: dict[str, Measure] = {
        "python -c pass": partial(_run, "-c", "pass"),
        "t2bus --help": partial(_run, "-m", "t2bus", "--help"),
        "import t2bus": partial(_run, "-c", "import t2bus"),
        "t2bus serve": _serve,
    }
    yield Case("start-up", {"time": "ms"}, measures)


WORKLOADS: Final[Mapping[str, Workload]] = {
    "one-to-one": one_to_one,
    "fan-out": fan_out,
    "fan-in": fan_in,
    "requests": requests,
    "in-process": in_process,
    "routing": routing,
    "idle": idle,
    "typed": typed,
    "tls": tls,
    "rust": rust,
    "start-up": start_up,
}
