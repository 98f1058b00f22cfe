"""For the tests of the tutorial: its pages, and a reader who does all that they say, in their order.

Every block of a page stands behind a comment that says what it is::

    <!-- file: oven.py -->                       to be written to this file
    <!-- terminal: oven -->                      a session in the terminal of this name, or more of an earlier one
    <!-- terminal: oven, numbers vary -->        likewise, and any number may stand where one is shown
    <!-- terminal: oven, in any order -->        likewise, and all lines come, in any order, some perhaps more often
    <!-- terminal: oven, goes on -->             likewise, and the last command has not ended when the next block begins
    <!-- by hand -->                             to be done by people alone

In a session ``$ …`` is typed, ``^C`` and ``^Z`` are keys, ``...`` stands for any lines, and all else has to come.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import define, field, frozen

from cli_helpers import IS_LINUX, PATIENCE, Command, forked, process, python, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractAsyncContextManager, AsyncExitStack

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial"
LAB = TUTORIAL / "lab"
PAGES = sorted(TUTORIAL.glob("[0-9]-*.md"))

RUNS_ON = re.compile(r"t2bus serve\b(?!.* --check)|tail .*-f |python (oven|recorder|supervisor)\.py")
"""Commands that go on while their reader does something else."""

T2BUS = """
import os, sys
os.dup2(1, 2)
sys.argv[0] = "t2bus"
from t2bus.cli import main
sys.exit(main())
"""
"""What the command ``t2bus`` does, errors among what it prints."""

SCRIPT = """
import os, runpy, sys
os.dup2(1, 2)
sys.argv = sys.argv[1:]
sys.path[0] = os.getcwd()
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""What ``python FILE`` does in the folder of the file, likewise."""

DIGITS_OF_A_PROCESS = 4
"""What is a process id on a page has as many at least, and no other number that is typed."""

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>.+?) -->\n)?```(?P<language>[\w{}]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@frozen
class Block:
    """A block of a page, and what the comment before it says of it."""

    mark: str
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that it shows."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(found["mark"] or "", found["language"], found["text"]) for found in _BLOCK.finditer(text)]


def start(typed: str, env: Mapping[str, str]) -> AbstractAsyncContextManager[Command]:
    """Start what somebody has typed into a shell; all that it prints goes to its standard output."""
    words = shlex.split(typed)
    code = {"t2bus": T2BUS, "python": SCRIPT}.get(words[0])
    if code is None or words[1] == "-m" or "|" in words:
        become = "exec " if words[0] == "tail" else ""  # so that Ctrl-C reaches it, and not the shell alone
        return process("sh", "-c", f"exec 2>&1\n{become}{typed}", env=env)
    return forked(*words[1:], code=code, env=env) if IS_LINUX else python("-c", code, *words[1:], env=env)


@define(eq=False)
class Terminal:
    """A shell: one program at a time, and variables that it sets."""

    _programs: AsyncExitStack
    _env: dict[str, str]
    _running: Command | None = field(default=None, init=False)
    _is_over: bool = field(default=False, init=False)
    """Whether the program was told to end."""
    skips: bool = field(default=False, init=False)
    """Whether what it says is of no interest, up to what is shown next."""
    goes_on: bool = field(default=False, init=False)
    """Whether the program is one that does not end by itself."""

    async def enter(self, typed: str) -> None:
        """Type a line, when the program of the line before has ended."""
        if typed == "fg":
            self._signal(signal.SIGCONT)
            return
        await self.finish()
        if typed.startswith("export "):
            self._env.update(re.findall(r"(\w+)=(\S+)", typed))
            return
        self.goes_on = RUNS_ON.match(typed) is not None
        self._running = await self._programs.enter_async_context(start(typed, self._env))

    def press(self, key: str) -> None:
        """Press Ctrl-C or Ctrl-Z."""
        self._signal(signal.SIGINT if key == "^C" else signal.SIGSTOP)
        self._is_over |= key == "^C"
        self.goes_on &= key != "^C"

    def _signal(self, number: int) -> None:
        assert self._running is not None
        self._running.process.send_signal(number)

    async def next(self) -> str:
        """Return the next line that the program prints."""
        assert self._running is not None
        return await self._running.stdout.next()

    async def has(self, shown: str, *, varies: bool) -> str:
        """Read the line that is shown; return it."""
        while True:
            line = await self.next()
            if (simple(line) == simple(shown)) if varies else (line == shown):
                self.skips = False
                return line
            assert self.skips or self._is_over, f"{line!r} instead of {shown!r}"
            assert line, f"it ended without {shown!r}"

    async def finish(self) -> None:
        """Wait for the end of the program, which has nothing more to say."""
        if self._running is not None:
            rest = await self._running.stdout.rest()
            assert rest == [] or self.skips or self._is_over
            await self._running.end()
        self._running, self._is_over, self.skips = None, False, False

    async def close(self) -> None:
        """End the program whatever it does, and what it has started itself."""
        if self._running is not None:
            self._signal(signal.SIGCONT)
            self.press("^C")
            await self.finish()


def simple(line: str) -> str:
    """Return a line without what is another in each run: numbers, and how wide they make the columns of a table.

    On a terminal, as the pages show it, the numbers of tables have units; here they have none.
    """
    return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?( B\b|s\b)?", "0", line)).strip()


@define(eq=False)
class Reader:
    """Follows pages, in one folder and several terminals."""

    _programs: AsyncExitStack
    _env: Mapping[str, str]
    _instead: Mapping[str, str]
    """What stands on the page, and what it is for this reader: ports, users, folders."""
    _terminals: dict[str, Terminal] = field(factory=dict, init=False)
    _numbers: dict[str, str] = field(factory=dict, init=False)
    """Process ids as they are shown and as they are."""

    async def prepare(self, page: Path) -> None:
        """Have what later pages need of a page: its files, and its certificates."""
        for block in blocks(page):
            if block.file:
                self._write(block)
            for words in re.findall(r"^\$ t2bus (certs .*)$", block.text, re.MULTILINE):
                assert (await run(*shlex.split(words)))[0] == 0

    async def follow(self, page: Path) -> None:
        """Do all that a page says, and close its terminals."""
        try:
            for block in blocks(page):
                if block.file:
                    self._write(block)
                elif block.mark.startswith("terminal: "):
                    name, *kinds = block.mark.removeprefix("terminal: ").split(", ")
                    # A program of the lab finds the modules beside it, also where tests are kept from finding theirs.
                    env = {"PYTHONSAFEPATH": "", **self._env}
                    terminal = self._terminals.setdefault(name, Terminal(self._programs, env))
                    text = self._own(block.text, self._instead).replace("\\\n", "")
                    await self._session(terminal, text.splitlines(), kinds)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + PATIENCE):
                for terminal in self._terminals.values():
                    await terminal.close()

    def _write(self, block: Block) -> None:
        assert block.file is not None
        Path(block.file).write_text(self._own(block.text, self._instead), encoding="utf-8")

    def _own(self, text: str, instead: Mapping[str, str]) -> str:
        for shown, actual in instead.items():
            text = text.replace(shown, actual)
        return text

    async def _session(self, terminal: Terminal, lines: Iterable[str], kinds: list[str]) -> None:
        shown: list[str] = []
        for line in lines:
            if line in {"^C", "^Z"}:
                terminal.press(line)
            elif line.startswith("$ "):
                await terminal.enter(self._own(line[2:], self._numbers))
            elif line == "...":
                terminal.skips = True
            elif "in any order" in kinds:
                shown.append(line)
            else:
                self._note(line, await terminal.has(line, varies="numbers vary" in kinds))
        await self._any_order(terminal, shown)
        if "goes on" not in kinds and not terminal.goes_on:
            await terminal.finish()

    async def _any_order(self, terminal: Terminal, shown: list[str]) -> None:
        """Read until each line that is shown has come, and meanwhile nothing else but the like."""
        wanted = {simple(line) for line in shown}
        left = [*shown]
        while left:
            come = await terminal.next()
            assert simple(come) in wanted, f"{come!r} instead of one of {left}"
            if found := next((line for line in left if simple(line) == simple(come)), None):
                left.remove(found)
                self._note(found, come)

    def _note(self, shown: str, actual: str) -> None:
        pairs = zip(re.findall(r"\d+", shown), re.findall(r"\d+", actual), strict=False)
        self._numbers.update((one, other) for one, other in pairs if len(one) >= DIGITS_OF_A_PROCESS and one != other)


def environment(folder: Path) -> dict[str, str]:
    """Return what is in the environment of every terminal: this Python, this t2bus, and a place for sockets."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in paths if path),
        "PYTEST_ADDOPTS": "-p no:randomly -p no:cacheprovider",
        "XDG_RUNTIME_DIR": str(folder),
    }
