"""A bus whose standard streams are closed, full or read by nobody, and one whose disk is full, serves as any other."""

from __future__ import annotations

import shlex
import signal
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
import trio

import t2bus
from bus_helpers import names, open_bystanders
from cli_helpers import process
from faults.processes import SERVE
from tap_helpers import until

if TYPE_CHECKING:
    from pathlib import Path

    from faults.measured import Measured

REDIRECTED: Final = {
    "standard output closed": ">&-",
    "standard error closed": "2>&-",
    "all three closed": "<&- >&- 2>&-",
    "standard output full": ">/dev/full",
    "standard error full": "2>/dev/full",
    "both full": ">/dev/full 2>&1",
    "a log that nobody reads any more": "2>{}/unread",
}

UNSHARE: Final = ("unshare", "--map-root-user", "--mount")

FULL_DISK: Final = """
mount -t tmpfs -o size=8k none {disk}
head -c 1000000 /dev/zero >{disk}/full
exec "$@" 2>>{disk}/full 3>>{disk}/full
"""


def may_mount() -> bool:
    """Whether a disk of its own can be given to a program here."""
    script = "mount -t tmpfs none /mnt"
    try:
        done = subprocess.run([*UNSHARE, "sh", "-c", script], capture_output=True, check=False, timeout=60)
    except OSError:
        return False
    return done.returncode == 0


async def serve(folder: Path, script: str, *options: str) -> int:
    """Start a bus by a script of a shell, let clients and a stranger come, and end it; return its exit code."""
    address = f"unix:{folder}/bus"
    async with process("sh", "-c", script, "sh", *SERVE, address, "-vv", *options) as command:
        with trio.fail_after(10):
            await until(lambda: "bus" in names(folder))
        connect = partial(t2bus.open_client, address)
        async with open_bystanders(connect) as bystanders:
            async with await trio.open_unix_socket(f"{folder}/bus") as stranger:
                await stranger.send_all(b"\x00\x00\x00\x07garbage")
                while await stranger.receive_some():
                    pass
            command.process.send_signal(signal.SIGHUP)
            for _ in range(20):
                await bystanders.try_out()
        command.process.send_signal(signal.SIGTERM)
        code = await command.end()
    assert "bus" not in names(folder)
    return code


@pytest.mark.parametrize("name", REDIRECTED)
async def test_streams_that_take_nothing(folder: Path, measured: Measured, name: str) -> None:
    """A bus that cannot say anything serves, and ends at a signal with exit code 0."""
    script = f'exec "$@" {REDIRECTED[name].format(shlex.quote(str(folder)))}'
    if "unread" in script:
        # Whoever opens it to read has gone when the bus writes.
        unread = shlex.quote(f"{folder}/unread")
        script = f"mkfifo {unread}; : <{unread} & {script}"
    measured.exactly(f"{name}: exit code", await serve(folder, script), 0)


@pytest.mark.skipif(not may_mount(), reason="no disk can be mounted here (unshare --mount)")
async def test_a_full_disk(folder: Path, measured: Measured) -> None:
    """A bus whose log and ready file lie on a disk that is full serves, and ends at a signal with exit code 0."""
    disk = folder / "disk"
    disk.mkdir()
    script = FULL_DISK.format(disk=shlex.quote(str(disk)))
    words = shlex.join(["sh", "-c", script])
    code = await serve(folder, f'exec {shlex.join(UNSHARE)} {words} sh "$@"', "--ready-fd", "3")
    measured.exactly("disk full: exit code", code, 0)
