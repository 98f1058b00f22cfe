"""TCP listeners: ports, names and conflicts."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from attrs import define

import t2bus
from bus_helpers import Note, names, open_peer, wait_until
from t2bus import status
from t2bus.endpoints import adopt

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence


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


async def test_nobody_listens() -> None:
    """Where nothing listens ``ConnectFailed`` says why."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus:
        (address,) = bus.addresses
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


# --- a host with several addresses


@define
class Hosts(trio.abc.HostnameResolver):
    """Says that every host has these addresses, as a file of hosts may; the family of ``-`` is known nowhere."""

    addresses: Sequence[str]

    async def getaddrinfo(self, host: Any, port: Any, *_: int) -> Any:
        await trio.lowlevel.checkpoint()
        return [
            (
                socket.AF_INET6 if ":" in name else socket.AF_INET if name[0] != "-" else 999,
                socket.SOCK_STREAM,
                0,
                "",
                (name.lstrip("-"), port, 0, 0)[: 4 if ":" in name else 2],
            )
            for name in self.addresses
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


@pytest.fixture
async def hosts() -> AsyncGenerator[Hosts, None]:
    """Let the test say which addresses a host has."""
    await trio.lowlevel.checkpoint()
    hosts = Hosts(())
    before = trio.socket.set_custom_hostname_resolver(hosts)
    yield hosts
    trio.socket.set_custom_hostname_resolver(before)


ABSENT = "2001:db8::1"
"""Of no machine: it is for documentation."""


@pytest.mark.parametrize("absent", [ABSENT, "192.0.2.77", "-127.0.0.1"], ids=["IPv6", "IPv4", "family"])
async def test_an_address_that_this_machine_lacks_is_passed_over(hosts: Hosts, absent: str) -> None:
    """A bus at ``localhost`` comes up where that is said to have an address which the machine has not."""
    hosts.addresses = [absent, "127.0.0.1"]
    async with t2bus.open_bus("tcp:localhost:0") as bus:
        (address,) = bus.addresses
        assert address.startswith("tcp:127.0.0.1:")
        async with t2bus.open_client(address.replace("127.0.0.1", "localhost")) as client:
            assert await client.publish("x", Note("")) == 0


def link_local() -> str:
    """Return an IPv6 address that means something on one interface of this machine only, with that interface."""
    known = Path("/proc/net/if_inet6")
    for line in known.read_text(encoding="ascii").splitlines() if known.exists() else ():
        digits, _, _, scope, _, interface = line.split()
        if scope == "20":
            return f"{ipaddress.IPv6Address(bytes.fromhex(digits))}%{interface}"
    pytest.skip("this machine has no link-local address")


async def test_an_address_of_one_interface_is_told_with_it() -> None:
    """A link-local address that a bus is bound to, or that a client comes from, has its zone, else it leads nowhere."""
    place = f"tcp:[{link_local()}]:"
    async with t2bus.open_bus(f"{place}0") as bus:
        (address,) = bus.addresses
        assert address.startswith(place)
        async with t2bus.open_client(address) as client:
            (shown,) = await status.clients(client)
            assert shown.address.startswith(place)


async def test_an_inherited_socket_of_one_interface_is_told_with_it() -> None:
    """So has the address of a listener that somebody else has opened."""
    host = link_local()
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(socket.getaddrinfo(host, 0)[0][4])
        sock.listen()
        listener = adopt(sock.dup(), is_secure=False)
        assert str(listener.address) == f"tcp:[{host}]:{sock.getsockname()[1]}"
        await listener.listener.aclose()


async def test_an_address_that_a_host_has_twice_is_one(hosts: Hosts) -> None:
    """A bus listens once at an address that the file of hosts has in two lines."""
    hosts.addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.1"]
    async with t2bus.open_bus("tcp:localhost:0") as bus:
        assert [address.rpartition(":")[0] for address in bus.addresses] == ["tcp:127.0.0.1", "tcp:127.0.0.2"]


async def test_a_host_of_which_this_machine_has_no_address(hosts: Hosts) -> None:
    """Where no address of a host is this machine's, ``BindFailed`` names each with its reason."""
    hosts.addresses = ["192.0.2.77", "-127.0.0.1"]
    with pytest.raises(t2bus.BindFailed) as caught:
        async with t2bus.open_bus("tcp:bus.example:0"):
            pass
    assert str(caught.value) == (
        "cannot listen at tcp:bus.example:0: Cannot assign requested address (192.0.2.77); "
        "Address family not supported by protocol (127.0.0.1)"
    )


async def test_a_port_in_use_at_one_of_several_addresses(hosts: Hosts) -> None:
    """A port that is taken at one address of a host is an error, which names that address, and none stays open."""
    async with t2bus.open_bus("tcp:127.0.0.2:0") as bus:
        port = bus.addresses[0].rpartition(":")[2]
        hosts.addresses = ["127.0.0.1", "127.0.0.2"]
        with pytest.raises(t2bus.BindFailed, match=r"Address already in use \(127\.0\.0\.2\)$"):
            async with t2bus.open_bus(f"tcp:localhost:{port}"):
                pass
        async with t2bus.open_bus(f"tcp:127.0.0.1:{port}"):
            pass


async def test_each_address_is_named_with_its_reason(hosts: Hosts) -> None:
    """Who cannot connect to a host is told of each of its addresses what was wrong there."""
    async with t2bus.open_bus("tcp:127.0.0.1:0") as bus:
        port = bus.addresses[0].rpartition(":")[2]
    hosts.addresses = ["127.0.0.1", "-127.0.0.3", "127.0.0.2"]
    with pytest.raises(t2bus.ConnectFailed) as caught:
        async with t2bus.open_client(f"tcp:bus.example:{port}"):
            pass
    assert str(caught.value) == (
        f"cannot connect to tcp:bus.example:{port}: Connection refused (127.0.0.1); "
        "Address family not supported by protocol (127.0.0.3); Connection refused (127.0.0.2). Is a bus there?"
    )


async def test_the_first_address_that_answers_is_taken(hosts: Hosts) -> None:
    """A client reaches a bus that listens at the last address of its host only."""
    async with t2bus.open_bus("tcp:127.0.0.3:0") as bus:
        hosts.addresses = ["127.0.0.1", ABSENT, "127.0.0.2", "127.0.0.3"]
        async with t2bus.open_client(bus.addresses[0].replace("127.0.0.3", "bus.example")) as client:
            assert await client.publish("x", Note("")) == 0
        await wait_until(lambda: bus.statistics().connections == bus.statistics().newcomers == 0)


@pytest.fixture
def silent() -> Generator[int, None, None]:
    """Give a port at which 127.0.0.1 answers nobody any more: those who wait to be accepted are too many."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = int(listener.getsockname()[1])
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


async def test_an_address_that_is_silent_is_not_waited_for(
    hosts: Hosts, silent: int, clock: trio.testing.MockClock
) -> None:
    """Where one address of a host does not answer, the next is tried a quarter of a second later."""
    hosts.addresses = ["127.0.0.1", "127.0.0.2"]
    async with t2bus.open_bus(f"tcp:127.0.0.2:{silent}"):
        before = trio.current_time()
        async with t2bus.open_client(f"tcp:localhost:{silent}") as client:
            assert trio.current_time() - before == pytest.approx(0.25)
            assert await client.publish("x", Note("")) == 0


async def test_cancelling_leaves_no_socket_open(hosts: Hosts, silent: int, clock: trio.testing.MockClock) -> None:
    """Whoever gives up while several addresses are tried leaves none of the sockets open."""
    hosts.addresses = ["127.0.0.1", "127.0.0.2"]
    before = open_files()
    with trio.move_on_after(60) as scope:
        async with t2bus.open_client(f"tcp:localhost:{silent}"):
            pass
    assert scope.cancelled_caught
    assert open_files() == before


def open_files() -> int:
    """Return how many files this process has open."""
    return sum(1 for number in range(1000) if is_open(number))


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
