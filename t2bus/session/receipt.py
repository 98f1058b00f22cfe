"""What a publisher is told of one publication."""

from __future__ import annotations

from functools import lru_cache
from typing import Self

from ..documented import Documented


class Receipt(int, metaclass=Documented):
    """The number of connections that took a publication; it is an ``int``, 3 for example.

    ::

        receipt = await client.publish("stop", EmergencyStop())
        if not receipt:
            print("who subscribes does not read" if receipt.missed else "nobody subscribes")
    """

    __slots__ = ()

    @property
    def missed(self) -> int:
        """How many more connections it was for, whose windows are all spent. Each is told by ``Lagged``."""
        return 0


class ShortReceipt(Receipt):
    """The receipt of a publication that somebody missed. An ``int`` has no room for one more in a slot."""

    _missed: int

    def __new__(cls, taken: int, missed: int = 0) -> Self:
        """Make the number, and add what was missed, which a copy adds by itself."""
        receipt = super().__new__(cls, taken)
        receipt._missed = missed
        return receipt

    @property
    def missed(self) -> int:
        """As in the base."""
        return self._missed


@lru_cache(maxsize=1024)
def receipt_for(taken: int) -> Receipt:
    """Return the receipt of a publication that nobody missed: the same one each time.

    The collector of garbage looks at each object of a class of Python's own, also at such a number. One for each
    publication would make publishing from many tasks an eighth dearer.
    """
    return Receipt(taken)
