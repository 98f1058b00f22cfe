"""The files that contexts are made from: each that cannot be used is named, with the reason."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

import t2bus
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
    text = f"the private key in {files.key} belongs to another user (uid 12345)"
    with pytest.raises(t2bus.TlsFailed, match=f"^{re.escape(text)}$"):
        files.server()


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
