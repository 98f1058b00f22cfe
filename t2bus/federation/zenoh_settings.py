"""What Zenoh is told when it is opened, in the words of its ``DEFAULT_CONFIG.json5``.

::

    settings = of_node(Federation(bus="plant", endpoint="tcp:127.0.0.1:7447"), "4f1d0c7a93b2e856")
    zenoh.open(zenoh.Config.from_json5(json.dumps(settings)))

The law of this module: Zenoh is not imported, and no default of its own is relied on where one of ours is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..transport.address import TlsAddress
from .federation import place_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..transport.address import TcpAddress
    from .federation import Federation


def of_node(options: Federation, node: str) -> dict[str, Any]:
    """Return the settings of a node: it listens, and looks for the seeds, for as long as it is open."""
    own = place_of(options.endpoint)
    return _settings(options, id=node.lstrip("0"), listen=[own], connect=map(place_of, options.seeds))


def of_go_between(options: Federation, endpoints: Iterable[str]) -> dict[str, Any]:
    """Return the settings of one who is no node: it is for those at these endpoints to hear of each other."""
    settings = _settings(options, listen=[], connect=map(place_of, endpoints))
    settings["scouting"]["gossip"]["autoconnect"] = {"peer": []}
    return settings


def _settings(
    options: Federation,
    *,
    listen: Iterable[TcpAddress | TlsAddress],
    connect: Iterable[TcpAddress | TlsAddress],
    **more: str,
) -> dict[str, Any]:
    listening = [_locator(place) for place in listen]
    return {
        "mode": "peer",
        "listen": {"endpoints": listening, "timeout_ms": 0, "exit_on_failure": True},
        "connect": {
            "endpoints": [locator for locator in map(_locator, connect) if locator not in listening],
            "timeout_ms": -1,
            "exit_on_failure": False,
            "retry": {"period_init_ms": 100, "period_max_ms": 1000, "period_increase_factor": 2},
        },
        "open": {"return_conditions": {"connect_scouted": False, "declares": False}},
        "scouting": {"delay": 0, "multicast": {"enabled": False}, "gossip": {"enabled": True}},
        "adminspace": {"enabled": False},
        "transport": _transport(options),
        **more,
    }


def _transport(options: Federation) -> dict[str, Any]:
    lease = round(options.lease * 1000)
    # A put that waits for longer has met a node that takes nothing, and ends the link to it.
    # There are batches of 64 KiB; half of them may be filled by what is put without waiting.
    queue = {"congestion_control": {"block": {"wait_before_close": lease * 1000}}, "size": {"data": 16}}
    return {
        "unicast": {"open_timeout": 2 * lease, "accept_timeout": 2 * lease},
        "shared_memory": {"enabled": False},
        "link": {
            "protocols": ["tls" if isinstance(place_of(options.endpoint), TlsAddress) else "tcp"],
            "tls": _tls(options),
            "tx": {"lease": lease, "queue": queue},
        },
    }


def _tls(options: Federation) -> dict[str, Any]:
    """Return how mutual TLS is spoken: a node shows the same certificate when it listens and when it connects."""
    if not isinstance(place_of(options.endpoint), TlsAddress):
        return {}
    return {
        "root_ca_certificate": options.ca,
        "enable_mtls": True,
        "verify_name_on_connect": True,
        "listen_certificate": options.cert,
        "listen_private_key": options.key,
        "connect_certificate": options.cert,
        "connect_private_key": options.key,
    }


def _locator(place: TcpAddress | TlsAddress) -> str:
    """Return an address as Zenoh writes it: ``tcp/127.0.0.1:7447``."""
    return str(place).replace(":", "/", 1)
