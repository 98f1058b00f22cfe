"""The measurements' own arithmetic and their tracer. Speed itself is asserted nowhere."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import define, field

import t2bus

ROOT = Path(__file__).parents[1]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the benchmarks are in the repository alone", allow_module_level=True)
# At the end, so that t2bus stays the installed one.
sys.path.append(str(ROOT))

from benchmarks import interpreters, peers, plots, wire  # noqa: E402 -- found from here on
from benchmarks.builds import Build, NoBuild, installed_in  # noqa: E402 -- as above
from benchmarks.measures import deliver, inside  # noqa: E402 -- as above
from benchmarks.measuring import Burst, Case, Measurements, Row, Spread, System  # noqa: E402 -- as above
from benchmarks.programs import Failed, Skipped  # noqa: E402 -- as above
from benchmarks.report import write_json, write_markdown  # noqa: E402 -- as above
from benchmarks.trace import files, trace  # noqa: E402 -- as above
from benchmarks.with_t2bus import ENCODED  # noqa: E402 -- as above
from benchmarks.work import Work, batch_of  # noqa: E402 -- as above
from benchmarks.workloads import WORKLOADS  # noqa: E402 -- as above

if TYPE_CHECKING:
    from collections.abc import Iterator

BASELINE = Build("baseline", installed=True)
FAST = interpreters.Interpreter("/usr/bin/fast", "3.13.0", call=40.0, checkpoint=4.0)


@define(eq=False)
class Machine:
    """What happens on it: which build has a turn, and which programs are started and ended."""

    events: list[str] = field(factory=list)
    fails_after: int = 1_000
    """Bursts of the other system that succeed."""

    def t2bus(self) -> System:
        """A system that does 10 in a second in its first burst, 20 in the second ..., and its baseline 20 each time."""

        def burst(build: Build) -> dict[str, float]:
            self.events.append(build.python)
            return {"rate": 20.0 if build == BASELINE else 10.0 * self.events.count(build.python)}

        return System(lambda build: nullcontext(partial(burst, build)))

    def other(self) -> System:
        """A system that does 5 in a second, until it fails."""

        @contextmanager
        def start(build: Build) -> Iterator[Burst]:
            yield partial(burst, build)
            self.events.append("other ends")

        def burst(build: Build) -> dict[str, float]:
            self.events.append(f"other on {build.python}")
            if self.events.count(f"other on {build.python}") > self.fails_after:
                raise Failed("lost")
            return {"rate": 5.0}

        return System(start, ours=False)

    def run(self, *, rounds: int = 1, bursts: int = 1, only_t2bus: bool = False) -> list[Row]:
        systems = {"t2bus": self.t2bus(), "other": self.other()}
        case = Case("case", {"rate": "messages/s"}, systems, bursts)
        return Measurements(rounds, Build("new", installed=True), BASELINE, only_t2bus).run("workload", case)


def test_systems_have_their_turns_burst_by_burst() -> None:
    """While all programs are there, each has a burst in turn, and whoever was first is last in the next turn."""
    machine = Machine()
    machine.run(bursts=2)
    turn = ["new", "baseline", "other on new"]
    assert machine.events == [*turn, *reversed(turn), *turn, "other ends"]


def test_a_single_burst_is_measured_alone() -> None:
    """A case of one burst ends the programs of one system before it starts those of the next."""
    machine = Machine()
    machine.run(rounds=2)
    assert machine.events == ["new", "baseline", "other on new", "other ends"] * 2


def test_only_t2bus_leaves_the_other_systems_out() -> None:
    """With only t2bus asked for, nothing else has a turn."""
    machine = Machine()
    rows = machine.run(only_t2bus=True)
    assert machine.events == ["new", "baseline"]
    assert [row.system for row in rows] == ["t2bus", "t2bus baseline"]


def test_ratios_are_taken_within_a_turn() -> None:
    """A build is compared with the baseline of the same turn, and others with the first system of the same turn."""
    first, baseline, other = Machine().run(rounds=3)
    assert (first.ratio, first.to_baseline) == (None, Spread(1.0, 0.5, 1.5))
    assert (baseline.ratio, baseline.to_baseline, baseline.is_baseline) == (Spread(1.0, 20 / 30, 2.0), None, True)
    assert (other.ratio, other.to_baseline, other.is_baseline) == (Spread(0.25, 5 / 30, 0.5), None, False)


def test_the_first_burst_of_a_round_is_not_counted() -> None:
    """What is given is the median of all other bursts, between the medians of the rounds."""
    first, *_ = Machine().run(rounds=2, bursts=3)
    assert first.value == Spread(50.0, 30.0, 70.0)


def test_a_system_that_fails_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A failure ends the programs of one system at once and takes its rows; the others go on."""
    machine = Machine(fails_after=2)
    rows = machine.run(rounds=2, bursts=2)
    assert [row.system for row in rows] == ["t2bus", "t2bus baseline"]
    assert machine.events.count("new") == 6
    assert machine.events.count("other on new") == 3
    assert "failed: case: other: lost" in capsys.readouterr().out


def test_an_installed_build_imports_what_is_installed() -> None:
    """The installed build of this interpreter is the t2bus that this test imports, wherever it was started."""
    assert str(Path(t2bus.__file__).parent) in installed_in(sys.executable).origin()


def test_an_interpreter_without_t2bus_is_no_build(tmp_path: Path) -> None:
    """A path at which there is no interpreter is refused with its name."""
    with pytest.raises(NoBuild, match="nothing_here"):
        installed_in(str(tmp_path / "nothing_here")).origin()


@pytest.mark.parametrize(("size", "batch"), [(100, 256), (16_000, 256), (256_000, 16)])
def test_a_batch_is_at_most_4_mib(size: int, batch: int) -> None:
    """Of large payloads there are fewer in a batch, so that it is half a publisher's window at most."""
    assert batch_of(size) == batch


@pytest.mark.parametrize("kind", ["random", "typed"])
def test_batches_are_counted_message_by_message(kind: str) -> None:
    """A burst in batches is over when each of its messages was accepted and taken; the last batch may be shorter."""
    work = Work(topic="reading/one", count=1_000, size=len(ENCODED), batch=256, kind=kind)
    with deliver(peers.T2BUS, work, work, 1, installed_in(sys.executable)) as burst:
        assert burst()["rate"] > 0


def test_a_build_without_batches_is_skipped(tmp_path: Path) -> None:
    """A build from before there were batches is left out of their cases, which names it; no other system is."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\ncase $2 in *send_batch) exit 1;; esac; echo 3.11.2 0.0.9 /old/t2bus/__init__.py\n")
    python.chmod(0o755)
    build = installed_in(str(python))
    with pytest.raises(Skipped, match=r"no batches: t2bus 0\.0\.9 in /old/t2bus"):
        peers.T2BUS.start(build, "publish", "", Work(count=1, size=1, batch=1))
    with pytest.raises(Skipped, match="no batches"), inside("t2bus", "batch", 1, 1, build):
        pass
    with peers.NATS.start(build, "publish", "", Work(count=1, size=1, batch=1)) as other:
        other.wait()


def test_each_case_has_a_title_of_its_own() -> None:
    """Figures are told apart by the title of their case."""
    titles = [case.title for workload in WORKLOADS.values() for case in workload()]
    assert len(titles) == len(set(titles))


def always(figures: dict[str, float]) -> System:
    """Return a system that gives these figures in each burst."""
    return System(lambda _: nullcontext(lambda: figures))


def measured_once() -> list[Row]:
    """Return a row for each figure of each system of each case, all of the same value."""
    one = Measurements(1, baseline=BASELINE)
    for name, workload in WORKLOADS.items():
        for case in workload():
            systems = dict.fromkeys(case.systems, always(dict.fromkeys(case.units, 5.0)))
            one.run(name, Case(case.title, case.units, systems))
    return one.rows


def test_pictures_show_all_systems_at_all_sizes() -> None:
    """Those one to one have t2bus one by one and in batches, and each other system, at each size."""
    systems = {plots.BATCHES, plots.ONE_BY_ONE, "bare Trio", "nats", "redis", "pyzmq", "mosquitto", "rust"}
    rate, _, _, cpu, _ = plots.pictures(measured_once())
    for picture in (rate, cpu):
        assert picture.lines.keys() == systems
        assert all(line.keys() == {100, 1_000, 16_000, 256_000} for line in picture.lines.values())


def test_pictures_show_all_groups() -> None:
    """Fan-out, fan-in and requests have a group for each of their cases, without the baselines."""
    _, fan, latency, *_ = plots.pictures(measured_once())
    systems = {plots.BATCHES, plots.ONE_BY_ONE, "nats", "redis", "mosquitto", "rust"}
    assert [group.keys() for group in fan.bars.values()] == [systems] * 3
    alone, spaced = latency.bars.values()
    assert spaced.keys() == {"t2bus", "bare Trio", "nats", "rust"}
    assert alone.keys() - spaced.keys() == {"t2bus, in process"}


def test_a_picture_of_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    """Where nothing that has a picture was measured, that is said; otherwise there is a file for each that has."""
    pytest.importorskip("matplotlib")
    rows = measured_once()
    assert plots.write([row for row in rows if row.workload == "routing"], tmp_path / "a.svg")
    assert not plots.write([row for row in rows if row.workload in {"requests", "fan-in"}], tmp_path / "b.svg")
    assert {path.name for path in tmp_path.iterdir()} == {"b-fan.svg", "b-latency.svg"}


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    """The JSON of a run has all that the pictures need."""
    one = Measurements(1, rows=measured_once())
    write_json(one, tmp_path / "figures.json")
    assert plots.read(tmp_path / "figures.json") == one.rows


def test_a_page_tells_what_was_written(tmp_path: Path) -> None:
    """The table of a run, read from a page, has its systems, units and values, as far as three digits tell them."""
    one = Measurements(1, rows=[row for row in measured_once() if not row.is_baseline])
    write_markdown(one, tmp_path / "figures.md")
    page = tmp_path / "page.md"
    page.write_text(f"# Figures\n\n{(tmp_path / 'figures.md').read_text()}\nThe end.\n")

    def told(rows: list[Row]) -> list[tuple[str, str, str, str, float]]:
        return sorted((row.case, row.figure, row.system, row.unit, row.value.median) for row in rows)

    assert told(plots.read(page)) == told(one.rows)


def test_the_pictures_have_the_figures_of_their_page() -> None:
    """Each bar of the pictures in docs/ has behind it what the table of docs/performance.md says."""
    page = ROOT / "docs" / "performance.md"
    for picture in plots.pictures(plots.read(page)):
        drawn = (page.parent / f"performance-{picture.name}.svg").read_text(encoding="utf-8")
        values = [value.median for group in picture.bars.values() for value in group.values()]
        assert [text for value in values if f">{(text := plots.short(value))}<" not in drawn] == []


@pytest.mark.parametrize("page", ["README.md", "docs/performance.md"])
def test_the_bars_are_told_in_words(page: str) -> None:
    """Beside the picture of the four bars stand their names and figures."""
    *_, four = plots.pictures(plots.read(ROOT / "docs" / "performance.md"))
    (words,) = re.findall(r"!\[([^]]*)]\([^)]*performance-bars.svg\)", (ROOT / page).read_text(encoding="utf-8"))
    told = [f"{name.replace(',', '')} {plots.short(value.median)}" for name, value in four.bars[""].items()]
    assert [each for each in told if each not in words] == []


@pytest.mark.parametrize(("checkpoint", "count"), [(4.5, 0), (4.7, 1)])
def test_much_slower_interpreters_are_named(checkpoint: float, count: int) -> None:
    """An interpreter that takes more than 15 percent longer than another is no measurement."""
    used = interpreters.Interpreter("/usr/bin/slow", "3.11.7", call=40.0, checkpoint=checkpoint)
    warnings = list(interpreters.warnings([used], [FAST, used]))
    assert len(warnings) == count
    assert all("no measurement: /usr/bin/slow" in text and "/usr/bin/fast" in text for text in warnings)


@pytest.mark.parametrize("has_it", [True, False])
def test_a_faster_interpreter_with_the_same_packages_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_it: bool
) -> None:
    """It is one that is much faster and imports all that is asked for; where none does, there is none."""
    python = tmp_path / "python3.14"
    python.write_text(f"#!/bin/sh\n[ \"$2\" = 'import trio, zmq' ] && exit {int(not has_it)}\nexit 2\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    fast = interpreters.Interpreter(str(python.resolve()), "3.14.0", call=40.0, checkpoint=4.0)
    used = interpreters.Interpreter("/usr/bin/slow", "3.11.7", call=60.0, checkpoint=6.0)
    found = interpreters.faster_with(["trio", "zmq"], used, [fast, used])
    assert found == (str(python) if has_it else None)
    assert interpreters.faster_with(["trio", "zmq"], fast, [fast, used]) is None


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
    ("way", "function"), [("publish", "PublishSubscribe.publish_bytes"), ("request", "RequestResponse.request_bytes")]
)
def test_a_way_is_counted_the_same_twice(way: str, function: str) -> None:
    """The calls and the files of a lone message's way are the same in each run."""
    first, second = trace(way)[0], trace(way)[0]
    assert (first.total(), files(first)) == (second.total(), files(second))
    assert any(name == function for _, name in first)
