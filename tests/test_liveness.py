"""The silence of a peer, on a clock that the test sets."""

from __future__ import annotations

import math

from attrs import define, field

from t2bus.liveness import TICK, Liveness, Signs, Verdict


@define(eq=False)
class End:
    """One end, which looks once a second from 0 on, pings after 10 s, and gives its peer up after 20 s of silence."""

    write_stall: float = 1000.0
    speaks: bool = False
    """Whether it says something between any two looks."""
    now: float = field(default=0.0, init=False)
    heard_at: float = field(default=-math.inf, init=False)
    writing_since: float | None = field(default=None, init=False)
    _liveness: Liveness = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._liveness = Liveness(10.0, 20.0, self.write_stall, self.now)

    def look(self, *, after: float = TICK) -> Verdict:
        self.now += after
        return self._liveness.look(self.now, Signs(self.heard_at, self.writing_since, self.speaks))

    def run(self, until: float) -> list[float]:
        """Look until then, and return when a ping was due; nobody is given up."""
        pings = []
        while self.now < until:
            verdict = self.look()
            assert verdict in (Verdict.FINE, Verdict.PING)
            if verdict is Verdict.PING:
                pings.append(self.now)
        return pings

    def run_to_end(self) -> tuple[Verdict, float]:
        """Look until the peer is given up, and return why and when."""
        while (verdict := self.look()) in (Verdict.FINE, Verdict.PING):
            pass
        return verdict, self.now


def test_silence_asks_for_one_ping() -> None:
    """A peer that has been silent for the interval is to be pinged, once in each silence."""
    end = End(speaks=True)
    assert end.run(15) == [10.0]
    end.heard_at = 15.0
    assert end.run(30) == [25.0]


def test_an_end_that_says_nothing_pings() -> None:
    """An end that hears its peer all the while and says nothing is to ping, as the peer needs a sign of life too."""
    end, pings = End(), []
    for second in range(100):
        end.heard_at = float(second)
        pings += end.run(second + 1)
    assert pings == [10.0 * count for count in range(1, 11)]


def test_a_busy_connection_carries_no_pings() -> None:
    """Where both ends say something all the while no ping is due."""
    end = End(speaks=True)
    for second in range(100):
        end.heard_at = float(second)
        assert end.run(second + 1) == []


def test_a_peer_that_stays_silent_is_gone() -> None:
    """Silence for the second time is the end; anything heard before is life."""
    assert End().run_to_end() == (Verdict.SILENT, 20.0)
    end = End()
    end.run(19)
    end.heard_at = 19.9
    assert end.run_to_end() == (Verdict.SILENT, 40.0)


def test_what_is_read_after_a_late_look_is_life() -> None:
    """A peer is given up at no look that is late, but at the next, unless it is heard until then."""
    for heard_at, end_at in ((-math.inf, 21.5), (20.6, 41.5)):
        end = End()
        end.run(19)
        assert end.look(after=1.5) in (Verdict.FINE, Verdict.PING)
        end.heard_at = heard_at
        assert end.run_to_end() == (Verdict.SILENT, end_at)


def test_a_pause_of_this_end_is_nobodys_silence() -> None:
    """A look that comes late counts two ticks of silence, however long it was; so a peer that is gone is found then."""
    end = End()
    end.run(15)
    assert end.look(after=3600.0) is Verdict.PING
    assert end.run_to_end() == (Verdict.SILENT, 3615.0 + 3.0)


def test_an_end_that_never_looks_in_time_finds_its_peer_gone() -> None:
    """Where each look comes late the peer that is silent is given up all the same."""
    end = End()
    verdicts = [end.look(after=5.0) for _ in range(12)]
    assert Verdict.SILENT in verdicts


def test_what_was_heard_in_a_pause_is_life() -> None:
    """A peer that spoke while this end was stopped is silent from then on, and not for longer."""
    end = End()
    end.run(15)
    end.heard_at = 115.0
    end.look(after=100.0)
    assert end.run_to_end() == (Verdict.SILENT, 135.0)


def test_a_write_that_gets_nowhere_is_the_end() -> None:
    """A peer that takes nothing for the stall time is given up, whatever is heard of it, and told from a silent one."""
    end = End(write_stall=5.0)
    end.run(3)
    end.heard_at, end.writing_since = 1000.0, 3.0
    assert end.run_to_end() == (Verdict.STALLED, 8.0)


def test_a_write_that_gets_on_is_none() -> None:
    """Whatever is taken begins the stall time anew, and a write that is over ends it."""
    end = End(write_stall=5.0)
    end.heard_at, end.writing_since = 1000.0, 0.0
    end.run(4)
    end.writing_since = 4.5
    end.run(9)
    end.writing_since = None
    end.run(50)


def test_a_pause_of_this_end_stalls_no_write() -> None:
    """What a peer could take while this end was stopped counts two ticks, as its silence does."""
    end = End(write_stall=5.0)
    end.heard_at, end.writing_since = 1e6, 0.0
    end.run(1)
    end.look(after=3600.0)
    assert end.run_to_end() == (Verdict.STALLED, 3601.0 + 2.0)
