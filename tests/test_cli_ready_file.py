"""``t2bus serve --ready-fd``: a file that says where the bus is, when it is there."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

import t2bus
from cli_helpers import PATIENCE, Lines, command, python
from t2bus.cli import main

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

ON_STANDARD_OUTPUT = """
import sys, t2bus.cli
code = t2bus.cli.main(["serve", sys.argv[1], "--ready-fd", "1"])
print("this goes nowhere")
sys.exit(code)
"""


@contextmanager
def pipe() -> Generator[tuple[Lines, int], None, None]:
    """Give what is read from a pipe, and the end of it that a process is to inherit."""
    reader, writer = os.pipe()
    try:
        yield Lines(trio.lowlevel.FdStream(reader)), writer
    finally:
        os.close(writer)


async def test_addresses(folder: Path) -> None:
    """Each address is a line, with port 0 resolved, and then the file ends while the bus serves on."""
    with pipe() as (ready, writer):
        number = os.dup(writer)
        async with command(
            "serve", f"unix:{folder}/bus", "tcp:127.0.0.1:0", "--ready-fd", str(number), pass_fds=[number]
        ) as serve:
            os.close(number)
            with trio.fail_after(PATIENCE):
                addresses = [await ready.next(), await ready.next()]
            assert addresses[0] == f"unix:{folder}/bus"
            for address in addresses:
                async with t2bus.open_client(address):
                    pass
            serve.process.terminate()
            assert await serve.end() == 0


async def test_end_of_file(folder: Path) -> None:
    """Whoever reads to the end is not kept waiting by the bus."""
    reader, writer = os.pipe()
    async with command("serve", f"unix:{folder}/bus", "--ready-fd", str(writer), pass_fds=[writer]):
        os.close(writer)
        with trio.fail_after(PATIENCE):
            assert await Lines(trio.lowlevel.FdStream(reader)).rest() == [f"unix:{folder}/bus"]


async def test_no_line_without_a_bus(folder: Path) -> None:
    """Where the bus cannot be opened the file ends without a line."""
    reader, writer = os.pipe()
    async with command("serve", f"unix:{folder}/no/bus", "--ready-fd", str(writer), pass_fds=[writer]) as serve:
        os.close(writer)
        with trio.fail_after(PATIENCE):
            assert await Lines(trio.lowlevel.FdStream(reader)).rest() == []
        assert await serve.end() == 1


async def test_standard_output(folder: Path) -> None:
    """Standard output will do, and ends behind the addresses whatever the program prints later."""
    async with python("-c", ON_STANDARD_OUTPUT, f"unix:{folder}/bus") as serve:
        assert await serve.stdout.rest() == [f"unix:{folder}/bus"]
        serve.process.terminate()
        assert await serve.end() == 0


async def test_nobody_reads_it(folder: Path) -> None:
    """A reader that has gone is no reason to end."""
    reader, writer = os.pipe()
    os.close(reader)
    async with command("serve", f"unix:{folder}/bus", "--ready-fd", str(writer), pass_fds=[writer]) as serve:
        os.close(writer)
        await serve.stderr.until("to talk")
        async with t2bus.open_client(f"unix:{folder}/bus"):
            pass
        serve.process.terminate()
        assert await serve.end() == 0


async def test_a_full_disk(folder: Path) -> None:
    """A bus whose file cannot be written says so in its log, and serves."""
    number = os.open("/dev/full", os.O_WRONLY)
    async with command("serve", f"unix:{folder}/bus", "--ready-fd", str(number), pass_fds=[number]) as serve:
        os.close(number)
        said = await serve.stderr.until("cannot write")
        assert said.endswith(f"cannot write to --ready-fd {number}: No space left on device")
        async with t2bus.open_client(f"unix:{folder}/bus"):
            serve.process.terminate()
        assert await serve.end() == 0


@pytest.mark.parametrize(
    ("number", "says"),
    [
        ("250", "--ready-fd 250: there is no such open file; open it as in `250>ready`"),
        ("99999999999999999999", "--ready-fd 99999999999999999999: there is no such open file; "),
        ("2", "--ready-fd 2: standard error stays open; name another file, as in `--ready-fd 3 3>ready`"),
        ("x", "argument --ready-fd: 'x' is not the number of an open file: write it as in 3>ready"),
        ("-1", "argument --ready-fd: "),
    ],
)
async def test_wrong_number(number: str, says: str, folder: Path) -> None:
    """A number that will not do costs exit code 2 and one sentence, and nothing is opened."""
    async with command("serve", f"unix:{folder}/bus", "--ready-fd", number) as serve:
        assert await serve.end() == 2
        (said,) = await serve.stderr.rest()
        assert said.startswith(f"t2bus: {says}")


async def test_a_file_to_read(folder: Path) -> None:
    """A file that was opened for reading will not do."""
    number = os.open(os.devnull, os.O_RDONLY)
    async with command("serve", f"unix:{folder}/bus", "--ready-fd", str(number), pass_fds=[number]) as serve:
        os.close(number)
        assert await serve.end() == 2
        (said,) = await serve.stderr.rest()
        assert said.startswith(f"t2bus: --ready-fd {number}: this file cannot be written to; ")


def test_a_file_of_this_process(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that the process has opened itself, as Trio does, is never written to."""
    reader, writer = os.pipe()
    assert main(["serve", f"unix:{folder}/bus", "--ready-fd", str(writer)]) == 2
    assert "there is no such open file" in capsys.readouterr().err
    os.close(writer)
    assert os.read(reader, 1) == b""
    os.close(reader)
