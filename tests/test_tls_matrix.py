"""TLS between a bus and a client of which one is wrong: what the client raises, what the bus logs, and nobody minds.

Each bus has bystanders: over TLS where a row brings a client that is wrong, and at a unix socket where it is the bus
that shows a wrong certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

import t2bus
from bus_helpers import open_bystanders
from tls_helpers import (
    AGO,
    AHEAD,
    CLIENT,
    FAR_AHEAD,
    HOST,
    LONG_AGO,
    NO_TEXT,
    SERVER,
    Leaf,
    bare_context,
    bus_leaf,
    check_refusal,
    client_leaf,
    leaf,
    log,
    odd_leaf,
    open_tls_site,
    open_watched_site,
    write,
)

if TYPE_CHECKING:
    import trio.testing

EXPIRED = leaf("alice.example", HOST, not_before=LONG_AGO, not_after=AGO)
NOT_YET = leaf("alice.example", HOST, not_before=AHEAD, not_after=FAR_AHEAD)
STRANGER = leaf("alice.example", HOST, by="another")

Make = Callable[[Path], ssl.SSLContext]


def of(leaf: Leaf, trusts: str = "ours") -> Make:
    """Make a client's context from files."""
    return lambda folder: write(folder, "client", leaf, trusts=trusts).client()


# --- what is right


async def test_both_ends_are_right(
    clock: trio.testing.MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A right client is let in under the name in its certificate, and the bus has nothing to log."""
    async with open_watched_site(tmp_path) as site:
        async with site.connect() as client:
            assert client.statistics().subscriptions == 0
            assert site.bus.statistics().identities == {"alice.example": 3}
        assert site.bus.statistics().refused == 0
    assert log(caplog) == []


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_bus_with_several_names(clock: trio.testing.MockClock, tmp_path: Path, name: str) -> None:
    """A client may connect by any name or address that the certificate of the bus has."""
    context = of(client_leaf())(tmp_path)
    async with (
        open_tls_site(tmp_path, leaf("localhost", HOST)) as site,
        t2bus.open_client(f"tls:{name}:{site.address.port}", tls=context) as client,
    ):
        assert client.statistics().services == 0


async def test_contexts_of_ones_own(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """Contexts that were made with ``ssl`` alone do for both ends."""
    own = bare_context(is_server=True)
    own.verify_mode = ssl.CERT_REQUIRED
    async with t2bus.open_bus(f"tls:{HOST}:0", tls=own) as bus:
        bus.reload()
        async with t2bus.open_client(bus.addresses[0], tls=bare_context()):
            assert bus.statistics().identities == {"alice.example": 1}


# --- a client that is wrong


@frozen
class WrongClient:
    name: str
    make: Make
    raised: str
    logged: str


CLIENTS = [
    WrongClient(
        "of another authority",
        of(STRANGER),
        "the peer refused this end: this end's certificate is of an authority that it does not trust",
        "the peer's certificate is of an authority that this end does not trust",
    ),
    WrongClient(
        "trusts another authority",
        of(client_leaf(), trusts="another"),
        "the peer's certificate is of an authority that this end does not trust",
        "the peer refused this end: this end's certificate is of an authority that it does not trust",
    ),
    WrongClient(
        "expired",
        of(EXPIRED),
        "the peer refused this end: this end's certificate has expired: renew it",
        "the peer's certificate has expired: renew it",
    ),
    WrongClient(
        "not yet valid",
        of(NOT_YET),
        "the peer refused this end: this end's certificate is not valid for it: it may not be valid yet",
        "the peer's certificate is not valid yet: compare the clocks of both machines",
    ),
    WrongClient(
        "without a certificate",
        lambda _: bare_context(with_certificate=False),
        "the peer refused this end: it asks for a certificate, and this end has shown none",
        "the peer has shown no certificate",
    ),
    WrongClient(
        "with a certificate for servers",
        of(odd_leaf(uses=(SERVER,))),
        "the peer refused this end: this end's certificate was not issued for this use",
        "the peer's certificate was not issued for this use",
    ),
]


@pytest.mark.parametrize("row", CLIENTS, ids=lambda row: row.name)
async def test_wrong_clients(
    clock: trio.testing.MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture, row: WrongClient
) -> None:
    """A client with a wrong certificate gets ``TlsFailed`` with the cause, and so does the log of the bus."""
    async with open_watched_site(tmp_path) as site:
        with pytest.raises(t2bus.TlsFailed) as caught:
            async with t2bus.open_client(str(site.address), tls=row.make(tmp_path)):
                pass
        assert str(caught.value).startswith(row.raised)
        await check_refusal(site, caplog, row.logged)


@pytest.mark.parametrize(
    ("leaf", "text"),
    [
        (odd_leaf(), "the client's certificate names nobody"),
        (leaf("alice", "bob"), "the client's certificate is ambiguous: it has 2 DNS names"),
        (leaf("local"), "no client may have the name 'local'"),
        (odd_leaf(NO_TEXT), "the client's certificate cannot be read"),
    ],
    ids=["nobody", "ambiguous", "reserved", "no text"],
)
async def test_clients_who_cannot_say_who_they_are(
    clock: trio.testing.MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture, leaf: Leaf, text: str
) -> None:
    """A client whose certificate is right but gives it no name is told so by the bus."""
    async with open_watched_site(tmp_path) as site:
        with pytest.raises(t2bus.ConnectFailed, match=f"^the bus did not let this client in: {text}"):
            async with t2bus.open_client(str(site.address), tls=of(leaf)(tmp_path)):
                pass
        await check_refusal(site, caplog, text)


async def test_a_client_of_plain_tcp(
    clock: trio.testing.MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that takes the address for one of TCP gets ``ConnectFailed``, since nothing answers it."""
    async with open_watched_site(tmp_path) as site:
        with pytest.raises(t2bus.ConnectFailed, match="closed before a bus answered: is it a t2bus bus that listens"):
            async with t2bus.open_client(f"tcp:{HOST}:{site.address.port}"):
                pass
        await check_refusal(site, caplog, "what the peer sends is not TLS")


# --- a bus that shows a wrong certificate


@frozen
class WrongBus:
    name: str
    leaf: Leaf
    raised: str
    logged: str
    host: str = HOST


BUSES = [
    WrongBus(
        "of another authority",
        STRANGER,
        "is of an authority that this end does not trust: use one `ca` on both sides",
        "this end's certificate is of an authority that it does not trust: use one `ca` on both sides",
    ),
    WrongBus("expired", EXPIRED, "has expired: renew it", "this end's certificate has expired: renew it"),
    WrongBus("not yet valid", NOT_YET, "is not valid yet: compare the clocks", "it may not be valid yet"),
    WrongBus("of a host", leaf("bus.example"), "is for another host: connect by an address", "for another host"),
    WrongBus("of an address", bus_leaf(), "is for another host: connect by a name", "for another host", "localhost"),
    WrongBus("of no host", odd_leaf(uses=(SERVER,)), "is for another host", "for another host"),
    WrongBus("for clients", odd_leaf(uses=(CLIENT,)), "was not issued for this use", "was not issued for this use"),
]


@pytest.mark.parametrize("row", BUSES, ids=lambda row: row.name)
async def test_wrong_buses(
    clock: trio.testing.MockClock, folder: Path, caplog: pytest.LogCaptureFixture, row: WrongBus
) -> None:
    """A bus with a wrong certificate is refused with ``TlsFailed`` and the cause, and its log says so too."""
    async with open_tls_site(folder, row.leaf, beside=f"unix:{folder}/bus") as site:
        caplog.clear()  # a bus whose certificate has expired says so when it opens
        async with open_bystanders(site.connect) as bystanders:
            with pytest.raises(t2bus.TlsFailed) as caught:
                async with t2bus.open_client(f"tls:{row.host}:{site.address.port}", tls=of(client_leaf())(folder)):
                    pass
            assert str(caught.value).startswith(f"the peer's certificate {row.raised}")
            await check_refusal(site, caplog, "the peer refused this end: ", row.logged)
            await bystanders.try_out()
        await site.try_out()
