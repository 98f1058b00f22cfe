"""The page of the monitor, driven in headless Chromium as a person would: with a mouse, and with keys alone."""

from __future__ import annotations

import os
import shutil
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

import t2bus
from monitor_helpers import monitored_bus
from server_helpers import two_servers
from t2bus.monitor.serve import open_monitor
from test_federation_view import come_apart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from contextlib import AbstractAsyncContextManager

    from trio.testing import MockClock

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402 -- as the line above
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="there is no chromium or no chromedriver here"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

HOSTILE = '<img src=x onerror="document.title=1"><script>alert(1)</script>'
PATIENCE = 30
SHOTS = os.environ.get("T2BUS_SCREENSHOTS")
"""A folder for pictures of the page, or None for no pictures."""


@pytest.fixture(scope="module")
def browser() -> Generator[Any, None, None]:
    """Start one browser for all tests: that takes seconds, and each opens its own page."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for each in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1000,1000"):
        options.add_argument(f"--{each}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER or ""))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def opened(
    browser: Any, place: str, scheme: str = "light", size: tuple[int, int] = (1000, 1000)
) -> Generator[None, None, None]:
    """Open a page, on a screen of its own kind; at the end it is left, and nothing of it is in the next one's log."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(place)
    try:
        until(browser, lambda: browser.find_element(By.ID, "state").text == "live")
        yield
    finally:
        browser.get("about:blank")
        browser.get_log("browser")


@asynccontextmanager
async def busy_bus() -> AsyncGenerator[str, None]:
    """Open a bus with traffic, a service, one who lags and one with a hostile name; give where its page is."""
    slow = t2bus.Limits(subscription_messages=5)
    async with (
        monitored_bus() as site,
        site.bus.open_client(name="oven") as oven,
        site.bus.open_client(name="recorder") as recorder,
        site.bus.open_client(name=HOSTILE, limits=slow) as hostile,
        recorder.subscribe_bytes("**") as messages,
        hostile.subscribe_bytes("temperature/*"),
        trio.open_nursery() as nursery,
    ):
        await nursery.start(recorder.serve_bytes_with, "measure/oven", echo)
        nursery.start_soon(talk, oven)
        nursery.start_soon(drain, messages)
        yield f"http://127.0.0.1:{site.port}/"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def busy_servers() -> AsyncGenerator[str, None]:
    """Open two servers of one bus, each with a service, and one client who lags; give where the page of one is."""
    slow = t2bus.Limits(subscription_messages=5)
    async with (
        two_servers() as (north, south, _),
        open_monitor(north, "127.0.0.1:0") as (place,),
        north.open_client(name="oven") as oven,
        north.open_client(name="recorder") as recorder,
        north.open_client(name="plot", limits=slow) as plot,
        south.open_client(name="kiln") as kiln,
        recorder.subscribe_bytes("**") as messages,
        plot.subscribe_bytes("temperature/*"),
        kiln.subscribe_bytes("pressure/*") as pressures,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(recorder.serve_bytes_with, "measure/oven", echo)
        await nursery.start(kiln.serve_bytes_with, "measure/kiln", echo)
        for client, name in ((oven, "oven"), (kiln, "oven"), (oven, "kiln")):
            nursery.start_soon(talk, client, name)
        for received in (messages, pressures):
            nursery.start_soon(drain, received)
        yield place
        nursery.cancel_scope.cancel()


async def talk(client: t2bus.Client, name: str = "oven") -> None:
    count = 0
    while True:
        count += 1
        for _ in range(1 + count % 20):
            await client.publish_bytes(f"temperature/{name}", b"21.5")
        await client.publish_bytes("pressure/hall", b"1013")
        await client.request_bytes(f"measure/{name}", b"1")
        await trio.sleep(0.25)


async def echo(body: bytes) -> bytes:
    await trio.lowlevel.checkpoint()
    return body


async def drain(messages: Any) -> None:
    async for _ in messages:
        pass


async def driven(
    browser: Any,
    look: Callable[[Any], None],
    scheme: str = "light",
    size: tuple[int, int] = (1000, 1000),
    open_bus: Callable[[], AbstractAsyncContextManager[str]] = busy_bus,
) -> None:
    """Run what a person does in a thread, while the bus of the page runs here."""

    def drive() -> None:
        with opened(browser, place, scheme, size):
            until(browser, lambda: points(browser) >= 2)
            look(browser)
            log = [entry["message"] for entry in browser.get_log("browser")]
            assert log == []

    async with open_bus() as place:
        await trio.to_thread.run_sync(drive)


def until(browser: Any, condition: Callable[[], bool]) -> None:
    WebDriverWait(browser, PATIENCE, poll_frequency=0.05).until(lambda _: condition())


def points(browser: Any) -> int:
    return int(browser.find_element(By.ID, "plot").get_attribute("data-points") or 0)


def column(browser: Any, table: str, number: int) -> list[str]:
    """Return the cells of a column, all of one moment."""
    script = "return [...document.querySelectorAll(arguments[0])].map(cell => cell.textContent)"
    cells: list[str] = browser.execute_script(script, f"#{table} tbody tr td:nth-child({number})")
    return cells


def orders(browser: Any, table: str) -> list[str]:
    heads = browser.find_elements(By.CSS_SELECTOR, f"#{table} th")
    return [head.get_attribute("aria-sort") for head in heads]


def keep(browser: Any, name: str) -> None:
    if SHOTS is not None:
        browser.save_screenshot(str(Path(SHOTS) / name))


async def test_tables_are_sorted_by_click(browser: Any, fast_clock: MockClock) -> None:
    """A click on the head of a column sorts by it, and another one the other way round, and that stays so."""

    def look(browser: Any) -> None:
        button = browser.find_element(By.CSS_SELECTOR, "#clients th:nth-child(1) button")
        button.click()
        names = column(browser, "clients", 1)
        assert names == sorted(names, key=str.casefold)
        assert orders(browser, "clients")[0] == "ascending"
        button.click()
        assert column(browser, "clients", 1) == names[::-1]
        assert orders(browser, "clients").count("none") == len(orders(browser, "clients")) - 1
        before = points(browser)
        until(browser, lambda: points(browser) > before)
        assert column(browser, "clients", 1) == names[::-1]

    await driven(browser, look)


async def test_tables_are_sorted_by_keyboard(browser: Any, fast_clock: MockClock) -> None:
    """With keys alone one reaches a head, sorts by it, and stays there when the next moment comes."""

    def look(browser: Any) -> None:
        def focused() -> Any:
            return browser.switch_to.active_element

        body = browser.find_element(By.TAG_NAME, "body")
        for _ in range(100):
            (focused() or body).send_keys(Keys.TAB)
            if focused().tag_name == "button" and ancestors(browser) == "topics":
                break
        focused().send_keys(Keys.ENTER)
        assert orders(browser, "topics")[0] == "ascending"
        assert column(browser, "topics", 1) == sorted(column(browser, "topics", 1))
        before = points(browser)
        until(browser, lambda: points(browser) > before)
        focused().send_keys(Keys.SPACE)
        assert orders(browser, "topics")[0] == "descending"

    await driven(browser, look)


def ancestors(browser: Any) -> str:
    script = "return document.activeElement.closest('section')?.id ?? ''"
    return str(browser.execute_script(script))


async def test_the_plot_moves(browser: Any, fast_clock: MockClock) -> None:
    """The plot is drawn, and drawn anew when the next moment comes."""

    def look(browser: Any) -> None:
        def picture() -> str:
            return str(browser.execute_script("return document.getElementById('plot').toDataURL()"))

        first = picture()
        until(browser, lambda: picture() != first)

    await driven(browser, look)


async def test_a_hostile_name_is_text(browser: Any, fast_clock: MockClock) -> None:
    """A client whose name is HTML with a script is shown with that name, and no element is made of it."""

    def look(browser: Any) -> None:
        assert HOSTILE in column(browser, "clients", 1)
        assert HOSTILE in column(browser, "lag", 2)
        assert browser.find_elements(By.CSS_SELECTOR, "main img, main script") == []
        assert browser.title == "t2bus"

    await driven(browser, look)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_light_and_dark(scheme: str, browser: Any, fast_clock: MockClock) -> None:
    """The page is as light or as dark as its reader wants it, and its text can be read."""

    def look(browser: Any) -> None:
        until(browser, lambda: points(browser) >= (20 if SHOTS else 2))
        body = browser.find_element(By.TAG_NAME, "body")
        paper, ink = (brightness(body.value_of_css_property(name)) for name in ("background-color", "color"))
        assert (paper > ink) == (scheme == "light")
        assert abs(paper - ink) > 150
        keep(browser, f"monitor-{scheme}.png")

    await driven(browser, look, scheme, (1200, 1480), busy_servers)


def brightness(colour: str) -> float:
    """Return the mean of red, green and blue of ``rgba(1, 2, 3, 1)``."""
    parts = [float(part) for part in colour.partition("(")[2].rstrip(")").split(",")]
    return sum(parts[:3]) / 3


async def test_a_narrow_screen(browser: Any, fast_clock: MockClock) -> None:
    """On a screen of 400 px the page itself is never wider than that; its tables are moved within."""

    def look(browser: Any) -> None:
        width = browser.execute_script("return document.documentElement.scrollWidth")
        assert width <= 400
        keep(browser, "monitor-narrow.png")

    await driven(browser, look, size=(400, 1000))


async def test_a_monitor_that_ends_is_said(browser: Any, fast_clock: MockClock) -> None:
    """When the monitor ends, the page says so instead of showing what was as if it was now."""

    def drive(place: str, ended: Callable[[], None]) -> None:
        with opened(browser, place):
            ended()
            until(browser, lambda: "does not answer" in browser.find_element(By.ID, "state").text)

    end = trio.Event()

    async def serve(task_status: trio.TaskStatus[str]) -> None:
        async with busy_bus() as place:
            task_status.started(place)
            await end.wait()

    async with trio.open_nursery() as nursery:
        place = await nursery.start(serve)
        await trio.to_thread.run_sync(drive, place, lambda: trio.from_thread.run_sync(end.set))


async def test_other_servers_are_shown_where_there_are_some(browser: Any, fast_clock: MockClock) -> None:
    """The page of a server of several has a table of the others, and says so when too few are here for new services."""

    def is_shown(name: str) -> bool:
        return bool(browser.find_element(By.ID, name).is_displayed())

    def drive(place: str, part: Callable[[], None]) -> None:
        with opened(browser, place):
            until(browser, lambda: column(browser, "members", 1) == ["south"])
            assert is_shown("members")
            assert not is_shown("few")
            assert "server north" in browser.find_element(By.ID, "about").text
            keep(browser, "monitor-servers.png")
            part()
            until(browser, lambda: is_shown("few"))
            assert column(browser, "members", 1) == ["none"]

    async with two_servers() as (north, _, network), open_monitor(north, "127.0.0.1:0") as (place,):
        part = partial(trio.from_thread.run, come_apart, network, north)
        await trio.to_thread.run_sync(drive, place, part)


async def test_a_bus_of_one_server_has_no_others(browser: Any, fast_clock: MockClock) -> None:
    """The page of a bus of one server has no table of others."""

    def look(browser: Any) -> None:
        assert not browser.find_element(By.ID, "members").is_displayed()
        assert not browser.find_element(By.ID, "few").is_displayed()

    await driven(browser, look)
