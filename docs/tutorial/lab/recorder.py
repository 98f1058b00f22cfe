"""A recorder: writes the readings of many instruments to a file of CSV.

python recorder.py '*/oven' readings.csv
"""

from __future__ import annotations

import argparse
import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import t2bus

from lab import Reading, run

if TYPE_CHECKING:
    from typing import TextIO


async def record(client: t2bus.Client, topic: str, file: TextIO, window: int = 500) -> None:
    """Write a row for each reading, and one where readings are missing."""
    writer = csv.writer(file, lineterminator="\n")
    async with client.subscribe(Reading, topic, messages=window) as readings:
        print(f"recording {readings.topic}", flush=True)
        async for item in readings.items():
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            match item:
                case t2bus.Received():
                    writer.writerow([now, item.topic, item.body.celsius])
                case t2bus.Lagged():
                    writer.writerow([now, "missing", item.dropped or "some"])
                case t2bus.MalformedMessage():
                    writer.writerow([now, item.topic, "malformed"])
            file.flush()


async def main(client: t2bus.Client, arguments: argparse.Namespace) -> None:
    with arguments.file.open("a", newline="", encoding="utf-8") as file:
        await record(client, arguments.topic, file, arguments.window)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="recorder", description="Records readings.")
    parser.add_argument("topic", help="of the instruments, such as '*/oven'")
    parser.add_argument("file", type=Path, help="to which rows are appended")
    parser.add_argument("--window", type=int, default=500, help="readings that may wait")
    run(main, parser, reconnect=t2bus.Reconnect())
