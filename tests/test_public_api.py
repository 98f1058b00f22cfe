"""The names that ``import t2bus`` gives: which they are, what they say of themselves, and what they cost."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest
import trio

import t2bus
from t2bus import disconnected, errors

# What programs may rely on. A name that goes from here breaks them; one that comes is a feature to announce.
PUBLIC = """
BindFailed Bus BusError BusStatistics Client ClientStatistics ConnectFailed Disconnected Federation InvalidAccess
InvalidAddress InvalidTopic Lagged LimitExceeded Limits MalformedMessage MessageTooLarge PermissionDenied
ProtocolViolation PublishProtocol Publisher Receipt Received Reconnect RemoteError Request RequestProtocol
RequestTimeout Requests ServiceBusy ServiceGone ServiceNotFound ServiceRevoked Struct Subscription TlsFailed
TopicClaimed TopicTooBroad Unconfirmed __version__ add_arguments client_of default_address open_bus open_client
register_scalar serve status testing tls topic
"""


def imported_by(code: str) -> set[str]:
    """Run code in a fresh Python and return the top-level packages that it imported."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", f"{code}\n{show}"]
    return set(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split())


class TestNames:
    """Which names there are."""

    def test_are_pinned(self) -> None:
        """The public names are those that are promised."""
        assert sorted(t2bus.__all__) == sorted(PUBLIC.split())

    def test_are_all_unique(self) -> None:
        """No name is exported twice."""
        assert len(t2bus.__all__) == len(set(t2bus.__all__))

    def test_resolve(self) -> None:
        """Every public name can be had, and is the same object each time."""
        assert [name for name in PUBLIC.split() if getattr(t2bus, name) is not getattr(t2bus, name)] == []

    def test_are_listed(self) -> None:
        """All of them are listed, used before or not."""
        assert set(t2bus.__all__) <= set(dir(t2bus))

    def test_unknown_name(self) -> None:
        """A name that is not there raises the usual error."""
        with pytest.raises(AttributeError, match=r"module 't2bus' has no attribute 'open_buss'"):
            _ = getattr(t2bus, "open_" + "buss")

    @pytest.mark.parametrize("name", ["testing", "topic"])
    def test_modules_are_attributes(self, name: str) -> None:
        """The public modules need no import of their own."""
        assert getattr(t2bus, name) is importlib.import_module(f"t2bus.{name}")

    def test_every_error_is_public(self) -> None:
        """All errors of the package are public, and have one root."""
        assert {*errors.__all__, *disconnected.__all__} <= set(t2bus.__all__)
        assert all(issubclass(getattr(t2bus, name), t2bus.BusError) for name in [*errors.__all__, "Disconnected"])

    def test_a_lost_connection_is_a_broken_resource(self) -> None:
        """``Disconnected`` is what Trio's channels raise when their other end is gone."""
        assert issubclass(t2bus.Disconnected, trio.BrokenResourceError)

    def test_version(self) -> None:
        """The version is one that a release may have."""
        assert [part.isdigit() for part in t2bus.__version__.split(".")] == [True, True, True]


def test_modules_are_documented() -> None:
    """Every module says what it is."""
    names = [module.name for module in pkgutil.walk_packages(t2bus.__path__, "t2bus.")]
    assert [name for name in names if not (importlib.import_module(name).__doc__ or "").strip()] == []


class TestCost:
    """What an import imports."""

    @pytest.mark.parametrize("code", ["import t2bus", "import t2bus; dir(t2bus)", "import t2bus.topic"])
    def test_import_is_lazy(self, code: str) -> None:
        """Neither Trio nor attrs or cbor2 is imported before a name needs it."""
        assert not {"trio", "attrs", "attr", "cbor2"} & imported_by(code)

    def test_names_are_imported_on_use(self) -> None:
        """A public name brings what it needs when it is used."""
        assert "trio" in imported_by("import t2bus; t2bus.open_client")

    def test_the_engine_is_for_those_who_join(self) -> None:
        """Neither opening a bus nor saying how one joins others imports what only the extra brings."""
        assert "zenoh" not in imported_by("import t2bus; t2bus.open_bus; t2bus.Federation")
