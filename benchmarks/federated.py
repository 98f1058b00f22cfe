"""Several servers that are one bus: how they are started, and what is measured of them.

All are processes on one machine. Publishers and requesters are at the first server, subscribers and services at the
second.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.request import urlopen

from attrs import evolve

from .cpu import cpu_seconds
from .measures import quantiles, resident
from .peers import NATS, NOTHING, T2BUS, Server, executable
from .programs import Failed, Program, free_port, python, wait_for

if TYPE_CHECKING:
    from collections.abc import Generator

    from .builds import Build
    from .measuring import Burst, Figures
    from .peers import Peer
    from .work import Work

_IDLE: Final = 2.0
"""Seconds in which servers do nothing, and their processor time is taken."""


# --- servers


@contextmanager
def _t2bus_servers(folder: Path, build: Build, number: int) -> Generator[list[tuple[Program, Figures]]]:
    """Run so many servers that have met; each begins when those before have, as hosts are added to a bus."""
    endpoints = [f"tcp:127.0.0.1:{free_port()}" for _ in range(number)]
    servers = []
    with ExitStack() as stack:
        for place, endpoint in enumerate(endpoints):
            address = ",".join([f"unix:{folder}/bus{place}", endpoint, *endpoints[:place]])
            program = stack.enter_context(python(build, "role", "federation", "serve", address, NOTHING.to_json()))
            servers.append((program, json.loads(program.wait_until_ready())))
        yield servers


@contextmanager
def _serve_t2bus(folder: Path, build: Build) -> Generator[Server]:
    with _t2bus_servers(folder, build, 2) as ((near, _), (far, _)):
        yield Server(f"unix:{folder}/bus0", near, f"unix:{folder}/bus1", [far])


_CLUSTERED: Final = """
max_pending: 1GB
write_deadline: 60s
cluster {{ name: bench, listen: "127.0.0.1:{own}", routes: ["nats://127.0.0.1:{other}"] }}
"""


@contextmanager
def _serve_nats(folder: Path, _build: Build) -> Generator[Server]:
    clients, routes, looks = [[free_port(), free_port()] for _ in range(3)]
    with ExitStack() as stack:
        programs = []
        for place in (0, 1):
            settings = folder / f"nats{place}.conf"
            settings.write_text(_CLUSTERED.format(own=routes[place], other=routes[1 - place]))
            options = ["-a", "127.0.0.1", "-p", clients[place], "-m", looks[place], "-c", settings]
            programs.append(stack.enter_context(Program(executable("nats-server"), *options)))
        for place in (0, 1):
            wait_for(clients[place])
            wait_for(looks[place])
            _wait_for_route(looks[place])
        near, far = (f"nats://127.0.0.1:{port}" for port in clients)
        yield Server(near, programs[0], far, programs[1:])


def _wait_for_route(port: int) -> None:
    """Wait until a nats-server says that it is connected with the other one."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with urlopen(f"http://127.0.0.1:{port}/routez") as answer:
            if json.load(answer)["num_routes"]:
                return
        time.sleep(0.01)
    raise Failed("two nats-servers did not meet")


TWO_T2BUS: Final[Peer] = evolve(T2BUS, name="t2bus", serve=_serve_t2bus)
TWO_NATS: Final[Peer] = evolve(NATS, name="nats", serve=_serve_nats)


# --- measures


@contextmanager
def publish_alone(peer: Peer, work: Work, build: Build) -> Generator[Burst]:
    """Publish one message after the other, each when the one before is counted; give the times of one."""
    with (
        peer.open(build) as server,
        peer.start(build, "subscribe", server.place_of("subscribe"), work) as subscriber,
        python(build, "role", "federation", "count", server.address, work.to_json()) as publisher,
    ):
        subscriber.wait_until_ready()
        publisher.wait_until_ready()

        def burst() -> Figures:
            publisher.go()
            publisher.wait_until("end")
            times = publisher.result()["times"]
            subscriber.wait_until("end")
            subscriber.result()
            return quantiles(times)

        yield burst


@contextmanager
def many(number: int, work: Work, build: Build) -> Generator[Burst]:
    """Run so many servers, of which the first has so many subscriptions; give what one of them costs."""
    with tempfile.TemporaryDirectory(prefix="t2bus-bench-") as folder, ExitStack() as stack:
        servers = stack.enter_context(_t2bus_servers(Path(folder), build, number))
        programs = [program for program, _ in servers]
        before = statistics.mean(resident(program.pid) for program in programs)
        measured = {}
        if work.count:
            settled = stack.enter_context(
                python(build, "role", "federation", "subscribe", f"unix:{folder}/bus0", work.to_json())
            )
            measured = json.loads(settled.wait_until_ready())
            measured["more"] = resident(programs[1].pid) - before

        def burst() -> Figures:
            used = sum(cpu_seconds(program.pid) for program in programs)
            time.sleep(_IDLE)
            idle = (sum(cpu_seconds(program.pid) for program in programs) - used) / _IDLE / number
            last = servers[-1][1]
            return {
                "memory": before / 1e3,
                "join": 1e3 * (last["met"] - last["opened"]),
                "idle": 1e3 * idle,
                **measured,
            }

        yield burst
