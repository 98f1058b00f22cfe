"""The log of ``t2bus serve``: one line for each record, for people or for programs.

::

    2026-11-26 12:55:07,123 WARNING t2bus.server: denied: ...
    {"time": "2026-11-26T12:55:07.123Z", "level": "WARNING", "logger": "t2bus.server", "message": "denied: ..."}

The second form is that of ``--log-format json``. What a program has put into a record by ``extra=`` is below the key
``extra``, and a traceback is text below ``exception``. What the command itself says is logged as ``t2bus.cli`` there,
so all of standard error can be read by one parser.

The law of this module: a record is one line of printable characters, whatever a peer has put into it.
"""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ..text import printable
from .console import plain_form, write_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator

    from .console import Form

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; the rest is what its author has added. The last is missing before Python 3.12."""

_SPEAKER: Final = "t2bus.cli"


class _OneLine(logging.Formatter):
    """Escapes what is not printable, so that text of a peer cannot write lines of its own into the log."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's name
        return printable(super().formatMessage(record))


class _JsonLine(logging.Formatter):
    """Makes one object of JSON of a record, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        more: dict[str, Any] = {}
        if extra := {name: value for name, value in vars(record).items() if name not in _OWN}:
            more["extra"] = extra
        if record.exc_info:
            more["exception"] = self.formatException(record.exc_info)
        return _json_line(record.created, record.levelname, record.name, record.getMessage(), more)


def _json_line(created: float, level: str, logger: str, message: str, more: dict[str, Any]) -> str:
    time = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {"time": time, "level": level, "logger": logger, "message": message, **more}
    # JSON escapes all that ASCII does not have, and of what is not printable in ASCII all but this one.
    return json.dumps(line, default=repr, skipkeys=True).replace("\x7f", "\\u007f")


def _json_form(text: str, level: int) -> str:
    """Return what the command says as a record of the log."""
    record = logging.LogRecord(_SPEAKER, level, "", 0, text, None, None)
    return _JsonLine().format(record)


def form_of(arguments: argparse.Namespace) -> Form:
    """Return how a command writes what it says on standard error."""
    return _json_form if getattr(arguments, "log_format", "text") == "json" else plain_form


class _ToStandardError(logging.Handler):
    """Writes the log where :func:`.say` writes."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_line(self.format(record))
        except Exception:  # noqa: BLE001 -- what logging does with a record that cannot be written
            self.handleError(record)


@contextmanager
def log_to_stderr(verbosity: int, form: str) -> Generator[None, None, None]:
    """Send the log of t2bus to standard error: warnings, with a verbosity of 1 also information, with 2 everything.

    ``form`` is ``text`` or ``json``.
    """
    handler = _ToStandardError()
    text = _OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonLine() if form == "json" else text)
    logger = logging.getLogger(__name__.partition(".")[0])
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
