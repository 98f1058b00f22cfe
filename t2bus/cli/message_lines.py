r"""What ``t2bus sub`` and ``reply`` print: one record for each message, as a line for people or as JSON for programs.

::

    hello/alice	{"text": "Hello Alice"}
    {"topic": "hello/alice", "value": {"text": "Hello Alice"}}

    $ t2bus sub 'hello/**' --json | jq -r 'select(.headers.urgent) | .value.text'

An object has ``topic`` and ``value``; ``headers`` when there are any, and ``time`` when that is asked for, as RFC 3339
has it. What JSON cannot say of a payload is told by :func:`.notation.show_as_json`.

The law of this module: a record is printable, and has neither the end of a line nor NUL in it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from attrs import define

from .notation import diagnostic, show_as_json, show_message

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ..client.received import Received
    from ..client.request import Request
    from .console import Output

    Message = Received[bytes] | Request[bytes, bytes]


def show_object(message: Message, *, ascii_only: bool, time: str = "") -> str:
    """Return a message as a JSON object; ``time`` is its first member, with a comma behind it, if it is to have one."""
    topic = diagnostic(message.topic, ascii_only=ascii_only)
    payload = show_as_json(message.body, ascii_only=ascii_only)
    headers = f', "headers": {diagnostic(message.headers, ascii_only=ascii_only)}' if message.headers else ""
    return f'{{{time}"topic": {topic}, {payload}{headers}}}'


@define(eq=False)
class Records:
    """Prints records as the options ``--json``, ``--time``, ``--headers``, ``--color`` and ``-0`` say."""

    arguments: argparse.Namespace
    output: Output
    coloured: bool
    """Whether topics are."""

    async def write(self, records: Sequence[str]) -> None:
        """Write records, one at least. Raises as :meth:`.Output.write`."""
        end = "\0" if self.arguments.null else "\n"
        await self.output.write(end.join(records), end=end)

    async def write_messages(self, messages: Sequence[Message]) -> None:
        """Write messages, one at least, which were received just now. Raises as :meth:`.Output.write`."""
        now = datetime.now().astimezone()
        show = self._in_json if self.arguments.json else self._in_line
        await self.write([show(message, now) for message in messages])

    def _in_line(self, message: Message, now: datetime) -> str:
        line = show_message(
            message, headers=self.arguments.headers, ascii_only=self.output.ascii, coloured=self.coloured
        )
        return f"{self.time_in_line(now)}{line}"

    def _in_json(self, message: Message, now: datetime) -> str:
        return show_object(message, ascii_only=self.output.ascii, time=self.time_in_json(now))

    def time_in_line(self, now: datetime) -> str:
        """Return what stands in front of a line, ``2026-11-26 12:34:56.789`` and a tab; nothing unless asked for."""
        if not self.arguments.time:
            return ""
        return now.replace(tzinfo=None).isoformat(" ", "milliseconds") + "\t"

    def time_in_json(self, now: datetime) -> str:
        """Return the first member of an object, with the offset of the local time; nothing unless asked for."""
        return f'"time": "{now.isoformat(timespec="milliseconds")}", ' if self.arguments.time else ""
