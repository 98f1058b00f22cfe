"""A bus whose certificate is replaced while it runs, and the warnings before it expires."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import t2bus
from bus_helpers import Note
from tls_helpers import (
    AGO,
    AHEAD,
    CLIENT,
    FAR_AHEAD,
    HOST,
    LONG_AGO,
    Files,
    Leaf,
    TlsSite,
    bare_context,
    bus_leaf,
    client_leaf,
    encrypted,
    expires_in,
    leaf,
    log,
    odd_leaf,
    open_tls_site,
    open_watched_site,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEW = leaf(HOST, not_after=FAR_AHEAD)


async def shown_end(site: TlsSite) -> str:
    """Return when the certificate expires that the bus shows to newcomers."""
    context = bare_context()
    context.set_alpn_protocols(["t2bus/1"])
    async with await site.open_stream() as stream:
        secure = trio.SSLStream(stream, context, server_hostname=HOST)
        await secure.do_handshake()
        end: str = secure.getpeercert()["notAfter"]
        return end


OLD_END = "Jan  1 00:00:00 3000 GMT"


async def test_a_reload_under_traffic(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A new certificate is shown to new connections from then on, and those that are there lose nothing."""
    async with (
        open_watched_site(tmp_path) as site,
        site.connect() as one,
        site.connect() as other,
        one.subscribe(Note, "traffic") as notes,
    ):
        assert await shown_end(site) == OLD_END

        async def publish() -> None:
            async with other.open_publisher(Note, "traffic") as publisher:
                for number in range(500):
                    await publisher.send(Note(str(number)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            for number in range(500):
                assert (await notes.receive()).body == Note(str(number))
                if number == 100:
                    site.files.replace(NEW)
                    site.bus.reload()
        assert await shown_end(site) == "Jan  1 00:00:00 2901 GMT"
        await site.try_out()


async def test_reloads_in_the_middle_of_handshakes(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A handshake that had begun before a reload ends well, wherever it was."""
    async with open_watched_site(tmp_path) as site, trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(site.try_out)
        for number in range(20):
            await trio.testing.wait_all_tasks_blocked()
            site.files.replace(NEW if number % 2 else bus_leaf())
            site.bus.reload()


async def test_a_reload_with_another_authority(clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """A reload changes whom the bus trusts too: of new connections only, for there is no look back."""
    async with open_tls_site(tmp_path) as site, site.connect() as client:
        write(tmp_path, "bus", leaf(HOST, by="another"), trusts="another")
        site.bus.reload()
        with pytest.raises(t2bus.TlsFailed, match="is of an authority that this end does not trust"):
            async with site.connect():
                pass
        new = write(tmp_path, "new", leaf("bob", by="another"), trusts="another").client()
        async with t2bus.open_client(str(site.address), tls=new), client.subscribe(Note, "x"):
            assert site.bus.statistics().identities == {"alice.example": 1, "bob": 1}


def replace(leaf: Leaf) -> Callable[[Files], None]:
    return lambda files: files.replace(leaf)


def open_the_key(files: Files) -> None:
    files.key.chmod(0o644)


def remove_the_key(files: Files) -> None:
    files.key.unlink()


def trust_another(files: Files) -> None:
    write(files.ca.parent, "bus", bus_leaf(), trusts="another")


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (replace(leaf(HOST, not_before=LONG_AGO, not_after=AGO)), "would be refused: certificate has expired"),
        (replace(leaf(HOST, not_before=AHEAD, not_after=FAR_AHEAD)), "would be refused: certificate is not yet valid"),
        (replace(leaf(HOST, by="another")), "would be refused: unable to get local issuer certificate"),
        (trust_another, "would be refused: unable to get local issuer certificate"),
        (replace(odd_leaf(uses=(CLIENT,))), "would be refused: un.*certificate purpose"),
        (replace(Leaf(bus_leaf().certificate, client_leaf().key)), "is not the key of the certificate in"),
        (replace(encrypted(bus_leaf())), "is encrypted"),
        (replace(Leaf(b"half a cert", b"")), "do not hold a certificate and its private key"),
        (open_the_key, "others can read the private key"),
        (remove_the_key, "cannot read .*: No such file"),
    ],
    ids=["expired", "early", "stranger", "trust", "use", "mismatch", "encrypted", "half", "open", "missing"],
)
async def test_a_reload_that_fails(
    clock: trio.testing.MockClock, tmp_path: Path, spoil: Callable[[Files], None], text: str
) -> None:
    """A reload of files that cannot be used raises ``TlsFailed``, and what was in force stays so."""
    async with open_watched_site(tmp_path) as site:
        spoil(site.files)
        with pytest.raises(t2bus.TlsFailed, match=text):
            site.bus.reload()
        assert await shown_end(site) == OLD_END
        await site.try_out()


async def test_a_reload_without_tls() -> None:
    """A bus without certificates has nothing to read again."""
    async with t2bus.open_bus() as bus:
        bus.reload()
        assert bus.statistics().connections == 0


# --- warnings of expiry


def warnings_of_expiry(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in log(caplog) if "expires" in line]


@pytest.mark.parametrize(("days", "warnings"), [(13.9, 1), (14.1, 0)])
async def test_a_warning_before_the_certificate_expires(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: float, warnings: int
) -> None:
    """A bus warns at its opening of a certificate that expires within 14 days, and says when, and what to do."""
    expires_soon = expires_in(days=days)
    async with open_tls_site(tmp_path, expires_soon) as site:
        lines = warnings_of_expiry(caplog)
        assert len(lines) == warnings
        for line in lines:
            end = t2bus.tls.expiry(site.files.server())
            assert end is not None
            assert line == f"the bus's certificate expires at {end:%Y-%m-%d %H:%M}+00:00: renew it and reload"


async def test_a_warning_after_the_certificate_has_expired(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bus whose certificate has expired already warns of that too, for no client will take it."""
    async with open_tls_site(tmp_path, leaf(HOST, not_before=LONG_AGO, not_after=AGO)):
        (line,) = warnings_of_expiry(caplog)
        assert "2002-01-01" in line


async def test_a_warning_at_a_reload(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A reload warns of a certificate that expires soon as the opening does."""
    async with open_tls_site(tmp_path) as site:
        assert warnings_of_expiry(caplog) == []
        site.files.replace(expires_in(days=1))
        site.bus.reload()
        assert len(warnings_of_expiry(caplog)) == 1


async def test_a_warning_each_day(
    clock: trio.testing.MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning comes again each day, whatever has become of the files meanwhile."""
    async with open_tls_site(tmp_path, expires_in(days=3)) as site:
        site.files.key.unlink()
        site.files.certificate.unlink()
        clock.jump(86_400)
        await trio.sleep(2)
        assert len(warnings_of_expiry(caplog)) == 2
        await site.try_out()


async def test_contexts_of_ones_own_expire_unseen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is said of a context of one's own, whose certificate cannot be seen."""
    own = bare_context(is_server=True)
    own.verify_mode = ssl.CERT_REQUIRED
    with caplog.at_level(logging.WARNING):
        async with t2bus.open_bus(f"tls:{HOST}:0", tls=own):
            assert log(caplog) == []
