"""Who a peer is, as its transport says: the subject of access rules, of limits, and of logs.

An identity is never what a peer claims in a message. It is the name in a certificate, the user that the kernel names,
or the way that the peer came.

The law of this module: values only.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

_BY_THE_KERNEL: Final = ("uid:", "gid:")


@frozen
class Identity:
    """The name of a peer, and the groups whose rights it has too."""

    name: str
    groups: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


LOCAL: Final = Identity("local")
"""A client in the bus's own process."""

ANONYMOUS: Final = Identity("anonymous")
"""A peer of which nothing is known: it came over plain TCP."""


def is_reserved(name: str) -> bool:
    """Tell whether a name is the bus's own to give, or looks like one: no certificate may bear it."""
    name = name.casefold()
    return name in {LOCAL.name, ANONYMOUS.name} or name.startswith(_BY_THE_KERNEL)
