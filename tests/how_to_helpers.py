"""For the tests of the how-to pages: what a page shows is run from its top to its end, as a reader would.

The comment before a block says what becomes of it::

    <!-- run -->              a program whose ``main`` is awaited, or commands that end well, one a line
    <!-- exit 3 -->           commands that end with this exit code
    <!-- until -->            a command that ends well at last, if it is repeated
    <!-- start -->            a command that goes on; it is ended with the page
    <!-- look -->             commands that are read and not run: they want root, another machine or a server of theirs
    <!-- output -->           what the block before prints
    <!-- says COMMAND -->     what a command that goes on prints next
    <!-- cell -->             what is typed into IPython
    <!-- beside NAME -->      how a program is started that the reader has to be given; without it, the page ends there
    <!-- recorder.py -->      a file in the reader's folder
    <!-- docs/x/y.service --> lines of a file of the repository

Two stand alone: ``<!-- interrupt COMMAND -->`` is Ctrl-C in its terminal, and ``<!-- take FILE from PAGE -->`` a file
of another page. In what is printed, ``…`` stands for anything, and a line of it for any number of lines.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import Factory, define, frozen

from cli_helpers import Command, process
from program_helpers import open_program

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in (ROOT / "docs" / "how-to").glob("*.md") if path.name != "index.md")

_STEP = re.compile(
    r"^<!-- (?P<alone>(?:interrupt|take) .+?) -->$"
    r"|^(?:<!-- (?P<mark>.+?) -->\n)?```(?P<language>\S+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_PORTS = re.compile(r"\b(?:4242|4280|7447|7448)\b")
"""The ports that pages name; each test has free ones in their place."""

_FOLDERS = re.compile(r"/(?:run|etc)/t2bus/")

_WORDS_OF_THE_SHELL = re.compile(r"[|<>;&$]|^\w+=")

_COMMAND = """
import os, sys
os.dup2(1, 2)
import t2bus.cli
sys.exit(t2bus.cli.main())
"""
_SCRIPT = """
import os, runpy, sys
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""

_IPYTHON = "ipython"
_END_OF_CELL = "end of cell"
_CELLS = f"""
import json, sys
sys.path.insert(0, "")
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell(config=Config({{"HistoryManager": {{"enabled": False}}}}))
for line in sys.stdin:
    shell.run_cell(json.loads(line), store_history=True)
    print("{_END_OF_CELL}", flush=True)
"""


@frozen
class Step:
    """A block of a page, or a mark that stands alone."""

    page: Path
    line: int
    mark: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def is_file(self) -> bool:
        """Whether it is a file of the reader's."""
        return "." in self.mark and " " not in self.mark and not self.is_quote

    @property
    def is_quote(self) -> bool:
        """Whether it is out of a file of the repository."""
        return "/" in self.mark and " " not in self.mark

    def commands(self) -> list[str]:
        """Return its lines, those that end in a backslash with the one behind."""
        return [line for line in self.text.replace("\\\n", "").splitlines() if line]


@cache
def steps(page: Path) -> list[Step]:
    """Return all of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    return [
        Step(page, text.count("\n", 0, found.start()) + 1, *_parts(found.groupdict(default="")))
        for found in _STEP.finditer(text)
    ]


def _parts(found: dict[str, str]) -> tuple[str, str, str]:
    return (found["alone"] or found["mark"], found["language"], found["text"])


def output_of(step: Step) -> str:
    """Return what a page shows behind a block."""
    all_steps = steps(step.page)
    behind = all_steps[all_steps.index(step) + 1]
    assert behind.mark == "output", f"{step} does not show what it prints"
    return behind.text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def matches(shown: str, printed: str) -> bool:
    """Tell whether a page shows what was printed."""
    lines = [
        r"(?:[^\n]*\n)*" if line == "…" else re.escape(line).replace("…", r"[^\n]*") + "\n"
        for line in shown.splitlines()
    ]
    return re.fullmatch("".join(lines), printed) is not None


def start(line: str) -> AbstractAsyncContextManager[Command]:
    """Start what a reader types into a terminal.

    All that it prints comes from its standard output. Programs of Python keep their log on standard error.
    """
    words = shlex.split(line)
    if not _WORDS_OF_THE_SHELL.search(line):
        if words[0] == "t2bus":
            return open_program(_COMMAND, *words[1:])
        if words[0] == "python":
            return open_program(_SCRIPT, *words[1:])
    return process("sh", "-c", f"exec 2>&1; {line}")


async def run(line: str) -> tuple[int, str, list[str]]:
    """Run it to its end; return its exit code, what it prints, and its log."""
    async with start(line) as command:
        await command.stdin.aclose()
        printed = (await command.stdout.read()).decode()
        log = await command.stderr.rest()
        return await command.end(), printed, log


@define(eq=False)
class Reader:
    """Follows a page in a folder of its own."""

    _stack: AsyncExitStack
    _programs: Mapping[str, Path] = Factory(dict)
    """Those that stand for what ``beside`` starts."""
    _running: dict[str, Command] = Factory(dict)
    _ports: dict[str, str] = Factory(dict)
    _printed: str = ""
    _newest: str = ""
    """The command that was started last and whose first words have not been read."""

    def localised(self, text: str) -> str:
        """Return a text with free ports for those of the page, and the reader's folder for those of a machine."""
        return _PORTS.sub(lambda found: self._ports.setdefault(found[0], str(free_port())), _FOLDERS.sub("./", text))

    async def follow(self, page: Path) -> None:
        """Do all that the page says. Programs that are awaited are left to the tests that have a clock."""
        for step in steps(page):
            if step.mark.startswith("beside ") and step.mark.split()[1] not in self._programs:
                return
            try:
                await self._do(step)
            except AssertionError as error:
                raise AssertionError(f"{step}: {error}") from error

    async def _do(self, step: Step) -> None:
        text = self.localised(step.text)
        match step.mark.split(maxsplit=1):
            case ["start"]:
                (line,) = step.commands()
                self._newest = line
                self._running[line] = await self._stack.enter_async_context(start(self.localised(line)))
            case ["beside", name]:
                self._newest = name
                self._running[name] = await self._stack.enter_async_context(process(str(self._programs[name])))
            case ["run"] if step.language == "sh":
                await self._run(step, 0)
            case ["exit", code]:
                await self._run(step, int(code))
            case ["until"]:
                await self._repeat(step)
            case ["cell"]:
                await self._type(step)
            case ["output"] if self._newest:
                await self._expect(self._newest, text)
                self._newest = ""
            case ["output"]:
                assert matches(text, self._printed), f"printed was {self._printed!r}"
            case ["says", line]:
                await self._expect(line, text)
            case ["interrupt", line]:
                command = self._running.pop(line)
                command.process.send_signal(signal.SIGINT)
                await command.end()
            case ["take", named]:
                name, _, other = named.partition(" from ")
                (taken,) = [each for each in steps(step.page.with_name(other)) if each.mark == name]
                await trio.Path(name).write_text(self.localised(taken.text), encoding="utf-8")
            case _ if step.is_file:
                await trio.Path(step.mark).write_text(text, encoding="utf-8")
            case ["run"]:  # a program, and its output is not that of a command
                self._printed = output_of(step)

    async def _run(self, step: Step, code: int) -> None:
        self._newest, self._printed = "", ""
        for line in step.commands():
            ended, printed, log = await run(self.localised(line))
            assert ended == code, f"{line} ended with {ended}: {printed}{log}"
            self._printed += printed

    async def _repeat(self, step: Step) -> None:
        (line,) = step.commands()
        self._newest = ""
        with trio.fail_after(20):
            ended, self._printed, _ = await run(self.localised(line))
            while ended:
                ended, self._printed, _ = await run(self.localised(line))

    async def _type(self, step: Step) -> None:
        """Type a cell into IPython, which begins with the first."""
        if _IPYTHON not in self._running:
            ipython = process(sys.executable, "-c", _CELLS)
            self._running[_IPYTHON] = await self._stack.enter_async_context(ipython)
        ipython_ = self._running[_IPYTHON]
        await ipython_.stdin.send_all(f"{json.dumps(step.text)}\n".encode())
        self._newest = self._printed = ""
        while (line := await ipython_.stdout.next()) != _END_OF_CELL:
            assert line, f"IPython ended: {await ipython_.stderr.rest()}"
            self._printed += f"{line}\n"

    async def _expect(self, line: str, text: str) -> None:
        printed = ""
        with trio.move_on_after(20):
            while not (printed and matches(text, printed)) and (new := await self._running[line].stdout.next()):
                printed += f"{new}\n"
        assert matches(text, printed), f"{line} printed {printed!r}"


@asynccontextmanager
async def open_reader(**programs: Path) -> AsyncGenerator[Reader, None]:
    """Begin to follow a page, in the working directory; what still runs at the end is killed."""
    async with AsyncExitStack() as stack:
        yield Reader(stack, programs)


def words_of(steps: Sequence[Step], command: str) -> list[list[str]]:
    """Return the arguments of each call of a command in blocks of a shell, also behind ``sudo`` and in a container."""
    found = []
    for line in [line for step in steps if step.language == "sh" for line in step.commands()]:
        words = shlex.split(re.sub(r" [|>].*", "", line))
        is_named_only = words[:2] == ["docker", "build"] and command != "build"
        if command in words and not is_named_only:
            found.append(words[words.index(command) + 1 :])
    return found


def environment(folder: Path) -> dict[str, str]:
    """Return what commands need to find the same t2bus from another folder, and a default bus of their own."""
    paths = os.environ.get("PYTHONPATH", "")
    resolved = os.pathsep.join(str(Path(path).resolve()) for path in paths.split(os.pathsep) if path)
    return {"XDG_RUNTIME_DIR": str(folder), **({"PYTHONPATH": resolved} if resolved else {})}
