r"""The options of ``t2bus serve`` by which several servers are one bus, and the same in a configuration file.

::

    t2bus serve --federate tls:north.example:7447 --seed tls:south.example:7447 --bus plant \
        --fed-ca members/ca.pem --fed-cert members/bus.pem --fed-key members/bus.key

is in a configuration file::

    [federation]
    endpoint = "tls:north.example:7447"
    seeds = ["tls:south.example:7447"]
    bus = "plant"
    ca = "members/ca.pem"
    cert = "members/bus.pem"
    key = "members/bus.key"

Either way they become a :class:`t2bus.Federation`, whose fields have the names of the file.

The law of this module: that of :mod:`.arguments`, so that ``--help`` is instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..program.options import plain
from .arguments import count, seconds

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from .arguments import VerbParser

_ABOUT: Final = (
    "Servers with one --bus are one bus, each with a certificate that `t2bus certs` makes for it with --member. "
    "Needs the extra t2bus[zenoh]."
)
_OPTIONS: Final = {
    "endpoint": "--federate",
    "seeds": "--seed",
    "bus": "--bus",
    "ca": "--fed-ca",
    "cert": "--fed-cert",
    "key": "--fed-key",
    "min_members": "--min-members",
    "group_depth": "--group-depth",
    "lease": "--lease",
    "name": "--fed-name",
}
"""The fields of a federation, each with its option."""

FEDERATION_PATHS: Final = ("ca", "cert", "key")
"""Those that name files."""

FEDERATION_KINDS: Final[Mapping[str, type]] = dict.fromkeys(_OPTIONS, str) | {
    "seeds": list,
    "min_members": int,
    "group_depth": int,
    "lease": float,
}
"""The types that they have in a configuration file."""


def add_federation(verb: VerbParser) -> None:
    """Add the options; their values are checked when the verb runs, as a configuration file may have them too."""
    group = verb.add_argument_group("several servers as one bus", _ABOUT)
    own = "where this server listens for the others, tls:HOST:PORT, or tcp:HOST:PORT of loopback"
    group.add_argument("--federate", type=plain, metavar="ENDPOINT", help=own)
    seed = "the endpoint of another, from which it hears of all; may be given several times"
    group.add_argument("--seed", action="append", type=plain, default=[], metavar="ENDPOINT", help=seed)
    group.add_argument("--bus", type=plain, metavar="NAME", help="the name of the bus, of letters a-z, 0-9 and _")
    ca = "the certificate of the authority of all servers; no client should have one of it"
    group.add_argument("--fed-ca", metavar="FILE", help=ca)
    group.add_argument("--fed-cert", metavar="FILE", help="this server's own certificate, which it shows the others")
    group.add_argument("--fed-key", metavar="FILE", help="its private key")
    members = "refuse new services while there are fewer servers, this one too; by default 1"
    group.add_argument("--min-members", type=count, metavar="N", help=members)
    depth = "fragments of topics by which servers tell each other what they want; by default 1"
    group.add_argument("--group-depth", type=count, metavar="K", help=depth)
    lease = "how long a server may be silent before the others go on without it; by default 2"
    group.add_argument("--lease", type=seconds, metavar="SECONDS", help=lease)
    name = "what this server is called, for people; by default as its host"
    group.add_argument("--fed-name", type=plain, metavar="NAME", help=name)


def federation_options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say, by the names of fields."""
    given = {name: getattr(arguments, option[2:].replace("-", "_")) for name, option in _OPTIONS.items()}
    return {name: value for name, value in given.items() if value not in (None, [])}


def lacking(values: Mapping[str, Any]) -> str | None:
    """Say which fields are needed and not there, by their options and as a configuration file has them; or None."""
    is_secure = values.get("endpoint", "").startswith("tls:")
    names = [name for name in ("endpoint", "bus", *(FEDERATION_PATHS if is_secure else ())) if name not in values]
    if not names:
        return None
    return (
        f"{', '.join(_OPTIONS[name] for name in names)} (in a configuration file, {', '.join(names)} in [federation])"
    )
