"""The options of ``t2bus serve`` for whoever runs it as a service.

::

    t2bus serve --config /etc/t2bus/bus.toml --check
    t2bus serve tcp:127.0.0.1:0 --ready-fd 3 --log-format json -v 3>ready 2>log

The law of this module: that of :mod:`.arguments`, so that ``--help`` is instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import descriptor

if TYPE_CHECKING:
    from .arguments import VerbParser


def add_supervision(verb: VerbParser) -> None:
    """Add the options; what a service manager says in the environment needs none."""
    check = "tell all mistakes in the settings, certificates, rules and addresses, and serve nobody; exit code 2 if any"
    verb.add_argument("--check", action="store_true", help=check)
    ready = "write the addresses to this open file, one a line, and close it, when all of them are listened at"
    verb.add_argument("--ready-fd", type=descriptor, metavar="N", help=ready)
    log = "json for one object a line on standard error; by default text"
    verb.add_argument("--log-format", choices=["text", "json"], default="text", help=log)
