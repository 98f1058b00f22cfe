"""What a federation may be told, and what it answers to the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from t2bus.errors import InvalidAddress
from t2bus.federation.federation import Federation
from t2bus.federation.zenoh_settings import of_node

FILES = {"ca": "ca.pem", "cert": "north.pem", "key": "north.key"}
PLAIN: dict[str, Any] = {"bus": "plant", "endpoint": "tcp:127.0.0.1:7447"}
SECURE: dict[str, Any] = {"bus": "plant", "endpoint": "tls:north.example:7447", **FILES}


def test_paths_are_taken_for_their_text() -> None:
    """Files may be given as paths, and are text then."""
    assert Federation(**{**SECURE, "ca": Path("certs") / "ca.pem"}).ca == "certs/ca.pem"


def test_seeds_may_be_any_sequence() -> None:
    """Seeds are kept as a tuple, whatever sequence they came in."""
    assert Federation(**PLAIN, seeds=["tcp:localhost:1"]).seeds == ("tcp:localhost:1",)


@pytest.mark.parametrize(
    "name", ["", "a/b", "*", "**", "Plant", "a" * 65], ids=["empty", "deep", "star", "stars", "upper", "long"]
)
def test_a_bus_has_a_plain_name(name: str) -> None:
    """The name of a bus is one fragment of a topic, without wildcards and not too long."""
    with pytest.raises(ValueError, match="is no name of a bus: use a-z, 0-9 and _ only, and at most 64 of them"):
        Federation(**{**PLAIN, "bus": name})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"endpoint": "unix:bus"}, "'unix:bus' is for this machine alone: servers meet at tls:HOST:PORT"),
        ({"endpoint": "tcp:10.0.0.1:1"}, "'tcp:10.0.0.1:1' is open to anybody on the way: write tls:10.0.0.1:1, "),
        ({"endpoint": "7447"}, "'7447' is no address"),
        ({"endpoint": "localhost:7447"}, "'localhost:7447' is no address: write tls:localhost:7447"),
        ({"seeds": ["[::1]:7447"]}, "'[::1]:7447' is no address: write tls:[::1]:7447"),
        ({"seeds": ["tcp:127.0.0.1:0"]}, "nobody can be met at port 0 of the seed 'tcp:127.0.0.1:0': write the port"),
        ({"seeds": ["tls:a.example:1"]}, "the seed 'tls:a.example:1' is of another kind than the endpoint tcp:127"),
        ({"seeds": ["unix:bus"]}, "'unix:bus' is for this machine alone"),
    ],
    ids=["unix", "open", "none", "bare", "bare-seed", "port", "kind", "seed"],
)
def test_servers_meet_at_addresses_of_hosts(change: dict[str, Any], text: str) -> None:
    """An endpoint or a seed where servers cannot meet safely is refused with what to write."""
    with pytest.raises(InvalidAddress) as caught:
        Federation(**{**PLAIN, **change})
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({**SECURE, "key": None}, "the endpoint tls:north.example:7447 needs all of ca, cert and key"),
        (
            {**PLAIN, "ca": "ca.pem"},
            "certificates are of no use at the endpoint tcp:127.0.0.1:7447: write tls:127.0.0.1",
        ),
        ({**PLAIN, "min_members": 0}, "min_members is 0: set it from 1 to 1000"),
        ({**PLAIN, "group_depth": 17}, "group_depth is 17: set it from 1 to 16"),
        ({**PLAIN, "lease": 0.1}, "lease is 0.1: set it from 0.5 to 60.0"),
    ],
    ids=["key", "plain", "members", "depth", "lease"],
)
def test_wrong_values_are_named(options: dict[str, Any], text: str) -> None:
    """A value that is wrong is refused with its name and what to write."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the text is looked at below
        Federation(**options)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"group_depth": 2.0}, "group_depth is 2.0: set it to a whole number"),
        ({"group_depth": True}, "group_depth is True: set it to a whole number"),
        ({"min_members": 1.5}, "min_members is 1.5: set it to a whole number"),
        ({"min_members": "2"}, "min_members is '2': set it to a whole number"),
        ({"lease": True}, "lease is True: set it to a number of seconds"),
        ({"lease": "2"}, "lease is '2': set it to a number of seconds"),
    ],
    ids=["depth", "depth-bool", "members", "members-text", "lease-bool", "lease-text"],
)
def test_numbers_are_of_their_types(change: dict[str, Any], text: str) -> None:
    """A number of another type is refused here, and not found by the first client of the bus."""
    with pytest.raises(TypeError) as caught:
        Federation(**{**PLAIN, **change})
    assert str(caught.value) == text


def test_a_lease_may_be_a_whole_number() -> None:
    """Seconds are given with a fraction or without."""
    assert Federation(**PLAIN, lease=2).lease == 2


def test_one_seed_is_no_list() -> None:
    """A seed that is given as it is, and not in a list, is refused."""
    with pytest.raises(TypeError, match="seeds are several addresses: write"):
        Federation(**PLAIN, seeds="tcp:127.0.0.1:7447")


def test_a_node_does_not_look_for_itself() -> None:
    """A server that is among its own seeds passes over itself, so that all can be given the same."""
    options = Federation(**PLAIN, seeds=["tcp:127.0.0.1:7447", "tcp:127.0.0.1:7448"])
    assert of_node(options, "0" * 15 + "1")["connect"]["endpoints"] == ["tcp/127.0.0.1:7448"]
