"""The measurements' own arithmetic and their tracer. Speed itself is asserted nowhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

import t2bus

ROOT = Path(__file__).parents[1]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the benchmarks are in the repository alone", allow_module_level=True)
# At the end, so that t2bus stays the installed one.
sys.path.append(str(ROOT))

from benchmarks import interpreters, wire  # noqa: E402 -- found from here on
from benchmarks.builds import Build, NoBuild, installed_in  # noqa: E402 -- as above
from benchmarks.measuring import Case, Measurements, Row, Spread, System  # noqa: E402 -- as above
from benchmarks.trace import files, trace  # noqa: E402 -- as above

BASELINE = Build("baseline", installed=True)
FAST = interpreters.Interpreter("/usr/bin/fast", "3.13.0", call=40.0, checkpoint=4.0)


def run(*, rounds: int = 2, only_t2bus: bool = False, unit: str = "messages/s") -> tuple[list[str], list[Row]]:
    """Measure two builds of t2bus and another system; return who had a turn, in order, and the rows.

    t2bus does 10, 20, 30 ... in a second, round after round, its baseline 20 each time, and the other system 5.
    """
    turns: list[str] = []

    def measure_t2bus(build: Build) -> dict[str, float]:
        turns.append(build.python)
        return {"rate": 20.0 if build == BASELINE else 10.0 * turns.count(build.python)}

    def measure_other(build: Build) -> dict[str, float]:
        turns.append(f"other on {build.python}")
        return {"rate": 5.0}

    systems = {"t2bus": System(measure_t2bus), "other": System(measure_other, ours=False)}
    measurements = Measurements(rounds, Build("new", installed=True), BASELINE, only_t2bus)
    return turns, measurements.run("workload", Case("case", {"rate": unit}, systems))


def test_builds_have_their_turns_one_after_the_other() -> None:
    """Each round measures the build, its baseline and then the other systems, which have no baseline."""
    turns, _ = run()
    assert turns == ["new", "baseline", "other on new"] * 2


def test_only_t2bus_leaves_the_other_systems_out() -> None:
    """With only t2bus asked for, nothing else has a turn."""
    turns, rows = run(only_t2bus=True)
    assert turns == ["new", "baseline"] * 2
    assert [row.system for row in rows] == ["t2bus", "t2bus baseline"]


def test_ratios_are_taken_within_a_round() -> None:
    """A build is compared with the baseline of the same round, and others with the first system of the same round."""
    _, (first, baseline, other) = run(rounds=3)
    assert (first.ratio, first.to_baseline) == (None, Spread(1.0, 0.5, 1.5))
    assert (baseline.ratio, baseline.to_baseline, baseline.is_baseline) == (Spread(1.0, 20 / 30, 2.0), None, True)
    assert (other.ratio, other.to_baseline, other.is_baseline) == (Spread(0.25, 5 / 30, 0.5), None, False)


@pytest.mark.parametrize(("unit", "best"), [("messages/s", 30 / 20), ("us/message", 10 / 20)])
def test_best_rounds_are_compared(unit: str, best: float) -> None:
    """The best round is the one with the greatest rate, or with the least time."""
    _, rows = run(rounds=3, unit=unit)
    assert [row.best_to_baseline for row in rows] == [best, None, None]


def test_an_installed_build_imports_what_is_installed() -> None:
    """The installed build of this interpreter is the t2bus that this test imports, wherever it was started."""
    assert str(Path(t2bus.__file__).parent) in installed_in(sys.executable).origin()


def test_an_interpreter_without_t2bus_is_no_build(tmp_path: Path) -> None:
    """A path at which there is no interpreter is refused with its name."""
    with pytest.raises(NoBuild, match="nothing_here"):
        installed_in(str(tmp_path / "nothing_here")).origin()


@pytest.mark.parametrize(("checkpoint", "count"), [(4.5, 0), (4.7, 1)])
def test_much_slower_interpreters_are_named(checkpoint: float, count: int) -> None:
    """An interpreter that takes more than 15 percent longer than another is no measurement."""
    used = interpreters.Interpreter("/usr/bin/slow", "3.11.7", call=40.0, checkpoint=checkpoint)
    warnings = list(interpreters.warnings([used], [FAST, used]))
    assert len(warnings) == count
    assert all("no measurement: /usr/bin/slow" in text and "/usr/bin/fast" in text for text in warnings)


async def test_a_bus_welcomes_the_idle_connections(tmp_path: Path) -> None:
    """What an idle connection says first is answered with WELCOME."""
    received = bytearray()
    async with t2bus.open_bus(f"unix:{tmp_path}/bus"), await trio.open_unix_socket(str(tmp_path / "bus")) as stream:
        await stream.send_all(wire.hello())
        while not (messages := wire.take_messages(received)):
            received += await stream.receive_some()
    assert [message[0] for message in messages] == [wire.WELCOME]


def test_messages_are_taken_whole() -> None:
    """Half a frame stays until the rest of it has come."""
    frame = wire.pong(7)
    received = bytearray(frame + frame[:3])
    assert wire.take_messages(received) == [[14, 7]]
    received += frame[3:]
    assert wire.take_messages(received) == [[14, 7]]
    assert not received


@pytest.mark.parametrize(
    ("way", "function"), [("publish", "Client.publish_bytes"), ("request", "Client.request_bytes")]
)
def test_a_way_is_counted_the_same_twice(way: str, function: str) -> None:
    """The calls and the files of a lone message's way are the same in each run."""
    first, second = trace(way)[0], trace(way)[0]
    assert (first.total(), files(first)) == (second.total(), files(second))
    assert any(name == function for _, name in first)
