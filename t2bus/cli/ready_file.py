"""``--ready-fd N``: an open file that whoever started the bus reads to learn that it serves, and where.

::

    $ t2bus serve tcp:127.0.0.1:0 --ready-fd 3 3>ready
    $ cat ready
    tcp:127.0.0.1:35101

Each address is a line, with port 0 resolved, and the end of the file follows. If the bus cannot be opened, the file
ends without a line; if the file cannot be written to, the bus says so in its log and serves. s6 and ``dbus-daemon
--print-address`` do likewise.

The law of this module: a file is written to only if this process was started with it, and the bus waits for nobody who
reads it.
"""

from __future__ import annotations

import fcntl
import logging
import os
from typing import TYPE_CHECKING, Final

import trio

from .settings import BadSetting

if TYPE_CHECKING:
    from collections.abc import Sequence

_logger = logging.getLogger("t2bus.server")

_ERROR: Final = 2
"""Standard error, which stays open for the log."""


def check_ready_file(number: int) -> None:
    """Raise ``BadSetting`` unless this process was started with a file of this number that can be written to."""
    try:
        # What this process has opened itself, for Trio's loop for instance, is not inheritable.
        is_ours = not os.get_inheritable(number)
        is_readable_only = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    except (OSError, OverflowError):
        is_ours, is_readable_only = True, False
    if is_ours:
        raise BadSetting(f"--ready-fd {number}: there is no such open file; open it as in `{number}>ready`")
    if is_readable_only:
        raise BadSetting(f"--ready-fd {number}: this file cannot be written to; open it as in `{number}>ready`")
    if number == _ERROR:
        raise BadSetting("--ready-fd 2: standard error stays open; name another file, as in `--ready-fd 3 3>ready`")


async def announce(number: int, addresses: Sequence[str]) -> None:
    """Write the addresses to the file, and close it; nothing happens if nobody reads it any more.

    A file that cannot be written to is warned of: whoever waits for the bus does not learn of it, and its clients do.
    """
    data = "".join(f"{address}\n" for address in addresses).encode(errors="surrogateescape")
    await trio.to_thread.run_sync(_write_and_close, number, data, abandon_on_cancel=True)


def _write_and_close(number: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(number, data) :]
    except BrokenPipeError:
        pass
    except OSError as error:
        _logger.warning("cannot write to --ready-fd %d: %s", number, error.strerror)
    finally:
        _close(number)


def _close(number: int) -> None:
    if number > _ERROR:
        os.close(number)
        return
    # The number of a standard stream stays taken, so that nothing else that is opened is written to as one.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)
    os.close(null)
