"""For the tests of programs that use t2bus: a bus without sockets, and Hypothesis strategies for topics.

::

    from t2bus.testing import bus  # in conftest.py

    async def test_greeting(bus):
        async with bus.open_client() as client, client.subscribe(Hello, "*") as messages:
            await client.publish("alice", Hello("Hello Alice"))
            assert (await messages.receive()).body.text == "Hello Alice"

The fixture needs pytest with pytest-trio, the strategies need Hypothesis; each is imported when it is used.

The law of this module: what it gives is made of the public interface alone, so a test sees what a program sees.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

import trio
from attrs import define, field

from .background import open_background_nursery
from .client.connect import open_client
from .documented import Documented
from .limits import Limits
from .server.open import open_bus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from hypothesis.strategies import DrawFn, SearchStrategy
    from trio.testing import MemoryReceiveStream, MemorySendStream

    from .client.client import Client
    from .client.dialling import Reconnect
    from .server.bus import Bus

    _End = trio.StapledStream[MemorySendStream, MemoryReceiveStream]

__all__ = ["UnsteadyBus", "bus", "concrete_topics", "matching_pairs", "memory_bus", "topics", "unsteady_bus"]

_LONGEST_NAME: Final = 3


def memory_bus(**limits: Any) -> AbstractAsyncContextManager[Bus]:
    """Open a bus that has no listeners, with other limits in one line; ``async with`` gives the :class:`t2bus.Bus`.

    There is no socket and no thread, so it suits Trio's autojump clock: nothing takes real time.

    ::

        async def test_a_slow_reader_is_told(autojump_clock):
            async with memory_bus(subscription_messages=1) as bus, bus.open_client() as client:
                async with client.subscribe(Hello, "**") as messages:
                    await client.publish("alice", Hello("first"))
                    await client.publish("alice", Hello("second"))
                    await messages.receive()
                    with pytest.raises(t2bus.Lagged):
                        await messages.receive()

    Entering and leaving are those of :func:`t2bus.open_bus`.

    Args:
      limits: those of :class:`t2bus.Limits` that are not to be the default.

    Raises:
      TypeError: there is no such limit.
      ValueError: it is too small, or contradicts another.

    """
    return open_bus(limits=Limits(**limits))


@define(eq=False)
class UnsteadyBus(metaclass=Documented):
    """A place in memory where a bus is, or is not: what :func:`unsteady_bus` gives.

    A call of it that is cancelled leaves it in no certain state: leave its block then.
    """

    limits: Limits
    """Those of each bus that is restored there."""
    _nursery: trio.Nursery
    bus: Bus | None = field(default=None, init=False)
    """The bus that is there now; None while there is none."""
    _streams: set[_End] = field(factory=set, init=False)
    """The bus's ends of all connections."""
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _ended: trio.Event = field(factory=trio.Event, init=False)

    def open_client(
        self, *, reconnect: Reconnect | None = None, limits: Limits | None = None, name: str | None = None
    ) -> AbstractAsyncContextManager[Client]:
        """Open a client as :func:`t2bus.open_client` does where an address leads here."""
        return open_client(self._open_stream, reconnect=reconnect, limits=limits, name=name)

    async def _open_stream(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if self.bus is None:
            raise ConnectionRefusedError("no bus is there")
        # Imported only here: it imports pytest, where that is installed.
        here, there = import_module("trio.testing").memory_stream_pair()
        self._streams.add(there)
        self._nursery.start_soon(self._serve, self.bus, there)
        return cast("trio.abc.Stream", here)

    async def _serve(self, bus: Bus, stream: _End) -> None:
        try:
            await bus.serve_stream(stream, identity="local")
        except trio.ClosedResourceError:  # it has gone meanwhile
            await trio.aclose_forcefully(stream)
        finally:
            self._streams.discard(stream)

    async def restore(self) -> Bus:
        """Have a bus there, which knows nothing of any before; return it when it can be reached.

        Raises:
          RuntimeError: a bus is there already.

        """
        if self.bus is not None:
            raise RuntimeError("a bus is there already: lose() it first")
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        opened: Bus = await self._nursery.start(self._run)
        return opened

    async def _run(self, *, task_status: trio.TaskStatus[Bus]) -> None:
        try:
            with self._scope:
                async with open_bus(limits=self.limits) as self.bus:
                    task_status.started(self.bus)
                    await trio.sleep_forever()
        finally:
            self._ended.set()

    async def lose(self) -> None:
        """Have the bus gone as if its process was killed: nothing more is written, and nobody is told.

        It returns when the bus has ended, at once where none is.
        """
        self.bus = None
        # All before any task runs: a bus that sees one of them go would tell the others.
        for stream in self._streams:
            stream.send_stream.close()
            stream.receive_stream.close()
        self._scope.cancel()
        await self._ended.wait()


def unsteady_bus(**limits: Any) -> AbstractAsyncContextManager[UnsteadyBus]:
    """Open a bus in memory that can be lost and restored; ``async with`` gives the :class:`UnsteadyBus`.

    ::

        async def test_the_recorder_goes_on(autojump_clock):
            async with unsteady_bus() as place, place.open_client(reconnect=t2bus.Reconnect()) as client:
                async with client.subscribe(Hello, "**") as messages:
                    await place.lose()
                    await place.restore()
                    with pytest.raises(t2bus.Lagged):
                        await messages.receive()

    Leaving the block shuts the bus down; leave those of its clients before.

    Args:
      limits: as for :func:`memory_bus`.

    """
    return _run_unsteady(Limits(**limits))


@asynccontextmanager
async def _run_unsteady(limits: Limits) -> AsyncGenerator[UnsteadyBus, None]:
    async with open_background_nursery() as nursery:
        place = UnsteadyBus(limits, nursery)
        await place.restore()
        yield place


if TYPE_CHECKING:

    def bus() -> AsyncGenerator[Bus, None]:
        """Give a bus in memory with default limits: a pytest fixture, for use with pytest-trio.

        Import it in ``conftest.py``, or write ``pytest_plugins = ["t2bus.testing"]`` there, and name it in a test. Each
        test has a bus of its own, which is shut down when the test has ended.
        """
        ...

else:

    def __getattr__(name: str) -> object:
        """Make the fixture on its first use."""
        if name != "bus":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        pytest = _import("pytest", "the fixture `bus` of t2bus.testing needs pip install pytest pytest-trio")

        async def bus() -> AsyncGenerator[Bus, None]:  # noqa: ASYNC900 -- pytest makes it a fixture
            """Give a bus in memory with default limits."""
            async with memory_bus() as opened:
                yield opened  # noqa: ASYNC119 -- pytest-trio closes it

        fixture = globals()[name] = pytest.fixture(bus)
        return fixture


def __dir__() -> list[str]:
    """List the fixture too, made or not: pytest looks for it here."""
    return sorted({*globals(), *__all__})


def _import(module: str, otherwise: str) -> Any:
    """Import what only tests need, or say how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(otherwise) from error


def _strategies() -> Any:
    return _import("hypothesis.strategies", "the strategies of t2bus.testing need pip install hypothesis")


# --- strategies


def concrete_topics(*, max_depth: int = 4, alphabet: str = "ab") -> SearchStrategy[str]:
    """Generate topics without wildcards, such as ``a``, ``ab/b`` and ``a/a/bab/b``.

    ::

        @given(concrete_topics())
        def test_routes(topic): ...

    Fragments have one to three characters. A failing example shrinks to the fewest and shortest of them.

    Args:
      max_depth: how many fragments a topic has at most.
      alphabet: the characters that fragments are made of. The fewer there are, the more often topics meet.

    """
    return _joined(_names(alphabet), max_depth)


def topics(*, max_depth: int = 4, alphabet: str = "ab") -> SearchStrategy[str]:
    """Generate topics of every kind, with and without wildcards, such as ``a/*`` and ``**/b/**``.

    Arguments are those of :func:`concrete_topics`.

    ::

        @given(topics(), topics())
        def test_is_symmetric(a, b):
            assert intersects(a, b) == intersects(b, a)
    """
    return _joined(_strategies().one_of(_names(alphabet), _strategies().sampled_from(["*", "**"])), max_depth)


def matching_pairs(*, max_depth: int = 4, alphabet: str = "ab") -> SearchStrategy[tuple[str, str]]:
    """Generate a topic to subscribe to and one to publish to that meet; arguments as :func:`concrete_topics`.

    ::

        @given(matching_pairs())
        def test_is_delivered(pair):
            subscribed, published = pair

    Every pair of topics that meet can come out: a concrete topic is drawn, and then two that it matches. Topics have at
    most ``max_depth`` fragments, with and without wildcards.
    """

    def pair(draw: DrawFn) -> tuple[str, str]:
        # Two topics may have nothing shorter in common: `a/b/**` and `**/c/d` have not.
        fragments = draw(concrete_topics(max_depth=2 * max_depth, alphabet=alphabet)).split("/")
        return _widened(draw, fragments, max_depth), _widened(draw, fragments, max_depth)

    return cast("SearchStrategy[tuple[str, str]]", _strategies().composite(pair)())


def _names(alphabet: str) -> SearchStrategy[str]:
    return cast("SearchStrategy[str]", _strategies().text(alphabet, min_size=1, max_size=_LONGEST_NAME))


def _joined(fragments: SearchStrategy[str], max_depth: int) -> SearchStrategy[str]:
    return cast("SearchStrategy[str]", _strategies().lists(fragments, min_size=1, max_size=max_depth).map("/".join))


def _widened(draw: DrawFn, fragments: list[str], max_depth: int) -> str:
    """Draw a topic that the fragments match: each is kept, or ``*`` stands for it, or ``**`` for any number of them."""
    st = _strategies()
    widened: list[str] = []
    while fragments:
        is_last = len(widened) == max_depth - 1
        choices = ["**"] if is_last and len(fragments) > 1 else [fragments[0], "*", "**"]
        widened.append(draw(st.sampled_from(choices)))
        taken = 1 if widened[-1] != "**" else len(fragments) if is_last else draw(st.integers(0, len(fragments)))
        fragments = fragments[taken:]
    while len(widened) < max_depth and draw(st.booleans()):
        widened.append("**")
    return "/".join(widened)
