"""How much of a processor other processes have used, read from outside: nothing is asked of them.

POSIX gives each process a clock of the time, in the kernel and out of it, that all its threads have spent on a
processor (``clock_getcpuclockid``). It counts in nanoseconds and serves any server, whoever wrote it. Where a system
does not have it, macOS for one, the figures are left out.
"""

from __future__ import annotations

import ctypes
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .programs import Program


class CpuMeter:
    """What the processes of each part use while a ``with`` block of it runs."""

    def __init__(self, parts: Mapping[str, Sequence[Program]]) -> None:
        self._parts = parts
        self._before: dict[str, float] = {}
        self._used: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._before = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        after = self._read()
        self._used = {part: after[part] - before for part, before in self._before.items() if part in after}

    def per(self, messages: int) -> dict[str, float]:
        """Return the figures ``cpu``, of all parts, and ``cpu PART``, in microseconds for one of so many messages."""
        if len(self._used) < len(self._parts):
            return {}
        each = {f"cpu {part}": seconds / messages * 1e6 for part, seconds in self._used.items()}
        return {"cpu": sum(each.values()), **each}

    def _read(self) -> dict[str, float]:
        try:
            return {part: sum(cpu_seconds(program.pid) for program in some) for part, some in self._parts.items()}
        except (OSError, AttributeError):
            return {}


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process; raise OSError or AttributeError where that cannot be had."""
    clock = ctypes.c_int()
    if reason := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(reason, f"no processor clock of process {pid}")
    return time.clock_gettime(clock.value)
