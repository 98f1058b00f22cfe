"""What ``t2bus bench`` measures, and how it is shown.

::

    >>> print(Measurement("pub", "bench/x", messages=2000, size=200_000, seconds=0.5, cpu=0.01).as_text())
    bench pub bench/x
      messages    2000 of 100 bytes in 0.500 s
      rate        4000 messages/s, 0.40 MB/s
      CPU         5.0 us of this process per message
    >>> percentiles([0.001, 0.003, 0.002])
    {'p50': 2000.0, 'p90': 3000.0, 'p99': 3000.0, 'max': 3000.0}

A megabyte is 1,000,000 bytes of payloads. Times are taken by the clock of the process, that of CPU for all its threads.

The law of this module: a number that was not measured is not shown.
"""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return which times so many hundredths of all do not exceed, in microseconds; each is one that was measured."""
    ranked = sorted(seconds)
    return {name: round(ranked[math.ceil(share * len(ranked)) - 1] * 1e6, 1) for name, share in _SHARES.items()}


@define(eq=False)
class Measurement:
    """How much was done, and how long it took until the last :meth:`count`."""

    action: str
    topic: str
    messages: int = 0
    size: int = 0
    """Bytes of their payloads."""
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of this process."""
    before: int = 0
    """Messages of these that had come when the clocks began, and the bytes of them."""
    size_before: int = 0
    counts: dict[str, int] = field(factory=dict)
    """What else was counted, by its name."""
    latencies: list[float] = field(factory=list)
    """Seconds of each request."""
    _begun: tuple[float, float] | None = field(default=None, init=False)

    @property
    def has_begun(self) -> bool:
        """Whether the clocks run."""
        return self._begun is not None

    @property
    def has_rate(self) -> bool:
        """Whether there was something while the clocks ran."""
        return self.messages > self.before and self.seconds > 0

    def begin(self, messages: int = 0, size: int = 0) -> None:
        """Start the clocks, with what is there already, of which nobody knows how long it took."""
        self.messages = self.before = messages
        self.size = self.size_before = size
        self._begun = time.perf_counter(), time.process_time()

    def count(self, messages: int, size: int) -> None:
        """Count what was done until now."""
        assert self._begun is not None
        self.messages += messages
        self.size += size
        begun, cpu = self._begun
        self.seconds, self.cpu = time.perf_counter() - begun, time.process_time() - cpu

    def _rates(self) -> tuple[float, float, float]:
        """Return messages and megabytes per second, and microseconds of CPU per message."""
        messages, size = self.messages - self.before, self.size - self.size_before
        return messages / self.seconds, size / self.seconds / 1e6, self.cpu / messages * 1e6

    def as_text(self) -> str:
        """Return the result for people, in several lines."""
        each = f" of {self.size / self.messages:.0f} bytes" if self.messages else ""
        rows = {"messages": f"{self.messages}{each} in {self.seconds:.3f} s"}
        if self.has_rate:
            messages, size, cpu = self._rates()
            rows["rate"] = f"{messages:.0f} messages/s, {size:.2f} MB/s"
            rows["CPU"] = f"{cpu:.1f} us of this process per message"
        if self.latencies:
            rows["time"] = ", ".join(f"{name} {value:.0f} us" for name, value in percentiles(self.latencies).items())
        rows |= {name: str(number) for name, number in self.counts.items()}
        return "\n".join([f"bench {self.action} {self.topic}", *(f"  {name:<12}{row}" for name, row in rows.items())])

    def as_json(self) -> str:
        """Return the result for programs, in one line."""
        result: dict[str, Any] = {"bench": self.action, "topic": self.topic, "messages": self.messages}
        result |= {"bytes": self.size, "seconds": round(self.seconds, 6)}
        if self.has_rate:
            messages, size, cpu = self._rates()
            result["messages_per_second"] = round(messages, 1)
            result["megabytes_per_second"] = round(size, 3)
            result["cpu_us_per_message"] = round(cpu, 2)
        if self.latencies:
            result["latency_us"] = percentiles(self.latencies)
        return json.dumps(result | self.counts)
