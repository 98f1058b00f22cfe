"""Measure the systems in turn and print medians with their spread: `python -m benchmarks [--rounds N]`.

Only the ratios mean anything: this machine's neighbours are in the absolute figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .systems import SYSTEMS

if TYPE_CHECKING:
    from collections.abc import Callable

_MESSAGES = 50_000
_REQUESTS = 2_000


class Process:
    """One role in a process of its own, ended when the ``with`` block is left."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "benchmarks.role", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line != "ready\n":
            raise SystemExit(f"{arguments} did not start: {line!r}")

    def result(self) -> dict[str, float]:
        """Wait for its end and return what it measured."""
        output, _ = self._process.communicate()
        return dict(json.loads(output)) if output else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def throughput(system: str, size: int) -> float:
    """Return messages a second from one publisher to one subscriber."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "bus"
        stack.enter_context(Process(system, "serve", path))
        subscriber = Process(system, "subscribe", path, _MESSAGES, size)
        publisher = Process(system, "publish", path, _MESSAGES, size)
        seconds = subscriber.result()["seconds"]
        publisher.result()
        return _MESSAGES / seconds


def latency(system: str, size: int) -> float:
    """Return the median time of a request and its response, in microseconds."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "bus"
        stack.enter_context(Process(system, "serve", path))
        stack.enter_context(Process(system, "answer", path))
        return Process(system, "ask", path, _REQUESTS, size).result()["p50"] * 1e6


WORKLOADS: dict[str, tuple[str, Callable[[str], float]]] = {
    "one to one, 100 B": ("messages/s", lambda system: throughput(system, 100)),
    "one to one, 1,000 B": ("messages/s", lambda system: throughput(system, 1000)),
    "request and response, 100 B": ("us, p50", lambda system: latency(system, 100)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each system is measured (default 5)")
    rounds = parser.parse_args().rounds
    for workload, (unit, measure) in WORKLOADS.items():
        figures: dict[str, list[float]] = {system: [] for system in SYSTEMS}
        for _ in range(rounds):
            for system, values in figures.items():
                values.append(measure(system))
        medians = {system: statistics.median(values) for system, values in figures.items()}
        for system, values in figures.items():
            spread = f"{min(values):,.0f} to {max(values):,.0f}"
            ratio = medians["t2bus"] / medians[system]
            print(
                f"{workload:30} {system:8} {medians[system]:>12,.0f} {unit:12} ({spread}); t2bus/{system} {ratio:.2f}"
            )


if __name__ == "__main__":
    main()
