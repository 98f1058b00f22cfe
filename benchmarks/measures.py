"""How a measurement is taken: servers and clients are started, and then measure a burst each time they are asked to.

``rate`` is what is done in a second; ``p50`` and ``p99`` are times of one request, and ``cpu`` the processor time that
one message or request takes of all processes: microseconds each.
"""

from __future__ import annotations

import json
import resource
import socket
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import peers as p
from . import wire
from .cpu import CpuMeter
from .programs import Failed, Program, Skipped, python, wait_for
from .work import FAN, Work

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .builds import Build
    from .measuring import Burst, Figures


@contextmanager
def deliver(peer: p.Peer, publish: Work, subscribe: Work, processes: int, build: Build) -> Generator[Burst]:
    """Publish, and give the deliveries per second, from the first to the last that was taken.

    Each of the subscribing processes does the work of ``subscribe``. The processor time is that of one delivery.
    """
    with peer.open(build) as server, ExitStack() as stack:
        subscribers = [
            stack.enter_context(peer.start(build, "subscribe", server.place_of("subscribe"), subscribe))
            for _ in range(processes)
        ]
        for subscriber in subscribers:
            subscriber.wait_until_ready()
        publisher = stack.enter_context(peer.start(build, "publish", server.address, publish))
        publisher.wait_until_ready()
        wanted = subscribe.count * subscribe.connections * processes
        yield partial(_deliver, publisher, server.programs, subscribers, wanted)


def _deliver(publisher: Program, bus: Sequence[Program], subscribers: Sequence[Program], wanted: int) -> Figures:
    with CpuMeter({"publisher": [publisher], "bus": bus, "subscriber": subscribers}) as cpu:
        publisher.go()
        try:
            for subscriber in subscribers:
                subscriber.wait_until("end")
        except Failed:
            # A publisher that failed explains a subscriber that waits.
            publisher.check()
            raise
        publisher.wait_until("end")
    results = [subscriber.result() for subscriber in subscribers]
    accepted, taken = publisher.result().get("accepted", wanted), sum(result["taken"] for result in results)
    if accepted != wanted or taken != wanted:
        raise Failed(f"accepted {accepted} and taken {taken} of {wanted}")
    seconds = max(result["last"] for result in results) - min(result["first"] for result in results)
    return {"rate": (wanted - 1) / seconds, **cpu.per(wanted)}


@contextmanager
def request(peer: p.Peer, work: Work, build: Build) -> Generator[Burst]:
    """Ask, and give the times of a request, and how many were answered per second."""
    with peer.open(build) as server, _pair(peer, server, work, build) as burst:
        yield burst


@contextmanager
def _pair(peer: p.Peer, server: p.Server, work: Work, build: Build) -> Generator[Burst]:
    with (
        peer.start(build, "answer", server.place_of("answer"), work) as responder,
        peer.start(build, "ask", server.address, work) as requester,
    ):
        responder.wait_until_ready()
        requester.wait_until_ready()
        yield partial(_ask, requester, server.programs, responder, work.count)


def _ask(requester: Program, bus: Sequence[Program], responder: Program, count: int) -> Figures:
    with CpuMeter({"requester": [requester], "bus": bus, "responder": [responder]}) as cpu:
        requester.go()
        requester.wait_until("end")
    measured = requester.result()
    if len(measured["times"]) != count:
        raise Failed(f"{len(measured['times'])} of {count} requests were answered")
    return {**quantiles(measured["times"]), "rate": count / measured["seconds"], **cpu.per(count)}


def quantiles(seconds: Sequence[float]) -> Figures:
    """Return the median of these times and the 99th percentile, in microseconds."""
    quantiles = statistics.quantiles(seconds, n=100)
    return {"p50": quantiles[49] * 1e6, "p99": quantiles[98] * 1e6}


@contextmanager
def inside(system: str, what: str, count: int, size: int, build: Build) -> Generator[Burst]:
    """Measure within one process."""
    if what == "batch":
        build.require_batches()
    with python(build, "inside", system, what, count, size) as program:
        program.wait_until_ready()
        yield partial(_inside, program, count * (FAN if what == "fan" else 1))


def _inside(program: Program, messages: int) -> Figures:
    program.go()
    program.wait_until("end")
    measured = program.result()
    figures = {"rate": messages / measured["seconds"], "cpu": measured["cpu"] / messages * 1e6}
    return {**figures, **quantiles(measured["times"])} if "times" in measured else figures


@contextmanager
def take_turns(work: Work, build: Build) -> Generator[Burst]:
    """Publish and receive in turn, through a server of its own."""
    with p.T2BUS.open(build) as server, p.T2BUS.start(build, "turn", server.address, work) as program:
        program.wait_until_ready()
        yield partial(_take_turns, program, server.program, work.count)


def _take_turns(program: Program, bus: Program, count: int) -> Figures:
    with CpuMeter({"clients": [program], "bus": [bus]}) as cpu:
        program.go()
        program.wait_until("end")
    return {"rate": count / program.result()["seconds"], **cpu.per(count)}


@contextmanager
def route(subscriptions: int, kind: str, build: Build) -> Generator[Burst]:
    """Measure the router alone, once."""
    with python(build, "routing", subscriptions, kind) as program:
        yield lambda: {topics: seconds * 1e6 for topics, seconds in program.result().items()}


_PAIR: Final = Work(count=1_000, size=100)


@contextmanager
def crowd(count: int, build: Build) -> Generator[Burst]:
    """Measure a pair that asks and answers among idle connections, and what those cost."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < count + 200:
        raise Skipped(f"a process may open {files} files here: `ulimit -Hn`")
    with p.crowded(count + 2).open(build) as server, ExitStack() as stack:
        measured: dict[str, float] = {}
        if count:
            before = resident(server.program.pid)
            idle = stack.enter_context(python(build, "idle", server.address, count)).wait_until_ready()
            measured = {"memory": (resident(server.program.pid) - before) / count, **json.loads(idle)}
        ask = stack.enter_context(_pair(p.T2BUS, server, _PAIR, build))
        ask()
        yield lambda: {**measured, **ask()}


def resident(pid: int) -> float:
    """Return the resident memory of a process, in kB."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        raise Skipped("memory is read from /proc, which is not on this machine")
    return float(status.read_text().partition("VmRSS:")[2].split()[0])


@contextmanager
def run(arguments: Sequence[str], build: Build) -> Generator[Burst]:
    """Give the time of a program of Python from its start to its end."""

    def burst() -> Figures:
        started = time.perf_counter()
        with Program(build.python, *arguments, environment=build.environment) as program:
            program.wait()
        return {"time": (time.perf_counter() - started) * 1e3}

    yield burst


@contextmanager
def serve(build: Build) -> Generator[Burst]:
    """Give the time until the first byte of the WELCOME."""

    def burst() -> Figures:
        started = time.perf_counter()
        with Program(*command, environment=build.environment):
            wait_for(path)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
                sock.sendall(wire.hello())
                sock.recv(1)
            return {"time": (time.perf_counter() - started) * 1e3}

    with tempfile.TemporaryDirectory(prefix="t2bus-bench-") as folder:
        path = Path(folder) / "bus"
        command = [build.python, "-m", "t2bus", "serve", f"unix:{path}"]
        yield burst
