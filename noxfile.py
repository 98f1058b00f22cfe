"""Every check of the project. `nox` runs them all, `nox -s tests -- -k topic` runs part of one.

The tests run against the built wheel, on every supported Python that this machine has.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2026.10"
nox.options.sessions = [
    "tests",
    "fuzz",
    "interop",
    "federation",
    "faults",
    "lint",
    "types",
    "package",
    "changelog",
    "docs",
]
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
SUPPORTED = ("3.11", "3.12", "3.13")
TRIED = (*SUPPORTED, "3.14")
"""What is tested where it is present; the newest is promised to nobody."""

CHECKED = ("t2bus", "tests", "examples", "docs/tutorial/lab", "docs/_ext", "benchmarks")
"""The folders of Python files whose types are checked, and what Trio asks of them."""

IN_FOUR = ("-n", "4", "--dist", "worksteal")
"""Run tests in four processes, of which one that has no more takes some of another's. Half of the time tests wait for
other programs, so this is faster on two processors as well."""

ALL_EXAMPLES = "--hypothesis-profile=all"

FULLY_COVERED = "t2bus/topic.py,t2bus/liveness.py,t2bus/wire/*,t2bus/rust/*,t2bus/broker/*,t2bus/session/*"


def candidates(version: str) -> list[Path]:
    """The places where this Python may lie: pyenv's own folders, newest first, then the PATH."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(
        pyenv.glob(f"versions/{version}.*/bin/{name}"),
        key=lambda path: [int(part) for part in path.parts[-3].split(".") if part.isdecimal()],
        reverse=True,
    )
    return found + [Path(path) for folder in os.get_exec_path() if (path := shutil.which(name, path=folder))]


def runs(interpreter: Path, version: str) -> bool:
    """Whether it is there for real: a pyenv shim of a version that is not active exits with 127."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([interpreter, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def present_pythons() -> list[str]:
    """The versions of ``TRIED`` that run here, each made the first of its name on the PATH for nox to find."""
    present = []
    for version in TRIED:
        interpreter = next((path for path in candidates(version) if runs(path, version)), None)
        if interpreter is not None:
            os.environ["PATH"] = f"{interpreter.parent}{os.pathsep}{os.environ['PATH']}"
            present.append(version)
    return present or [f"{sys.version_info.major}.{sys.version_info.minor}"]


PYTHONS = present_pythons()


def group(name: str) -> list[str]:
    """The requirements of one dependency group."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


def folders(*names: str) -> list[str]:
    """Those of the folders that hold Python files."""
    return [name for name in names if any((ROOT / name).rglob("*.py"))]


def sources(*names: str) -> list[str]:
    """The Python files below these folders."""
    return [str(path.relative_to(ROOT)) for name in names for path in sorted((ROOT / name).rglob("*.py"))]


def asynchronous(*names: str) -> list[str]:
    """Those of these files that may run in Trio: to look at the others for its pitfalls takes two minutes."""
    return [path for path in sources(*names) if re.search("async|trio", (ROOT / path).read_text(encoding="utf-8"))]


def wheel_folder(session: nox.Session) -> Path:
    """The folder, below .nox, that holds what the `wheel` session built."""
    return Path(session.cache_dir) / "dist"


def install_wheel(session: nox.Session, *requirements: str) -> None:
    """Install what `wheel` built, beside these requirements, resolved together."""
    (wheel,) = wheel_folder(session).glob("*.whl")
    session.install(str(wheel), *requirements)
    # A kept environment (`nox -r`) may hold an older build of the same version.
    session.install("--force-reinstall", "--no-deps", str(wheel), silent=True)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the sdist, and from it the wheel: what either lacks, the sessions that use the wheel will miss."""
    shutil.rmtree(wheel_folder(session), ignore_errors=True)
    session.install("build>=1.5,<2")
    session.run("python", "-m", "build", "--outdir", str(wheel_folder(session)), silent=True)


@nox.session(python=PYTHONS, requires=["wheel"])
def tests(session: nox.Session) -> None:
    """Run the suite, a whole one in four processes; on the first Python present, that also enforces the coverage.

    There the laws are tried on all their examples, on the others on a fifth of them.
    """
    if session.python == PYTHONS[0] and (absent := sorted(set(TRIED) - set(PYTHONS))):
        session.warn(f"Not on this machine, so not tested: Python {', '.join(absent)}")
    install_wheel(session, *group("test"))
    # t2bus is the wheel: a safe path keeps the working directory off sys.path, here and in programs the tests start.
    env = {"PYTHONSAFEPATH": "1"}
    if session.posargs or session.python != PYTHONS[0]:
        session.run("python", "-m", "pytest", *(session.posargs or IN_FOUR), env=env)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *IN_FOUR, ALL_EXAMPLES, env=env)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", f"--include={FULLY_COVERED}", "--fail-under=100")
    session.run("coverage", "report", f"--omit={FULLY_COVERED}", "--fail-under=95")


@nox.session(requires=["wheel"])
def properties(session: nox.Session) -> None:
    """Try the laws of the suite on all their examples, and nothing else."""
    install_wheel(session, *group("test"))
    options = [*IN_FOUR, "-m", "hypothesis", ALL_EXAMPLES, *session.posargs]
    session.run("python", "-m", "pytest", *options, env={"PYTHONSAFEPATH": "1"})


# The newest ones are those that atheris has wheels for.
@nox.session(python=PYTHONS[-1], requires=["wheel"])
def fuzz(session: nox.Session) -> None:
    """Send ten thousand mutated first messages of each kind to a bus, then run each target of tests/fuzz for a minute.

    ``nox -s fuzz -- 3600`` runs each for an hour.
    """
    install_wheel(session, *group("test"))
    env = {"PYTHONSAFEPATH": "1", "T2BUS_FUZZ": "10000"}
    session.run("python", "-m", "pytest", "tests/test_fuzz_handshake.py", env=env)
    try:
        session.install("--only-binary=:all:", *group("fuzz"))
    except nox.command.CommandFailed:
        session.warn("atheris has no wheel for this Python: the targets of tests/fuzz were not run")
        return
    seconds = session.posargs[0] if session.posargs else os.environ.get("T2BUS_FUZZ_SECONDS", "60")
    # A working directory on sys.path would put the sources before the wheel; a script's folder does not.
    session.run("python", "tests/fuzz/every.py", seconds, str(Path(session.cache_dir) / "findings"))


@nox.session(requires=["wheel"])
def interop(session: nox.Session) -> None:
    """Join programs of the Rust crate t2_bus, which are built first; without cargo the tests say so and skip."""
    install_wheel(session, *group("test"))
    session.run("python", "-m", "pytest", "tests/interop", *IN_FOUR, *session.posargs, env={"PYTHONSAFEPATH": "1"})


@nox.session(requires=["wheel"])
def federation(session: nox.Session) -> None:
    """Run servers that are one bus as processes; kill, freeze, part and restart them. Figures come at the end.

    Run it alone: a busy machine is taken for a dead one.
    """
    install_wheel(session, *group("test"))
    session.run("python", "-m", "pytest", "tests/federation", *session.posargs, env={"PYTHONSAFEPATH": "1"})


@nox.session(requires=["wheel"])
def faults(session: nox.Session) -> None:
    """Stop, starve, flood and kill buses and clients in processes of their own, for minutes; figures come at the end.

    Run it alone: figures of time are those of a machine that does nothing else.
    """
    install_wheel(session, *group("test"))
    session.run(
        "python",
        "-m",
        "pytest",
        "-o",
        "faulthandler_timeout=400",
        "tests/faults",
        *session.posargs,
        env={"PYTHONSAFEPATH": "1"},
    )


@nox.session(requires=["wheel"])
def soak(session: nox.Session) -> None:
    """Do as ``faults``, and then ``fuzz``, for longer: ``nox -s soak -- --minutes N``.

    What lasts lasts N minutes each, 10 unless it is said, and what is counted is counted N times as far.
    """
    parser = argparse.ArgumentParser(prog="nox -s soak --", allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments, others = parser.parse_known_args(session.posargs)
    seconds = round(60 * arguments.minutes)
    install_wheel(session, *group("test"))
    runs = str(round(2000 * arguments.minutes))
    env = {"PYTHONSAFEPATH": "1", "T2BUS_SOAK": str(arguments.minutes), "T2BUS_MODEL_RUNS": runs}
    patience = f"faulthandler_timeout={300 + 3 * seconds}"
    session.notify("fuzz", [str(seconds)])
    session.run("python", "-m", "pytest", "-o", patience, "tests/faults", *others, env=env)


@nox.session(requires=["wheel"])
def bench(session: nox.Session) -> None:
    """Measure t2bus beside its peers; those whose server is not on this machine are skipped."""
    install_wheel(session, *group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(requires=["wheel"])
def package(session: nox.Session) -> None:
    """Check what would be uploaded, its long description too, and run the command as ``uvx`` and ``pipx run`` do."""
    session.install(*group("package"))
    (built,) = wheel_folder(session).glob("*.whl")
    (sdist,) = wheel_folder(session).glob("*.tar.gz")
    session.run("twine", "check", "--strict", str(built), str(sdist))
    session.run("check-wheel-contents", str(built))
    env = {"PIPX_HOME": str(Path(session.create_tmp()) / "pipx"), "UV_NO_CACHE": "1", "UV_PYTHON_DOWNLOADS": "never"}
    page = (ROOT / "docs" / "quick-start.md").read_text(encoding="utf-8")
    for line in re.findall(r"^(?:uvx|pipx run) .*", page, re.MULTILINE):
        words = [str(built) if word == "./dist/*.whl" else word for word in shlex.split(line)]
        # Named, so that neither makes do with an older Python that it finds first.
        after = words.index("run") + 1 if "run" in words else 1
        session.run(*words[:after], "--python", sys.executable, *words[after:], env=env, silent=True)


@nox.session
def changelog(session: nox.Session) -> None:
    """Show what the next release has in its changelog; a fragment with a wrong name, or without a word, fails."""
    session.install(*group("changelog"))
    session.run("towncrier", "build", "--draft", "--version", "NEXT", "--date", "YYYY-MM-DD")
    empty = [path.name for path in (ROOT / "changelog.d").iterdir() if not path.read_text(encoding="utf-8").strip()]
    if empty:
        session.error(f"Empty: {', '.join(empty)}")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, Trio's pitfalls and the direction of imports.

    ``nox -s lint -- FILE ...`` looks for the pitfalls in these files only, which takes seconds and not minutes.
    """
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    # ASYNC910 to 913 cannot see that a helper that is awaited is a checkpoint; tests show it for every public call. 114
    # and 128 cannot see that a task_status is handed on, and want every startable function listed by name.
    disabled = "ASYNC910,ASYNC911,ASYNC912,ASYNC913,ASYNC114,ASYNC128"
    session.run("flake8-async", f"--disable={disabled}", *(session.posargs or asynchronous(*CHECKED)))
    # The import graph is read from the sources in the working directory; nothing is executed or installed.
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": str(ROOT)})


@nox.session(requires=["wheel"])
def types(session: nox.Session) -> None:
    """Check the types as this repository, and as a user of the wheel sees them."""
    install_wheel(session, *group("types"))
    session.run("mypy", "--strict", *folders(*CHECKED))
    # The second asks for strictness itself: programs of users, whose mistakes have to be found, and nothing else.
    session.run("pyright", "t2bus", "tests/typed_programs.py", "docs/tutorial/lab")
    # Away from the repository, so that t2bus can only be the installed one.
    session.chdir(session.create_tmp())
    session.run("pyright", "--verifytypes", "t2bus", "--ignoreexternal")


@nox.session(python=PYTHONS[-1], requires=["wheel"])
def docs(session: nox.Session) -> None:
    """Make the site of docs/ in build/site, or with ``nox -s docs -- FOLDER`` there.

    A broken link, a page that no table of contents has, and a public name that has no docstring or no page fail it.
    """
    install_wheel(session, *group("docs"))
    folder = session.posargs[0] if session.posargs else "build/site"
    doctrees = str(Path(session.cache_dir) / "doctrees")
    options = ["-W", "--keep-going", "--fresh-env", "--quiet", "-d", doctrees]
    session.run("sphinx-build", *options, "docs", folder, env={"PYTHONSAFEPATH": "1"})
