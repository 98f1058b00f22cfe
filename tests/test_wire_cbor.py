"""CBOR: a reader that refuses what the wires have no use for and can be used again, and heads as short as they go."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2bus.wire.cbor import KeptReader, encode_head, encode_text
from wire_corpus import IDS, TEXTS

items = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.text(max_size=30) | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

REFUSED = {
    "a tag": "c1 00",
    "a big integer": "c2 41 01",
    "indefinite length": "9f ff",
    "a key twice": "a2 61 6b 01 61 6b 02",
    "a key that is a number": "a1 01 02",
    "four containers inside each other": "81 81 81 81 00",
    "an item cut short": "83 01 02",
    "text that is not UTF-8": "61 ff",
    "nothing": "",
}


def read(kept: KeptReader, data: bytes) -> object:
    kept.reader.fp = io.BytesIO(data)
    return kept.reader.decode()


@given(st.lists(items, max_size=4))
def test_items_are_read_one_after_the_other(items: list[object]) -> None:
    """A reader returns the items of its source in order, and then the source stands right behind the last one."""
    parts = list(map(cbor2.dumps, items))
    source = io.BytesIO(b"".join(parts))
    reader = KeptReader(depth=10).reader
    reader.fp = source
    for number, item in enumerate(items, 1):
        assert reader.decode() == item
        assert source.tell() == len(b"".join(parts[:number]))


@pytest.mark.parametrize("what", REFUSED)
def test_a_reader_that_refused_goes_on_with_another_source(what: str) -> None:
    """What was wrong with one source, however often, does not matter for the next."""
    kept = KeptReader(depth=3)
    for _ in range(5):
        with pytest.raises(cbor2.CBORError):
            read(kept, bytes.fromhex(REFUSED[what]))
        assert read(kept, bytes.fromhex("81 81 81 00")) == [[[0]]]


def test_each_thread_has_a_reader_of_its_own() -> None:
    """A reader is kept for the next use, in its own thread alone."""
    kept = KeptReader(depth=3)
    with ThreadPoolExecutor(max_workers=1) as pool:
        others = [pool.submit(lambda: kept.reader).result() for _ in range(2)]
    assert others[0] is others[1]
    assert kept.reader is kept.reader is not others[0]


@pytest.mark.parametrize("number", IDS)
def test_heads_are_as_short_as_they_go(number: int) -> None:
    """The head of an unsigned integer is all of it, and that of an array what stands in front of its items."""
    assert encode_head(0, number) == cbor2.dumps(number)
    assert encode_head(1, number) == cbor2.dumps(-1 - number)


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_encoded_alike_every_time(text: str) -> None:
    """A text is its bytes in UTF-8 behind their number, the first time and the next."""
    data = text.encode()
    assert encode_text(text) == encode_text(text) == encode_head(3, len(data)) + data
