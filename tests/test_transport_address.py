"""Addresses are read, written and refused."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import t2bus
from bus_helpers import names
from t2bus.transport.address import TcpAddress, UnixAddress, parse
from t2bus.transport.default_place import default_address

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:my_bus", UnixAddress("my_bus")),
        ("unix:/run/a:b", UnixAddress("/run/a:b")),
        ("tcp:127.0.0.1:4242", TcpAddress("127.0.0.1", 4242)),
        ("tcp:localhost:0", TcpAddress("localhost", 0)),
        ("tcp:[::1]:65535", TcpAddress("::1", 65_535)),
    ],
)
def test_addresses_are_read_and_written_alike(text: str, address: UnixAddress | TcpAddress) -> None:
    """What is read is written again as it was."""
    assert parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write unix:PATH, tcp:HOST:PORT or tls:HOST:PORT"),
        ("my_bus", "write unix:PATH, tcp:HOST:PORT or tls:HOST:PORT"),
        ("http://localhost", "write unix:PATH, tcp:HOST:PORT or tls:HOST:PORT"),
        ("unix", "write unix:PATH"),
        ("unix:", "names no path"),
        ("unix:a\0b", "names no path"),
        ("unix:\ud800", "names no path"),
        ("unix:" + "x" * 108, "at most 107 bytes, this one 108"),
        ("unix:" + "é" * 54, "at most 107 bytes, this one 108"),
        ("tcp:", "lacks a host or a port"),
        ("tcp:4242", "lacks a host or a port"),
        ("tcp::4242", "lacks a host or a port"),
        ("tcp:[]:4242", "lacks a host or a port"),
        ("tcp:localhost:", "no port from 0 to 65535"),
        ("tcp:localhost:http", "no port from 0 to 65535"),
        ("tcp:localhost:65536", "no port from 0 to 65535"),
        ("tcp:localhost:-1", "no port from 0 to 65535"),
        ("tcp:localhost:²", "no port from 0 to 65535"),
        ("tcp:localhost:" + "1" * 5000, "no port from 0 to 65535"),
        ("tcp://::1:4242", "has slashes, .*such as unix:my_bus or tcp:127.0.0.1:4242"),
        ("tls:localhost:4242/", "has slashes"),
        ("tcp:::1:4242", "put an IPv6 address in brackets"),
    ],
)
def test_what_is_no_address_is_refused(text: str, says: str) -> None:
    """A text that names no address raises ``InvalidAddress`` that says how to write one."""
    with pytest.raises(t2bus.InvalidAddress, match=says):
        parse(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("tcp://localhost:4242", "tcp:localhost:4242"),
        ("tls://bus.example:4242/", "tls:bus.example:4242"),
        ("TCP://[::1]:4242/path", "tcp:[::1]:4242"),
        ("tcp://localhost", "tcp:localhost:PORT"),
        ("tls://[::1]/", "tls:[::1]:PORT"),
        ("unix://my_bus", "unix:my_bus"),
        ("unix:///run/t2bus/bus", "unix:/run/t2bus/bus"),
        ("Unix:////run/a b", "unix:/run/a b"),
        ("/run/t2bus/bus", "unix:/run/t2bus/bus"),
        ("./bus", "unix:./bus"),
        ("localhost:4242", "tcp:localhost:4242"),
        ("10.0.0.1:4242", "tcp:10.0.0.1:4242"),
        ("bus.example:4242", "tcp:bus.example:4242"),
        ("[::1]:4242", "tcp:[::1]:4242"),
    ],
)
def test_what_is_meant_is_said(text: str, meant: str) -> None:
    """A URL, a path, and a host with a port are answered with the address that is meant."""
    with pytest.raises(t2bus.InvalidAddress) as caught:
        parse(text)
    assert str(caught.value) == f"{text!r} is no address: write {meant}"


@given(st.text("abc:/.[]0189", max_size=20), st.sampled_from(["", "unix:", "tcp:", "tls:", "tcp://", "unix://"]))
def test_what_is_said_to_be_meant_is_an_address(rest: str, kind: str) -> None:
    """Whatever was written, what one is told to write is an address, when PORT is a number."""
    try:
        parse(kind + rest)
    except t2bus.InvalidAddress as error:
        if (said := re.search("is no address: write (?!unix:PATH)(.*)", str(error))) is not None:
            parse(said[1].replace("PORT", "1"))


@pytest.mark.parametrize("value", [None, 4242, b"unix:x", ("127.0.0.1", 4242)])
def test_an_address_is_text(value: Any) -> None:
    """Anything but text raises ``TypeError`` that says how addresses are written."""
    with pytest.raises(TypeError, match="an address is text"):
        parse(value)


async def test_invalid_addresses_raise_before_anything_is_opened(folder: Path) -> None:
    """A bus with one invalid address among valid ones opens none of them."""
    with pytest.raises(t2bus.InvalidAddress):
        async with t2bus.open_bus(f"unix:{folder}/bus", "nowhere"):
            pass
    assert names(folder) == []


def test_the_default_is_in_the_runtime_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default address lies in the folder that the system made for this user."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    assert default_address() == t2bus.default_address() == f"unix:{folder}/t2bus.sock"


@pytest.mark.parametrize("runtime", ["", "/nonexistent"])
def test_the_default_without_a_runtime_folder(folder: Path, monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    """Without such a folder the default lies in one of this user's own, closed to others, made when needed."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    own = folder / f"t2bus-{os.getuid()}"
    assert default_address() == default_address() == f"unix:{own}/t2bus.sock"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700


def test_a_default_that_others_could_reach_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that others can use, or that leads elsewhere, is not used."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    own = folder / f"t2bus-{os.getuid()}"
    own.mkdir()
    own.chmod(0o755)
    with pytest.raises(t2bus.InvalidAddress, match="remove it or name an address"):
        default_address()
    own.rmdir()
    own.touch(mode=0o600)
    with pytest.raises(t2bus.InvalidAddress, match="remove it or name an address"):
        default_address()
    own.unlink()
    own.symlink_to(folder)
    with pytest.raises(t2bus.InvalidAddress, match="remove it or name an address"):
        default_address()


# --- who finds nobody there


async def refusal(address: str) -> str:
    """Return what a client is told that finds nobody at an address."""
    with pytest.raises(t2bus.ConnectFailed) as caught:
        async with t2bus.open_client(address):
            pass
    return str(caught.value)


async def test_who_finds_nobody_is_told_of_the_place_without_a_runtime_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client in a terminal finds no bus that a service has opened, and is told where that would be."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", "/tmp/other")
    other = f"unix:/tmp/other/t2bus-{os.getuid()}/t2bus.sock"
    said = await refusal(default_address())
    assert f"unix:{folder}/t2bus.sock: " in said
    assert said.endswith(f"; a bus that was started without XDG_RUNTIME_DIR is at {other}")


@pytest.mark.parametrize(
    ("runtime", "says"),
    [
        ("", f"is usually at unix:/run/user/{os.getuid()}/t2bus.sock"),
        ("/nonexistent", "is at unix:/nonexistent/t2bus.sock"),
    ],
)
async def test_who_finds_nobody_is_told_of_the_place_in_a_runtime_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, says: str
) -> None:
    """A client without a runtime folder finds no bus of a terminal, and is told where that would be."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    said = await refusal(default_address())
    assert f"unix:{folder}/t2bus-{os.getuid()}/t2bus.sock: " in said
    assert said.endswith(f"; a bus that was started with XDG_RUNTIME_DIR {says}")


async def test_elsewhere_the_default_places_are_no_matter(folder: Path) -> None:
    """Who finds nobody at an address of their own is not told of the default places."""
    assert "XDG_RUNTIME_DIR" not in await refusal(f"unix:{folder}/t2bus.sock")
