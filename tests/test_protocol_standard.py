"""Values of the standard library: how they travel, and that they come back as they were."""

from __future__ import annotations

import pathlib
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import attrs
import cbor2
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

import t2bus
from t2bus.errors import MalformedMessage
from t2bus.protocol import decode, encode, encode_as
from t2bus.protocol.compiler import adapter_of

Address = IPv4Address | IPv6Address

TRAVEL: list[tuple[Any, object, object]] = [
    (Path, Path("/var/log/../x y"), "/var/log/../x y"),
    (Path, Path(), "."),
    (PosixPath, Path("a"), "a"),
    (PurePath, PurePath("a/b"), "a/b"),
    (PurePosixPath, PurePosixPath("h\u00e9"), "h\u00e9"),
    (PureWindowsPath, PureWindowsPath("c:/a/b"), "c:\\a\\b"),
    (IPv4Address, IPv4Address("10.0.0.1"), "10.0.0.1"),
    (IPv6Address, IPv6Address("fe80::1%eth0"), "fe80::1%eth0"),
    (IPv4Network, IPv4Network("10.0.0.0/8"), "10.0.0.0/8"),
    (IPv6Network, IPv6Network("fe80::/64"), "fe80::/64"),
    (IPv4Interface, IPv4Interface("10.0.0.1/8"), "10.0.0.1/8"),
    (IPv6Interface, IPv6Interface("fe80::1/64"), "fe80::1/64"),
    (Fraction, Fraction(-1, 3), "-1/3"),
    (Fraction, Fraction(5), "5"),
    (Address, IPv6Address("::1"), "::1"),
    (Address | None, IPv4Address("127.0.0.1"), "127.0.0.1"),
    (IPv4Network | IPv6Network | int, IPv6Network("::/0"), "::/0"),
    (IPv4Interface | IPv6Interface, IPv4Interface("10.0.0.1/8"), "10.0.0.1/8"),
    (dict[Path, list[Address]], {Path("a"): [IPv4Address(1)]}, {"a": ["0.0.0.1"]}),
    (set[Fraction], {Fraction(1, 2)}, ["1/2"]),
]


@pytest.mark.parametrize(("type_", "value", "plain"), TRAVEL)
def test_values_travel_as_their_text_and_come_back(type_: Any, value: object, plain: object) -> None:
    """Each travels as the text that it reads back itself, and arrives equal and of its type."""
    payload = encode_as(value, type_)
    decoded = decode(payload, type_)
    assert cbor2.loads(payload) == plain
    assert (decoded, type(decoded), repr(decoded)) == (value, type(value), repr(value))


def test_a_path_that_may_be_opened_is_a_path() -> None:
    """Type checkers take a ``Path`` for a ``PurePath``, and so does a field; what arrives is pure and equals it."""
    decoded = decode(encode_as(Path("a"), PurePath), PurePath)
    assert (decoded, type(decoded)) == (Path("a"), PurePosixPath)


REFUSED_VALUES: list[tuple[Any, object, str]] = [
    (Path, "a", "Path: expected Path, got str"),
    (Path, PurePath("a"), "Path: expected Path, got PurePosixPath"),
    (PurePath, PureWindowsPath("a"), "PurePath: expected PurePath, got PureWindowsPath"),
    (Path, Path("\udcff"), "Path: a str with a lone surrogate cannot travel"),
    (IPv4Address, IPv4Interface("10.0.0.1/8"), "IPv4Address: expected IPv4Address, got IPv4Interface"),
    (Fraction, 1, "Fraction: expected Fraction, got int"),
    (
        Fraction,
        Fraction(10**5000),
        "Fraction: ValueError: Exceeds the limit (4300 digits) for integer string conversion",
    ),
]


@pytest.mark.parametrize(("type_", "value", "text"), REFUSED_VALUES)
def test_what_would_not_come_back_is_not_sent(type_: Any, value: object, text: str) -> None:
    """A value of another type, and one that has no text, is refused."""
    with pytest.raises(MalformedMessage) as caught:
        encode_as(value, type_)
    assert str(caught.value).startswith(text)


REFUSED_PLAIN: list[tuple[Any, object, str]] = [
    (Path, 1, "Path: expected Path as str, got int"),
    (IPv4Address, "::1", "IPv4Address: this str is no IPv4Address"),
    (IPv4Address, 1, "IPv4Address: expected IPv4Address as str, got int"),
    (IPv4Network, "10.0.0.1/8", "IPv4Network: this str is no IPv4Network"),
    (Address, "10.0.0", "IPv4Address | IPv6Address: this str is no IPv4Address | IPv6Address"),
    (Address, 1, "IPv4Address | IPv6Address: expected IPv4Address | IPv6Address, got int"),
    (Fraction, "1/0", "Fraction: this str is no Fraction"),
    (Fraction, "0.5", "Fraction: this str is no Fraction"),
    (Fraction, "1e9999999999", "Fraction: this str is no Fraction"),
    (Fraction, "1" * 5000, "Fraction: this str is no Fraction"),
    (Fraction, " 1/2", "Fraction: this str is no Fraction"),
    (Fraction, "\u0661", "Fraction: this str is no Fraction"),
]


@pytest.mark.parametrize(("type_", "plain", "text"), REFUSED_PLAIN)
def test_other_text_is_not_received(type_: Any, plain: object, text: str) -> None:
    """Text that is none of the type is refused at once, whatever it would cost to read it."""
    with pytest.raises(MalformedMessage) as caught:
        decode(cbor2.dumps(plain), type_)
    assert str(caught.value) == text


@pytest.mark.parametrize("type_", [Path | str, IPv4Address | str, IPv4Address | IPv6Network, Address | Path])
def test_texts_that_look_alike_are_found_on_first_use(type_: Any) -> None:
    """Only pairs of which no text is both can stand in one union."""
    with pytest.raises(TypeError, match="look alike on the wire"):
        adapter_of(type_)


@frozen
class Host(t2bus.PublishProtocol, prefix="host"):
    address: Address
    networks: list[IPv4Network | IPv6Network]
    log: Path = pathlib.Path("/var/log")
    share: Fraction = Fraction(1, 2)


networks = st.builds(
    lambda address, bits: IPv4Network((address, bits), strict=False), st.ip_addresses(v=4), st.integers(0, 32)
)
networks6 = st.builds(
    lambda address, bits: IPv6Network((address, bits), strict=False), st.ip_addresses(v=6), st.integers(0, 128)
)
names = st.text(st.characters(codec="utf-8"), max_size=8)
hosts = st.builds(
    Host,
    st.ip_addresses(),
    st.lists(networks | networks6),
    st.lists(names).map(lambda parts: Path(*parts)),
    st.fractions(),
)


@given(hosts)
def test_decoding_undoes_encoding(host: Host) -> None:
    """A message with such fields comes back equal, the types of its values included."""
    decoded = decode(encode(host), Host)
    assert decoded == host
    assert attrs.astuple(decoded, recurse=False) == attrs.astuple(host, recurse=False)
    assert repr(decoded) == repr(host)


@given(st.lists(st.text("a:./\\?")))
def test_windows_paths_come_back(parts: list[str]) -> None:
    """A path of another system comes back equal, or is not sent, as some that Python 3.11 does not read back."""
    path = PureWindowsPath(*parts)
    try:
        payload = encode_as(path, PureWindowsPath)
    except MalformedMessage as error:
        assert str(error) == "PureWindowsPath: a path that is not read as it is written cannot travel"  # noqa: PT017
    else:
        assert decode(payload, PureWindowsPath) == path
