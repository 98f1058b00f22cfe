"""The files that contexts are made from: each that cannot be used is named, with the reason."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import trio

import t2bus
from program_helpers import open_program
from t2bus.tls import expiry
from tls_helpers import Files, Leaf, bus_leaf, client_leaf, encrypted, write

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[[Files], ssl.SSLContext]

both_sides = pytest.mark.parametrize("make", [Files.server, Files.client], ids=["bus", "client"])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Give the right files of an end."""
    return write(tmp_path, "end", bus_leaf())


def remove_ca(files: Files) -> str:
    files.ca.unlink()
    return f"cannot read {files.ca}: No such file or directory"


def remove_certificate(files: Files) -> str:
    files.certificate.unlink()
    return f"cannot read {files.certificate}: No such file or directory"


def remove_key(files: Files) -> str:
    files.key.unlink()
    return f"cannot read {files.key}: No such file or directory"


def make_key_a_folder(files: Files) -> str:
    files.key.unlink()
    files.key.mkdir(mode=0o700)
    return f"cannot read {files.key}: Is a directory"


def spoil_ca(files: Files) -> str:
    files.ca.write_text("nonsense")
    return f"{files.ca} holds no certificate of an authority in PEM"


def take_key_for_ca(files: Files) -> str:
    shutil.copy(files.key, files.ca)
    return f"{files.ca} holds no certificate of an authority in PEM"


def spoil_certificate(files: Files) -> str:
    files.certificate.write_text("nonsense")
    return f"{files.certificate} and {files.key} do not hold a certificate and its private key in PEM"


def spoil_key(files: Files) -> str:
    files.key.write_bytes(bus_leaf().key[:80])
    return f"{files.certificate} and {files.key} do not hold a certificate and its private key in PEM"


def swap_certificate_and_key(files: Files) -> str:
    files.replace(Leaf(bus_leaf().key, bus_leaf().certificate))
    return f"{files.certificate} and {files.key} do not hold a certificate and its private key in PEM"


def leave_the_key_out(files: Files) -> str:
    files.key.unlink()
    files.key.symlink_to(files.certificate)
    files.certificate.chmod(0o600)
    return f"{files.certificate} and {files.key} do not hold a certificate and its private key in PEM"


def take_the_key_of_another(files: Files) -> str:
    files.key.write_bytes(client_leaf().key)
    return f"{files.key} is not the key of the certificate in {files.certificate}"


def encrypt_key(files: Files) -> str:
    files.replace(encrypted(bus_leaf()))
    return f"{files.key} is encrypted: decrypt it, or pass an ssl.SSLContext of your own"


@both_sides
@pytest.mark.parametrize(
    "spoil",
    [
        remove_ca,
        remove_certificate,
        remove_key,
        make_key_a_folder,
        spoil_ca,
        take_key_for_ca,
        spoil_certificate,
        spoil_key,
        swap_certificate_and_key,
        leave_the_key_out,
        take_the_key_of_another,
        encrypt_key,
    ],
)
def test_files_that_cannot_be_used(make: Make, files: Files, spoil: Callable[[Files], str]) -> None:
    """A file that cannot be used raises ``TlsFailed``, which names it and says why."""
    text = spoil(files)
    with pytest.raises(t2bus.TlsFailed, match=f"^{re.escape(text)}$"):
        make(files)


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(0o640, marks=pytest.mark.skipif(os.geteuid() == 0, reason="this key would be root's")),
        0o604,
        0o660,
        0o610,
        0o602,
        0o644,
        0o666,
    ],
)
def test_a_key_that_others_can_read(files: Files, mode: int) -> None:
    """A key that its group or others may do anything with is refused, and the text says how to mend it."""
    files.key.chmod(mode)
    text = f"others can read the private key in {files.key}: run `chmod 600 {files.key}`, or make a new key"
    with pytest.raises(t2bus.TlsFailed, match=f"^{re.escape(text)}$"):
        files.server()


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_key_that_is_private(files: Files, mode: int) -> None:
    """A key that only its owner may do anything with is taken."""
    files.key.chmod(mode)
    assert expiry(files.server()) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has keys of root's")
@pytest.mark.parametrize("mode", [0o440, 0o640])
def test_a_key_of_roots_that_a_group_can_read(files: Files, mode: int) -> None:
    """A key of root's may be read by its group, as secrets are mounted in containers."""
    os.chown(files.key, 0, 12_345)
    files.key.chmod(mode)
    assert expiry(files.server()) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user(files: Files) -> None:
    """A key that belongs to another user, who may change it, is refused."""
    os.chown(files.key, 12_345, -1)
    text = (
        f"the private key in {files.key} belongs to another user (uid 12345): use a copy of your own, such as "
        f"`install -m 600 {files.key} private.key` makes"
    )
    with pytest.raises(t2bus.TlsFailed, match=f"^{re.escape(text)}$"):
        files.server()


BECOME_ANOTHER = """
    import _strptime, calendar, encodings.idna, os, sys
    from t2bus import TlsFailed
    from t2bus.tls import server_context

    # Only now, and with what ssl imports late: another user may not be allowed to read the modules.
    os.setgroups([int(sys.argv[4])])
    os.setresgid(65_533, 65_533, 65_533)
    os.setresuid(65_534, 65_534, 65_534)
    try:
        server_context(ca=sys.argv[1], certificate=sys.argv[2], key=sys.argv[3])
    except TlsFailed as error:
        print(error)
    else:
        print("taken")
"""


@pytest.fixture
def mounted(folder: Path) -> Files:
    """Give the files of an end of which the key is root's, in a folder that all users can go through."""
    folder.chmod(0o755)
    files = write(folder, "a key's", bus_leaf())
    for path in (files.ca, files.certificate):
        path.chmod(0o644)
    os.chown(files.key, 0, 12_345)
    return files


async def as_another(files: Files, *, group: int = 0) -> str:
    """Return what becomes of the files where they are another user's, who is in a group."""
    arguments = [str(files.ca), str(files.certificate), str(files.key), str(group)]
    async with open_program(BECOME_ANOTHER, *arguments) as program:
        return await program.stdout.next()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize("mode", [0o440, 0o640])
async def test_a_secret_of_roots_is_taken_by_who_is_in_its_group(mounted: Files, mode: int) -> None:
    """A key that is mounted for a group, and that nobody there can change, is taken as it is."""
    mounted.key.chmod(mode)
    assert await as_another(mounted, group=12_345) == "taken"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
async def test_the_remedy_for_a_key_of_roots_can_be_carried_out(mounted: Files, tmp_path: Path) -> None:
    """Who cannot change the mode of a key is not told to: the command that is printed makes a copy that is taken."""
    mounted.key.chmod(0o644)
    said = await as_another(mounted)
    assert said.startswith(f"others can read the private key in {mounted.key}: use a copy of your own, such as `")
    assert said.endswith(" makes, or have it mounted with mode 0440")
    await trio.run_process(shlex.split(said.split("`")[1]), cwd=tmp_path)
    copied = Files(mounted.ca, mounted.certificate, tmp_path / "private.key")
    assert expiry(copied.server()) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has keys of root's")
def test_a_key_on_a_read_only_file_system_cannot_be_closed(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root is not told to change the mode of a secret that is mounted read-only."""
    files.key.chmod(0o644)
    read_only = os.statvfs_result([*os.statvfs(files.key)[:8], os.ST_RDONLY, 255])
    monkeypatch.setattr("os.statvfs", lambda _: read_only)
    with pytest.raises(t2bus.TlsFailed, match="use a copy of your own, such as `install"):
        files.server()


def test_the_remedy_for_a_key_of_ones_own_can_be_carried_out(tmp_path: Path) -> None:
    """Who can change the mode of a key is told how, by a command that a shell takes whatever the path."""
    files = write(tmp_path, "a key's", bus_leaf())
    files.key.chmod(0o644)
    with pytest.raises(t2bus.TlsFailed) as caught:
        files.server()
    subprocess.run(shlex.split(str(caught.value).split("`")[1]), check=True)
    assert expiry(files.server()) is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_a_key_that_cannot_be_read(files: Files) -> None:
    """A key that its owner may not read is named itself, not the certificate."""
    files.key.chmod(0o200)
    with pytest.raises(t2bus.TlsFailed, match=f"^cannot read {re.escape(str(files.key))}: Permission denied$"):
        files.server()


def test_a_combined_file_is_as_private_as_a_key(files: Files) -> None:
    """A file with certificate and key that others can read is refused as a key is."""
    files.certificate.write_bytes(bus_leaf().certificate + bus_leaf().key)
    files.certificate.chmod(0o644)
    with pytest.raises(t2bus.TlsFailed, match="others can read the private key"):
        t2bus.tls.server_context(ca=files.ca, certificate=files.certificate)


def test_a_certificate_alone(files: Files) -> None:
    """Without a key, a file that holds none is told from one that is not private enough."""
    with pytest.raises(t2bus.TlsFailed, match=f"^{re.escape(str(files.certificate))} holds no private key: name the"):
        t2bus.tls.server_context(ca=files.ca, certificate=files.certificate)
    missing = files.certificate.with_name("missing.pem")
    with pytest.raises(t2bus.TlsFailed, match=f"^cannot read {re.escape(str(missing))}: No such file or directory$"):
        t2bus.tls.server_context(ca=files.ca, certificate=missing)
