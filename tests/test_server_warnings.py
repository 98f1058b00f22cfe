"""Warnings: what an operator hears of a certificate that ends, and of an address that anybody can reach."""

from __future__ import annotations

import logging
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import trio.testing

import t2bus
from bus_helpers import names, wait_until
from t2bus.certs import issue_server, make_ca
from t2bus.server.hosting import Host
from t2bus.server.open import open_hosted_bus
from t2bus.server.warnings import warn_of_expiry, warn_of_exposure
from t2bus.tls import expiry
from t2bus.transport.address import TcpAddress, TlsAddress, UnixAddress, is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from t2bus.transport.address import Address

DAY = 86_400
EXPIRES = "the bus's certificate expires at "


def context_for(folder: Path, days: int) -> ssl.SSLContext:
    """Make a bus's certificate that is valid for so many days."""
    authority, own = make_ca(folder / "certs", days=days)
    return t2bus.tls.server_context(ca=authority.certificate, certificate=own.certificate, key=own.key)


# --- certificates


@pytest.mark.parametrize(("days", "lines"), [(1, 1), (13, 1), (15, 0), (90, 0)])
def test_a_certificate_that_ends_within_14_days(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: int, lines: int
) -> None:
    """A warning names the moment in time to renew, and there is none before that."""
    context = context_for(tmp_path, days)
    warn_of_expiry(context)
    expires_at = expiry(context)
    assert expires_at is not None
    assert caplog.messages == [f"{EXPIRES}{expires_at:%Y-%m-%d %H:%M}+00:00: renew it and reload"] * lines
    assert all(record.levelno == logging.WARNING for record in caplog.records)


@pytest.mark.parametrize("context", [None, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)])
def test_what_cannot_be_told_is_not_warned_of(caplog: pytest.LogCaptureFixture, context: ssl.SSLContext | None) -> None:
    """Without a certificate, or with a context of the program's own, nothing is said."""
    warn_of_expiry(context)
    assert caplog.messages == []


async def test_opening_warns_and_reloading_what_was_renewed_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A bus looks at its certificate when it is opened and on each reload."""
    async with t2bus.open_bus("tls:127.0.0.1:0", tls=context_for(tmp_path, 2)) as bus:
        assert [text.startswith(EXPIRES) for text in caplog.messages] == [True]
        bus.reload()
        assert len(caplog.messages) == 2
        issue_server(tmp_path / "certs", "bus", renew=True)
        bus.reload()
        assert len(caplog.messages) == 2


async def test_a_bus_that_runs_for_long_warns_every_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, clock: trio.testing.MockClock
) -> None:
    """A bus goes on warning, once a day, of the certificate that it shows now."""
    async with t2bus.open_bus("tls:127.0.0.1:0", tls=context_for(tmp_path, 2)) as bus:
        clock.autojump_threshold = float("inf")
        for lines in (1, 2, 3):
            await wait_until(lambda: len(caplog.messages) == lines)  # noqa: B023 - it is called here
            clock.jump(DAY - 10)
            await trio.testing.wait_all_tasks_blocked(0.002)
            assert len(caplog.messages) == lines
            clock.jump(20)
        await wait_until(lambda: len(caplog.messages) == 4)
        issue_server(tmp_path / "certs", "bus", renew=True)
        bus.reload()
        clock.jump(DAY + 20)
        await trio.testing.wait_all_tasks_blocked(0.002)
        assert len(caplog.messages) == 4


# --- addresses


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """Loopback addresses are those that no other machine reaches; all addresses at once are none."""
    assert is_loopback(host) is expected


def test_an_open_address_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Plain TCP beyond this machine is warned of, each address by its name."""
    warn_of_exposure([TcpAddress("192.0.2.1", 1), TcpAddress("127.0.0.1", 2), TcpAddress("::", 3)])
    assert caplog.messages == [
        f"{address} is open to whoever can reach this machine, without encryption or identities"
        for address in ("tcp:192.0.2.1:1", "tcp:[::]:3")
    ]


def test_what_is_not_open_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """TLS, unix sockets and loopback are what they should be."""
    warn_of_exposure([TlsAddress("0.0.0.0", 1), UnixAddress("bus"), TcpAddress("::1", 2)])
    assert caplog.messages == []


async def test_who_comes_before_the_addresses_are_judged_is_not_let_in(folder: Path) -> None:
    """A bus whose judge raises at what is bound answers nobody, is gone, and raises the same."""
    early: list[socket.socket] = []

    def judge(asked: Address, bound: Sequence[Address]) -> None:
        if asked != TcpAddress("localhost", 0):
            return
        for address in bound:
            assert isinstance(address, TcpAddress)
            assert is_loopback(address.host)
            early.append(socket.create_connection((address.host, address.port)))
        raise KeyError

    with pytest.raises(KeyError):
        async with open_hosted_bus(Host(judge), f"unix:{folder}/bus", "tcp:localhost:0"):
            pass
    assert early
    for peer in early:
        with peer, pytest.raises(ConnectionResetError):
            peer.recv(1)
    assert names(folder) == []


async def test_a_bus_at_a_closed_address_says_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bus that other machines cannot reach opens without a warning."""
    async with t2bus.open_bus("tcp:127.0.0.1:0", f"unix:{folder}/bus"):
        assert caplog.messages == []
