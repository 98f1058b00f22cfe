"""A request at the bus's own topics: this server answers it, or the one that it names.

::

    own_topics.request(peer, Ask(7, None, "bus/clients", encode(ClientsRequest(server="south"))), now)
    # puts Call(40, 0, None, "bus/clients", …) in the outbox of the server south, which answers with RESPONSE or REFUSED

What a client may ask is decided where it is, by the topic alone, whichever server it names. At the other server the
request comes from a server and not from a client, so it is answered there whatever it names: it takes one hop.

The law of this module: one server answers, or the request is refused at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

if TYPE_CHECKING:
    from ..wire.messages import Ask
    from .about import About
    from .elsewhere import Elsewhere
    from .peer import Peer
    from .requests import ServiceTable

_STEPS: Final = 16
"""Steps of a request that another server answers; as those of any other request."""


@define(eq=False, repr=False)
class OwnTopics:
    """The service of all topics that are the bus's own."""

    about: About
    elsewhere: Elsewhere
    services: ServiceTable

    def request(self, peer: Peer, message: Ask, now: float) -> int:
        """Answer a request, or send it where it is answered; return the steps that it took.

        Raises:
          ServiceNotFound: there is no such topic or server, or several servers have this name.
          ServiceBusy: that server has as many such requests from here as it takes.
          LimitExceeded: the requester has too many requests pending, or has not read what waits for it.
          MalformedMessage, MessageTooLarge: as :meth:`.About.read` and :meth:`.About.answer`.

        """
        request = self.about.read(message.topic, message.payload)
        member = None if peer.server else self.elsewhere.find(request.server)
        if member is None:
            return self.about.answer(peer, message.id, request, now)
        self.services.ask_about(peer, message, member.about, now)
        return _STEPS
