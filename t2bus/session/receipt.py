"""What a publisher is told of one publication."""

from __future__ import annotations

from typing import Self


class Receipt(int):
    """The number of connections that took a publication: 3, say. ``missed`` says how many more it should have reached.

    ``missed`` is not 0 where subscribers are there and do not take what they are sent: their windows are spent. Each
    of them is told so by ``Lagged``. Beside them it counts programs of the Rust crate that a topic with more than three
    ``**`` cannot be sent to. So ``if not receipt and not receipt.missed`` means that nobody subscribes.
    """

    missed: int
    """Connections that the publication was for, and that none of their subscriptions took."""

    def __new__(cls, taken: int, missed: int = 0) -> Self:
        """Make the number, and add what was missed."""
        receipt = super().__new__(cls, taken)
        receipt.missed = missed
        return receipt
