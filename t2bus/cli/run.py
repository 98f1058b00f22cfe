"""From a command line to an exit code.

::

    >>> main(["sub", "a/b", "--addr", "nowhere"])  # and on standard error: t2bus: 'nowhere' is no address: ...
    2

A verb is an async function of the parsed arguments that returns its exit code. What it raises is turned into one here.

The law of this module: every error that is not a bug is one line on standard error; a traceback stands before it only
where ``--verbose`` asks for one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

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
        return int(_run(make_parser().parse_args(argv)))
    except SystemExit as end:  # argparse has said what there is to say
        return end.code if isinstance(end.code, int) else Exit.OK
    except KeyboardInterrupt:  # it came before the verb listened for signals
        import signal

        return SIGNALLED + signal.SIGINT


def _run(arguments: argparse.Namespace) -> int:
    """Run the verb, and turn what it raises into a line and an exit code.

    ``t2bus sub a --addr nowhere`` is 2, as is all that another command line mends. Where no bus lets this client in, it
    is 3 for every reason: a failure of TLS is a kind of ``ConnectFailed``.
    """
    import logging

    import trio

    from ..errors import BusError
    from .console import say_traceback, write_line, written_beside
    from .log_lines import form_of
    from .notation import BadValue
    from .settings import BadSetting

    form = form_of(arguments)
    try:
        with written_beside(form):
            return trio.run(_verb(arguments.verb), arguments)
    except BrokenPipeError:  # the reader of the output has had enough, as `| head` does
        return Exit.OK
    except (BusError, BadSetting, BadValue, OSError) as error:
        if getattr(arguments, "traceback", False):
            say_traceback(error)
        write_line(form(f"{error}{_from_environment(error, arguments)}", logging.ERROR))
        return _exit(error)


def _from_environment(error: Exception, arguments: argparse.Namespace) -> str:
    """Return which variables may have said what is wrong: an option that nobody has written is hard to find."""
    from ..errors import InvalidAddress
    from .settings import BadSetting

    variables = getattr(arguments, "variables", [])
    if not variables or not isinstance(error, InvalidAddress | BadSetting) or _exit(error) != Exit.USAGE:
        return ""
    return f" (the environment has {', '.join(variables)})"


_MODULES: Final = {
    "access": "access_check",
    "bench": "loads",
    "certs": "certificates",
    "clients": "lists",
    "completion": "completion",
    "context": "naming",
    "events": "event_lines",
    "ls": "lists",
    "match": "matching",
    "members": "lists",
    "ping": "pinging",
    "pub": "publishing",
    "register": "naming",
    "reply": "requesting",
    "request": "requesting",
    "schema": "schemas",
    "serve": "serving",
    "services": "lists",
    "status": "lists",
    "sub": "subscribing",
    "subs": "lists",
    "top": "top",
    "unregister": "naming",
}
"""The module of each verb, which has a function of its name."""


def _exit(error: Exception) -> Exit:
    """Return the exit code that an error of a verb stands for."""
    from .. import errors
    from ..contexts.file import NoContexts
    from ..disconnected import Disconnected
    from .notation import BadValue
    from .settings import BadSetting, MissingPackage

    match error:
        case NoContexts() | MissingPackage():
            return Exit.ERROR
        case errors.InvalidTopic() | errors.InvalidAddress() | BadSetting() | BadValue():
            return Exit.USAGE
        case errors.ConnectFailed() | Disconnected():
            return Exit.UNREACHABLE
        case errors.ServiceNotFound():
            return Exit.NOBODY
        case errors.RequestTimeout():
            return Exit.TIMEOUT
        case errors.RemoteError():
            return Exit.REMOTE
        case errors.PermissionDenied():
            return Exit.DENIED
        case _:
            return Exit.ERROR


def _verb(name: str) -> Callable[[argparse.Namespace], Awaitable[int]]:
    """Return the function of a verb. Only here is its module imported, and with it Trio and all else it needs."""
    function: Callable[[argparse.Namespace], Awaitable[int]]
    function = getattr(import_module(f".{_MODULES[name]}", __package__), name)
    return function
