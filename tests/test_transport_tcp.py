"""TCP listeners: ports, names and conflicts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import t2bus
from bus_helpers import Note, names, open_peer

if TYPE_CHECKING:
    from pathlib import Path

    import trio.testing


async def test_port_0_is_any_free_port() -> None:
    """Port 0 is resolved to the port that is really bound, for each listener by itself, in the order given."""
    async with t2bus.open_bus("tcp:127.0.0.1:0", "tcp:127.0.0.1:0") as bus:
        assert len(set(bus.addresses)) == 2
        for address in bus.addresses:
            assert re.fullmatch(r"tcp:127\.0\.0\.1:[1-9]\d*", address)
            async with t2bus.open_client(address) as client:
                assert await client.publish("x", Note("")) == 0


async def test_a_port_in_use(folder: Path) -> None:
    """A port that is taken raises ``BindFailed``, which is an ``OSError`` too, and closes what was opened before."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus:
        (address,) = bus.addresses
        with pytest.raises(t2bus.BindFailed, match=f"cannot listen at {address}: Address already in use") as caught:
            async with t2bus.open_bus(f"unix:{folder}/bus", address):
                pass
        assert isinstance(caught.value, OSError)
        assert names(folder) == []
        async with t2bus.open_client(address) as client:
            assert await client.publish("x", Note("")) == 0
    async with t2bus.open_bus(address) as bus:
        assert bus.addresses == (address,)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_nobody_listens(host: str) -> None:
    """Where nothing listens ``ConnectFailed`` says why, once for all addresses of the host."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus:
        address = bus.addresses[0].replace("127.0.0.1", host)
    with pytest.raises(t2bus.ConnectFailed, match=f"cannot connect to {address}: Connection refused. Is a bus there"):
        async with t2bus.open_client(address):
            pass


async def test_one_bus_on_several_addresses(folder: Path) -> None:
    """Clients that came by different listeners share one bus."""
    async with t2bus.open_bus("tcp:127.0.0.1:0", f"unix:{folder}/bus") as bus:
        by_tcp, by_unix = bus.addresses
        async with (
            t2bus.open_client(by_tcp) as one,
            t2bus.open_client(by_unix) as two,
            bus.open_client() as three,
            two.subscribe(Note, "x"),
            three.subscribe(Note, "x"),
        ):
            assert await one.publish("x", Note("")) == 2
    assert names(folder) == []


@pytest.mark.parametrize("host", ["..", "x" * 70 + ".example", "a\0b"])
async def test_what_can_be_no_name_of_a_host(host: str) -> None:
    """A host that is no name at all raises ``ConnectFailed`` or ``BindFailed``, like one that is not there."""
    with pytest.raises(t2bus.ConnectFailed):
        async with t2bus.open_client(f"tcp:{host}:1"):
            pass
    with pytest.raises(t2bus.BindFailed):
        async with t2bus.open_bus(f"tcp:{host}:1"):
            pass


async def test_a_listener_is_closed_when_the_bus_ends(clock: trio.testing.MockClock) -> None:
    """When a bus has ended nothing listens at its port."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus, open_peer(bus) as peer:
        await peer.shake_hands()
    with pytest.raises(t2bus.ConnectFailed):
        async with t2bus.open_client(bus.addresses[0]):
            pass
