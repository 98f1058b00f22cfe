"""What a Rust client serves, and the requests that lie with it.

The crate names a service by its topic and a request by 32 bits of the bus's choosing. Here each ``Srv`` is a claim of
its own, though at most one of a topic comes to something, and each call has a number that no other call has now.

A client may never answer. Its calls leave with their service; of those that were withdrawn, so that nobody waits for
them, the youngest are remembered, because their end gives their place in the service's window back; the others are as
many as that window allows.

The law of this module: a number leaves all tables at once.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field

WITHDRAWN: Final = 1024
"""Withdrawn calls that are remembered; the oldest goes first."""

_U32: Final = 2**32 - 1


@define(eq=False, repr=False)
class OpenCall:
    """A request that the client has to answer. ``id`` is the bus's call id, ``is_withdrawn`` that nobody waits."""

    id: int
    calls: set[int]
    """The numbers of all calls of its service."""
    is_withdrawn: bool = False


@define(eq=False, repr=False)
class Desk:
    """The services and calls of one connection.

    For example the bus hands request 9 to service 1, and the client answers it under the number that it was sent::

        desk.claim(1, "hello")
        number = desk.next_number()
        desk.begin(number, 9, "hello", 1)
        desk.end(number)                       OpenCall(9, …), and None when it is answered again
    """

    last_number: int = 0
    """The number that was given last."""
    _services: dict[str, dict[int, set[int]]] = field(factory=dict, init=False)
    """The numbers of the calls of each service, by topic and by service, oldest first."""
    _calls: dict[int, OpenCall] = field(factory=dict, init=False)
    """By number."""
    _numbers: dict[int, int] = field(factory=dict, init=False)
    """The numbers by call id."""
    _withdrawn: dict[int, None] = field(factory=dict, init=False)
    """The numbers of withdrawn calls, oldest first."""

    def __len__(self) -> int:
        """Return the number of calls."""
        return len(self._calls)

    # --- services

    def claim(self, service: int, topic: str) -> None:
        """Begin a service, which may still be refused."""
        self._services.setdefault(topic, {})[service] = set()

    def unclaim(self, topic: str, service: int | None = None) -> int | None:
        """End this service of a topic, or its oldest, with all its calls; return its id if it was there.

        The oldest, since an ``Unsrv`` names the topic only, and of several claims of it the first is the one that may
        have come to something. A claim that was refused is ended by its id.
        """
        services = self._services.get(topic, {})
        if service is None:
            service = next(iter(services), None)
        if service not in services:
            return None
        for number in services.pop(service).copy():
            self.end(number)
        if not services:
            del self._services[topic]
        return service

    def serves(self, topic: str, service: int) -> bool:
        """Whether this service of this topic has not ended."""
        return service in self._services.get(topic, {})

    # --- calls

    def next_number(self) -> int:
        """Return a number that no call has. It is taken by :meth:`begin` only, as the request may not fit a frame."""
        number = self.last_number + 1 & _U32
        while number in self._calls:
            number = number + 1 & _U32
        return number

    def begin(self, number: int, call: int, topic: str, service: int) -> None:
        """Remember a call of a service that has not ended: ``call`` is its id on the bus, ``number`` for the client."""
        self.last_number = number
        calls = self._services[topic][service]
        calls.add(number)
        self._calls[number] = OpenCall(call, calls)
        self._numbers[call] = number

    def end(self, number: int) -> OpenCall | None:
        """Forget a call, and return it if it was there.

        None for a number that the client made up, that has been answered, or whose service has ended.
        """
        call = self._calls.pop(number, None)
        if call is not None:
            call.calls.remove(number)
            del self._numbers[call.id]
            self._withdrawn.pop(number, None)
        return call

    def withdraw(self, call: int) -> None:
        """Note that nobody waits for a call any more, if it has not ended. The client cannot be told."""
        number = self._numbers.get(call)
        if number is not None:
            self._calls[number].is_withdrawn = True
            self._withdrawn[number] = None
            if len(self._withdrawn) > WITHDRAWN:
                self.end(next(iter(self._withdrawn)))
