"""``t2bus serve``: what it says, how it ends, and what it does where it cannot listen."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

import t2bus
from bus_helpers import RawPeer, names
from cli_helpers import bus_in_a_thread, command, run
from t2bus.certs import make_ca
from t2bus.cli import main
from t2bus.wire import messages as m
from t2bus.wire import native
from tap_helpers import until
from tls_helpers import AGO, LONG_AGO, leaf, write

if TYPE_CHECKING:
    from pathlib import Path

SIGNALS = [signal.SIGINT, signal.SIGTERM]


class TestIntroduction:
    """What it says when it has opened."""

    async def test_addresses(self, folder: Path) -> None:
        """It names each address that it is bound to, with port 0 resolved, and clients connect there."""
        async with command("serve", f"unix:{folder}/bus", "tcp:127.0.0.1:0") as serve:
            said = [await serve.stderr.until("serving at"), await serve.stderr.until("serving at")]
            addresses = [line.removeprefix("t2bus: serving at ") for line in said]
            assert addresses[0] == f"unix:{folder}/bus"
            assert not addresses[1].endswith(":0")
            for address in addresses:
                async with t2bus.open_client(address):
                    pass

    async def test_commands(self, folder: Path) -> None:
        """The commands that it shows work as they are, though there be a space in the path."""
        async with command("serve", f"unix:{folder}/my bus") as serve:
            listen = (await serve.stderr.until("to listen: ")).partition("python -m t2bus ")[2]
            talk = (await serve.stderr.until("to talk: ")).partition("python -m t2bus ")[2]
            async with command(*shlex.split(listen), "-n", "1") as sub:
                await sub.stderr.until("subscribed")
                code, _, said = await run(*shlex.split(talk))
                assert (code, said) == (0, "t2bus: accepted for 1 connection\n")
                assert await sub.stdout.next() == 'hello/alice\t{"text": "Hello Alice"}'

    async def test_commands_name_what_a_client_reaches(self, folder: Path) -> None:
        """The commands name the simplest of several addresses, and loopback where the bus listens at all addresses."""
        files = [f"--{name}={path}" for name, path in attrs.asdict(write(folder, "end", leaf("127.0.0.1"))).items()]
        everywhere = "tcp:0.0.0.0:0"
        async with command("serve", "tls:127.0.0.1:0", everywhere, "--insecure-no-auth", *files) as serve:
            await serve.stderr.until("serving at tls:")
            port = (await serve.stderr.until("serving at tcp:")).rpartition(":")[2]
            talk = (await serve.stderr.until("to talk: ")).partition("python -m t2bus ")[2]
            assert talk.endswith(f" --addr tcp:127.0.0.1:{port}")
            assert (await run(*shlex.split(talk)))[0] == 0

    @pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
    async def test_commands_over_tls(self, host: str, folder: Path) -> None:
        """Over TLS the command is that which makes a client's certificate, and with that there those of the client."""
        ca, bus = make_ca(folder / "my certs")
        files = ["--ca", str(ca.certificate), "--certificate", str(bus.certificate), "--key", str(bus.key)]
        async with command("serve", f"tls:{host}:0", *files) as serve:
            said = await serve.stderr.until("clients need a certificate of the authority in ")
            words = shlex.split(said.split("`")[1])
            assert words[:3] == ["python", "-m", "t2bus"]
            assert (await run(*words[3:]))[0] == 0
        async with command("serve", f"tls:{host}:0", *files) as serve:
            listen = (await serve.stderr.until("to listen: ")).partition("python -m t2bus ")[2]
            talk = (await serve.stderr.until("to talk: ")).partition("python -m t2bus ")[2]
            async with command(*shlex.split(listen), "-n", "1") as sub:
                await sub.stderr.until("subscribed")
                assert (await run(*shlex.split(talk)))[0] == 0
                assert await sub.stdout.next() == 'hello/alice\t{"text": "Hello Alice"}'

    async def test_no_command_without_the_key_of_the_authority(self, folder: Path) -> None:
        """Where no certificate can be made, it says of which authority a client needs one, and shows no command."""
        files = [f"--{name}={path}" for name, path in attrs.asdict(write(folder, "end", leaf("127.0.0.1"))).items()]
        async with command("serve", "tls:127.0.0.1:0", *files) as serve:
            said = await serve.stderr.until("clients need a certificate")
            assert said.endswith(f"of the authority in {folder}/end-ca.pem")

    async def test_default_address(self, folder: Path) -> None:
        """Without an address it is where the other verbs look without one, and the commands name none."""
        env = {"XDG_RUNTIME_DIR": str(folder)}
        async with command("serve", env=env) as serve:
            assert await serve.stderr.next() == f"t2bus: serving at unix:{folder}/t2bus.sock"
            assert "--addr" not in await serve.stderr.until("to listen: ")
            assert "--addr" not in await serve.stderr.until("to talk: ")
            assert (await run("pub", "a", "1", env=env))[0] == 0


class TestEnd:
    """How it ends."""

    @pytest.mark.parametrize("number", SIGNALS)
    async def test_signal(self, number: signal.Signals, folder: Path) -> None:
        """A signal has it say goodbye, take its socket away and end with exit code 0."""
        async with command("serve", f"unix:{folder}/bus") as serve:
            await serve.stderr.until("serving at")
            async with t2bus.open_client(f"unix:{folder}/bus") as client, client.subscribe_bytes("**") as messages:
                serve.process.send_signal(number)
                with pytest.raises(t2bus.Disconnected, match="the bus is shutting down"):
                    await messages.receive()
            assert await serve.end() == 0
            assert names(folder) == []
            said = await serve.stderr.rest()
            assert said[-1] == "t2bus: shutting down, in at most 5 s; a second signal ends at once"

    @pytest.mark.parametrize("number", SIGNALS)
    async def test_second_signal(self, number: signal.Signals, folder: Path) -> None:
        """A second signal ends it while it still writes to a client that reads nothing, with its own exit code."""
        async with command("serve", f"unix:{folder}/bus") as serve:
            await serve.stderr.until("serving at")
            async with await trio.open_unix_socket(f"{folder}/bus") as stream:
                peer = RawPeer(stream, native.decode_server_messages)
                await peer.shake_hands()
                await peer.send(m.Subscribe(1, "**", 1000, 1 << 23))
                await peer.expect(m.Accepted)
                async with t2bus.open_client(f"unix:{folder}/bus") as client:
                    for _ in range(20):  # 2 MB, ten times what a socket takes
                        await client.publish_bytes("a", bytes(100_000))
                serve.process.send_signal(signal.SIGINT)
                await serve.stderr.until("shutting down")
                serve.process.send_signal(number)
                assert await serve.end() == 128 + number
            assert await serve.stderr.rest() == []

    async def test_nobody_reads_what_it_says(self, folder: Path) -> None:
        """With a standard error that is full and that nobody reads it serves all the same, and obeys a signal."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, bytes(4096))
        os.set_blocking(writer, True)
        serve = [sys.executable, "-m", "t2bus", "serve", f"unix:{folder}/bus"]
        with trio.fail_after(10):
            process = await trio.lowlevel.open_process(serve, stderr=writer)
        try:
            with trio.fail_after(10):
                await until(lambda: names(folder) == ["bus"])
                async with t2bus.open_client(f"unix:{folder}/bus") as client:
                    assert await client.publish_bytes("a", b"") == 0
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
        finally:
            process.kill()
            os.close(reader)
            os.close(writer)


class TestReload:
    """SIGHUP."""

    async def test_reading_holds_nobody_up(self, folder: Path) -> None:
        """While rules are read again, from a file that gives nothing yet, the bus serves by the old ones."""
        rules = folder / "access.toml"
        rules.write_text('[everyone]\npublish = ["a"]\n')
        async with command("serve", f"unix:{folder}/bus", "--access", str(rules)) as serve:
            await serve.stderr.until("to talk")
            rules.unlink()
            os.mkfifo(rules)
            serve.process.send_signal(signal.SIGHUP)
            with await trio.to_thread.run_sync(rules.open, "w") as file:
                async with t2bus.open_client(f"unix:{folder}/bus") as client:
                    with trio.fail_after(10):
                        assert await client.publish_bytes("a", b"") == 0
                    file.close()
                    await serve.stderr.until("reloaded")
                    with pytest.raises(t2bus.PermissionDenied):
                        await client.publish_bytes("a", b"")


class TestFailures:
    """Where it cannot listen it says why, in one line."""

    def test_in_use(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An address where a bus is costs exit code 1, and leaves that bus alone."""
        with bus_in_a_thread(folder) as address:
            assert main(["serve", address]) == 1
            assert capsys.readouterr().err.startswith(f"t2bus: {address} is in use: ")
            assert main(["pub", "a", "1", "--addr", address]) == 0

    def test_not_a_socket(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file at the path costs exit code 1, and stays."""
        (folder / "file").write_text("precious")
        assert main(["serve", f"unix:{folder}/file"]) == 1
        assert "exists and is not a socket" in capsys.readouterr().err
        assert (folder / "file").read_text() == "precious"

    @pytest.mark.parametrize("address", ["my_bus", "tcp:127.0.0.1", "unix:"])
    def test_invalid_address(self, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        """What is no address costs exit code 2, and is answered with how addresses are written."""
        assert main(["serve", address]) == 2
        said = capsys.readouterr().err
        assert "write unix:PATH, tcp:HOST:PORT or tls:HOST:PORT" in said
        assert said.count("\n") == 1


class TestCertificates:
    """What it, and a verb that is a client, does with certificates of no use."""

    @pytest.mark.parametrize(
        "words", [["serve", "tls:127.0.0.1:0"], ["pub", "a", "1", "--addr", "tls:127.0.0.1:1"]], ids=["serve", "pub"]
    )
    def test_refused(self, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A certificate that the other end would refuse costs exit code 2 before anything is opened."""
        files = write(tmp_path, "end", leaf("127.0.0.1", not_before=LONG_AGO, not_after=AGO))
        options = ["--ca", str(files.ca), "--certificate", str(files.certificate), "--key", str(files.key)]
        assert main([*words, *options]) == 2
        said = capsys.readouterr().err
        assert said == f"t2bus: the certificate in {files.certificate} would be refused: certificate has expired\n"


class TestLog:
    """What it logs."""

    async def garbage(self, folder: Path, *options: str) -> list[str]:
        """Serve a peer that sends garbage; return what was logged by the end."""
        async with command("serve", f"unix:{folder}/bus", *options) as serve:
            await serve.stderr.until("to talk")
            async with await trio.open_unix_socket(f"{folder}/bus") as stream:
                await stream.send_all(b"\x00\x00\x00\x05\x1b[31m")
                while await stream.receive_some():
                    pass
            serve.process.terminate()
            return [line for line in await serve.stderr.rest() if not line.startswith("t2bus: ")]

    async def test_is_quiet(self, folder: Path) -> None:
        """Unless asked to, it does not log what peers do."""
        assert await self.garbage(folder) == []

    async def test_verbose(self, folder: Path) -> None:
        """With --verbose it logs why a connection ended, in one printable line."""
        (line,) = await self.garbage(folder, "--verbose")
        assert " INFO t2bus.server: connection of uid:" in line
        assert line.isprintable()
