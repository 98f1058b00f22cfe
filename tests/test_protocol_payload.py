"""What payloads are: which bytes are read and which are not, and what is said of those that are not."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from attrs import define, field, frozen
from hypothesis import example, given
from hypothesis import strategies as st

from pure_helpers import steady
from t2bus.errors import BusError, MalformedMessage
from t2bus.protocol import decode, decode_all, decode_any, encode, encode_all, encode_as
from t2bus.protocol.payload import DEPTH

if TYPE_CHECKING:
    from collections.abc import Callable


@frozen
class Item:
    name: str
    price: int


@frozen
class Order:
    number: int
    items: list[Item]
    notes: dict[str, float | None] = field(factory=dict)
    extra: Any = None
    parent: Order | None = None


@define
class Link:
    next: Link | None = None


ORDER = Order(1, [Item("a", 2), Item("b", 3)], {"x": 1.5}, {"y": [b"z", "h\u00e9"]}, Order(2, []))


def linked(length: int) -> Link:
    """Make a chain of this many links."""
    chain = Link()
    for _ in range(length - 1):
        chain = Link(chain)
    return chain


def test_a_payload_is_one_plain_cbor_item() -> None:
    """A payload holds what any CBOR library reads, without help."""
    assert cbor2.loads(encode(Item("a", 2))) == {"name": "a", "price": 2}


NOT_PAYLOADS = {
    "nothing": b"",
    "half an item": b"\x82\x01",
    "two items": b"\x01\x02",
    "a tag": b"\xc1\x00",
    "a tag in a list": b"\x81\xd9\x01\x02\x80",
    "a bignum": cbor2.dumps(2**64),
    "shared values": b"\x82\xd8\x1c\x80\xd8\x1d\x00",
    "self-described CBOR": b"\xd9\xd9\xf7\x00",
    "an indefinite list": b"\x9f\x01\xff",
    "an indefinite map": b"\xbf\x61a\x01\xff",
    "an indefinite text": b"\x7f\x61a\xff",
    "an indefinite byte string": b"\x5f\x41a\xff",
    "a key twice": b"\xa2\x61a\x01\x61a\x02",
    "an int for a key": b"\xa1\x01\x02",
    "a list for a key": b"\xa1\x80\x02",
    "broken text": b"\x62\xc3\x28",
    "a lone surrogate": b"\x63\xed\xa0\x80",
    "a break alone": b"\xff",
    "a reserved length": b"\x1c",
    "a list longer than memory": b"\x9b" + b"\xff" * 8,
    "a text longer than memory": b"\x7b" + b"\xff" * 8,
    "a map longer than memory": b"\xbb" + b"\xff" * 8,
    "too many lists": b"\x81" * (DEPTH + 1) + b"\x00",
    "far too many lists": b"\x81" * 1_000_000,
    "far too many tags": b"\xc1" * 1_000_000,
    "far too many maps": b"\xa1\x61a" * 300_000,
}


@pytest.mark.parametrize("payload", NOT_PAYLOADS.values(), ids=NOT_PAYLOADS)
def test_other_bytes_are_refused(payload: bytes) -> None:
    """Bytes that are not exactly one plain item are refused, whatever they were to become."""
    with pytest.raises(MalformedMessage, match=r"^Any: (the bytes are no payload: |more bytes follow)"):
        decode(payload, Any)


@pytest.mark.parametrize("payload", NOT_PAYLOADS.values(), ids=NOT_PAYLOADS)
def test_a_payload_is_read_well_after_a_bad_one(payload: bytes) -> None:
    """Nothing of a payload that was refused is left for the next."""
    with pytest.raises(MalformedMessage):
        decode(payload, Any)
    assert decode(encode(ORDER), Order) == ORDER


def test_items_nest_to_the_bound() -> None:
    """The decoder takes as many lists around each other as are allowed."""
    assert decode_any(b"\x81" * DEPTH + b"\x00") == decode(b"\x81" * DEPTH + b"\x00", list)


@pytest.mark.parametrize("empty", [b"\x80", b"\xa0"], ids=["list", "map"])
@pytest.mark.parametrize("read", [partial(decode, type_=Any), decode_any], ids=["typed", "shown"])
def test_an_empty_container_is_a_level_too(empty: bytes, read: Callable[[bytes], object]) -> None:
    """What a sender may not nest a receiver refuses, though nothing is in the innermost."""
    read(b"\x81" * (DEPTH - 1) + empty)
    with pytest.raises(MalformedMessage, match=f"nest deeper than {DEPTH}$"):
        read(b"\x81" * DEPTH + empty)


def test_a_sender_may_nest_to_the_bound() -> None:
    """What nests as deep as allowed is sent and read."""
    assert decode(encode(linked(DEPTH)), Link) == linked(DEPTH)


def test_a_sender_may_not_nest_deeper() -> None:
    """What no receiver would read is not sent."""
    with pytest.raises(MalformedMessage, match=f"^Link: lists, dicts and classes nest deeper than {DEPTH}$"):
        encode(linked(DEPTH + 1))


def test_a_value_that_contains_itself_is_not_sent() -> None:
    """A cycle ends in the error that every unsuitable value ends in."""
    chain = Link()
    chain.next = chain
    with pytest.raises(MalformedMessage, match="RecursionError"):
        encode(chain)


def test_a_plain_value_that_contains_itself_is_not_sent() -> None:
    """A cycle of lists ends so too."""
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(MalformedMessage, match="RecursionError"):
        encode_as(cycle, Any)


def test_threads_do_not_disturb_each_other() -> None:
    """Payloads are read in several threads at once."""
    orders = [Order(n, [Item(str(n), n)] * 200) for n in range(4)]
    barrier = threading.Barrier(len(orders))
    read: dict[int, bool] = {}

    def work(order: Order) -> None:
        payload = encode(order)
        barrier.wait()
        read[order.number] = all(decode(payload, Order) == order for _ in range(20))

    threads = [threading.Thread(target=work, args=[order]) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == dict.fromkeys(range(4), True)


# --- what is said


def test_the_text_leads_to_the_field() -> None:
    """The text names the class and the way to the flaw."""
    plain = {"number": 1, "items": [{"name": "a", "price": 1}, {"name": "b", "price": "2"}]}
    with pytest.raises(MalformedMessage) as caught:
        decode(cbor2.dumps(plain), Order)
    assert str(caught.value) == "Order.items[1].price: expected int, got str"


def test_the_error_is_of_the_bus() -> None:
    """Whoever catches the root of the bus's errors catches this one."""
    with pytest.raises(BusError):
        decode(b"", Item)


def test_the_cause_is_chained_on_encoding() -> None:
    """What was found wrong in a value is the cause of the error."""
    with pytest.raises(MalformedMessage) as caught:
        encode(Item("\ud800", 1))
    cause = caught.value.__cause__
    assert cause is not None
    assert isinstance(cause.__cause__, UnicodeEncodeError)


def test_the_cause_is_chained_on_decoding() -> None:
    """What the CBOR library says is the cause of the error."""
    with pytest.raises(MalformedMessage) as caught:
        decode(b"", Item)
    assert isinstance(caught.value.__cause__, cbor2.CBORDecodeEOF)


def _refuse(_instance: object, _attribute: object, text: str) -> None:
    raise ValueError(*([f"bad text: {text}"] if text else []))


@frozen
class Noisy:
    text: str = field(validator=_refuse)
    numbers: dict[str, int] = field(factory=dict)


def test_texts_are_short() -> None:
    """A text is bounded, however long what it speaks of."""
    with pytest.raises(MalformedMessage) as caught:
        decode(cbor2.dumps({"text": "x" * 100_000}), Noisy)
    assert str(caught.value).startswith("Noisy: ValueError: bad text: xxx")
    assert len(str(caught.value)) <= 300


def test_paths_are_short() -> None:
    """A key in a path is bounded, however long."""
    with pytest.raises(MalformedMessage) as caught:
        decode(cbor2.dumps({"text": "", "numbers": {"k" * 100_000: ""}}), Noisy)
    assert str(caught.value).endswith(": expected int, got str")
    assert len(str(caught.value)) <= 300


def test_texts_are_one_printable_line() -> None:
    """Nothing that a payload holds can write more than letters to a terminal or a log."""
    with pytest.raises(MalformedMessage, match=r"^Noisy: ValueError: bad text: a\?\[31mb\?c$"):
        decode(cbor2.dumps({"text": "a\x1b[31mb\nc"}), Noisy)


def test_errors_without_a_text_are_named() -> None:
    """An exception of a class that says nothing is told by its name."""
    with pytest.raises(MalformedMessage, match=r"^Noisy: ValueError$"):
        decode(cbor2.dumps({"text": ""}), Noisy)


# --- whatever the bytes are


READERS: list[Callable[[bytes], object]] = [partial(decode, type_=Order), partial(decode, type_=Any), decode_any]


@given(st.binary(max_size=64))
@steady(500)
def test_random_bytes_end_in_a_value_or_in_one_error(payload: bytes) -> None:
    """No bytes raise anything else than MalformedMessage."""
    for read in READERS:
        try:
            read(payload)
        except MalformedMessage as error:
            assert len(str(error)) <= 300  # noqa: PT017


@given(st.integers(0, 10_000), st.binary(max_size=4), st.integers(0, 8))
@example(0, b"\xff", 0)
@steady(500)
def test_damaged_payloads_end_in_a_message_or_in_one_error(at: int, put: bytes, skip: int) -> None:
    """A payload with a few bytes replaced, put in or left out raises nothing else than MalformedMessage."""
    payload = encode(ORDER)
    at %= len(payload)
    damaged = payload[:at] + put + payload[at + skip :]
    for read in READERS:
        try:
            read(damaged)
        except MalformedMessage as error:
            assert len(str(error)) <= 300  # noqa: PT017


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list("nipxy")) | st.text(), inner),
    max_leaves=12,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["number", "items", "notes", "extra", "parent"], json_like)))
@steady(300)
def test_what_is_read_can_be_sent_on(plain: dict[str, Any]) -> None:
    """A message that was read from foreign bytes is one that may be sent."""
    try:
        order = decode(cbor2.dumps(plain), Order)
    except MalformedMessage:
        return
    assert repr(decode(encode(order), Order)) == repr(order)


# --- many at once


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (Item, [Item("a", 1), Item("b", 2)]),
        (Order, [ORDER, Order(2, [])]),  # it may contain itself
        (list[int], [[], [1, 2]]),
        (Item, []),
    ],
    ids=str,
)
def test_many_are_encoded_and_decoded_as_each(type_: Any, values: list[Any]) -> None:
    """What is done for many gives what it gives for each."""
    payloads = encode_all(values, type_)
    assert payloads == [encode_as(value, type_) for value in values]
    assert decode_all(payloads, type_) == values


@pytest.mark.parametrize("type_", [Item, Any, Order], ids=str)
@pytest.mark.parametrize("bad", NOT_PAYLOADS.values(), ids=NOT_PAYLOADS)
def test_one_bad_payload_is_found_among_many(bad: bytes, type_: Any) -> None:
    """Bytes that are no payload are none between others either: none lends another its end or its beginning."""
    good = encode(Item("a", 1) if type_ is Item else Order(1, []))
    for place in range(3):
        with pytest.raises(MalformedMessage):
            decode_all([*[good] * place, bad, good], type_)
    assert decode_all([good], type_)


@given(st.lists(st.binary(max_size=8), max_size=4), st.integers(0, 30))
@steady(500)
def test_payloads_end_where_they_end(parts: list[bytes], at: int) -> None:
    """However a payload is cut, its parts are read together only if each can be read by itself."""
    whole = encode(Item("abcdefgh", 1))
    parts += [whole[:at], whole[at:]]
    try:
        each: list[object] | None = [decode(part, Any) for part in parts]
    except MalformedMessage:
        each = None
    try:
        together: list[object] | None = decode_all(parts, Any)
    except MalformedMessage:
        together = None
    assert repr(together) == repr(each)


def test_one_value_that_cannot_travel_is_found_among_many() -> None:
    """Of many values the first that is not of the type is told."""
    with pytest.raises(MalformedMessage, match=r"Item\.price: expected int, got str"):
        encode_all([Item("a", 1), Item("b", "2"), Item(3, 4)], Item)  # type: ignore[arg-type]
    with pytest.raises(MalformedMessage):
        encode_all([linked(2), linked(DEPTH + 2)], Link)


# --- payloads of unknown type


SHOWN: dict[str, tuple[bytes, object]] = {
    "a message": (encode(Item("a", 2)), {"name": "a", "price": 2}),
    "a tag": (b"\xc1\x1a\x51\x4b\x67\xb0", 1363896240),
    "a tagged list": (b"\xd9\x01\x02\x82\x01\x02", [1, 2]),
    "a bignum": (cbor2.dumps(2**64), b"\x01" + b"\x00" * 8),
    "shared values": (b"\x82\xd8\x1c\x80\xd8\x1d\x00", [[], 0]),
    "undefined": (b"\x82\xf7\xf6", [None, None]),
    "a simple value": (b"\xa1\x61a\xf8\x63", {"a": 99}),
    "indefinite lengths": (b"\xbf\x61a\x9f\x7f\x61b\x61c\xff\xff\xff", {"a": ["bc"]}),
    "a float of 16 bits": (b"\xf9\x3c\x00", 1.0),
    "bytes for keys": (b"\xa1\x41a\x01", {b"a": 1}),
}


@pytest.mark.parametrize(("payload", "value"), SHOWN.values(), ids=SHOWN)
def test_unknown_payloads_are_shown_as_plain_values(payload: bytes, value: object) -> None:
    """A payload of any program is turned into what can be printed."""
    assert decode_any(payload) == value


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x01\x02", b"\x82\x01", b"\x9f" * 100_000, b"\xc1" * 100_000, b"\xa2\x61a\x01\x61a\x02", b"\xa1\x01\x02"],
)
def test_unknown_payloads_are_bounded_all_the_same(payload: bytes) -> None:
    """What is no item, or costs too much, is refused whether its type is known or not."""
    with pytest.raises(MalformedMessage, match=r"^payload: "):
        decode_any(payload)
