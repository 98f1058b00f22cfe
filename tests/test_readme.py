"""What the README and docs/ say: their code runs, what they quote is there, and what they list is complete."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
from attrs import frozen

import promise_tests
import t2bus
from cli_helpers import command, run
from federation_helpers import free_endpoint
from generated_pages import fill
from t2bus import disconnected, errors
from t2bus.certs import issue_client, make_ca
from t2bus.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
QUICK_START = ROOT / "docs" / "quick-start.md"
COMPARISON = ROOT / "docs" / "comparison.md"
GUIDE = ROOT / "docs" / "guide.md"
PROMISES = ROOT / "docs" / "promises.md"
COMMAND_LINE = ROOT / "docs" / "command-line.md"
BESIDE = ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
PAGES = [README, *(ROOT / name for name in BESIDE), *sorted((ROOT / "docs").rglob("*.md"))]

LONGEST_PROGRAM = 25

_BLOCK = re.compile(r"^(?:<!-- (?P<mark>.+?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_ADDRESS = re.compile(r"\]\((https://[^)]*)\)")
_OF_THE_PROJECT = {
    "https://github.com/t2bus/t2bus/blob/main/": "",
    "https://github.com/t2bus/t2bus/tree/main/": "",
    "https://raw.githubusercontent.com/t2bus/t2bus/main/": "",
    "https://t2bus.readthedocs.io/en/latest/": "docs/",
}
"""Where the addresses of the project lead to in this repository."""
_LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_TABLE_NAME = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| ([^|]*) \|", re.MULTILINE)


@frozen
class Block:
    """A block of code on a page, and what the comment before it says of it."""

    mark: str
    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"line{self.line}"


def blocks(page: Path, language: str = "python") -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["mark"] or "", found["language"], found["text"], text.count("\n", 0, found.start("text")) + 1)
        for found in _BLOCK.finditer(text)
        if found["language"] == language
    ]


def quotes(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.mark.endswith(".py")]


def section(page: Path, title: str) -> str:
    text = page.read_text(encoding="utf-8")
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def write_files(page: Path, folder: Path) -> None:
    """Write what a page shows of files, which it names in the comment before."""
    for block in blocks(page, "toml"):
        (folder / block.mark).write_text(block.text, encoding="utf-8")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- the README


def test_first_program_is_short() -> None:
    """The first program of the README has at most 25 lines."""
    assert len(blocks(README)[0].text.splitlines()) <= LONGEST_PROGRAM


def test_programs_print_what_is_shown() -> None:
    """Every program of the README runs as it stands and prints what the block after it shows."""
    programs = [block.text for block in blocks(README) if block.mark == "run"]
    outputs = [block.text for block in blocks(README, "text") if block.mark == "output"]
    printed = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True).stdout
        for program in programs
    ]
    assert programs
    assert printed == outputs


@pytest.mark.parametrize("block", quotes(QUICK_START), ids=str)
def test_quotes_are_exact(block: Block) -> None:
    """What the quick start quotes of an example stands in it, line for line."""
    assert f"\n{block.text}" in (ROOT / block.mark).read_text(encoding="utf-8")


def test_every_block_is_checked() -> None:
    """Every block of Python in README and quick start is a program that is run or a quote that is compared."""
    assert {block.mark for block in blocks(README)} == {"run"}
    assert [block.line for block in blocks(QUICK_START) if not block.mark.endswith(".py")] == []


def test_every_example_is_quoted() -> None:
    """The quick start shows something of every example."""
    assert {block.mark for block in quotes(QUICK_START)} == {
        relative(path) for path in (ROOT / "examples").glob("*.py")
    }


def table(page: Path) -> dict[str, list[str]]:
    """Return the other cells of each row of the table beside others, by its first."""
    lines = re.findall(r"^\|(.*)\|$", page.read_text(encoding="utf-8").partition("# Beside others\n")[2], re.MULTILINE)
    cells = ([cell.strip() for cell in line.split("|")] for line in lines)
    return {first: others for first, *others in cells if not first.startswith("---")}


def test_the_table_is_a_part_of_the_whole() -> None:
    """Beside others, the README has five rows of verdicts that the whole table has too."""
    verdicts = [[re.sub(r"[,:].*", "", cell) for cell in cells] for cells in table(COMPARISON).values()]
    titles, *shown = table(README).values()
    assert (len(titles), len(shown)) == (6, 5)
    assert [cells for cells in shown if cells not in verdicts] == []


def test_every_partly_is_explained() -> None:
    """Below the whole table stands something of each system that does a thing partly."""
    names, *verdicts = table(COMPARISON).values()
    partly = {name for cells in verdicts for name, cell in zip(names, cells, strict=True) if cell.startswith("partly")}
    explained = section(COMPARISON, "What *partly* means").replace("mosquitto", "MQTT")
    assert partly
    assert {name for name in partly if name.split()[0] not in explained} == set()


# --- from the command line


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, where commands find the same t2bus, and the files that the README shows."""
    if paths := os.environ.get("PYTHONPATH"):
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(Path(path).resolve()) for path in paths.split(os.pathsep)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    write_files(QUICK_START, tmp_path)
    return tmp_path


def commands(title: str, address: str = "", page: Path = QUICK_START) -> list[list[str]]:
    """Return the commands of a section without ``python -m t2bus``; with an address, this one instead of theirs."""
    text = section(page, title).replace("\\\n", "")
    lines = re.findall(r"^```sh\n(?:.* && )?python -m t2bus (.*)\n```$", text, re.MULTILINE)
    found = [shlex.split(line) for line in lines]
    return [[address if address and word == "tls:127.0.0.1:4242" else word for word in words] for words in found]


async def publish_and_print(serve: list[str], sub: list[str], pub: list[str]) -> str:
    """Return what a subscriber prints of what is published, at a bus where nobody names an address."""
    async with command(*serve) as bus:
        await bus.stderr.until("serving at ")
        async with command(*sub, "-n", "1") as subscriber:
            await subscriber.stderr.until("subscribed")
            assert (await run(*pub))[0] == 0
            return await subscriber.stdout.next()


async def test_the_readme_publishes(here: Path) -> None:
    """The README's commands run a bus, print what is published, and publish."""
    printed = await publish_and_print(*commands("Set up", page=README))
    first, _, second = printed.partition("\t")
    assert f"prints `{first}`, a tab, and `{second}`" in README.read_text(encoding="utf-8")


async def test_the_quick_start_publishes(here: Path) -> None:
    """The first commands of the quick start run a bus, print what is published as it is shown, and publish."""
    (shown,) = (block.text for block in blocks(QUICK_START, "text"))
    serve, sub, pub, *_ = commands("From the command line")
    assert await publish_and_print(serve, sub, pub) == shown.removesuffix("\n")


async def test_the_quick_start_asks(here: Path) -> None:
    """Its next two answer a request, and print the answer."""
    serve, _, _, reply, request = commands("From the command line")
    async with command(*serve) as bus:
        await bus.stderr.until("serving at ")
        async with command(*reply) as replier:
            await replier.stderr.until("hello")
            code, said, _ = await run(*request)
            assert (code, said) == (0, '{"text": "Hello"}\n')


# --- between machines


async def test_between_machines(here: Path) -> None:
    """Two commands make the certificates with which a bus, a subscriber and a publisher know each other."""
    init, issue, serve, _, _ = commands("Between machines", "tls:127.0.0.1:0")
    for words in (init, issue):
        code, _, said = await run(*words)
        assert (code, said) == (0, "")
    async with command(*serve) as bus:
        address = (await bus.stderr.until("serving at ")).partition("serving at ")[2]
        *_, sub, pub = commands("Between machines", address)
        async with command(*sub, "-n", "1") as subscriber:
            await subscriber.stderr.until("subscribed")
            code, _, said = await run(*pub)
            assert (code, said) == (0, "t2bus: accepted for 1 connection\n")
            assert await subscriber.stdout.next() == 'hello/alice\t{"text": "Hello Alice"}'


async def test_rules_between_machines(here: Path) -> None:
    """With the access rules of the quick start, alice may publish as herself and not as bob."""
    make_ca(here / "certs")
    issue_client(here / "certs", "alice")
    *_, serve, _, _ = commands("Between machines", "tls:127.0.0.1:0")
    async with command(*serve, "--access", "access.toml") as bus:
        address = (await bus.stderr.until("serving at ")).partition("serving at ")[2]
        *_, pub = commands("Between machines", address)
        assert (await run(*pub))[0] == 0
        code, _, said = await run(*(word.replace("hello/alice", "hello/bob") for word in pub))
        assert (code, said) == (7, "t2bus: 'alice' may not publish to 'hello/bob'\n")


async def test_the_rules_are_explained(here: Path) -> None:
    """The command that explains a rule says what the bus does."""
    (words,) = re.findall(r"`python -m t2bus (access explain .*?)`", section(QUICK_START, "Between machines"))
    code, said, _ = await run(*shlex.split(words))
    assert (code, said) == (1, "denied: no publish rule of everyone or 'alice' includes 'hello/bob'\n")


# --- several servers


@pytest.mark.parametrize(
    ("title", "page"), [("Several hosts", README), ("Several servers as one bus", QUICK_START)], ids=["readme", "start"]
)
async def test_several_servers(here: Path, title: str, page: Path) -> None:
    """The commands of README and quick start make certificates and start two servers that are one bus."""
    ports = {"tls:localhost:7447": free_endpoint("tls"), "tls:localhost:7448": free_endpoint("tls")}
    places = {known: place.replace("127.0.0.1", "localhost") for known, place in ports.items()}
    all_words = commands(title, page=page)
    init, north, issue, south = [[places.get(word, word) for word in words] for words in all_words]
    for words in (init, issue):
        code, _, said = await run(*words)
        assert (code, said) == (0, "")
    async with command(*north) as one, command(*south) as other:
        for server in (one, other):
            await server.stderr.until("to talk")
        async with command("sub", "hello/**", "--addr", "unix:south") as subscriber:
            await subscriber.stderr.until("subscribed")
            with trio.fail_after(20):
                while (await run("pub", "hello/alice", '"hi"', "--addr", "unix:north", "--require", "1"))[0]:
                    pass  # they have not met yet
            assert await subscriber.stdout.next() == 'hello/alice\t"hi"'


# --- the guide


async def run_fragment(block: Block, module: ModuleType) -> None:
    """Run a block that may await; one that would wait for ever is given time enough for all else."""
    code = compile(block.text, f"{GUIDE.name}:{block.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, vars(module))
    if inspect.iscoroutine(result):
        with trio.move_on_after(30):
            await result


async def test_the_guide_runs(
    clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of the guide, run one after the other as one program, print what their comments show."""
    monkeypatch.chdir(tmp_path)
    make_ca(Path("certs"))
    issue_client(Path("certs"), "alice")
    write_files(GUIDE, tmp_path)
    module = ModuleType("guide")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    async with t2bus.open_bus() as bus, bus.open_client() as client:
        vars(module).update(t2bus=t2bus, trio=trio, frozen=frozen, client=client)
        for block in blocks(GUIDE):
            await run_fragment(block, module)
            printed = iter(capsys.readouterr().out.splitlines())
            shown = re.findall(r"^ *print\(.*\)  # (.*?)(?: -- .*)?$", block.text, re.MULTILINE)
            assert [line for line in shown if line not in printed] == [], f"{GUIDE.name}:{block.line}"
        await module.test_the_oven_follows_its_setpoint()


def test_the_guide_lists_every_error() -> None:
    """The table of errors has a row for each public error but the root, and no other."""
    public = {*errors.__all__, *disconnected.__all__}
    rows = re.findall(r"^\| `(\w+)` \|", section(GUIDE, "Errors"), re.MULTILINE)
    assert sorted(rows) == sorted(public - {"BusError"})


def limits_of_the_guide() -> Iterator[tuple[str, str]]:
    for names, values in _TABLE_NAME.findall(section(GUIDE, "Limits")):
        yield from zip(re.findall(r"\w+", names), values.split(", "), strict=True)


def test_the_guide_tells_the_true_defaults() -> None:
    """Every limit in the guide's table has the default that stands beside it."""
    told = dict(limits_of_the_guide())
    assert told
    assert told == {name: f"{value:,g}" if isinstance(value, float) else f"{value:,}" for name, value in defaults(told)}


def defaults(names: dict[str, str]) -> Iterator[tuple[str, int | float]]:
    limits = attrs.asdict(t2bus.Limits())
    return ((name, limits[name]) for name in names)


# --- the command line


OPTION = re.compile(r"(?<!-)--[a-z][a-z-]*")


def options(capsys: pytest.CaptureFixture[str], *words: str) -> set[str]:
    """Return the long options that the help of a command lists, and the help of those below it."""
    assert main([*words, "--help"]) == 0
    said = capsys.readouterr().out
    found = set(OPTION.findall("".join(re.findall(r"^  -.*$", said, re.MULTILINE))))
    return found.union(*(options(capsys, *words, verb) for verb in re.findall(r"^    ([a-z]+) ", said, re.MULTILINE)))


def test_the_page_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """The page of the command line has every long option but two about t2bus itself, and no other."""
    named = set(OPTION.findall(COMMAND_LINE.read_text(encoding="utf-8")))
    assert named == options(capsys) - {"--version", "--verbose"}


# --- all pages


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@cache
def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", fill(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {anchor(heading) for heading in headings}


def is_there(target: Path, anchor: str) -> bool:
    return target.exists() and (not anchor or anchor in anchors(target))


def test_links_lead_somewhere() -> None:
    """Every relative link of a page leads to a file, and every anchor to a heading."""
    broken = []
    for page in PAGES:
        for path, anchor in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
            if not is_there(page.parent / path if path else page, anchor):
                broken.append(f"{relative(page)}: {path}#{anchor}")
    assert broken == []


def test_the_readme_is_read_anywhere() -> None:
    """The README has absolute links alone: it is shown on a package index too."""
    assert _LINK.findall(README.read_text(encoding="utf-8")) == []


def leads_somewhere(address: str) -> bool:
    """Whether it leads elsewhere, or to a file of the project and to a heading of it."""
    for start, folder in _OF_THE_PROJECT.items():
        if address.startswith(start):
            path, _, anchor = address.removeprefix(start).partition("#")
            return is_there(ROOT / folder / re.sub(r"\.html$", ".md", path), anchor)
    return True


def test_addresses_of_the_project_lead_somewhere() -> None:
    """Every link of a page to the repository, or to a page of the site, leads to a file and to a heading of it."""
    found = [(relative(page), address) for page in PAGES for address in _ADDRESS.findall(page.read_text("utf-8"))]
    assert [(page, address) for page, address in found if not leads_somewhere(address)] == []


# --- the promises


def test_promises_are_held() -> None:
    """There are fourteen promises, each is held by tests, and each test with a number is of one of them."""
    tests = promise_tests.all_tests()
    promised = promise_tests.promised(tests)
    assert [int(title.partition(".")[0]) for title in promised] == list(range(1, 15))
    assert all(promised.values())
    assert {name for names in promised.values() for name in names} <= tests.keys()
    numbered = {name for name in tests if name.startswith("test_promise_")}
    assert numbered <= {name for names in promised.values() for name in names}


def test_every_promise_links_to_its_tests() -> None:
    """The section of each promise ends with a link to the section that lists its tests."""
    parts = re.split(r"^(?=## )", PROMISES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    links = [f"[The tests of this promise](promise-tests.md#{anchor(part.partition(chr(10))[0])})" for part in parts]
    assert [part.rstrip().splitlines()[-1] for part in parts] == links
