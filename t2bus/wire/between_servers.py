"""What only the servers of one bus say, to each other; the rest of what they say, clients and buses say too."""

from __future__ import annotations

from attrs import frozen


@frozen
class Stake:
    """Say that a client of this server wants to serve a topic, or has it (``is_held``): ``since`` is when the client
    claimed it, in microseconds since 1970.

    ACCEPTED says that no client of the other server has an older claim. From then on its requests come here.
    """

    id: int
    topic: str
    since: int
    is_held: bool


@frozen
class Lapse:
    """Say that so many publications to a topic are missing here: the way to the other server was full."""

    topic: str
    dropped: int
