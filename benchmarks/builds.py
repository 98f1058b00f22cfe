"""Builds of t2bus: which interpreter runs the programs of a measurement, and which t2bus they import.

`python -m benchmarks` in a checkout finds the checkout's own t2bus first. A build that is installed somewhere must not
be hidden by it, so its programs see neither the folder they are started in (``PYTHONSAFEPATH``) nor anything of this
checkout but the package ``benchmarks``, which they find through a link in a folder of its own (``PYTHONPATH``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from attrs import frozen

from .programs import Skipped

_BATCHES: Final = "import t2bus; t2bus.Publisher.send_batch"
_ORIGIN: Final = "import t2bus, sys; print('.'.join(map(str, sys.version_info[:3])), t2bus.__version__, t2bus.__file__)"


class NoBuild(Exception):
    """An interpreter cannot import t2bus; the text says what it said."""


@frozen
class Build:
    """An interpreter that can import t2bus."""

    python: str
    installed: bool
    """Whether its programs import the t2bus of its environment, or that of the checkout they are started in."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of its programs."""
        if not self.installed:
            return dict(os.environ)
        return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": _folder().name}

    def origin(self) -> str:
        """Say which t2bus the interpreter imports; raise NoBuild where there is none."""
        return _ask_for_origin(self)

    def require_batches(self) -> None:
        """Raise Skipped if its t2bus is from before there were batches."""
        if not _has_batches(self):
            raise Skipped(f"this build has no batches: {self.origin()}")


@cache
def _has_batches(build: Build) -> bool:
    done = subprocess.run([build.python, "-c", _BATCHES], env=build.environment, capture_output=True, check=False)
    return done.returncode == 0


@cache
def _ask_for_origin(build: Build) -> str:
    try:
        done = subprocess.run(
            [build.python, "-c", _ORIGIN], env=build.environment, capture_output=True, text=True, check=True
        )
    except OSError as error:
        raise NoBuild(f"{build.python}: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        raise NoBuild(f"{build.python}: {(error.stderr.strip().splitlines() or ['failed'])[-1]}") from None
    python, version, path = done.stdout.strip().split(" ", 2)
    return f"t2bus {version} in {Path(path).parent}, run by {build.python} ({python})"


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that holds the package of the benchmarks and nothing else, until this program ends."""
    folder = tempfile.TemporaryDirectory(prefix="t2bus-bench-path-")  # removed when the program ends
    (Path(folder.name) / __package__).symlink_to(Path(__file__).parent.resolve())
    return folder


def installed_in(python: str) -> Build:
    """Return the build in the environment of an interpreter; its path stays a link, which tells the environment."""
    return Build(str(Path(python).absolute()), installed=True)


OWN: Final = Build(sys.executable, installed=False)
"""This interpreter, and the t2bus that it imports here: in a checkout, the checkout's."""
