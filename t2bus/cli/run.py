"""From a command line to an exit code.

::

    >>> main(["sub", "a/b", "--addr", "nowhere"])  # and on standard error: t2bus: 'nowhere' is no address: ...
    2

A verb is an async function of the parsed arguments that returns its exit code. What it raises is turned into one here.

The law of this module: every error that is not a bug is one line on standard error, without a traceback.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from .exits import SIGNALLED, Exit
from .parser import make_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    It starts Trio itself, so it is for a program without a Trio loop; and for the main thread, where signals arrive.

    Args:
      argv: the words after the name of the program; by default those of this process.

    """
    try:
        arguments = make_parser().parse_args(argv)
    except SystemExit as end:  # argparse has said what there is to say
        return end.code if isinstance(end.code, int) else Exit.OK
    try:
        return int(_run(arguments))
    except KeyboardInterrupt:  # it came before the verb listened for signals
        return SIGNALLED + signal.SIGINT


def _run(arguments: argparse.Namespace) -> int:
    """Run the verb, and turn what it raises into a line and an exit code.

    ``t2bus sub a --addr nowhere`` is 2, as is all that another command line mends. Where no bus lets this client in, or
    the bus is lost, it is 3 for every reason: a failure of TLS is a kind of ``ConnectFailed``.
    """
    import trio

    from .. import errors
    from ..disconnected import Disconnected
    from .console import say, written_beside
    from .notation import BadValue
    from .settings import BadSetting

    try:
        with written_beside():
            return trio.run(_verb(arguments.verb), arguments)
    except BrokenPipeError:  # the reader of the output has had enough, as `| head` does
        return Exit.OK
    except (errors.BusError, BadSetting, BadValue, OSError) as error:
        say(str(error))
        match error:
            case errors.InvalidTopic() | errors.InvalidAddress() | BadSetting() | BadValue():
                return Exit.USAGE
            case errors.ConnectFailed() | Disconnected():
                return Exit.UNREACHABLE
            case errors.ServiceNotFound():
                return Exit.NOBODY
            case errors.RequestTimeout():
                return Exit.TIMEOUT
            case errors.PermissionDenied():
                return Exit.DENIED
            case _:
                return Exit.ERROR


def _verb(name: str) -> Callable[[argparse.Namespace], Awaitable[int]]:
    """Return the function of a verb. Only here is its module imported, and with it Trio and all else it needs."""
    from .access_check import access
    from .certificates import certs
    from .event_lines import events
    from .listing import clients, ls, services, status, subs
    from .pinging import ping
    from .publishing import pub, sub
    from .requesting import reply, request
    from .serving import serve
    from .top import top

    looking = (status, clients, services, subs, ls, events, ping, top)
    return {verb.__name__: verb for verb in (serve, sub, pub, request, reply, *looking, access, certs)}[name]
