"""The programs in Rust, built once into a cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .programs import Skipped

if TYPE_CHECKING:
    from collections.abc import Generator

_RUST: Final = Path(__file__).with_name("rust")
_CRATE: Final = "0.2.0"


@cache
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
