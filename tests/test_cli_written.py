"""What users write, on the command line and on standard input: what Windows adds is taken off, and JSON is told."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import t2bus
from cli_helpers import command, run
from t2bus.cli import main
from t2bus.cli.notation import encode_value, fault_of_json
from t2bus.cli.parser import make_parser
from t2bus.cli.settings import read_settings
from t2bus.program.options import plain

if TYPE_CHECKING:
    from pathlib import Path

BOM = "\ufeff"


def sent(text: str) -> bytes:
    return cbor2.dumps(text)


# --- what Windows adds


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\ufeff"))))
def test_what_is_taken_off_is_what_was_added(lines: list[str]) -> None:
    """Text from Windows, with its mark and its ends of lines, is the text that it would be elsewhere."""
    assert plain(BOM + "\r\n".join([*lines, ""])) == "\n".join([*lines, ""])
    assert plain("\n".join(lines)) == "\n".join(lines)


async def test_lines_from_windows(bus: t2bus.Bus) -> None:
    """The lines of files from Windows, one after the other, are published without CR and without their marks."""
    lines = f'{BOM}one\r\n{{"a": 1}}\r\n\r\n{BOM}{{"b": "\\r"}}\r\nt\rwo\r\nthree\r'
    async with bus.open_client() as client, client.subscribe_bytes("a") as messages:
        assert (await run("pub", "a", "--addr", *bus.addresses, stdin=lines.encode()))[0] == 0
        received = [cbor2.loads((await messages.receive()).body) for _ in range(6)]
        assert received == ["one", {"a": 1}, "", {"b": "\r"}, "t\rwo", "three"]


@pytest.mark.parametrize("options", [[], ["--text"]])
async def test_lines_as_text(options: list[str], bus: t2bus.Bus) -> None:
    """A line that is sent as text has no end either, whether that was asked for or not."""
    async with bus.open_client() as client, client.subscribe_bytes("a") as messages:
        assert (await run("pub", "a", *options, "--addr", *bus.addresses, stdin=f"{BOM}x\r\n".encode()))[0] == 0
        assert (await messages.receive()).body == sent("x")


@pytest.mark.parametrize(
    ("written", "means"),
    [
        (f'{BOM}{{"x":\r\n1}}\r\n', {"x": 1}),
        ("hello\r\n", "hello"),
        ("hello\n", "hello"),
        ("hello", "hello"),
        ("two\r\nlines\r\n", "two\nlines"),
        ("a line and an empty one\n\n", "a line and an empty one\n"),
    ],
)
async def test_standard_input_as_a_whole(written: str, means: object, bus: t2bus.Bus) -> None:
    """Of standard input that is one value the end of the last line is no part, nor is what Windows adds."""
    async with (
        bus.open_client() as client,
        command("reply", "a", "-", "--addr", *bus.addresses) as replying,
    ):
        await replying.stdin.send_all(written.encode())
        await replying.stdin.aclose()
        await replying.stderr.until("answering")
        assert cbor2.loads(await client.request_bytes("a", b"")) == means
        assert (await run("request", "a", "-", "--addr", *bus.addresses, stdin=written.encode()))[0] == 0
        assert await replying.stdout.next() == "a\tmalformed h''"
        _, _, asked = (await replying.stdout.next()).partition("\t")
        assert json.loads(asked) == means


async def test_arguments_from_windows(bus: t2bus.Bus) -> None:
    """What a shell makes of ``"$(cat file)"`` is taken as a line of that file is, wherever it stands."""
    async with bus.open_client() as client, client.subscribe_bytes("a") as messages:
        words = ["a\r", f"{BOM}two\r\nlines\r", "--header", "k=v\r", "--addr", f"{bus.addresses[0]}\r"]
        assert (await run("pub", *words))[0] == 0
        assert await messages.receive() == t2bus.Received("a", sent("two\nlines"), {"k": "v"})


def test_a_configuration_from_windows(tmp_path: Path) -> None:
    """The mark that an editor of Windows puts before a configuration file is no part of it."""
    (tmp_path / "bus.toml").write_text(f'{BOM}addresses = ["unix:bus"]\r\n', encoding="utf-8")
    arguments = make_parser().parse_args(["serve", "--config", str(tmp_path / "bus.toml")])
    assert read_settings(arguments).addresses == ("unix:bus",)


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE], ids=["LE", "BE"])
async def test_utf_16(mark: bytes, bus: t2bus.Bus) -> None:
    """What PowerShell writes as UTF-16 is called that, with the command that converts it."""
    code, _, said = await run("pub", "a", "--addr", *bus.addresses, stdin=mark + b"x\0\n\0")
    remedy = "UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`"
    assert (code, said) == (2, f"t2bus: line 1 of standard input is not UTF-8, but {remedy}\n")


# --- text that looks like JSON


@pytest.mark.parametrize(
    "written",
    ["{text: Hello}", "[1, 2", '"open', "'{\"a\": 1}'", '{"a": 1} {"b": 2}', "21,5", "007", "+1", ".5", "True", "NONE"],
)
def test_what_looks_like_json_and_is_none(written: str, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Text that looks as if JSON was meant is sent with a warning, unless ``--text`` says that it is text."""
    assert main(["pub", "a", written, "--addr", address]) == 0
    said = capsys.readouterr().err
    assert said.startswith("t2bus: warning: the value looks like JSON but is not valid JSON (")
    assert said.count("\n") == 2
    assert main(["pub", "a", written, "--text", "--addr", address]) == 0
    assert "warning" not in capsys.readouterr().err


@given(st.from_regex(r"[a-zA-Z][\w ,.:]*", fullmatch=True) | st.dates().map(str) | st.ip_addresses().map(str))
def test_words_are_no_json(written: str) -> None:
    """Words, dates and addresses are text of which nobody is warned, but for the names of constants."""
    if written.strip().lower() not in {"true", "false", "null", "none"}:
        assert fault_of_json(written) is None


@given(st.text() | st.text('{}[]":,0123456789.eE+- truefalsn', max_size=12))
def test_json_is_never_warned_of(written: str) -> None:
    """What is warned of is exactly what goes as text though it looks like JSON."""
    if fault_of_json(written) is not None:
        assert encode_value(written, text=False) == sent(written)


async def test_lines_that_look_like_json(bus: t2bus.Bus) -> None:
    """Of many lines the first is named with what is wrong, and the others are counted, for they may be thousands."""
    lines = b"hello\n{a: 1}\n{b: 2}\n[\n7\n"
    code, _, said = await run("pub", "a", "--addr", *bus.addresses, stdin=lines)
    assert code == 0
    first, more, *_ = said.splitlines()
    assert first == (
        "t2bus: warning: line 2 of standard input looks like JSON but is not valid JSON (Expecting property name "
        "enclosed in double quotes: column 2), so it is sent as text; --text says that this is meant, --strict "
        "refuses it"
    )
    assert more == "t2bus: warning: 2 more texts that looked like JSON but were not valid JSON"


# --- --strict


@pytest.mark.parametrize("verb", ["pub", "request", "reply"])
@pytest.mark.parametrize("written", ["hello", "{text: Hello}", "", "21,5", "NaN", "[-Infinity]"])
def test_json_is_insisted_on(verb: str, written: str, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--strict`` every verb that sends a value refuses one that is not JSON, before anything is sent."""
    assert main([verb, "a", written, "--strict", "--addr", address]) == 2
    said = capsys.readouterr().err
    assert said.startswith("t2bus: the value is not JSON (")
    assert said.count("\n") == 1


@pytest.mark.parametrize("written", ["1e400", '{"x": [-1e400]}', "1" + 400 * "0" + ".5"])
def test_what_would_be_infinite(written: str, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--strict`` a number that would be sent as infinity is refused."""
    assert main(["pub", "a", "--strict", "--addr", address, "--", written]) == 2
    said = capsys.readouterr().err
    assert said.startswith("t2bus: the value cannot be sent: ")
    assert said.endswith(" is beyond the largest float, 1.79769e+308\n")
    assert said.count("\n") == 1


def test_json_is_taken(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    """With ``--strict`` JSON is sent as without, and the request that is there by default too."""
    assert main(["request", "echo", '{"x": [1]}\r', "--strict", "--addr", address]) == 0
    assert main(["request", "echo", "--strict", "--addr", address]) == 0
    assert capfd.readouterr() == ('{"x": [1]}\n{}\n', "")


async def test_a_line_that_is_not_json(bus: t2bus.Bus) -> None:
    """With ``--strict`` the first line that is not JSON is named and ends the command; those before it were sent."""
    async with bus.open_client() as client, client.subscribe_bytes("a") as messages:
        code, _, said = await run("pub", "a", "--strict", "--addr", *bus.addresses, stdin=b"1\r\n2\nhello\n3\n")
        assert (code, said) == (2, "t2bus: line 3 of standard input is not JSON (Expecting value: column 1)\n")
        await client.publish_bytes("a", b"\x05")
        assert [(await messages.receive()).body for _ in range(3)] == [b"\x01", b"\x02", b"\x05"]


def test_json_and_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A value cannot be text in any case and JSON in any case."""
    assert main(["pub", "a", "1", "--strict", "--text"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err
