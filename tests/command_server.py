"""A Python that has imported t2bus once, and becomes each command or program that a test asks for by forking.

It begins after 20 ms instead of 300, and is a process all the same, with its own standard streams, environment, folder,
signals and exit code::

    python command_server.py 5 < /dev/null

Descriptor 5 is a socket. Each packet that comes is one command: a :class:`Start` in JSON, with descriptors, which are
another socket, the standard streams, and what else the command inherits. To that socket goes the command's process id,
and in the end its exit code as :class:`subprocess.Popen` has it. This program ends when the first socket does.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import os
import pkgutil
import socket
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn, TypedDict

import trio  # noqa: F401 -- all verbs need it

import t2bus.cli

LARGEST = 1 << 20
"""Bytes of a packet."""
MOST = 16
"""Descriptors that come with one."""
OUT_OF_THE_WAY = 100
"""A number that is larger than any that a command inherits a descriptor by."""


class Start(TypedDict):
    """What to begin a command with."""

    code: str | None
    """A program, instead of the command line."""
    words: list[str]
    numbers: list[int]
    """Of the descriptors that it inherits, the standard streams first."""
    env: dict[str, str]
    folder: str


def main(requests: socket.socket) -> None:
    """Serve until nobody has the other end any more."""
    for module in pkgutil.iter_modules(t2bus.cli.__path__, "t2bus.cli."):
        import_module(module.name)
    gc.freeze()
    while True:
        packet, descriptors, _, _ = socket.recv_fds(requests, LARGEST, MOST)
        reap()
        if not packet:
            return
        if os.fork() == 0:
            requests.close()
            keep(json.loads(packet), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def reap() -> None:
    """Forget the keepers that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def keep(start: Start, said_to: int, *streams: int) -> None:
    """Begin a command, and tell its process id and how it ended. It returns in the process of the command alone."""
    pid = os.fork()
    if pid == 0:
        os.close(said_to)
        become(start, streams)
    for stream in streams:
        os.close(stream)
    teller = socket.socket(fileno=said_to)
    teller.send(b"%d" % pid)
    # It is reaped when the test has closed its end: up to then nobody else has its process id, and signals are for it.
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    with suppress(BrokenPipeError):
        teller.send(b"%d" % (ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status))
    teller.recv(1)
    os._exit(0)


def become(start: Start, descriptors: tuple[int, ...]) -> NoReturn:
    """Be that command."""
    if isinstance(sys.stdout, TextIOWrapper):  # which is asked where it stands, while it still can say that
        sys.stdout.reconfigure(encoding=start["env"].get("PYTHONIOENCODING"))
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, OUT_OF_THE_WAY) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for number, copy in zip(start["numbers"], copies, strict=True):
        os.dup2(copy, number)
        os.close(copy)
    os.environ.clear()
    os.environ.update(start["env"])
    if "LISTEN_FDS" in os.environ:
        os.environ.setdefault("LISTEN_PID", str(os.getpid()))
    time.tzset()
    os.chdir(start["folder"])
    try:
        if start["code"] is not None:
            sys.argv = ["-c", *start["words"]]
            exec(compile(start["code"], "<string>", "exec"), {"__name__": "__main__"})
            sys.exit()
        sys.argv = [str(Path(t2bus.__file__).with_name("__main__.py")), *start["words"]]
        sys.exit(t2bus.cli.main())
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            leave(end.code or 0)
        raise


def leave(code: int) -> None:
    """End as Python does, but do not take apart all that was imported, which takes as long as most commands.

    It returns where Python has something to say of the standard streams: so it has to end it.
    """
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
