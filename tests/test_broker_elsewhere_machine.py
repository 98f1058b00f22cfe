"""Two servers under everything that clients may do, in every order in which they may hear of each other.

The model knows what is promised of one bus: what is published after a subscription was acknowledged comes or is counted
as missing, in the order of its publisher; a receipt counts the connections that took it; a topic has one service; a
request has one outcome. That it is two servers is seen by nobody.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from attrs import define, field
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from broker_helpers import RawPeer, assert_empty
from fleet_helpers import Fleet, fleet
from pure_helpers import of_kind, one_by_one, steady
from t2bus.protocol import encode
from t2bus.status import StatusRequest
from t2bus.topic import intersects
from t2bus.wire import messages as m
from t2bus.wire.values import ErrorCode

NAMES: Final = "xy"
SUBSCRIBED: Final = ["a", "a/*", "b/**", "*/c", "**"]
PUBLISHED: Final = ["a", "a/c", "b", "b/c", "*/c", "**"]
SERVED: Final = ["s", "t"]


@define(eq=False)
class Sent:
    """A publication."""

    who: Client
    number: int
    topic: str
    receipt: int | None = None
    missed: int = 0


@define(eq=False)
class Opened:
    """A subscription, and what it has heard."""

    id: int
    topic: str
    is_acknowledged: bool = False
    sure: list[Sent] = field(factory=list)
    """What was published when it had been acknowledged, and so comes or is told as missing."""
    unsure: list[Sent] = field(factory=list)
    """What was published before that: it may be on its way still."""
    heard: list[Sent] = field(factory=list)
    gap: int = 0


@define(eq=False)
class Client:
    """A client of one of the servers."""

    raw: RawPeer
    subscriptions: dict[int, Opened] = field(factory=dict)
    sent: dict[int, Sent] = field(factory=dict)
    claims: dict[int, str] = field(factory=dict)
    """Those that were accepted."""
    claiming: dict[int, str] = field(factory=dict)
    asked: set[int] = field(factory=set)
    calls: list[int] = field(factory=list)


class ServersMachine(RuleBasedStateMachine):
    @initialize(window=st.integers(1, 4), topics=st.lists(st.sampled_from(SUBSCRIBED), min_size=2, max_size=4))
    def open(self, window: int, topics: list[str]) -> None:
        self.servers: Fleet = fleet(*NAMES, subscription_messages=window + 1)
        self.window = window
        self.clients = [Client(self.servers.client(name)) for name in "xxyy"]
        self.sent: list[Sent] = []
        for who, topic in enumerate(topics):
            self.subscribe(who, topic)
        self.servers.settle()
        self.read()

    # --- what clients do

    @rule(who=st.integers(0, 3), topic=st.sampled_from(SUBSCRIBED))
    def subscribe(self, who: int, topic: str) -> None:
        client = self.clients[who]
        number = client.raw.subscribe(topic, self.window, 1000)
        before = [sent for sent in self.sent if intersects(topic, sent.topic)]
        client.subscriptions[number] = Opened(number, topic, unsure=before)
        self.read()

    @rule(who=st.integers(0, 3), topic=st.sampled_from(PUBLISHED), paced=st.booleans(), times=st.integers(1, 8))
    def publish(self, who: int, topic: str, paced: bool, times: int) -> None:
        client = self.clients[who]
        for _ in range(times):
            sent = Sent(client, len(self.sent), topic)
            self.sent.append(sent)
            for opened in self.opened:
                if intersects(opened.topic, topic):
                    (opened.sure if opened.is_acknowledged else opened.unsure).append(sent)
            client.sent[client.raw.last_operation + 1] = sent
            client.raw.publish(topic, b"%d" % sent.number, paced=paced)
        self.read()

    @rule(who=st.integers(0, 3), messages=st.integers(1, 4))
    def credit(self, who: int, messages: int) -> None:
        for number in self.clients[who].subscriptions:
            self.clients[who].raw.credit(number, messages, 1000)
        self.read()

    @rule(who=st.integers(0, 3), topic=st.sampled_from(SERVED))
    def claim(self, who: int, topic: str) -> None:
        client = self.clients[who]
        client.claiming[client.raw.claim(topic)] = topic
        self.read()

    @rule(who=st.integers(0, 3))
    def unclaim(self, who: int) -> None:
        client = self.clients[who]
        if client.claims:
            number, _ = client.claims.popitem()
            client.raw.unclaim(number)
            self.read()

    @rule(who=st.integers(0, 3), topic=st.sampled_from(SERVED))
    def request(self, who: int, topic: str) -> None:
        self.clients[who].asked.add(self.clients[who].raw.request(topic))
        self.read()

    @rule(who=st.integers(0, 3), server=st.sampled_from(NAMES))
    def ask_a_server(self, who: int, server: str) -> None:
        request = encode(StatusRequest(server))
        self.clients[who].asked.add(self.clients[who].raw.request("bus/status", request))
        self.read()

    @rule(who=st.integers(0, 3))
    def respond(self, who: int) -> None:
        client = self.clients[who]
        if client.calls:
            client.raw.feed(m.Respond(client.calls.pop(), b"a"))
            self.read()

    # --- what the network does

    @rule(is_back=st.booleans(), most=st.integers(1, 20))
    def carry(self, is_back: bool, most: int) -> None:
        way = self.servers.ways[("y", "x") if is_back else ("x", "y")]
        way.write()
        way.carry(most)
        self.read()

    @precondition(lambda self: len(self.sent) > 3)
    @rule()
    def settle(self) -> None:
        """Everything has arrived, and everybody has taken everything: now all has to add up."""
        for _ in range(200):
            self.servers.settle()
            self.read()
            for client in self.clients:
                for number in client.subscriptions:
                    client.raw.credit(number, 10, 1000)
            if all(sent.receipt is not None for sent in self.sent) and self.is_complete:
                break
        for opened in self.opened:
            assert opened.is_acknowledged
            assert len(opened.sure) <= len(opened.heard) + opened.gap <= len(opened.sure) + len(opened.unsure)
        took: Counter[Sent] = Counter()
        for client in self.clients:
            took.update({sent: 1 for opened in client.subscriptions.values() for sent in opened.heard})
        for sent in self.sent:
            assert sent.receipt == took[sent]
        self.check_services()

    @property
    def is_complete(self) -> bool:
        return all(len(each.heard) + each.gap >= len(each.sure) for each in self.opened)

    def check_services(self) -> None:
        """A topic has one service, whichever server is asked."""
        topics = [topic for client in self.clients for topic in client.claims.values()]
        assert len(topics) == len(set(topics))
        assert not any(client.claiming for client in self.clients)

    @property
    def opened(self) -> list[Opened]:
        return [each for client in self.clients for each in client.subscriptions.values()]

    # --- what clients hear

    def read(self) -> None:
        for client in self.clients:
            heard = one_by_one(client.raw.read())
            for unreached in of_kind(heard, m.Unreached):
                for operation, count in enumerate(unreached.counts, unreached.first):
                    client.sent[operation].missed = count
            for message in heard:
                self.hear(client, message)
            if client.raw.outbox.take_signs():
                client.raw.feed(m.Pong(0))

    def hear(self, client: Client, message: m.ServerMessage) -> None:
        match message:
            case m.Accepted():
                for operation, count in enumerate(message.counts, message.first):
                    self.accept(client, operation, count)
            case m.Refused():
                self.refuse(client, message)
            case m.Deliver():
                sent = self.sent[int(bytes(message.publication.payload))]  # type: ignore[arg-type]
                for number in message.subscriptions:
                    opened = client.subscriptions[number]
                    before = [each.number for each in opened.heard if each.who is sent.who]
                    assert not before or before[-1] < sent.number, "out of order, or twice"
                    opened.heard.append(sent)
            case m.Gap():
                client.subscriptions[message.subscription].gap += message.dropped
            case m.Call():
                client.calls.append(message.id)
            case m.Response():
                client.asked.remove(message.request)
            case m.Ping():
                client.raw.feed(m.Pong(message.token))
            case _:
                assert isinstance(message, m.Unreached | m.Withdraw | m.Pong)

    def accept(self, client: Client, operation: int, count: int) -> None:
        if (sent := client.sent.get(operation)) is not None:
            assert sent.receipt is None, "acknowledged twice"
            sent.receipt = count
        elif operation in client.claiming:
            client.claims[operation] = client.claiming.pop(operation)
        elif (opened := client.subscriptions.get(operation)) is not None:
            opened.is_acknowledged = True

    def refuse(self, client: Client, message: m.Refused) -> None:
        if message.id in client.claiming:
            assert message.code is ErrorCode.TOPIC_CLAIMED
            del client.claiming[message.id]
        else:
            assert message.code in {ErrorCode.SERVICE_NOT_FOUND, ErrorCode.SERVICE_GONE, ErrorCode.SERVICE_BUSY}
            client.asked.remove(message.id)

    def teardown(self) -> None:
        """Nothing is left when all have gone."""
        if hasattr(self, "servers"):
            for client in self.clients:
                client.raw.disconnect()
            self.servers.settle()
            self.servers.part(*NAMES)
            for server in self.servers.servers.values():
                server.router.take_dirty()
                assert_empty(server.router)


TestServers = ServersMachine.TestCase
TestServers.settings = steady(400)
