"""``t2bus serve --monitor``: where it listens, and where it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from cli_helpers import command, python, run
from monitor_helpers import ask
from t2bus.called import install

if TYPE_CHECKING:
    from pathlib import Path


async def test_it_says_where_it_is(folder: Path) -> None:
    """The monitor is where it says that it is, with port 0 resolved, and who may look there is said too."""
    async with command("serve", f"unix:{folder}/bus", "--monitor", "127.0.0.1:0") as serve:
        place = (await serve.stderr.until("monitor at ")).rpartition(" ")[2]
        host = place.removeprefix("http://").rstrip("/")
        assert "every user of this machine can look at the monitor" in await serve.stderr.next()
        async with await trio.open_tcp_stream("127.0.0.1", int(host.partition(":")[2])) as stream:
            answer = await ask(stream, "/healthz", host)
    assert (answer.status, answer.text) == (200, "ok\n")


async def test_a_configuration_may_name_it(folder: Path) -> None:
    """The configuration file has the option as a key of the same name."""
    config = folder / "bus.toml"
    config.write_text(f'addresses = ["unix:{folder}/bus"]\nmonitor = "unix:{folder}/monitor"\n')
    async with command("serve", "--config", str(config)) as serve:
        assert await serve.stderr.until("monitor at ") == f"t2bus: monitor at unix:{folder}/monitor"
        async with await trio.open_unix_socket(folder / "monitor") as stream:
            assert (await ask(stream, "/healthz", "localhost")).status == 200


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
async def test_other_machines_are_refused(address: str, folder: Path) -> None:
    """An address that other machines can reach is wrong usage, and the remedy is said."""
    code, out, said = await run("serve", f"unix:{folder}/bus", "--monitor", address)
    assert (code, out) == (2, "")
    assert said.splitlines()[-1].startswith(f"t2bus: {address} can be reached from other machines")
    assert "unix:PATH" in said


async def test_an_address_in_use(folder: Path) -> None:
    """An address that is in use ends the command before anybody is served."""
    with trio.socket.socket() as other:
        await other.bind(("127.0.0.1", 0))
        other.listen()
        code, out, said = await run("serve", f"unix:{folder}/bus", "--monitor", f"127.0.0.1:{other.getsockname()[1]}")
    assert (code, out) == (1, "")
    assert "in use" in said.splitlines()[-1]
    assert not (folder / "bus").exists()


async def test_a_check_looks_at_it_too(folder: Path) -> None:
    """``serve --check`` tells what is wrong with the address of the monitor."""
    code, _, said = await run("serve", f"unix:{folder}/bus", "--monitor", "0.0.0.0:0", "--check")
    assert code == 2
    assert "can be reached from other machines" in said
    code, out, _ = await run("serve", f"unix:{folder}/bus", "--monitor", "127.0.0.1:0", "--check")
    assert (code, out) == (0, f"a bus could serve at unix:{folder}/bus\n")


@pytest.mark.parametrize("missing", ["hypercorn", "prometheus_client", "starlette"])
async def test_a_missing_extra(missing: str, folder: Path) -> None:
    """Where a package of the extra is not installed, the command to install it is said."""
    program = f"import sys; sys.modules[{missing!r}] = None; from t2bus.cli import main; sys.exit(main(sys.argv[1:]))"
    async with python("-c", program, "serve", f"unix:{folder}/bus", "--monitor", "127.0.0.1:0") as serve:
        assert await serve.end() == 1
        (said,) = await serve.stderr.rest()
    assert said == f"t2bus: the monitor needs the package {missing}: run `{install('monitor')}`"


@pytest.mark.parametrize("missing", ["hypercorn", "prometheus_client", "starlette"])
async def test_a_program_without_the_extra(missing: str) -> None:
    """A program that imports the monitor is told what to install too."""
    program = f"import sys; sys.modules[{missing!r}] = None; import t2bus.monitor.serve"
    async with python("-c", program) as process:
        assert await process.end() == 1
        said = (await process.stderr.rest())[-1]
    remedy = f"run `{install('monitor')}`"
    assert said == f"ModuleNotFoundError: the monitor needs the package {missing}: {remedy}"


async def test_without_the_option_nothing_of_it_is_imported() -> None:
    """A bus without a monitor needs none of the extra's packages, and imports none."""
    program = (
        "import sys; from t2bus.cli.serving import serve; "
        "print(sorted({'hypercorn', 'starlette', 'prometheus_client'} & sys.modules.keys()))"
    )
    async with python("-c", program) as process:
        assert await process.stdout.next() == "[]"
