"""Programs that a measurement starts: it waits until they are ready, takes what they measured, and ends them."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .builds import Build

_PATIENCE: Final = 20.0
"""Seconds after which a program that says nothing has failed; a lost message shows as this too."""
_START: Final = 120.0
"""The same, until it is ready: ten thousand connections take a while."""


class Failed(Exception):
    """A measurement did not come to its end; the others go on."""


class Skipped(Exception):
    """A system or a workload cannot be measured on this machine; the text says why."""


class Program:
    """A process of its own, killed when its ``with`` block is left.

    It writes ``ready`` when others may start. Then it measures as often as it is told to ``go``, and each time writes
    ``end`` when that is over, and what was measured as one line of JSON.
    """

    def __init__(self, *command: object, environment: Mapping[str, str] | None = None) -> None:
        self._command = list(map(str, command))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with this object
        self._output = bytearray()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            env=environment,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, word: str, patience: float = _PATIENCE) -> str:
        """Wait for its next line, which has to begin with that word; return the rest of the line."""
        line = self._line(patience)
        if not line.startswith(word):
            self._process.kill()
            self._process.wait()
            raise Failed(f"{self} did not come to its {word!r}: {self._last_words()}")
        return line.removeprefix(word).strip()

    def wait_until_ready(self) -> str:
        """Return what stands on its first line, after ``ready``."""
        return self.wait_until("ready", _START)

    def go(self) -> None:
        """Let it measure once."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"go\n")
        except BrokenPipeError:
            self._process.wait()
            raise Failed(f"{self} has ended: {self._last_words()}") from None

    def result(self) -> dict[str, Any]:
        """Return what it measured, its next line."""
        line = self._line(_PATIENCE)
        if not line:
            raise Failed(f"{self} ended and said nothing")
        return dict(json.loads(line))

    def check(self) -> None:
        """Raise Failed if it has ended badly."""
        if self._process.poll():
            raise Failed(f"{self} failed: {self._last_words()}")

    def wait(self) -> None:
        """Wait for its end, which has to be a good one."""
        try:
            self._process.wait(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self} did not end in {_PATIENCE:g} s") from None
        self.check()

    def __str__(self) -> str:
        return " ".join(self._command[1:6])

    def _line(self, patience: float) -> str:
        """Return its next line, or nothing when there is none any more."""
        assert self._process.stdout is not None
        descriptor, end = self._process.stdout.fileno(), time.monotonic() + patience
        while b"\n" not in self._output:
            readable, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            if not readable:
                raise Failed(f"{self} said nothing for {patience:g} s: were messages lost?")
            data = os.read(descriptor, 65_536)
            if not data:
                self._process.wait()
                self.check()
                break
            self._output += data
        line, _, rest = self._output.partition(b"\n")
        self._output = rest
        return line.decode()

    def _last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-400:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def python(build: Build, module: str, *arguments: object) -> Program:
    """Start a module of this package with the interpreter and the t2bus of a build."""
    return Program(build.python, "-m", f"benchmarks.{module}", *arguments, environment=build.environment)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(path: Path | int) -> None:
    """Wait until a unix socket, or a port of this host, takes connections."""
    family = socket.AF_INET if isinstance(path, int) else socket.AF_UNIX
    place = ("127.0.0.1", path) if isinstance(path, int) else str(path)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        with socket.socket(family) as sock:
            if sock.connect_ex(place) == 0:
                return
        time.sleep(0.005)
    raise Failed(f"nobody listens at {path}")
