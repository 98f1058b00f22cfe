"""One process of a measurement: `python -m benchmarks.role SYSTEM ROLE ADDRESS WORK`.

SYSTEM names one of the modules ``with_*`` beside this one, ROLE a function of it; WORK is JSON (``work.py``). The
process writes ``ready`` when others may start. Publishers and requesters then make a burst for each line that they
read; they and subscribers write ``end`` after each burst, and then what was measured as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

from .work import Work

if __name__ == "__main__":
    system, role, address, work = sys.argv[1:]
    module = import_module(f"benchmarks.with_{system}")
    act = getattr(module, role)
    if module.RUN.__module__.startswith("asyncio"):
        module.RUN(act(address, Work(**json.loads(work))))
    else:
        module.RUN(act, address, Work(**json.loads(work)))
