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
from .builds import Build
from .cpu import CpuMeter
from .measuring import Case, Figures, System
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


def _units(first: Mapping[str, str], each: str, *parts: str) -> dict[str, str]:
    """Return these units, and those of the processor time that one message, or one request, takes of each part."""
    return {**first, "cpu": f"us/{each}", **{f"cpu {part}": f"us/{each}" for part in parts}}


_DELIVERY: Final = _units(_RATE, "message", "publisher", "bus", "subscriber")


def deliver(peer: p.Peer, publish: Work, subscribe: Work, processes: int, build: Build) -> Figures:
    """Publish once, and return the deliveries per second, from the first to the last that was taken.

    Each of the subscribing processes does the work of ``subscribe``. The processor time is that of one delivery, from
    when all are connected.
    """
    with peer.open(build) as server, ExitStack() as stack:
        subscribers = [
            stack.enter_context(peer.start(build, "subscribe", server.address, subscribe)) for _ in range(processes)
        ]
        for subscriber in subscribers:
            subscriber.wait_until_ready()
        publisher = stack.enter_context(peer.start(build, "publish", server.address, publish))
        cpu = CpuMeter({"publisher": [publisher], "bus": [server.program], "subscriber": subscribers})
        publisher.wait_until_ready()
        cpu.start()
        try:
            for subscriber in subscribers:
                subscriber.wait_until("end")
        except Failed:
            # A publisher that failed explains a subscriber that waits.
            publisher.check()
            raise
        publisher.wait_until("end")
        cpu.stop()
        results = [subscriber.result() for subscriber in subscribers]
        wanted = subscribe.count * subscribe.connections * processes
        accepted, taken = publisher.result().get("accepted", wanted), sum(result["taken"] for result in results)
        if accepted != wanted or taken != wanted:
            raise Failed(f"accepted {accepted} and taken {taken} of {wanted}")
        seconds = max(result["last"] for result in results) - min(result["first"] for result in results)
        return {"rate": (wanted - 1) / seconds, **cpu.per(wanted)}


def _compare(peers: Sequence[p.Peer], publish: Work, subscribe: Work, processes: int = 1) -> Mapping[str, System]:
    systems = {}
    for peer in peers:
        suited = peer.suit(publish)
        taking = attrs.evolve(subscribe, count=suited.count)
        systems[peer.name] = System(partial(deliver, peer, suited, taking, processes), peer.ours)
    return systems


def _window(size: int) -> int:
    return max(1, min(_WINDOW, _WINDOW_BYTES // size))


def one_to_one() -> Iterator[Case]:
    """One publisher and one subscriber, through a pipelined publisher and from 256 tasks."""
    systems = [p.T2BUS, p.BARE, p.NATS, p.REDIS, p.ZMQ, p.MOSQUITTO, p.RUST]
    for size, count in _SIZES.items():
        work = Work(count=count, size=size, flight=_window(size))
        yield Case(f"1:1, {size:,} B, pipelined", _DELIVERY, _compare(systems, work, work))
        work = Work(count=count // 2, size=size, flight=TASKS, tasks=True)
        # Bytes on one stream have one writer.
        several = [peer for peer in systems if peer is not p.BARE]
        yield Case(f"1:1, {size:,} B, {TASKS} tasks", _DELIVERY, _compare(several, work, work))


def fan_out() -> Iterator[Case]:
    """One publisher to fifty subscribers, each with a connection of its own, in one process and in two."""
    systems = [p.T2BUS, p.NATS, p.REDIS, p.MOSQUITTO, p.RUST]
    publish = Work(count=4_000, size=100, flight=_WINDOW)
    for processes, named in ((1, ""), (2, ", two processes")):
        subscribe = attrs.evolve(publish, connections=50 // processes)
        yield Case(f"1:50, 100 B{named}", _DELIVERY, _compare(systems, publish, subscribe, processes))


def fan_in() -> Iterator[Case]:
    """Fifty publishers, each with a connection of its own, all in one process, to one subscriber of ``sensor/**``."""
    subscribe = Work(topic="sensor/**", count=50_000, size=100)
    publish = attrs.evolve(subscribe, connections=50, flight=_WINDOW // 16)
    systems = [p.T2BUS, p.NATS, p.REDIS, p.MOSQUITTO, p.RUST]
    yield Case("50:1, sensor/**, 100 B", _DELIVERY, _compare(systems, publish, subscribe))


def request(peer: p.Peer, work: Work, build: Build) -> Figures:
    """Ask, and return the times of a request, and how many were answered per second."""
    with peer.open(build) as server:
        return _ask(peer, server, work, build)


def _ask(peer: p.Peer, server: p.Server, work: Work, build: Build) -> dict[str, float]:
    with ExitStack() as stack:
        responder = stack.enter_context(peer.start(build, "answer", server.address, work))
        responder.wait_until_ready()
        requester = stack.enter_context(peer.start(build, "ask", server.address, work))
        cpu = CpuMeter({"requester": [requester], "bus": [server.program], "responder": [responder]})
        requester.wait_until_ready()
        requester.wait_until("begin")
        cpu.start()
        requester.wait_until("end")
        cpu.stop()
        measured = requester.result()
    if len(measured["times"]) != work.count:
        raise Failed(f"{len(measured['times'])} of {work.count} requests were answered")
    times = statistics.quantiles(measured["times"], n=100)
    rate = work.count / measured["seconds"]
    return {"p50": times[49] * 1e6, "p99": times[98] * 1e6, "rate": rate, **cpu.per(work.count)}


_ANSWER_PARTS: Final = ("requester", "bus", "responder")
_ANSWER: Final = _units({"p50": "us", "p99": "us"}, "request", *_ANSWER_PARTS)
_ANSWERS: Final = _units({"rate": "requests/s"}, "request", *_ANSWER_PARTS)


def _compare_requests(peers: Sequence[p.Peer], work: Work) -> Mapping[str, System]:
    return {peer.name: System(partial(request, peer, work), peer.ours) for peer in peers}


def requests() -> Iterator[Case]:
    """One requester and one responder: alone in a loop, alone 1 ms apart, and with 64 requests in flight."""
    systems = [p.T2BUS, p.BARE, p.NATS, p.RUST]
    alone = Work(count=4_000, size=100)
    yield Case("request, 100 B", _ANSWER, _compare_requests(systems, alone))
    spaced = attrs.evolve(alone, count=1_500, pause=0.001)
    yield Case("request, 100 B, 1 ms apart", _ANSWER, _compare_requests(systems, spaced))
    many = attrs.evolve(alone, count=20_000, flight=64)
    yield Case("64 in flight, 100 B", _ANSWERS, _compare_requests(systems, many))


def _inside(system: str, what: str, count: int, size: int, build: Build) -> Figures:
    with python(build, "inside", system, what, count, size) as program:
        measured = program.result()
    each = {name: measured[name] * 1e6 for name in ("p50", "p99") if name in measured}
    messages = count * (50 if what == "fan" else 1)
    return {**each, "rate": messages / measured["seconds"], "cpu": measured["cpu"] / messages * 1e6}


def _compare_inside(what: str, count: int, size: int = 100) -> dict[str, System]:
    return {
        "in process": System(partial(_inside, "t2bus", what, count, size)),
        "memory channel": System(partial(_inside, "bare", what, count, size), ours=False),
    }


def in_process() -> Iterator[Case]:
    """The in-process bus, beside Trio's memory channels and the bus at a unix socket."""
    by_socket, units = "unix socket", _units(_RATE, "message")
    for size, count in _SIZES.items():
        work = Work(count=count, size=size, flight=_window(size))
        systems = _compare_inside("one", count, size)
        systems[by_socket] = System(partial(deliver, p.T2BUS, work, work, 1))
        yield Case(f"in process, 1:1, {size:,} B, pipelined", units, systems)
    count = _SIZES[100] // 2
    work = Work(count=count, size=100, flight=TASKS, tasks=True)
    systems = {
        "in process": System(partial(_inside, "t2bus", "tasks", count, 100)),
        by_socket: System(partial(deliver, p.T2BUS, work, work, 1)),
    }
    yield Case(f"in process, 1:1, 100 B, {TASKS} tasks", units, systems)
    systems = _compare_inside("turn", 10_000)
    systems[by_socket] = System(partial(_take_turns, Work(count=10_000, size=100)))
    yield Case("in process, publish then receive, 100 B", units, systems)
    yield Case("in process, 1:50, 100 B", units, _compare_inside("fan", 2_000))
    systems = _compare_inside("ask", 4_000)
    systems[by_socket] = System(partial(request, p.T2BUS, Work(count=4_000, size=100)))
    yield Case("in process, request, 100 B", _units({"p50": "us", "p99": "us"}, "request"), systems)


def _take_turns(work: Work, build: Build) -> Figures:
    """Publish and receive in turn, through a server of its own."""
    with p.T2BUS.open(build) as server, p.T2BUS.start(build, "turn", server.address, work) as program:
        cpu = CpuMeter({"clients": [program], "bus": [server.program]})
        program.wait_until_ready()
        cpu.start()
        program.wait_until("end")
        cpu.stop()
        return {"rate": work.count / program.result()["seconds"], **cpu.per(work.count)}


def _route(subscriptions: int, kind: str, build: Build) -> Figures:
    with python(build, "routing", subscriptions, kind) as program:
        return {topics: seconds * 1e6 for topics, seconds in program.result().items()}


def routing() -> Iterator[Case]:
    """The router alone, per publication, by how many subscriptions it has."""
    for kind in ("concrete", "wildcard"):
        systems = {f"{count:,} subs": System(partial(_route, count, kind)) for count in (10, 1_000, 100_000)}
        yield Case(f"routing, {kind}", {"hot": "us, hot topics", "new": "us, new topics"}, systems)


_PAIR: Final = Work(count=1_000, size=100)


def _crowd(count: int, build: Build) -> Figures:
    """Measure a pair that asks and answers among idle connections, and what those cost."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < count + 200:
        raise Skipped(f"a process may open {files} files here: `ulimit -Hn`")
    with p.open_crowded(build, count + 2) as server, ExitStack() as stack:
        measured = {}
        if count:
            before = _resident(server.program.pid)
            idle = stack.enter_context(python(build, "idle", server.address, count)).wait_until_ready()
            measured = {"memory": (_resident(server.program.pid) - before) / count, **json.loads(idle)}
        return {**measured, **_ask(p.T2BUS, server, _PAIR, build)}


def _resident(pid: int) -> float:
    """Return the resident memory of a process, in kB."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        raise Skipped("memory is read from /proc, which is not on this machine")
    return float(status.read_text().partition("VmRSS:")[2].split()[0])


def idle() -> Iterator[Case]:
    """Thousands of connections that do nothing, and one pair that asks and answers among them."""
    units = {"p50": "us", "p99": "us", "memory": "kB each", "accepted": "accepted/s"}
    systems = {f"{count:,} idle": System(partial(_crowd, count)) for count in (0, 1_000, 10_000)}
    yield Case("idle connections", units, systems)


def typed() -> Iterator[Case]:
    """Typed messages, and their encoded bytes."""
    work = Work(topic="reading/one", count=100_000, size=len(ENCODED), flight=_WINDOW)
    systems = {}
    for name, kind in (("raw bytes", "encoded"), ("typed", "typed")):
        one = attrs.evolve(work, kind=kind)
        systems[name] = System(partial(deliver, p.T2BUS, one, one, 1))
    yield Case(f"typed and raw, {len(ENCODED)} B", _DELIVERY, systems)


def tls() -> Iterator[Case]:
    """Mutual TLS beside TCP and the unix socket."""
    systems = [p.T2BUS_TCP, p.T2BUS_TLS, p.T2BUS]
    for size in (100, 1_000, 16_000):
        work = Work(count=_SIZES[size], size=size, flight=_window(size))
        yield Case(f"1:1 over TLS, {size:,} B", _DELIVERY, _compare(systems, work, work))
    work = Work(count=2_000, size=100)
    yield Case("request over TLS, 100 B", _ANSWER, _compare_requests(systems, work))


def rust() -> Iterator[Case]:
    """Rust publisher and subscriber through the bus of t2bus, and Rust all through."""
    systems = [p.RUST, p.RUST_ON_T2BUS]
    for size in (100, 1_000, 16_000):
        work = Work(count=_SIZES[size], size=size, flight=_window(size))
        yield Case(f"Rust clients, {size:,} B", _DELIVERY, _compare(systems, work, work))
    work = Work(count=2_000, size=100)
    yield Case("Rust clients, request", _ANSWER, _compare_requests(systems, work))


def _run(*arguments: str, build: Build) -> Figures:
    started = time.perf_counter()
    with Program(build.python, *arguments, environment=build.environment) as program:
        program.wait()
    return {"time": (time.perf_counter() - started) * 1e3}


def _serve(build: Build) -> Figures:
    """Return the time until the first byte of the WELCOME."""
    hello = encode(Hello(VERSION, "benchmark"))
    with tempfile.TemporaryDirectory(prefix="t2bus-bench-") as folder:
        path = Path(folder) / "bus"
        started = time.perf_counter()
        command = [build.python, "-m", "t2bus", "serve", f"unix:{path}"]
        with Program(*command, environment=build.environment):
            wait_for(path)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
                sock.sendall(hello)
                sock.recv(1)
            return {"time": (time.perf_counter() - started) * 1e3}


def start_up() -> Iterator[Case]:
    """How long programs take to begin, beside the interpreter alone."""
    systems = {
        "python -c pass": System(lambda build: _run("-c", "pass", build=build), ours=False),
        "t2bus --help": System(lambda build: _run("-m", "t2bus", "--help", build=build)),
        "import t2bus": System(lambda build: _run("-c", "import t2bus", build=build)),
        "t2bus serve": System(_serve),
    }
    yield Case("start-up", {"time": "ms"}, systems)


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
