"""Programs that a measurement starts: it waits until they are ready, takes what they measured, and ends them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Generator

_PATIENCE: Final = 20.0
"""Seconds after which a program that says nothing has failed; a lost message shows as this too."""

_RUST: Final = Path(__file__).with_name("rust")
_CRATE: Final = "0.2.0"


class Failed(Exception):
    """A measurement did not come to its end; the others go on."""


class Skipped(Exception):
    """A system or a workload cannot be measured on this machine; the text says why."""


class Program:
    """A process of its own, killed when its ``with`` block is left."""

    def __init__(self, *command: object) -> None:
        self._command = list(map(str, command))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with this object
        # Without a buffer on this side: what follows the first line stays in the pipe until it is asked for.
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> str:
        """Return what stands on its first line, after ``ready``."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line.startswith("ready"):
            self._process.kill()
            self._process.wait()
            raise Failed(f"{self} did not start: {self._last_words()}")
        return line.removeprefix("ready").strip()

    def result(self) -> dict[str, Any]:
        """Wait for its end and return what it measured, its last line."""
        try:
            output, _ = self._process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self} did not end in {_PATIENCE:g} s, so messages were lost") from None
        self.check()
        return dict(json.loads(output.decode().splitlines()[-1]))

    def check(self) -> None:
        """Raise Failed if it has ended badly."""
        if self._process.poll():
            raise Failed(f"{self} failed: {self._last_words()}")

    def wait(self) -> None:
        """Wait for its end, which has to be a good one."""
        self._process.communicate(timeout=_PATIENCE)
        self.check()

    def __str__(self) -> str:
        return " ".join(self._command[1:6])

    def _last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-400:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def python(module: str, *arguments: object) -> Program:
    """Start a module of this package."""
    return Program(sys.executable, "-m", f"benchmarks.{module}", *arguments)


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


# --- the programs in Rust, built once into a cache folder


def rust_programs() -> tuple[Path, Path]:
    """Return the crate's own tool, which serves, and the client of ``benchmarks/rust``; at first it takes minutes."""
    folder = Path(os.environ.get("T2BUS_BENCH_CACHE") or Path.home() / ".cache" / "t2bus-bench")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build_tool(folder), _build_client(folder)


def _build_tool(folder: Path) -> Path:
    place = folder / f"t2-{_CRATE}"
    if not place.exists():
        # As its author built it: with the versions of its dependencies that the crate came with.
        with _complete(place) as unfinished:
            _cargo(folder, "install", "t2_bus", "--version", _CRATE, "--locked", "--root", str(unfinished))
    return place / "bin" / "t2"


def _build_client(folder: Path) -> Path:
    state = hashlib.sha256()
    for path in sorted([*_RUST.glob("Cargo.*"), *_RUST.glob("src/*.rs")]):
        state.update(path.read_bytes() + b"\0")
    place = folder / f"client-{state.hexdigest()[:16]}"
    if not place.exists():
        with _complete(place) as unfinished:
            _cargo(folder, "build", "--release", "--locked", "--manifest-path", str(_RUST / "Cargo.toml"))
            shutil.copy(folder / "target" / "release" / "bench-client", unfinished)
    return place / "bench-client"


@contextmanager
def _complete(place: Path) -> Generator[Path, None, None]:
    """Give a folder to fill, which gets its name when it is full."""
    unfinished = place.with_name(f"{place.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    yield unfinished
    unfinished.rename(place)


def _cargo(folder: Path, *arguments: str) -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        raise Skipped("cargo is not installed")
    print(f"building: cargo {' '.join(arguments[:2])} (once)", file=sys.stderr)
    env = {**os.environ, "CARGO_TARGET_DIR": str(folder / "target"), "CARGO_TERM_COLOR": "never"}
    done = subprocess.run([cargo, *arguments], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"cargo {arguments[0]} failed: {done.stderr.strip()[-300:]}")
