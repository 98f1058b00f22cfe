"""The Rust side of the tests: programs on the published crate, built once, and peers that run them.

Cargo builds into a cache that is kept: ``T2BUS_INTEROP_CACHE``, or ``~/.cache/t2bus-interop``. It holds a folder for
each version of the tool and for each state of the peers' sources; a folder that is there is complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, frozen

from cli_helpers import PATIENCE, Lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

VERSIONS = ("0.1.0", "0.2.0")
SOURCES = Path(__file__).with_name("peer")

UNREACHED = ("failed to download", "failed to fetch", "failed to query", "unable to update", "could not resolve host")
"""What cargo says, in lower case, where its registry does not answer."""


# --- building


class CannotBuild(Exception):
    """The programs cannot be built on this machine now, for a reason that is not theirs."""


@frozen
class Rust:
    """The programs on one version of the crate."""

    version: str
    tool: Path
    peer: Path

    @property
    def oven(self) -> Path:
        """The program of docs/how-to/rust.md, which is on the newest version."""
        return self.peer.with_name("oven")


def cache() -> Path:
    """Return the folder that holds what was built."""
    return Path(os.environ.get("T2BUS_INTEROP_CACHE") or Path.home() / ".cache" / "t2bus-interop")


def build() -> dict[str, Rust]:
    """Build what is not in the cache yet, which takes minutes; return the programs by version.

    Raises:
      CannotBuild: there is no cargo, or its registry does not answer.
      RuntimeError: the sources do not compile.

    """
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / "lock"):
        tools = {version: _build_tool(folder, version) for version in VERSIONS}
        peers = _build_peers(folder)
    names = {version: f"peer-{version.replace('.', '-')}" for version in VERSIONS}
    return {version: Rust(version, tools[version], peers / names[version]) for version in VERSIONS}


@contextmanager
def _lock(path: Path) -> Generator[None, None, None]:
    """Keep other test runs out of the cache."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build_tool(folder: Path, version: str) -> Path:
    place = folder / f"t2-{version}"
    if not place.exists():
        # As its author built it: with the versions of its dependencies that the crate came with.
        with _complete(place) as unfinished:
            _cargo(folder, "install", "t2_bus", "--version", version, "--locked", "--root", str(unfinished))
    return place / "bin" / "t2"


def _build_peers(folder: Path) -> Path:
    state = hashlib.sha256()
    for path in sorted([*SOURCES.glob("Cargo.*"), *(SOURCES / "src").rglob("*.rs")]):
        state.update(f"{path.relative_to(SOURCES)}\0".encode() + path.read_bytes() + b"\0")
    place = folder / f"peers-{state.hexdigest()[:16]}"
    if not place.exists():
        with _complete(place) as unfinished:
            _cargo(folder, "build", "--release", "--locked", "--manifest-path", str(SOURCES / "Cargo.toml"))
            for name in (*(f"peer-{version.replace('.', '-')}" for version in VERSIONS), "oven"):
                shutil.copy(folder / "target" / "release" / name, unfinished)
    return place


@contextmanager
def _complete(place: Path) -> Generator[Path, None, None]:
    """Give a folder to fill, which gets its name when it is full."""
    unfinished = place.with_name(f"{place.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    yield unfinished
    unfinished.rename(place)


def _cargo(folder: Path, *arguments: str) -> None:
    """Run cargo, with a target folder that all share, since most of what they build is the same."""
    cargo = shutil.which("cargo")
    if cargo is None:
        raise CannotBuild("cargo is not installed")
    env = {**os.environ, "CARGO_TARGET_DIR": str(folder / "target"), "CARGO_TERM_COLOR": "never"}
    done = subprocess.run([cargo, *arguments], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        if any(phrase in done.stderr.lower() for phrase in UNREACHED):
            raise CannotBuild("cargo's registry does not answer")
        raise RuntimeError(f"cargo {' '.join(arguments)} failed:\n{done.stderr[-4000:]}")


# --- running


@define(eq=False)
class Running:
    """A running program. Reading from it never takes forever."""

    process: trio.Process
    stdin: trio.abc.SendStream
    lines: Lines

    async def line(self) -> str:
        """Return its next line, or nothing at its end."""
        return await self.lines.next()

    async def event(self) -> Any:
        """Return the next thing that a peer writes."""
        line = await self.lines.next()
        assert line, "the peer ended without a word"
        return json.loads(line)

    async def rest(self) -> list[Any]:
        """Return all that a peer still writes before it ends."""
        return [json.loads(line) for line in await self.lines.rest()]

    async def go_on(self) -> None:
        """Write a line for a peer that waits for one."""
        await self.stdin.send_all(b"\n")

    async def kill(self) -> None:
        """End it as a crash would, and wait for that."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def end(self) -> int:
        """Let it know that nothing more comes, wait for its end, and return its exit code."""
        await self.stdin.aclose()
        return await self.process.wait()


@asynccontextmanager
async def open_program(
    *arguments: str | Path, stderr: int | None = None, patience: float = PATIENCE
) -> AsyncGenerator[Running, None]:
    """Start a program; it is killed at the end, and fails the test if that takes longer than so many seconds."""
    with trio.fail_after(patience):
        process = await trio.lowlevel.open_process(
            list(map(str, arguments)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
        assert process.stdin is not None
        assert process.stdout is not None
        running = Running(process, process.stdin, Lines(process.stdout))
        try:
            yield running
        finally:
            with trio.CancelScope(shield=True):
                await running.kill()
                await process.stdin.aclose()
                await process.stdout.aclose()


@frozen
class Peers:
    """Starts the Rust programs of one version at one bus."""

    rust: Rust
    address: str

    @asynccontextmanager
    async def open(self, *arguments: object) -> AsyncGenerator[Running, None]:
        """Start a peer; it is set up when this has been entered."""
        async with open_program(self.rust.peer, self.address, *map(str, arguments)) as running:
            line = await running.line()
            assert line == "ready", line
            yield running

    async def run(self, *arguments: object) -> list[Any]:
        """Run a peer to its end and return what it wrote."""
        async with self.open(*arguments) as running:
            events = await running.rest()
            assert await running.end() == (1 if events and "error" in events[-1] else 0)
            return events

    async def refused(self, *arguments: object) -> str:
        """Run a peer that cannot be set up, and return the error."""
        async with open_program(self.rust.peer, self.address, *map(str, arguments)) as running:
            (event,) = await running.rest()
            error: str = event["error"]
            return error

    @asynccontextmanager
    async def open_tool(self, *arguments: str) -> AsyncGenerator[Running, None]:
        """Start the tool ``t2``."""
        async with open_program(self.rust.tool, *arguments, self.address) as running:
            yield running

    async def run_tool(self, *arguments: str) -> str:
        """Run the tool to its end and return what it wrote."""
        async with self.open_tool(*arguments) as running:
            return "\n".join(await running.lines.rest())


@asynccontextmanager
async def open_rust_bus(rust: Rust, address: str, *, patience: float = PATIENCE) -> AsyncGenerator[Running, None]:
    """Run the server of the crate at a unix socket, or a port of TCP, that is free."""
    async with open_program(rust.tool, "serve", address, stderr=subprocess.DEVNULL, patience=patience) as running:
        while not await _is_there(address):
            assert running.process.returncode is None, "the server ended"
            await trio.sleep(0.01)
        yield running


async def _is_there(address: str) -> bool:
    kind, _, place = address.partition(":")
    host, _, port = place.rpartition(":")
    try:
        stream: trio.SocketStream
        if kind == "unix":
            stream = await trio.open_unix_socket(place)
        else:
            stream = await trio.open_tcp_stream(host, int(port))
    except OSError:
        return False
    await stream.aclose()
    return True
