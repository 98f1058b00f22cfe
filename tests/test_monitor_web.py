"""The monitor over HTTP, beside a bus that must not notice it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import t2bus
from bus_helpers import Note, RawPeer, open_fake_bus, welcome
from monitor_helpers import Monitored, ask, monitored_bus
from t2bus.broker.status import PAGE
from t2bus.monitor.feed import PATIENCE, WATCHERS, Feed, in_turns
from t2bus.monitor.glances import Looking
from t2bus.monitor.metrics import exposition
from t2bus.monitor.serve import CONNECTIONS, PAUSE, open_monitor
from t2bus.monitor.web import make_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from starlette.types import ASGIApp, Message

    from t2bus.wire import messages as m


@pytest.fixture
async def site() -> AsyncGenerator[Monitored, None]:
    """Open a bus with a monitor."""
    async with monitored_bus() as site:
        yield site


class Watcher:
    """A browser that reads the stream of events."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.text = b""

    async def next(self) -> Any:
        while b"\n\n" not in self.text:
            chunk = await self.stream.receive_some()
            assert chunk
            self.text += chunk
        event, _, self.text = self.text.partition(b"\n\n")
        return json.loads(event[event.index(b"data: ") + 6 :])


async def watch(site: Monitored) -> Watcher:
    """Begin to watch; HTTP/1.0 asks for a stream without chunks."""
    stream = await site.connect()
    await stream.send_all(b"GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n")
    return Watcher(stream)


async def ask_and_never_read(stream: trio.SocketStream) -> None:
    """Ask for ever, until neither end takes any more."""
    while True:
        await stream.send_all(b"GET /monitor.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)


async def status_of(site: Monitored, path: str) -> int:
    """Return the status of an answer that may have no end."""
    async with await site.connect() as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return int((await stream.receive_some()).split()[1])


async def call(app: ASGIApp, path: str) -> tuple[int, str]:
    """Ask an application without a connection between."""
    sent: list[Message] = []

    async def receive() -> Message:
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(message)

    headers = [(b"host", b"localhost")]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": headers,
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:]).decode()


class TestAnswers:
    """What is answered."""

    async def test_metrics(self, site: Monitored) -> None:
        """A scrape is OpenMetrics that Prometheus's own parser reads, with the figures of the bus."""
        async with site.bus.open_client(name="oven") as oven:
            await oven.publish("x", Note("hello"))
            answer = await site.get("/metrics")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        families = text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
        found = {metric.name: metric for metric in families}
        assert found["t2bus_published"].samples[0].value == 1
        assert {sample.labels["client"] for sample in found["t2bus_client_received_messages"].samples} == {
            "oven",
            "monitor",
            "other",
        }

    async def test_status(self, site: Monitored) -> None:
        """The status has the bus, and its clients, services, topics and lag."""
        async with (
            site.bus.open_client(name="oven", limits=t2bus.Limits(subscription_messages=1)) as oven,
            oven.subscribe_bytes("a"),
            oven.serve_bytes("measure"),
        ):
            for _ in range(3):
                await oven.publish_bytes("a", b"x")
            said = (await site.get("/status.json")).json
        assert said["version"] == t2bus.__version__
        assert said["counts"]["published"] == 3
        assert [row["name"] for row in said["clients"]["rows"]] == ["oven", "monitor"]
        assert [row["topic"] for row in said["services"]["rows"]] == ["measure"]
        assert [(row["topic"], row["messages"]) for row in said["topics"]["rows"]] == [("a", 3)]
        assert [(row["topic"], row["name"], row["dropped"]) for row in said["lag"]["rows"]] == [("a", "oven", 2)]

    async def test_health(self, site: Monitored) -> None:
        """A bus that answers is healthy."""
        answer = await site.get("/healthz")
        assert (answer.status, answer.text) == (200, "ok\n")

    @pytest.mark.parametrize("path", ["/", "/monitor.js", "/monitor.css"])
    async def test_page(self, site: Monitored, path: str) -> None:
        """Every part of the page has a policy that allows no script or style but its own, and no guessing of types."""
        answer = await site.get(path)
        policy = answer.headers["content-security-policy"]
        assert answer.status == 200
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"

    async def test_page_is_whole(self, site: Monitored) -> None:
        """The page has no script and no style within itself, and nothing of other hosts."""
        page = (await site.get("/")).text
        assert "<style" not in page
        assert "style=" not in page
        assert "<script src=" in page
        assert page.count("<script") == 1
        for path in ("/", "/monitor.js", "/monitor.css"):
            assert "://" not in (await site.get(path)).text

    async def test_other_methods_and_paths(self, site: Monitored) -> None:
        """What is not there is 404, and nothing can be sent."""
        assert (await site.get("/nothing")).status == 404
        assert (await site.get("/metrics", method="POST", body=b"x")).status == 405

    async def test_events(self, site: Monitored, clock: trio.abc.Clock) -> None:
        """Who watches is told of each moment as it comes, with rates from the second one on."""
        watcher = await watch(site)
        first, second = await watcher.next(), await watcher.next()
        assert first["clients"]["rows"][0]["name"] == "monitor"
        assert second["age"] > first["age"]
        assert second["rates"]["published"] == 0
        await watcher.stream.aclose()


class TestStrangers:
    """Who may not look."""

    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost@evil", ""]
    )
    async def test_host(self, site: Monitored, host: str) -> None:
        """A page of another site, whose name points to this machine, is told nothing."""
        for path in ("/", "/metrics", "/events"):
            async with await site.connect() as stream:
                assert (await ask(stream, path, host)).status == 400

    @pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1"])
    async def test_own_hosts(self, site: Monitored, host: str) -> None:
        """The names of this machine are answered, with any port, for it may be a tunnel's."""
        assert (await site.get("/healthz", host)).status == 200

    async def test_ipv6(self) -> None:
        """A monitor at the loopback of IPv6 is asked by that name."""
        async with (
            t2bus.open_bus() as bus,
            open_monitor(bus, "[::1]:0") as (place,),
            await trio.open_tcp_stream("::1", int(place.rstrip("/").rpartition(":")[2])) as stream,
        ):
            assert (await ask(stream, "/healthz", place[7:-1])).status == 200

    @pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:80", "[::]:0"])
    async def test_exposed(self, address: str) -> None:
        """An address that other machines can reach is refused, with what to do instead."""
        async with t2bus.open_bus() as bus:
            with pytest.raises(t2bus.InvalidAddress, match=r"can be reached from other machines.*unix:PATH"):
                async with open_monitor(bus, address):
                    pass

    @pytest.mark.parametrize("address", ["4280", "tcp:127.0.0.1:4280", "tls:127.0.0.1:4280", "http://127.0.0.1:1/"])
    async def test_no_address(self, address: str) -> None:
        """What is no address of a monitor is refused, and shown how one is written."""
        async with t2bus.open_bus() as bus:
            with pytest.raises(t2bus.InvalidAddress, match=r"write 127\.0\.0\.1:4280 or unix:PATH"):
                async with open_monitor(bus, address):
                    pass

    async def test_unix(self, folder: Path) -> None:
        """A monitor at a unix socket is for this user alone, and leaves nothing behind."""
        path = folder / "monitor"
        async with t2bus.open_bus() as bus, open_monitor(bus, f"unix:{path}") as places:
            assert places == (f"unix:{path}",)
            assert path.stat().st_mode & 0o777 == 0o600
            async with await trio.open_unix_socket(path) as stream:
                assert (await ask(stream, "/healthz", "whatever")).status == 200
        assert not path.exists()

    async def test_rules(self, folder: Path) -> None:
        """Where access rules do not let the monitor ask, every answer says which rule is wanted."""
        rules = folder / "access.toml"
        rules.write_text('[everyone]\nsubscribe = ["**"]\n')
        async with monitored_bus(access=rules) as site:
            for path in ("/metrics", "/status.json", "/healthz"):
                answer = await site.get(path)
                assert answer.status == 503
                assert '[identity.local] request = ["bus/*"]' in answer.text
            watcher = await watch(site)
            assert "bus/*" in (await watcher.next())["error"]
            rules.write_text('[identity.local]\nrequest = ["bus/*"]\n')
            site.bus.reload()
            assert (await site.get("/healthz")).status == 200
            assert (await watcher.next())["version"] == t2bus.__version__
            await watcher.stream.aclose()


class TestBounds:
    """Whatever they do who look, the bus goes on, and others can look."""

    async def test_two_looks_at_once_are_one(self, site: Monitored) -> None:
        """Whoever looks while somebody else does, or within a second, sees the same, and the bus is asked once."""
        ages: list[float] = []

        async def look() -> None:
            ages.append((await site.get("/status.json")).json["age"])

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(look)
        assert len(set(ages)) == 1

    async def test_a_look_is_made_in_turns(self) -> None:
        """Others have a turn between the pages of a scrape, and between its metrics."""
        turns = 0

        async def take_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        limits = t2bus.Limits(connections_per_identity=1000)
        async with monitored_bus(limits=limits) as site, contextlib.AsyncExitStack() as stack:
            for _ in range(5 * PAGE):
                await stack.enter_async_context(site.bus.open_client())
            looking = Looking(await stack.enter_async_context(site.bus.open_client()))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(take_turns)
                over = await looking.overview()
                pages, turns = turns, 0
                metrics = await in_turns(exposition(over))
                nursery.cancel_scope.cancel()
        assert over.clients.total == 5 * PAGE + 2
        assert pages >= 5
        assert turns >= len(metrics) - 1

    async def test_nobody_looks(self, site: Monitored, clock: trio.testing.MockClock) -> None:
        """While nobody looks the bus is asked nothing."""
        async with site.bus.open_client() as client:
            watcher = await watch(site)
            await watcher.next()
            await watcher.stream.aclose()
            await trio.sleep(5)
            before = await received(client)
            await trio.sleep(100)
            assert await received(client) == before

    async def test_a_scraper_that_never_reads(self, site: Monitored, clock: trio.testing.MockClock) -> None:
        """Who asks and never reads is cut off in time."""
        async with await site.connect() as stream:
            with trio.fail_after(2 * PATIENCE), pytest.raises(trio.BrokenResourceError):
                await ask_and_never_read(stream)
        assert (await site.get("/healthz")).status == 200

    async def test_the_end_waits_for_no_scraper(self, clock: trio.testing.MockClock) -> None:
        """A bus with a scraper that never reads ends at once."""
        async with monitored_bus() as site:
            stream = await site.connect()
            with trio.move_on_after(PATIENCE / 2):
                await ask_and_never_read(stream)
            begun = trio.current_time()
        assert trio.current_time() - begun < PATIENCE / 4
        await stream.aclose()

    @pytest.mark.parametrize(("path", "seconds"), [("/healthz", 1), ("/metrics", 10), ("/status.json", 10)])
    async def test_a_bus_that_does_not_answer(self, path: str, seconds: int, clock: trio.testing.MockClock) -> None:
        """A bus that hangs is 503 within a second for who asks for its health, and within ten for others."""

        async def hang(peer: RawPeer[m.ClientMessage]) -> None:
            await welcome(peer)
            await trio.sleep_forever()

        async with open_fake_bus(hang) as address, t2bus.open_client(address) as client:
            looking = Looking(client)
            answer = await call(make_app(looking, Feed(looking), ["*"]), path)
        assert answer == (503, f"the bus did not answer within {seconds} s\n")

    async def test_a_browser_that_goes_away(self, site: Monitored) -> None:
        """As many browsers may watch as are allowed, and one that goes away makes room for another one."""
        watchers = [await watch(site) for _ in range(WATCHERS)]
        for each in watchers:
            await each.next()
        assert await status_of(site, "/events") == 503
        await watchers[0].stream.aclose()
        while await status_of(site, "/events") == 503:  # until the monitor has noticed
            pass
        for each in watchers[1:]:
            await each.stream.aclose()

    async def test_a_slow_browser_sees_the_newest(self, clock: trio.testing.MockClock) -> None:
        """Who was busy for long is told the newest moment, and nothing of those between."""
        async with t2bus.open_bus() as bus, bus.open_client() as client, trio.open_nursery() as nursery:
            feed = Feed(Looking(client))
            nursery.start_soon(feed.run)
            with feed.watching():
                first = await feed.next(None)
                await trio.sleep(10.5)
                newest = await feed.next(first)
                later = await feed.next(newest)
            ages = [json.loads(news.text)["age"] for news in (first, newest, later)]
            nursery.cancel_scope.cancel()
        assert ages[1] - ages[0] > 9
        assert ages[2] - ages[1] < 2

    async def test_connections_without_a_request(self, site: Monitored, clock: trio.testing.MockClock) -> None:
        """Connections are bounded, and idle ones make room for who comes."""
        idle = [await site.connect() for _ in range(2 * CONNECTIONS)]
        assert (await site.get("/healthz")).status == 200
        for each in idle:
            await each.aclose()

    async def test_a_body_that_nobody_wants(self, site: Monitored, clock: trio.testing.MockClock) -> None:
        """Requests with large bodies take no place for long."""
        streams = [await site.connect() for _ in range(CONNECTIONS)]
        for stream in streams:
            head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n"
            with trio.move_on_after(0.1), contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(head + b"x" * 999_999)
        assert (await site.get("/healthz")).status == 200
        for stream in streams:
            await stream.aclose()

    @pytest.mark.parametrize(
        "nonsense", [b"\0" * 100, b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100]
    )
    async def test_nonsense(self, site: Monitored, nonsense: bytes, clock: trio.testing.MockClock) -> None:
        """What is no HTTP ends its own connection, and nothing else."""
        async with await site.connect() as stream:
            await stream.send_all(nonsense)
            while await stream.receive_some():
                pass
        assert (await site.get("/healthz")).status == 200

    async def test_a_monitor_that_fails(self, clock: trio.abc.Clock, caplog: pytest.LogCaptureFixture) -> None:
        """A monitor that cannot connect to its bus says so, tries again after a pause, and the bus goes on."""
        async with (
            t2bus.open_bus(limits=t2bus.Limits(connections=1)) as bus,
            bus.open_client() as only,
            open_monitor(bus, "127.0.0.1:0") as (place,),
        ):
            await trio.sleep(PAUSE * 1.5)
            assert "the monitor failed, and begins again in 5 s" in caplog.text
            await only.publish_bytes("a", b"x")
            await only.aclose()
            site = Monitored(bus, int(place.rstrip("/").rpartition(":")[2]))
            assert (await site.get("/healthz")).status == 200


async def received(client: t2bus.Client) -> int:
    """Return how many requests the monitor has made."""
    return next(each.received for each in await t2bus.status.clients(client) if each.name == "monitor")
