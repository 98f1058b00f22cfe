"""``t2bus top``: the picture by itself, and the program at a terminal and in a pipe."""

from __future__ import annotations

import signal
import termios
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import evolve, fields
from hypothesis import given
from hypothesis import strategies as st

import t2bus
from cli_helpers import fast_command, fast_run
from t2bus.broker.statistics import BusCounts
from t2bus.called import install
from t2bus.cli.table import width_of
from t2bus.cli.top_picture import SHOWN, Picture, plot
from t2bus.cli.views import VIEWS, Seen, TrafficStatus
from t2bus.status import ClientStatus, MemberStatus, ServiceStatus, Status, SubscriptionStatus
from terminal_helpers import at_a_terminal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

CLIENT = ClientStatus(1, "oven", "uid:1000", "memory", "t2bus", 5.0, *[0] * 11)
ENTRIES: dict[str, object] = {
    "clients": CLIENT,
    "services": ServiceStatus("oven/measure", 1, "oven", "uid:1000", 10, 0, 0),
    "subs": SubscriptionStatus("oven/**", 1, "oven", "uid:1000", 10, 10, 0, 0, 0),
    "ls": TrafficStatus("topic", "oven/temperature", 1, 10, 0.0, None),
    "members": MemberStatus(1, "north", "4f1d", 5.0, 0.5, *[0] * 12),
}
COUNTS: dict[str, Any] = {each.name: 0 for each in fields(BusCounts)}
STATUS = Status(**COUNTS, version="1.2.3", process=4711, age=60.0, addresses=["unix:my_bus"])
KEYS = ["left", "right", "s", "r", "up", "down", "page up", "page down", "home", "end", "h", "/", "esc", "enter"]


def client(name: str, received: float) -> Seen:
    rates = dict.fromkeys(VIEWS["clients"].counts, 0.0)
    return Seen(evolve(CLIENT, name=name), rates | {"received": received})


def picture_of(*rows: Seen) -> Picture:
    picture = Picture(ascii_only=False)
    picture.take_status(Seen(STATUS, dict.fromkeys(VIEWS["status"].counts, 1000.0)))
    picture.take_rows(rows)
    return picture


def names(picture: Picture, height: int = 20) -> list[str]:
    """The first words of the rows of the table."""
    return [text.split()[0] for style, text in picture.lines(120, height) if style == "body" and text]


class TestPicture:
    """What is shown, and what keys do."""

    @given(
        st.lists(st.text(max_size=20) | st.text("a炉\x1b\n\u0301", max_size=20), max_size=30),
        st.lists(st.sampled_from([*KEYS, "1", "2", "3", "4", "5", "tab", "x", "f5"]), max_size=12),
        st.tuples(st.integers(0, 150), st.integers(0, 30)),
        st.booleans(),
        st.text(max_size=20),
    )
    def test_it_fits(
        self, called: list[str], keys: list[str], size: tuple[int, int], ascii_only: bool, problem: str
    ) -> None:
        """Whatever there is and is pressed, it has as many lines as it may, none is wider, and all are printable."""
        picture, (columns, height) = Picture(ascii_only), size
        picture.take_status(Seen(STATUS, dict.fromkeys(VIEWS["status"].counts, 1.0)))
        picture.take_rows([client(name, 1.0) for name in called])
        picture.problem = problem
        for key in keys:
            view = picture.view
            picture.press(key)
            if picture.view != view:
                picture.take_rows([Seen(ENTRIES[picture.view], None)])
            lines = picture.lines(columns, height)
            assert len(lines) == height
            assert all(text.isprintable() and width_of(text) <= columns for _, text in lines)
            assert not ascii_only or all(text.isascii() for _, text in lines)

    def test_the_bus_stands_above(self) -> None:
        """The first lines say which bus it is and what it does."""
        about, rates, tabs, *_ = [text for _, text in picture_of().lines(150, 10)]
        assert about == ("t2bus 1.2.3, process 4711, up 1m00s; 0 connections, 0 subscriptions, 0 services; unix:my_bus")
        assert rates == "1.00k/s published, 1.00k/s delivered, 1.00k/s dropped, 1.00k/s requests, 0 B waiting  █"
        assert tabs == "[1 clients]  2 services  3 subscriptions  4 topics  5 servers"

    def test_other_servers_stand_above(self) -> None:
        """A server that is one of several says so in the first line, with the name of their bus."""
        picture = picture_of()
        picture.take_status(Seen(evolve(STATUS, bus="plant", node="4f1d", members=2), None))
        assert "0 services; 2 other servers of plant; unix:my_bus" in picture.lines(150, 10)[0][1]

    def test_the_busiest_is_first(self) -> None:
        """Unless told otherwise, it sorts by the first rate, the largest first."""
        assert names(picture_of(client("a", 1), client("b", 3), client("c", 2))) == ["b", "c", "a"]

    def test_the_order_is_reversed(self) -> None:
        """``r`` reverses the order, and again."""
        picture = picture_of(client("a", 1), client("b", 3), client("c", 2))
        picture.press("r")
        assert names(picture) == ["a", "c", "b"]
        picture.press("r")
        assert names(picture) == ["b", "c", "a"]

    def test_the_column_that_sorts(self) -> None:
        """Arrows choose the column, which has an arrow too; names are sorted from a to z."""
        picture = picture_of(client("b", 1), client("C", 3), client("a", 2))
        picture.press("left")
        picture.press("left")
        assert names(picture) == ["a", "b", "C"]
        assert [text.split()[0] for style, text in picture.lines(120, 20) if style == "title"] == ["NAME▲"]
        picture.press("right")
        picture.press("s")
        assert names(picture) == ["C", "a", "b"]

    @pytest.mark.parametrize("view", SHOWN)
    def test_every_column_sorts(self, view: str) -> None:
        """Any column of any view can sort, also where there is nothing in it."""
        picture = picture_of()
        picture.press(str(SHOWN.index(view) + 1))
        entry = ENTRIES[view]
        picture.take_rows([Seen(entry, None), Seen(entry, dict.fromkeys(VIEWS[view].counts, 1.0))])
        for _ in VIEWS[view].columns:
            picture.press("s")
            assert len(names(picture)) == 2

    def test_the_filter(self) -> None:
        """Letters behind ``/`` are looked for in names, enter keeps them, and esc shows all again."""
        picture = picture_of(client("Oven", 1), client("fan", 2))
        for key in ("/", "o", "V", "x", "backspace"):
            picture.press(key)
        assert names(picture) == ["Oven"]
        assert picture.lines(80, 10)[-1] == ("foot", "filter: oV_")
        picture.press("enter")
        assert names(picture) == ["Oven"]
        picture.press("esc")
        assert names(picture) == ["fan", "Oven"]

    def test_q_is_a_letter_of_the_filter(self) -> None:
        """While the filter is typed no key ends anything; otherwise ``q`` does."""
        picture = picture_of()
        picture.press("/")
        assert not picture.press("q")
        picture.press("enter")
        assert picture.press("q")

    def test_scrolling(self) -> None:
        """The rows move under the titles, by one and by pages, and not beyond the last."""
        picture = picture_of(*[client(f"c{number}", -number) for number in range(10)])
        assert names(picture, 8) == ["c0", "c1", "c2"]
        picture.press("down")
        assert names(picture, 8) == ["c1", "c2", "c3"]
        picture.press("page down")
        assert names(picture, 8) == ["c4", "c5", "c6"]
        picture.press("end")
        assert names(picture, 8) == ["c7", "c8", "c9"]
        picture.press("down")
        assert names(picture, 8) == ["c7", "c8", "c9"]
        picture.press("home")
        assert names(picture, 8) == ["c0", "c1", "c2"]

    def test_the_problem_is_shown(self) -> None:
        """Where there is no bus the last line says so, until there is one again."""
        picture = picture_of(client("oven", 1))
        picture.problem = "it is gone"
        assert picture.lines(80, 10)[-1] == ("problem", "no bus, trying again: it is gone")
        picture.take_rows([client("oven", 1)])
        assert picture.lines(80, 10)[-1][0] == "foot"

    def test_the_plot(self) -> None:
        """It is as high as the highest value, and flat where nothing happens."""
        assert plot([0, 1, 2, 4], ascii_only=False) == "▁▃▅█"
        assert plot([0, 0], ascii_only=True) == "__"
        assert plot([], ascii_only=False) == ""


@pytest.fixture
async def oven(bus: t2bus.Bus) -> AsyncGenerator[t2bus.Client, None]:
    """Connect a client that is called ``oven``, and has published to ``oven/temperature``."""
    async with bus.open_client(name="oven") as client:
        await client.publish_bytes("oven/temperature", b"12")
        yield client


class TestScreen:
    """The program at a terminal."""

    async def test_views_and_keys(self, bus: t2bus.Bus, oven: t2bus.Client) -> None:
        """It shows the clients, then the topics that the filter lets pass; ``q`` gives the terminal back."""
        async with at_a_terminal("-m", "t2bus", "top", "--addr", *bus.addresses) as terminal:
            before = termios.tcgetattr(terminal.slave)
            assert "[1 clients]" in await terminal.until("\noven ")
            assert termios.tcgetattr(terminal.slave) != before
            await terminal.type("4")
            await terminal.until("oven/temperature")
            await terminal.type("/fan\r")
            await terminal.until("nothing passes the filter")
            await terminal.type("\x1b")
            await terminal.until("oven/temperature")
            await terminal.type("h")
            await terminal.until("reverse the order")
            await terminal.type("q")
            assert await terminal.end() == 0
            assert termios.tcgetattr(terminal.slave) == before

    async def test_the_bus_restarts(self, folder: Path) -> None:
        """While there is no bus it says so and tries again, and it goes on when the bus is back."""
        address = f"unix:{folder}/bus"
        async with trio.open_nursery() as nursery:
            enough = await nursery.start(serve, address, "first")
            async with at_a_terminal("-m", "t2bus", "top", "--addr", address) as terminal:
                await terminal.until("\nfirst ")
                enough.set()
                await terminal.until("no bus, trying again: ")
                enough = await nursery.start(serve, address, "second")
                await terminal.until("\nsecond ")
                assert "no bus" not in terminal.shown
                await terminal.type("q")
                assert await terminal.end() == 0
            enough.set()

    async def test_the_terminal_changes_its_size(self, bus: t2bus.Bus, oven: t2bus.Client) -> None:
        """A wider terminal has more columns."""
        async with at_a_terminal("-m", "t2bus", "top", "--addr", *bus.addresses, columns=60) as terminal:
            await terminal.until("\noven ")
            assert "DROPPED" not in terminal.shown
            terminal.resize(120, 30)
            await terminal.until("DROPPED")

    async def test_a_terminal_without_unicode(self, bus: t2bus.Bus, oven: t2bus.Client) -> None:
        """Where the encoding has ASCII alone, so has the screen."""
        async with at_a_terminal("-m", "t2bus", "top", "--addr", *bus.addresses, encoding="ascii") as terminal:
            await terminal.until("IN/Sv")
            await terminal.until("\noven ")
            assert terminal.written.isascii()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_signal(self, number: signal.Signals, bus: t2bus.Bus, oven: t2bus.Client) -> None:
        """A signal ends it as ``q`` does, with the terminal as it was."""
        async with at_a_terminal("-m", "t2bus", "top", "--addr", *bus.addresses) as terminal:
            before = termios.tcgetattr(terminal.slave)
            await terminal.until("\noven ")
            terminal.process.send_signal(number)
            assert await terminal.end() == 0
            assert termios.tcgetattr(terminal.slave) == before

    async def test_so_many_looks(self, bus: t2bus.Bus, oven: t2bus.Client) -> None:
        """With ``-n`` it ends by itself."""
        async with at_a_terminal("-m", "t2bus", "top", "-n", "1", "--addr", *bus.addresses) as terminal:
            await terminal.until("\noven ")
            assert await terminal.end() == 0

    async def test_no_bus(self, folder: Path) -> None:
        """Where there is no bus in the beginning the terminal is left alone, and that is exit code 3."""
        async with at_a_terminal("-m", "t2bus", "top", "--addr", f"unix:{folder}/nobody") as terminal:
            assert await terminal.end() == 3
            assert terminal.shown.startswith("t2bus: ")
            assert b"\x1b" not in terminal.written

    async def test_without_urwid(self, bus: t2bus.Bus) -> None:
        """Where urwid is not installed one line says what to install."""
        program = "import sys; sys.modules['urwid'] = None; from t2bus.cli import main; sys.exit(main(sys.argv[1:]))"
        async with at_a_terminal("-c", program, "top", "--addr", *bus.addresses, columns=300) as terminal:
            assert await terminal.end() == 1
            assert f"t2bus: top on a terminal needs the package urwid: run `{install('cli')}`" in terminal.shown


class TestPipe:
    """The program where there is no terminal."""

    async def test_prints_a_table_each_second(self, bus: t2bus.Bus, oven: t2bus.Client) -> None:
        """Each second there is a table of the clients, and an empty line behind it."""
        code, out, err = await fast_run("top", "-n", "2", "--addr", *bus.addresses)
        first, second, rest = out.split("\n\n")
        assert (code, err, rest) == (0, "", "")
        for text in (first, second):
            assert [line.split()[0].partition("[")[0] for line in text.splitlines()] == ["NAME", "oven", "t2bus"]

    async def test_the_bus_restarts(self, folder: Path) -> None:
        """While there is no bus standard error says so, and tables come again when it is back."""
        address = f"unix:{folder}/bus"
        async with trio.open_nursery() as nursery:
            enough = await nursery.start(serve, address, "first")
            async with fast_command("top", "--addr", address) as top:
                await top.stdout.until("first")
                enough.set()
                assert (await top.stderr.next()).startswith("t2bus: no bus, trying again: ")
                enough = await nursery.start(serve, address, "second")
                while not (await top.stdout.next()).startswith("second"):
                    pass
                top.process.send_signal(signal.SIGINT)
                assert await top.end() == 0
            enough.set()


async def serve(address: str, name: str, task_status: trio.TaskStatus[trio.Event]) -> None:
    """Run a bus with a client of this name until the event that is reported is set."""
    enough = trio.Event()
    async with t2bus.open_bus(address) as bus, bus.open_client(name=name):
        task_status.started(enough)
        await enough.wait()
