"""From what a user writes to payloads, as the options ``--text`` and ``--strict`` say.

::

    payloads = Payloads(arguments)
    payload = payloads.encode('{"x": 1}', "line 3 of standard input")
    payloads.tell_rest()

Text needs no option and no quotes. So JSON in which a shell has eaten the quotes would go as text, and nobody would
know: of that the user is warned, once in detail, and of all the rest by their number.

The law of this module: every text about a value says where that came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field

from .console import counted, say
from .notation import encode_json, encode_value, fault_of_json

if TYPE_CHECKING:
    import argparse

VALUE: Final = "the value"
"""What stands on the command line, in texts about it."""


@define(eq=False)
class Payloads:
    """Makes the payloads of one command."""

    arguments: argparse.Namespace
    _doubtful: int = field(default=0, init=False)
    """How many texts went that look as if JSON was meant."""

    def encode(self, value: str, place: str = VALUE) -> bytes:
        """Return the payload of a value; warn of the first text that looks as if JSON was meant.

        Raises:
          BadValue: it cannot be sent, or ``--strict`` asks for JSON and it is not JSON.

        """
        if self.arguments.strict:
            return encode_json(value, place)
        payload = encode_value(value, text=self.arguments.text)
        if not self.arguments.text and (fault := fault_of_json(value)) is not None:
            self._doubtful += 1
            if self._doubtful == 1:
                say(
                    f"warning: {place} looks like JSON but is not valid JSON ({fault}), so it is sent as text; --text "
                    "says that this is meant, --strict refuses it"
                )
        return payload

    def tell_rest(self) -> None:
        """Say how many texts there were after the one that was warned of."""
        if self._doubtful > 1:
            more = counted(self._doubtful - 1, "more text", "more texts")
            say(f"warning: {more} that looked like JSON but were not valid JSON")
