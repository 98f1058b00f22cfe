"""Run every fuzzing target for some time, two at once, and say in a line each how it went.

::

    python tests/fuzz/every.py 60 findings/
    topic_text            1,234,567 inputs in 61 s, 412 kept: nothing found

What a target finds is kept in the folder, and the end of what it says is shown. Exit code 1 if there is any.
"""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
TARGETS: Final = sorted(path for path in HERE.glob("*_*.py"))
AT_ONCE: Final = 2
TAIL: Final = 60
"""Lines that are shown of a target that found something."""


def run(target: Path, seconds: int, folder: Path) -> bool:
    """Run a target to its end and say how it went; tell whether it found nothing."""
    prefix = f"-artifact_prefix={folder / target.stem}-"
    words = [sys.executable, str(target), f"-max_total_time={seconds}", prefix, "-print_final_stats=1"]
    done = subprocess.run(
        words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines = done.stdout.splitlines()
    ran = re.search(r"Done (\d+) runs in (\d+) second", done.stdout)
    kept = re.findall(r"corp: (\d+)/", done.stdout)
    if done.returncode == 0 and ran is not None:
        print(f"{target.stem:20} {int(ran[1]):12,} inputs in {ran[2]} s, {kept[-1] if kept else 0} kept: nothing found")
        return True
    print("\n".join([*lines[-TAIL:], f"{target.stem}: ended with {done.returncode}; its input is in {folder}"]))
    return False


def main() -> int:
    """Run all, as the command line says."""
    seconds, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        fine = list(pool.map(lambda target: run(target, seconds, folder), TARGETS))
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
