"""What the fuzzing targets share: each is a function of bytes that may raise nothing, and some bytes to begin with.

A target is a module beside this one. Atheris runs its function with bytes of its own making, millions of them, and
keeps those that reach new code of t2bus::

    python tests/fuzz/topic_text.py -max_total_time=60
    python tests/fuzz/topic_text.py crash-0123    # one input again

The options are libFuzzer's. Whatever the function raises is a find: the input is kept in the working directory
(``-artifact_prefix=``). So is one that takes more than 300 ms, and one that hangs for 10 s.

A target imports this module before t2bus: only what is imported after it is watched.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HERE: Final = Path(__file__).resolve().parent

LIMIT: Final = 0.3
"""Seconds of CPU time that an input may take."""

OPTIONS: Final = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=8192"]
"""Those that are not libFuzzer's own defaults; the caller's come behind them, and win."""

# The helpers of the tests lie one folder above.
sys.path.append(str(HERE.parent))


class TooSlow(Exception):
    """An input took longer than :data:`LIMIT`."""


def _is_running() -> bool:
    """Whether a target of this folder is run as a program, and not imported by a test."""
    return Path(sys.argv[0]).resolve().parent == HERE


def _watch() -> Any:
    """Have atheris watch what is imported of t2bus from now on, and return it."""
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed, and nothing can be fuzzed: pip install atheris, where it has a wheel")
    atheris.instrument_imports(include=["t2bus"]).__enter__()
    return atheris


_atheris: Final[Any] = _watch() if _is_running() else None


def _timed(target: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """Return the target as one that fails when it is too slow twice: the first time may be the machine's."""

    def seconds(data: bytes) -> float:
        began = time.process_time()
        target(data)
        return time.process_time() - began

    def run(data: bytes) -> None:
        if seconds(data) > LIMIT and (took := seconds(data)) > LIMIT:
            raise TooSlow(f"{len(data)} bytes took {took:.2f} s")

    return run


def fuzz(target: Callable[[bytes], object], seeds: Iterable[bytes]) -> None:
    """Run a target until the options of the command line say that it is enough; exit with libFuzzer's code."""
    with tempfile.TemporaryDirectory(prefix="t2bus-fuzz-") as name:
        folder = Path(name)
        for number, seed in enumerate(seeds):
            (folder / f"{number:04}").write_bytes(seed)
        # In a process of its own: libFuzzer ends it without a word to Python, and the folder would stay.
        if (child := os.fork()) == 0:
            files = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
            corpus = [] if any(Path(file).is_file() for file in files) else [str(folder)]
            _atheris.Setup([sys.argv[0], *OPTIONS, *sys.argv[1:], *corpus], _timed(target))
            _atheris.Fuzz()
        _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
