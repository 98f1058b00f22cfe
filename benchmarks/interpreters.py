"""How fast the interpreters of this machine are: `python -m benchmarks.interpreters [PYTHON...]`.

The same source gives interpreters that differ by half: one that was built without profile-guided optimisation, as pyenv
builds it, is so much slower in its inner loop that what is measured with it says little about the one that users have.
So two loops are timed on each Python found (on the PATH, in /usr/bin, in the folders of pyenv and uv, and those that
are named): calls of an empty function, and checkpoints of Trio. All of them borrow the Trio of this one and run the
same code. Nothing that an interpreter says of itself (``sysconfig``) tells the two apart.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MUCH: Final = 1.15
"""An interpreter that takes so many times as long as another is much slower."""
_NAME: Final = re.compile(r"python3(\.\d+)?")
_ROUNDS: Final = 2
_PATIENCE: Final = 60.0

_PROBE: Final = """
import sys
if sys.version_info < (3, 11):
    raise SystemExit("older than t2bus supports")
import json, os, time, trio

def empty(): pass

def call():
    started = time.process_time()
    for _ in range(100_000):
        empty()
    return (time.process_time() - started) / 100_000 * 1e9

async def checkpoint():
    started = time.process_time()
    for _ in range(4_000):
        await trio.lowlevel.checkpoint()
    return (time.process_time() - started) / 4_000 * 1e6

print(json.dumps({
    "path": os.path.realpath(sys.executable),
    "version": "%d.%d.%d" % sys.version_info[:3],
    "call": min(call() for _ in range(7)),
    "checkpoint": min(trio.run(checkpoint) for _ in range(7)),
}))
"""


@frozen
class Interpreter:
    """An interpreter and its times, the least of some rounds; they are processor times, so neighbours matter little."""

    path: str
    """With links resolved: all environments of one interpreter have the same."""
    version: str
    call: float
    """Nanoseconds."""
    checkpoint: float
    """Microseconds."""

    def times_as_slow_as(self, other: Interpreter) -> float:
        return max(self.call / other.call, self.checkpoint / other.checkpoint)


def compare(used: Sequence[str]) -> tuple[list[Interpreter], list[Interpreter]]:
    """Time the interpreters that are used and all others found; return the used ones, and all, the fastest first.

    Those that are older than t2bus supports, or that do not run, are left out.
    """
    found: dict[str, list[Interpreter]] = {}
    with tempfile.TemporaryDirectory(prefix="t2bus-bench-") as cache:
        paths = list(_distinct([*used, *_find()]))
        for _ in range(_ROUNDS):
            for path in list(paths):
                timed = _time(path, cache)
                if timed is None:
                    paths.remove(path)
                else:
                    found.setdefault(timed.path, []).append(timed)
    best = {path: _least(rounds) for path, rounds in found.items()}
    ours = [best[path] for path in _distinct(str(Path(path).resolve()) for path in used) if path in best]
    return ours, sorted(best.values(), key=lambda one: one.checkpoint)


def table(used: Sequence[Interpreter], all_found: Iterable[Interpreter]) -> Iterable[str]:
    yield f"{'interpreter':58}{'call':>10}{'checkpoint':>14}"
    for one in all_found:
        mark = "  in use" if one in used else ""
        yield f"{one.version:10}{one.path:48}{one.call:7.1f} ns{one.checkpoint:11.2f} us{mark}"


def warnings(used: Iterable[Interpreter], all_found: Sequence[Interpreter]) -> Iterable[str]:
    """Give a sentence for each interpreter in use that is much slower than another."""
    for one in used:
        best = max(all_found, key=one.times_as_slow_as)
        if (ratio := one.times_as_slow_as(best)) > _MUCH:
            yield (
                f"WARNING: figures of this interpreter are no measurement: {one.path} ({one.version}) takes "
                f"{ratio:.2f} times as long as {best.path} ({best.version}); `nox -s bench --force-python {best.path}` "
                "measures with that one"
            )


def faster_with(modules: Iterable[str], one: Interpreter, all_found: Iterable[Interpreter]) -> str | None:
    """Return the path of the fastest interpreter that is much faster than this one and has these modules, if any."""
    names = list(_find())
    for other in all_found:
        if one.times_as_slow_as(other) > _MUCH:
            for name in names:
                if str(Path(name).resolve()) == other.path and _imports(name, modules):
                    return name
    return None


def _imports(path: str, modules: Iterable[str]) -> bool:
    done = subprocess.run([path, "-c", f"import {', '.join(modules)}"], capture_output=True, check=False)
    return done.returncode == 0


def load_warning() -> str:
    """Say so if more is going on here than the processors can do; nothing otherwise."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f"WARNING: the load is {load:.1f} on {cores} cores: others are in the figures" if load > cores else ""


def _find() -> Iterable[str]:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in [*os.get_exec_path(), "/usr/bin"]:
        for path in sorted(Path(folder).glob("python3*")):
            if _NAME.fullmatch(path.name) and os.access(path, os.X_OK):
                yield str(path)
    yield from map(str, sorted(pyenv.glob("versions/*/bin/python3")))
    yield from map(str, sorted(Path.home().glob(".local/share/uv/python/*/bin/python3")))


def _distinct(paths: Iterable[str]) -> Iterable[str]:
    """Give each interpreter once, by the first of its names."""
    first: dict[Path, str] = {}
    for path in paths:
        first.setdefault(Path(path).resolve(), path)
    return first.values()


def _time(path: str, cache: str) -> Interpreter | None:
    # Bytecode of other versions is nothing that should stay beside this one's packages.
    packages = str(Path(trio.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": packages, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
    try:
        done = subprocess.run(
            [path, "-c", _PROBE], env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Interpreter(**json.loads(done.stdout))


def _least(rounds: Sequence[Interpreter]) -> Interpreter:
    call, checkpoint = min(one.call for one in rounds), min(one.checkpoint for one in rounds)
    return Interpreter(rounds[0].path, rounds[0].version, call, checkpoint)


def main() -> None:
    used, all_found = compare(sys.argv[1:] or [sys.executable])
    print(*table(used, all_found), *warnings(used, all_found), sep="\n")
    if warning := load_warning():
        print(warning)


if __name__ == "__main__":
    main()
