"""``t2bus serve``: a bus in a process of its own.

::

    $ t2bus serve unix:my_bus tcp:127.0.0.1:4242
    t2bus: warning: every user of this machine can use the bus at tcp:127.0.0.1:4242; unix:PATH is for this user alone
    t2bus: serving at unix:my_bus
    t2bus: serving at tcp:127.0.0.1:4242
    t2bus: to listen: python -m t2bus sub 'hello/**' --addr unix:my_bus
    t2bus: to talk:   python -m t2bus pub hello/alice '{"text": "Hello Alice"}' --addr unix:my_bus

The first SIGINT or SIGTERM drains the bus, a second one ends it at once. SIGHUP reads certificates and access rules
again, beside what the bus does; where one of them cannot be used, what was in force stays so. A supervisor is told of
each of these steps (:mod:`.notify`, :mod:`.ready_file`).

The law of this module: whoever waits for the bus is told that it is ready when all listeners are open, and not before.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from ..background import open_background_nursery
from ..errors import BindFailed, InvalidAccess, LimitExceeded, TlsFailed
from .console import say
from .exits import Exit
from .inherited import take_listeners
from .introduction import introduce
from .log_lines import log_to_stderr
from .monitoring import monitor_of
from .notify import show_stacks_when_aborted, take_notifier
from .ready_file import announce, check_ready_file
from .serve_check import blamed, check, remedy
from .serve_open import federation_of, plan_of
from .settings import BadSetting, read_settings
from .signals import run_until_signal

if TYPE_CHECKING:
    import argparse

    from ..server.bus import Bus
    from .notify import Notifier


_FULL_COLLECTIONS: Final = 100
"""Collections of the middle generation before one of all objects, in place of CPython's 10. A bus keeps nearly all that
it makes, and makes little that is garbage: while 6,000 clients connected, a third of its time went into looking.
"""


async def serve(arguments: argparse.Namespace) -> int:
    """Serve until a signal, then shut down in an orderly way within ``Limits.drain``; a second signal ends at once.

    With ``--check`` only see whether it could.

    Returns:
      0 after the first signal, 128 and the number of the second if that ended it.

    Raises:
      BadSetting: the options, the configuration file or a file that they name say what cannot be; nobody was let in.
      InvalidAddress, BindFailed: as ``t2bus.open_bus``.

    """
    with log_to_stderr(arguments.verbose, arguments.log_format):
        if arguments.check:
            return await check(arguments)
        try:
            return await _serve(arguments)
        except BindFailed as error:
            raise BindFailed(f"{error}{remedy(error)}") from error
        except (TlsFailed, InvalidAccess, LimitExceeded) as error:  # nobody was let in yet
            raise BadSetting(f"{blamed(error, arguments)}{remedy(error)}") from error


async def _serve(arguments: argparse.Namespace) -> int:
    notifier = take_notifier()
    if notifier.watchdog is not None:
        show_stacks_when_aborted()
    settings = read_settings(arguments)
    if arguments.ready_fd is not None:
        check_ready_file(arguments.ready_fd)
    plan = plan_of(settings, take_listeners(), federation_of(settings.federation))
    monitor = monitor_of(settings.monitor)
    asked = trio.Event()
    hangups, to_reload = trio.open_memory_channel[None](1)
    gc.set_threshold(*gc.get_threshold()[:2], _FULL_COLLECTIONS)

    async def run() -> int:
        async with plan.open(notifier.looked) as bus, monitor(bus), open_background_nursery() as nursery:
            nursery.start_soon(_reload, bus, to_reload, notifier)
            introduce(bus.addresses, settings.files, is_default=plan.is_default)
            if plan.federation is not None:
                say(f"others find this server of {plan.federation.bus} at {plan.federation.endpoint}")
            notifier.ready(bus)
            if arguments.ready_fd is not None:
                nursery.start_soon(announce, arguments.ready_fd, bus.addresses)
            await asked.wait()
            notifier.stopping()
            say(f"shutting down, in at most {settings.limits.drain:g} s; a second signal ends at once")
            await bus.drain()
        return Exit.OK

    def reload() -> None:
        with suppress(trio.WouldBlock):  # one waits already
            hangups.send_nowait(None)

    return await run_until_signal(run, asked=asked, on_hangup=reload)


async def _reload(bus: Bus, hangups: trio.MemoryReceiveChannel[None], notifier: Notifier) -> None:
    """Read certificates and access rules again for each SIGHUP, and say how that went."""
    async for _ in hangups:
        notifier.reloading()
        try:
            await bus.reload_in_thread()
        except (TlsFailed, InvalidAccess) as error:
            say(f"not reloaded, what was in force stays so: {error}")
            notifier.reloaded(str(error))
        else:
            say("reloaded certificates and access rules")
            notifier.reloaded()
