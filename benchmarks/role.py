"""One process of a measurement: `python -m benchmarks.role SYSTEM ROLE ADDRESS WORK`.

SYSTEM names one of the modules ``with_*`` beside this one, ROLE a function of it; WORK is JSON (``work.py``). The
process writes ``ready`` when others may start. Publishers and requesters then make a burst for each line that they
read; they and subscribers write ``end`` after each burst, and then what was measured as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from importlib import import_module

from .work import Work


def _end_with_the_harness() -> None:
    """Wait for the end of standard input, which is that of the harness, however it came, and end."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    system, role, address, work = sys.argv[1:]
    if role in {"serve", "answer", "subscribe"}:
        # The others read their orders, and end with them.
        threading.Thread(target=_end_with_the_harness, daemon=True).start()
    module = import_module(f"benchmarks.with_{system}")
    act = getattr(module, role)
    if module.RUN.__module__.startswith("asyncio"):
        module.RUN(act(address, Work(**json.loads(work))))
    else:
        module.RUN(act, address, Work(**json.loads(work)))
