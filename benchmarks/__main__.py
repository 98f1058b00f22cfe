"""Measure t2bus beside other systems: `python -m benchmarks [WORKLOAD...] [--rounds N] [--only-t2bus]
[--installed] [--baseline PYTHON] [--json FILE] [--markdown FILE] [--plot FILE]`.

Only the ratios mean anything: this machine and its neighbours are in the absolute figures. Systems that are not there
are skipped with a line that says so.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .builds import OWN, NoBuild, installed_in
from .measuring import Measurements
from .report import heading, lines, machine, write_json, write_markdown, write_plot
from .workloads import WORKLOADS


def _arguments() -> argparse.Namespace:
    about = "\n".join(f"  {name:12}{act.__doc__}" for name, act in WORKLOADS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=(__doc__ or "").partition("\n\n")[2],
        epilog=f"workloads:\n{about}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="what is measured (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each system is measured (default 5)")
    parser.add_argument("--quick", action="store_true", help="one round: shows that all works, measures nothing")
    parser.add_argument("--only-t2bus", action="store_true", help="leave the other systems out")
    parser.add_argument(
        "--installed", action="store_true", help="measure the t2bus in this interpreter's environment, not the checkout's"
    )
    parser.add_argument(
        "--baseline", metavar="PYTHON", help="measure the t2bus in the environment of this interpreter beside it, in turn"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the ratios there as a table")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the figures, where matplotlib is installed")
    arguments = parser.parse_args()
    if unknown := set(arguments.workloads) - set(WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    if arguments.rounds < 1:
        parser.error("--rounds is at least 1")
    return arguments


def main() -> None:
    arguments = _arguments()
    measurements = Measurements(
        1 if arguments.quick else arguments.rounds,
        installed_in(sys.executable) if arguments.installed else OWN,
        installed_in(arguments.baseline) if arguments.baseline else None,
        arguments.only_t2bus,
    )
    try:
        print("measured:", measurements.build.origin())
        if measurements.baseline is not None:
            print("baseline:", measurements.baseline.origin())
    except NoBuild as error:
        raise SystemExit(f"no t2bus to measure: {error}") from None
    print(", ".join(f"{name} {value}" for name, value in machine().items()), f"rounds {measurements.rounds}", sep=", ")
    print(heading())
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
    if arguments.plot and (reason := write_plot(measurements, arguments.plot)):
        print(reason)


if __name__ == "__main__":
    main()
