"""What a supervisor is told over a real datagram socket, by the installed program and by a bus on a clock."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

import t2bus
from cli_helpers import command, python
from supervisor_helpers import Supervisor, supervisor
from t2bus.cli.notify import take_notifier
from t2bus.server.hosting import Host
from t2bus.server.open import open_hosted_bus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence
    from pathlib import Path

    from t2bus.transport.address import Address

HANGING = """
import logging, sys, threading, t2bus.cli

def hang_for_ever(record):
    print("hangs", flush=True)
    threading.Event().wait()

logging.getLogger("t2bus.server").addFilter(hang_for_ever)
t2bus.cli.main(["serve", sys.argv[1], "-vv"])
"""
"""A bus whose first line in the log takes for ever."""

WATCHDOG = {"WATCHDOG_USEC": "800000"}


@pytest.fixture
def systemd(folder: Path) -> Generator[Supervisor, None, None]:
    """Listen as the service manager does."""
    with supervisor(f"{folder}/notify") as listening:
        yield listening


class TestProgram:
    """What ``t2bus serve`` says."""

    async def test_ready(self, systemd: Supervisor, folder: Path) -> None:
        """It is ready when all its listeners are open, and its status names them."""
        async with command("serve", f"unix:{folder}/a", f"unix:{folder}/b", env=systemd.env):
            status = f"STATUS=unix:{folder}/a unix:{folder}/b: 0 connections, 0 messages/s"
            assert await systemd.next() == ["READY=1", status]
            for name in ("a", "b"):
                async with t2bus.open_client(f"unix:{folder}/{name}"):
                    pass

    async def test_not_ready(self, systemd: Supervisor, folder: Path) -> None:
        """A bus of which one address is in use is never ready."""
        addresses = [f"unix:{folder}/a", f"unix:{folder}/b"]
        async with t2bus.open_bus(addresses[1]), command("serve", *addresses, env=systemd.env) as serve:
            assert await serve.end() == 1
        assert systemd.nowait() == []

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has abstract names")
    async def test_abstract_name(self, folder: Path) -> None:
        """A name that begins with ``@`` is one that no file has."""
        with supervisor(f"@t2bus-{secrets.token_hex(8)}") as listening:
            async with command("serve", f"unix:{folder}/bus", env=listening.env):
                assert "READY=1" in await listening.next()

    async def test_reload(self, systemd: Supervisor, folder: Path) -> None:
        """SIGHUP is answered with the time at which reading began, and with READY when it is over."""
        async with command("serve", f"unix:{folder}/bus", env=systemd.env) as serve:
            await systemd.until("READY=1")
            before = time.monotonic_ns() // 1000
            serve.process.send_signal(signal.SIGHUP)
            reloading, began = await systemd.next()
            assert reloading == "RELOADING=1"
            assert before <= int(began.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
            assert await systemd.next() == ["READY=1"]

    async def test_failed_reload(self, systemd: Supervisor, folder: Path) -> None:
        """A reload that changes nothing is over too, and the status says why until one succeeds."""
        rules = folder / "access.toml"
        rules.write_text("")
        async with command("serve", f"unix:{folder}/bus", "--access", str(rules), env=systemd.env) as serve:
            await systemd.until("READY=1")
            rules.unlink()
            serve.process.send_signal(signal.SIGHUP)
            await systemd.until("READY=1")
            (status,) = await systemd.next()
            assert status.endswith(f"; not reloaded: {rules}: No such file or directory")
            rules.write_text("")
            serve.process.send_signal(signal.SIGHUP)
            (status,) = await systemd.until("STATUS=")
            assert "not reloaded" not in status

    async def test_stopping(self, systemd: Supervisor, folder: Path) -> None:
        """A signal has it say that it stops, before it ends."""
        async with command("serve", f"unix:{folder}/bus", env=systemd.env) as serve:
            await systemd.until("READY=1")
            serve.process.terminate()
            assert "STOPPING=1" in await systemd.next()
            assert await serve.end() == 0

    async def test_frozen(self, folder: Path) -> None:
        """A bus that is stopped feeds its watchdog no more, and does again when it goes on."""
        with supervisor(f"{folder}/notify", **WATCHDOG) as systemd:
            # Only whose child it is can wait until it has stopped.
            async with python("-m", "t2bus", "serve", f"unix:{folder}/bus", env=systemd.env) as serve:
                await systemd.until("WATCHDOG=1")
                await systemd.until("WATCHDOG=1")
                serve.process.send_signal(signal.SIGSTOP)
                await trio.to_thread.run_sync(os.waitid, os.P_PID, serve.process.pid, os.WSTOPPED)
                systemd.nowait()
                with trio.move_on_after(1):
                    await systemd.until("WATCHDOG=1")
                    pytest.fail("it was fed")
                serve.process.send_signal(signal.SIGCONT)
                await systemd.until("WATCHDOG=1")

    async def test_hanging(self, folder: Path) -> None:
        """A bus that hangs in the middle of its work is not fed, and says where it hangs when it is aborted."""
        with supervisor(f"{folder}/notify", **WATCHDOG) as systemd:
            async with python("-c", HANGING, f"unix:{folder}/bus", env=systemd.env) as serve:
                await systemd.until("WATCHDOG=1")
                async with await trio.open_unix_socket(f"{folder}/bus") as stream:
                    await stream.send_all(b"garbage")
                    await serve.stdout.until("hangs")
                    systemd.nowait()
                    with trio.move_on_after(1):
                        await systemd.until("WATCHDOG=1")
                        pytest.fail("it was fed")
                serve.process.send_signal(signal.SIGABRT)
                assert await serve.end() == -signal.SIGABRT
                said = "\n".join(await serve.stderr.rest())
                assert "Fatal Python error: Aborted" in said
                assert " in hang_for_ever\n" in said

    async def test_nobody_listens(self, folder: Path) -> None:
        """A supervisor that is not there is nobody's concern."""
        env = {"NOTIFY_SOCKET": f"{folder}/nowhere", **WATCHDOG}
        async with command("serve", f"unix:{folder}/bus", env=env) as serve:
            await serve.stderr.until("to talk")
            async with t2bus.open_client(f"unix:{folder}/bus") as client:
                assert await client.publish_bytes("a", b"") == 0

    async def test_short_watchdog(self, folder: Path) -> None:
        """A watchdog that is shorter than the bus's own look is warned of."""
        with supervisor(f"{folder}/notify", WATCHDOG_USEC="500000") as systemd:
            async with command("serve", f"unix:{folder}/bus", env=systemd.env) as serve:
                said = await serve.stderr.next()
                assert said.startswith("t2bus: warning: a watchdog of 0.5 s is too short")


def accept_all(asked: Address, bound: Sequence[Address]) -> None:
    """Judge nothing."""


@asynccontextmanager
async def watched(systemd: Supervisor, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[t2bus.Bus, None]:
    """Open a bus that tells a supervisor how it is, in this process."""
    for name, value in systemd.env.items():
        monkeypatch.setenv(name, value)
    notifier = take_notifier()
    async with open_hosted_bus(Host(accept_all, looked=notifier.looked)) as bus:
        notifier.ready(bus)
        yield bus


class TestClock:
    """What is said as time passes."""

    async def test_status(
        self, systemd: Supervisor, clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The status is sent again when it is another one, and at most once in five seconds."""
        async with watched(systemd, monkeypatch) as bus, bus.open_client() as client:
            assert "READY=1" in systemd.nowait()
            for _ in range(60):
                await client.publish_bytes("a", b"")
                await trio.sleep(0.1)
            said = systemd.nowait()
            assert len(said) == 1
            assert said[0].startswith("STATUS=: 1 connection, ")
            await trio.sleep(20)
            assert systemd.nowait()[-1] == "STATUS=: 1 connection, 0 messages/s"
            await trio.sleep(20)
            assert systemd.nowait() == []

    @pytest.mark.parametrize(
        ("owner", "is_fed"), [(None, True), (str(os.getpid()), True), ("1", False)], ids=["anybody", "this", "another"]
    )
    async def test_watchdog(
        self,
        owner: str | None,
        is_fed: bool,
        systemd: Supervisor,
        clock: trio.testing.MockClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """It is fed before half of its time is over, if it is for this process."""
        systemd.env |= {"WATCHDOG_USEC": "10000000", **({"WATCHDOG_PID": owner} if owner else {})}
        async with watched(systemd, monkeypatch):
            await trio.sleep(25)
            assert systemd.nowait().count("WATCHDOG=1") in (range(5, 10) if is_fed else (0,))

    async def test_never_waits(
        self, systemd: Supervisor, clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A supervisor that reads nothing holds up nobody."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"X=1", systemd.env["NOTIFY_SOCKET"])
        systemd.env |= WATCHDOG
        async with watched(systemd, monkeypatch) as bus, bus.open_client() as client:
            await trio.sleep(30)
            assert await client.publish_bytes("a", b"") == 0
        assert set(systemd.nowait()) == {"X=1"}

    def test_the_environment_is_cleared(self, systemd: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the process was told of its supervisor is not passed on to its children."""
        for name, value in (systemd.env | WATCHDOG | {"WATCHDOG_PID": str(os.getpid())}).items():
            monkeypatch.setenv(name, value)
        take_notifier()
        assert {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}.isdisjoint(os.environ)
