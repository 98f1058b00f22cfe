"""How one measurement is taken: servers and clients are started, and what they say becomes figures.

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
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import peers as p
from . import wire
from .cpu import CpuMeter
from .programs import Failed, Program, Skipped, python, wait_for
from .work import Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .builds import Build
    from .measuring import Figures


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
    times, seconds = statistics.quantiles(measured["times"], n=100), float(measured["seconds"])
    figures: dict[str, float] = {"p50": times[49] * 1e6, "p99": times[98] * 1e6, "rate": work.count / seconds}
    return {**figures, **cpu.per(work.count)}


def inside(system: str, what: str, count: int, size: int, build: Build) -> Figures:
    with python(build, "inside", system, what, count, size) as program:
        measured = program.result()
    messages = count * (50 if what == "fan" else 1)
    figures = {"rate": messages / measured["seconds"], "cpu": measured["cpu"] / messages * 1e6}
    figures.update((name, measured[name] * 1e6) for name in ("p50", "p99") if name in measured)
    return figures


def take_turns(work: Work, build: Build) -> Figures:
    """Publish and receive in turn, through a server of its own."""
    with p.T2BUS.open(build) as server, p.T2BUS.start(build, "turn", server.address, work) as program:
        cpu = CpuMeter({"clients": [program], "bus": [server.program]})
        program.wait_until_ready()
        cpu.start()
        program.wait_until("end")
        cpu.stop()
        return {"rate": work.count / program.result()["seconds"], **cpu.per(work.count)}


def route(subscriptions: int, kind: str, build: Build) -> Figures:
    with python(build, "routing", subscriptions, kind) as program:
        return {topics: seconds * 1e6 for topics, seconds in program.result().items()}


_PAIR: Final = Work(count=1_000, size=100)


def crowd(count: int, build: Build) -> Figures:
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


def run(arguments: Sequence[str], build: Build) -> Figures:
    """Return the time of a program of Python from its start to its end."""
    started = time.perf_counter()
    with Program(build.python, *arguments, environment=build.environment) as program:
        program.wait()
    return {"time": (time.perf_counter() - started) * 1e3}


def serve(build: Build) -> Figures:
    """Return the time until the first byte of the WELCOME."""
    with tempfile.TemporaryDirectory(prefix="t2bus-bench-") as folder:
        path = Path(folder) / "bus"
        started = time.perf_counter()
        command = [build.python, "-m", "t2bus", "serve", f"unix:{path}"]
        with Program(*command, environment=build.environment):
            wait_for(path)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
                sock.sendall(wire.hello())
                sock.recv(1)
            return {"time": (time.perf_counter() - started) * 1e3}
