"""Two hosts that are joined by what the documentation says, from making certificates to the first message.

Each host is a network namespace, and all that runs there is the installed program.
"""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from cli_helpers import process
from faults.measured import LONGEST
from faults.network import FAR, NEAR, open_cable, why_there_is_none

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from cli_helpers import Command

TOO_FEW: Final = 8
"""The exit code of what is published for fewer connections than it requires."""

pytestmark = pytest.mark.skipif(bool(why_there_is_none()), reason=why_there_is_none())


def at(host: str, *words: str) -> AbstractAsyncContextManager[Command]:
    """Run the program at a host: a namespace."""
    return process("ip", "netns", "exec", host, sys.executable, "-m", "t2bus", *words, patience=LONGEST)


async def code_of(host: str, *words: str) -> int:
    """Run it to its end; return its exit code, which is 0 or that of too few recipients."""
    async with at(host, *words) as command:
        errors = await command.stderr.rest()
        code = await command.end()
    assert code in {0, TOO_FEW}, errors
    return code


@asynccontextmanager
async def serving(host: str, bus: Path, certs: Path, name: str, place: str, *seeds: str) -> AsyncGenerator[None, None]:
    """Serve at a host, with the files of this name."""
    files = [f"--fed-ca={certs}/ca.pem", f"--fed-cert={certs}/{name}.pem", f"--fed-key={certs}/{name}.key"]
    options = [f"--federate=tls:{place}:7447", *(f"--seed=tls:{seed}:7447" for seed in seeds), *files]
    async with at(host, "serve", f"unix:{bus}", "--bus", "plant", *options) as command:
        await command.stderr.until("to talk")
        yield


async def test_two_hosts_are_joined_from_certificates_on(folder: Path) -> None:
    """Certificates are made, a server is started on each of two hosts, and what one says the other hears."""
    certs = folder / "members"
    with open_cable() as cable:
        await code_of(cable.near, "certs", "init", "--member", str(certs), "--host", NEAR)
        await code_of(cable.near, "certs", "issue", "south", "--member", "--folder", str(certs), "--host", FAR)
        async with (
            serving(cable.near, folder / "north", certs, "bus", NEAR),
            serving(cable.far, folder / "south", certs, "south", FAR, NEAR),
            at(cable.far, "sub", "hello/**", "--addr", f"unix:{folder}/south") as subscriber,
        ):
            await subscriber.stderr.until("subscribed")
            hello = ("pub", "hello/world", '"hi"', "--require", "1", "--addr", f"unix:{folder}/north")
            while await code_of(cable.near, *hello) == TOO_FEW:  # the two have not met yet
                pass
            assert "hi" in await subscriber.stdout.next()
