"""Two network namespaces and a cable between them, which can be pulled, cut and made slow.

::

    with open_cable() as cable:
        # a bus in the namespace cable.far listens at tcp:10.0.0.2:4242; its client is in cable.near
        cable.drop()

It takes root, and ``ip`` and ``tc`` of iproute2.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Generator

FAR: Final = "10.0.0.2"
"""The address of the far end, as seen from the near one."""

NEAR: Final = "10.0.0.1"
"""The address of the near end."""

_DEVICE: Final = "cable"
_numbers = count()


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


@frozen
class Cable:
    """What connects two namespaces; both are named."""

    near: str
    far: str

    def pull(self) -> None:
        """Take the link down: the near end knows of it."""
        _run("ip", "-n", self.near, "link", "set", _DEVICE, "down")

    def plug(self) -> None:
        """Take the link up again."""
        _run("ip", "-n", self.near, "link", "set", _DEVICE, "up")

    def drop(self) -> None:
        """Drop whatever is sent from either end, which neither is told."""
        self._shape("blackhole")

    def limit(self, rate: str) -> None:
        """Let through so much from each end, such as ``1mbit``."""
        self._shape("tbf", "rate", rate, "burst", "16kb", "latency", "500ms")

    def free(self) -> None:
        """Let everything through again."""
        for end in (self.near, self.far):
            _run("tc", "-n", end, "qdisc", "del", "dev", _DEVICE, "root")

    def _shape(self, *discipline: str) -> None:
        for end in (self.near, self.far):
            _run("tc", "-n", end, "qdisc", "replace", "dev", _DEVICE, "root", *discipline)


@contextmanager
def open_cable() -> Generator[Cable, None, None]:
    """Make two namespaces and connect them; they are no more when the body has ended."""
    name = f"t2bus{os.getpid()}x{next(_numbers)}"
    cable = Cable(f"{name}n", f"{name}f")
    made = []
    try:
        for end in (cable.near, cable.far):
            _run("ip", "netns", "add", end)
            made.append(end)
        veth = ("type", "veth", "peer", "name", _DEVICE, "netns", cable.far)
        _run("ip", "link", "add", _DEVICE, "netns", cable.near, *veth)
        for end, address in ((cable.near, NEAR), (cable.far, FAR)):
            _run("ip", "-n", end, "address", "add", f"{address}/24", "dev", _DEVICE)
            _run("ip", "-n", end, "link", "set", _DEVICE, "up")
            _run("ip", "-n", end, "link", "set", "lo", "up")
        yield cable
    finally:
        for end in made:
            _run("ip", "netns", "delete", end)


@cache
def why_there_is_none() -> str:
    """Say why this machine allows no such cable, or nothing where it does."""
    if absent := [program for program in ("ip", "tc") if shutil.which(program) is None]:
        return f"there is no program {' and '.join(absent)} (iproute2) on this machine"
    try:
        with open_cable() as cable:
            cable.drop()
            cable.limit("1mbit")
    except OSError as error:
        return f"this machine allows no network namespaces of one's own: {error}"
    return ""
