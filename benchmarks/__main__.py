"""Measure t2bus beside other systems, and beside another build of itself: `python -m benchmarks [WORKLOAD...]`.

Only the ratios mean anything: this machine and its neighbours are in the absolute figures. Systems that are not there
are skipped with a line that says so. Where a much faster interpreter has the packages of this one, all is measured with
that. With `--baseline PYTHON` each system that runs t2bus has its turn twice in each round, with this build and with
the one that is installed in the environment of that interpreter.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

from . import interpreters, plots
from .builds import OWN, NoBuild, installed_in
from .measuring import Measurements
from .report import heading, lines, machine, write_json, write_markdown
from .workloads import WORKLOADS

_PACKAGES: Final = (
    "attrs",
    "cbor2",
    "trio",
    "aiomqtt",
    "cryptography",
    "hiredis",
    "matplotlib",
    "nats",
    "redis",
    "zmq",
)


def _parser() -> argparse.ArgumentParser:
    about = "\n".join(f"  {name:12}{act.__doc__}" for name, act in WORKLOADS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=(__doc__ or "").partition("\n\n")[2],
        epilog=f"workloads:\n{about}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("workloads", nargs="*", metavar="WORKLOAD", help="what is measured (default: all)")
    add("--rounds", type=int, default=5, help="how often each system is measured (default 5)")
    add("--quick", action="store_true", help="one round: shows that all works, measures nothing")
    add("--only-t2bus", action="store_true", help="leave the other systems out")
    add("--this-python", action="store_true", help="stay with this interpreter, however slow it is")
    add("--installed", action="store_true", help="measure the installed t2bus, and not the one in this folder")
    add("--baseline", metavar="PYTHON", help="measure beside it the t2bus that is installed for this interpreter")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    add("--markdown", type=Path, metavar="FILE", help="write the ratios there as a table")
    add("--plot", type=Path, metavar="FILE", help="draw FILE-rate, -fan, -latency and -cpu (needs matplotlib)")
    return parser


def _arguments() -> argparse.Namespace:
    parser = _parser()
    arguments = parser.parse_args()
    if unknown := set(arguments.workloads) - set(WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    if arguments.rounds < 1:
        parser.error("--rounds is at least 1")
    return arguments


def _measurements(arguments: argparse.Namespace) -> Measurements:
    return Measurements(
        1 if arguments.quick else arguments.rounds,
        installed_in(sys.executable) if arguments.installed else OWN,
        installed_in(arguments.baseline) if arguments.baseline else None,
        arguments.only_t2bus,
    )


def _open(measurements: Measurements, arguments: argparse.Namespace) -> None:
    """Say what is measured on what, and what speaks against it; begin again with a much faster interpreter."""
    for role, build in measurements.builds.items():
        print(f"{role + ':':10}{build.origin()}")
    print(", ".join(f"{name} {value}" for name, value in machine().items()), f"rounds {measurements.rounds}", sep=", ")
    if not arguments.quick:
        used, found = interpreters.compare([build.python for build in measurements.builds.values()])
        print("\n", "\n".join(interpreters.table(used, found)), sep="")
        # Two builds are compared, and an installed one is measured, each with the interpreter that was named for it.
        if not (arguments.this_python or arguments.installed or arguments.baseline):
            here = filter(find_spec, _PACKAGES)
            if used and (faster := interpreters.faster_with(list(here), used[0], found)):
                _run_again(faster)
        for warning in interpreters.warnings(used, found):
            measurements.note(warning)
    if warning := interpreters.load_warning():
        measurements.note(warning)


def _run_again(python: str) -> NoReturn:
    print(f"\n{python} is much faster, and has the same packages: all is measured with it (or use --this-python)\n")
    sys.stdout.flush()
    os.execv(python, [python, "-m", "benchmarks", *sys.argv[1:], "--this-python"])


def main() -> None:
    arguments = _arguments()
    measurements = _measurements(arguments)
    try:
        _open(measurements, arguments)
    except NoBuild as error:
        raise SystemExit(f"no t2bus to measure: {error}") from None
    print(f"\n{heading()}")
    for workload in arguments.workloads or WORKLOADS:
        print(f"\n{workload}: {WORKLOADS[workload].__doc__}")
        for case in WORKLOADS[workload]():
            for line in lines(measurements.run(workload, case)):
                print(line, flush=True)
            # After each case: whoever stops a long run keeps what was measured.
            if arguments.json:
                write_json(measurements, arguments.json)
            if arguments.markdown:
                write_markdown(measurements, arguments.markdown)
    if arguments.plot and (reason := plots.write(measurements.rows, arguments.plot)):
        print(reason)


if __name__ == "__main__":
    main()
