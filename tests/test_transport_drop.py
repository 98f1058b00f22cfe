"""What is left to be written, and what is written at once: buffers without their beginning, and that alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.transport.socket_stream import beginning, drop

Buffer = bytes | memoryview


def view(data: bytes) -> memoryview:
    return memoryview(data)


some_buffers: st.SearchStrategy[list[Buffer]] = st.lists(
    st.binary(max_size=5) | st.binary(max_size=5).map(view), max_size=8
)


@given(some_buffers, st.integers(0, 45))
@steady(300)
def test_what_is_dropped_is_the_beginning(buffers: list[Buffer], count: int) -> None:
    """What is left, put together, is all of the bytes but as many at the beginning, and no buffer if that is all."""
    whole = b"".join(buffers)
    left = drop(buffers, count)
    assert b"".join(left) == whole[count:]
    assert bool(left) == (count < len(whole))


@given(some_buffers, st.lists(st.integers(0, 7), max_size=10))
@steady(100)
def test_dropping_twice_is_dropping_both(buffers: list[Buffer], counts: list[int]) -> None:
    """It makes no difference in how many steps bytes are dropped."""
    left = buffers
    for count in counts:
        left = drop(left, count)
    assert b"".join(left) == b"".join(drop(buffers, sum(counts)))


def test_nothing_is_copied() -> None:
    """What is left of a buffer is a view of it, and the others are the same objects."""
    buffers = [b"first", b"second", b"third"]
    left = drop(buffers, 7)
    assert [bytes(each) for each in left] == [b"cond", b"third"]
    assert isinstance(left[0], memoryview)
    assert left[0].obj is buffers[1]
    assert left[1] is buffers[2]
    assert all(each is buffer for each, buffer in zip(drop(buffers, 0), buffers, strict=True))


def test_the_buffers_stay_as_they_are() -> None:
    """Who called may go on with the buffers that it has."""
    buffers: list[Buffer] = [b"", b"first", b"second"]
    for count in (0, 3, 5, 11):
        drop(buffers, count)
    assert buffers == [b"", b"first", b"second"]


@given(some_buffers, st.integers(1, 45))
@steady(300)
def test_the_beginning_is_what_is_dropped(buffers: list[Buffer], count: int) -> None:
    """The beginning of buffers and what is left without it are all of their bytes."""
    first = beginning(buffers, count)
    assert len(first) == min(count, sum(map(len, buffers)))
    assert bytes(first) + b"".join(drop(buffers, count)) == b"".join(buffers)


def test_one_buffer_is_its_own_beginning() -> None:
    """A buffer that is alone is not copied, be it whole or a part."""
    buffer = b"alone"
    assert beginning([buffer], 5) is buffer
    part = beginning([buffer], 4)
    assert isinstance(part, memoryview)
    assert part.obj is buffer
