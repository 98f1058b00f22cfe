"""What strangers cost those who are in: `python -m benchmarks.handshakes [--rate N] [--seconds N]`.

A bus serves a unix socket and mutual TLS. One pair of clients asks and answers over the unix socket, while another
process opens and closes clients over TLS at a steady rate. Printed are the times of a request alone and among the
handshakes, and then among handshakes that stop in their middle.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

import t2bus
from t2bus.certs import issue_client, make_ca

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Generator

_TOPIC: Final = "bench/pair"
_PAUSE: Final = 0.005
"""Seconds between two requests of the pair."""

_DAYS: Final = 2

_HELLO: Final = bytes.fromhex("1603010200010001fc0303")
"""The beginning of a ClientHello."""


# --- what runs in a process of its own


async def _answer(path: str) -> None:
    async with t2bus.open_client(f"unix:{path}") as client, client.serve_bytes(_TOPIC) as requests:
        print("ready", flush=True)
        async for request in requests:
            await request.respond(request.body)


async def _ask(path: str, seconds: float) -> None:
    times = []
    async with t2bus.open_client(f"unix:{path}") as client:
        await client.request_bytes(_TOPIC, b"warm up")
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            await client.request_bytes(_TOPIC, b"x")
            times.append(time.perf_counter() - started)
            await trio.sleep(_PAUSE)
    quantiles = statistics.quantiles(times, n=100)
    print(json.dumps({"p50": quantiles[49] * 1e3, "p99": quantiles[98] * 1e3, "max": max(times) * 1e3}))


async def _flood(rate: float, visit: Callable[[], Awaitable[None]]) -> None:
    """Pay visits at a steady rate until killed, and say each second how many were paid."""
    done = failed = 0

    async def one() -> None:
        nonlocal done, failed
        try:
            await visit()
            done += 1
        except (t2bus.BusError, OSError, trio.BrokenResourceError):
            failed += 1

    async with trio.open_nursery() as nursery:
        start = trio.current_time()
        print("ready", flush=True)
        number = 0
        while True:
            nursery.start_soon(one)
            number += 1
            if number % rate == 0:
                print(done, failed, flush=True)
            await trio.sleep_until(start + number / rate)


async def _visit_whole(address: str, tls: ssl.SSLContext) -> None:
    async with t2bus.open_client(address, tls=tls):
        pass


async def _visit_half(address: str) -> None:
    host, port = address.removeprefix("tls:").rsplit(":", 1)
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(_HELLO)
        await stream.receive_some(1)


async def _role(name: str, *rest: str) -> None:
    match name:
        case "answer":
            await _answer(rest[0])
        case "ask":
            await _ask(rest[0], float(rest[1]))
        case "whole":
            ca, own, key = (f"{rest[1]}/{name}" for name in ("ca.pem", "client.pem", "client.key"))
            tls = t2bus.tls.client_context(ca=ca, certificate=own, key=key)
            await _flood(float(rest[2]), lambda: _visit_whole(rest[0], tls))
        case "half":
            await _flood(float(rest[2]), lambda: _visit_half(rest[0]))
        case _:
            raise SystemExit(f"unknown role {name}")


# --- the measurement


@contextmanager
def _process(*command: str, ready: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        line = next((line for line in process.stdout if ready in line), "")
        if not line:
            raise SystemExit(f"{command} did not start")
        try:
            yield process, line
        finally:
            process.kill()


def _ask_for(path: Path, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.handshakes", "ask", str(path), str(seconds)]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout))


def _show(name: str, times: dict[str, float], strangers: str = "") -> None:
    print(f"{name:32} " + ", ".join(f"{key} {value:.2f} ms" for key, value in times.items()) + strangers, flush=True)


def _measure(rate: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, path = Path(name) / "certs", Path(name) / "bus"
        make_ca(folder, days=_DAYS)
        issue_client(folder, "client", days=_DAYS)
        files = [
            "--ca",
            str(folder / "ca.pem"),
            "--certificate",
            str(folder / "bus.pem"),
            "--key",
            str(folder / "bus.key"),
        ]
        serve = ["t2bus", "serve", f"unix:{path}", "tls:127.0.0.1:0", *files]
        _, line = stack.enter_context(_process(*serve, ready="serving at tls:"))
        address = line.rpartition(" ")[2].strip()
        stack.enter_context(_process("benchmarks.handshakes", "answer", str(path), ready="ready"))
        _show("alone", _ask_for(path, seconds))
        for role, what in (("whole", "clients"), ("half", "peers that stop")):
            command = ["benchmarks.handshakes", role, address, str(folder), str(rate)]
            with _process(*command, ready="ready") as (flood, _):
                times = _ask_for(path, seconds)
                flood.kill()
                assert flood.stdout is not None
                done, failed = ([*flood.stdout] or ["0 0"])[-1].split()
            _show(f"among {rate} {what} a second", times, f"; {done} done, {failed} failed")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.handshakes", description=__doc__)
    parser.add_argument("--rate", type=int, default=200, help="handshakes a second (default 200)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement (default 10)")
    arguments = parser.parse_args()
    _measure(arguments.rate, arguments.seconds)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        trio.run(partial(_role, *sys.argv[1:]))
    else:
        main()
