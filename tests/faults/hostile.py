"""The hostile corpus: what a client may send that costs a bus much, if it costs anything, for its few bytes.

Each entry is the body of a frame, nearly as large as a frame may be where size is the point. ``NATIVE`` is said after
the handshake of the native wire, ``RUST`` as the first frame of a client of the Rust crate. ``FLOODS`` has a stream of
messages of every kind of the native wire, also of those that only a bus may say.
"""

from __future__ import annotations

import zlib
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

import cbor2

from t2bus.rust import frames as r
from t2bus.wire import messages as m
from t2bus.wire import native
from t2bus.wire.cbor import encode_head
from t2bus.wire.framing import HEADER_SIZE
from t2bus.wire.kinds import KINDS
from t2bus.wire.values import Deflated, ErrorCode
from wire_corpus import MEMBER_MESSAGES, SERVER_MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FRAME: Final = 1_048_576
"""The largest frame that a bus takes by default."""

UNIT: Final = 1_000_000
FEW: Final = UNIT // 3

BYTES, TEXT, ARRAY, MAP = (partial(encode_head, major) for major in (2, 3, 4, 5))
"""Each makes the head of so many."""


def body_of(message: Any) -> bytes:
    """Return the body of the frame of a native message."""
    return native.encode(message)[HEADER_SIZE:]


def publish(payload: bytes) -> bytes:
    """Return a PUBLISH whose payload is this CBOR item."""
    return b"\x85\x05\x01\xf5\x61a" + payload


def with_headers(headers: bytes) -> bytes:
    """Return a PUBLISH whose headers are this CBOR item."""
    return b"\x86\x05\x01\xf5\x61a\x40" + headers


def _same_keys(count: int) -> bytes:
    """Return a map whose keys have one hash in Python, if they could be numbers: multiples of 2**61 - 1."""
    return MAP(count) + b"".join(cbor2.dumps(n * (2**61 - 1)) + b"\x60" for n in range(count))


def _bomb(wbits: int) -> bytes:
    """Return half a megabyte that inflates to half a gigabyte."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, wbits)
    block = bytes(1 << 24)
    return b"".join([deflater.compress(block) for _ in range(32)]) + deflater.flush()


def _tagged(tag: int) -> bytes:
    """Return a CANCEL of a megabyte with a tag."""
    return b"\x82\x09" + encode_head(6, tag) + BYTES(UNIT) + bytes(UNIT)


TAGS: Final = [*range(6), *range(21, 39), 100, 256, 258, 260, 261, 1004, 43_000, 55_799, 2**16, 2**32 - 1, 2**64 - 1]
"""Those that CBOR libraries give a meaning, and the largest of each size."""

# --- bodies of frames: made when they are needed, as each is a megabyte

NATIVE: Final[dict[str, Callable[[], bytes]]] = {
    "arrays in arrays": lambda: b"\x81" * UNIT + b"\0",
    "arrays of indefinite length in each other": lambda: b"\x9f" * UNIT,
    "maps in maps": lambda: b"\xa1\x61k" * FEW + b"\0",
    "tags in tags": lambda: b"\xc1" * UNIT + b"\0",
    "nesting in an element": lambda: b"\x82\x09" + b"\x81" * UNIT + b"\0",
    "nesting in headers": lambda: with_headers(b"\xa1\x61k" * FEW + b"\x60"),
    "keys that collide": lambda: with_headers(_same_keys(UNIT // 10)),
    "keys that are floats": lambda: with_headers(MAP(FEW) + b"\xf9\x7e\x00\x60" * (UNIT // 4)),
    "a long key twice": lambda: with_headers(MAP(2) + (TEXT(UNIT // 2) + b"\0" * (UNIT // 2) + b"\x60") * 2),
    "a long key twice, of wide characters": lambda: with_headers(
        MAP(2) + (TEXT(UNIT // 2) + "\U000e0001".encode() * (UNIT // 8) + b"\x60") * 2
    ),
    "keys that come again and again": lambda: with_headers(MAP(FEW) + b"\x61k\x60" * FEW),
    "many headers": lambda: with_headers(cbor2.dumps({f"{n:x}": "" for n in range(UNIT // 8)})),
    "as many headers as may be": lambda: with_headers(cbor2.dumps({f"{n:x}": "v" * 500 for n in range(2000)})),
    "an array of exabytes": lambda: encode_head(4, 2**64 - 1) + b"\x05" * UNIT,
    "a map of exabytes": lambda: with_headers(encode_head(5, 2**63) + b"\x60\x60"),
    "bytes of exabytes": lambda: publish(encode_head(2, 2**63 - 1) + bytes(UNIT)),
    "a text of gigabytes": lambda: b"\x82\x0f" + encode_head(3, 2**32) + b"x" * UNIT,
    "empty arrays": lambda: ARRAY(UNIT) + b"\x80" * UNIT,
    "empty maps": lambda: ARRAY(UNIT) + b"\xa0" * UNIT,
    "simple values": lambda: ARRAY(UNIT) + b"\xe0" * UNIT,
    "small texts": lambda: ARRAY(FEW) + b"\x62ab" * FEW,
    "floats": lambda: ARRAY(FEW) + b"\xf9\x3c\x01" * FEW,
    "numbers in an element": lambda: b"\x83\x03" + ARRAY(FEW) + b"\x19\x10\0" * FEW + b"\0",
    "credit for what is not there": lambda: ARRAY(FEW + 1) + b"\x0c" + b"\x19\x10\0" * FEW,
    "as much credit as may be": lambda: ARRAY(60_001) + b"\x0c" + b"\1" * 60_000,
    "a run of a million": lambda: ARRAY(UNIT) + b"\x11\x01\xf5\x61a" + b"\x40" * (UNIT - 4),
    "a run of the most": lambda: ARRAY(1028) + b"\x11\x01\xf5\x61a" + (BYTES(1000) + bytes(1000)) * 1024,
    "a bignum of a megabyte": lambda: b"\x82\x09\xc2" + BYTES(UNIT) + b"\xff" * UNIT,
    "a negative bignum of a megabyte": lambda: b"\x82\x09\xc3" + BYTES(UNIT) + b"\xff" * UNIT,
    "a decimal of a great exponent": lambda: b"\x82\x09\xc4\x82" + b"\x1b" + b"\x7f" * 8 + b"\xc2" + BYTES(UNIT) * 2,
    "an array of indefinite length": lambda: b"\x9f" + b"\x05" * UNIT + b"\xff",
    "bytes of indefinite length": lambda: publish(b"\x5f" + b"\x40" * UNIT + b"\xff"),
    "text of indefinite length": lambda: b"\x82\x0f\x7f" + b"\x60" * UNIT + b"\xff",
    "a map of indefinite length": lambda: with_headers(b"\xbf" + b"\x60\x60" * (UNIT // 2) + b"\xff"),
    "breaks": lambda: b"\xff" * UNIT,
    "trailing bytes": lambda: body_of(m.Ping(1)) + bytes(UNIT),
    "trailing messages": lambda: body_of(m.Ping(1)) * FEW,
    "bad UTF-8": lambda: b"\x82\x0f" + TEXT(UNIT) + b"\xff" * UNIT,
    "bad UTF-8 at the end": lambda: b"\x82\x0f" + TEXT(UNIT) + b"x" * (UNIT - 1) + b"\xc3",
    "bad UTF-8 in a topic": lambda: b"\x85\x05\x01\xf5" + TEXT(UNIT) + b"\xed\xa0\x80" * FEW + b"\xed\x40",
    "a topic of a megabyte": lambda: body_of(m.Publish(1, True, m.Publication("/".join("a" * (UNIT // 2)), b""))),
    "a topic of line feeds": lambda: body_of(m.Subscribe(1, "\n" * UNIT, 1, 1)),
    "an error of a megabyte": lambda: body_of(m.Error("\x1b[31m" * (UNIT // 5))),
    "a goodbye of a megabyte": lambda: body_of(m.Goodbye("\U000e0001" * (UNIT // 4))),
    "a failure of a megabyte": lambda: body_of(m.Fail(1, ErrorCode.REMOTE_ERROR, "x" * UNIT)),
    "a bomb": lambda: body_of(m.Publish(1, True, m.Publication("bombs", Deflated(_bomb(15))))),
    "garbage that is compressed": lambda: body_of(m.Publish(1, True, m.Publication("bombs", Deflated(bytes(UNIT))))),
    **{f"tag {tag}": partial(_tagged, tag) for tag in TAGS},
}


def _pub(payload: bytes, end: bytes = b"") -> bytes:
    """Return a ``Pub`` whose data is this CBOR item."""
    start = b"\xa2\x62id\x01\x67content\xa1\x63Pub\xa2\x65topic\x61a\x67payload\xa2\x64data"
    return start + payload + b"\x6dis_compressed" + (end or b"\xf4")


RUST: Final[dict[str, Callable[[], bytes]]] = {
    "maps in maps": lambda: b"\xa1\x62id" * (UNIT // 4) + b"\0",
    "arrays under a key that is not known": lambda: b"\xa2\x62id\x01\x61x" + ARRAY(UNIT) + b"\x80" * UNIT,
    "keys that are not known": lambda: cbor2.dumps({f"{n:x}": 0 for n in range(UNIT // 8)}),
    "a long key twice": lambda: MAP(2) + (TEXT(UNIT // 2) + b"\0" * (UNIT // 2) + b"\x60") * 2,
    "a payload of small numbers": lambda: _pub(ARRAY(UNIT) + b"\x01" * UNIT),
    "a payload of 24": lambda: _pub(ARRAY(UNIT // 2) + b"\x18\x18" * (UNIT // 2)),
    "a payload of numbers and its end": lambda: _pub(ARRAY(UNIT // 2) + b"\x18\x19\x01\x18\x18" * (UNIT // 5)),
    "a payload of large numbers": lambda: _pub(ARRAY(FEW) + b"\x19\x10\0" * FEW),
    "a payload of arrays": lambda: _pub(ARRAY(UNIT) + b"\x80" * UNIT),
    "a payload whose flag is no flag": lambda: _pub(ARRAY(UNIT) + b"\x01" * UNIT, b"\xf6"),
    "a bomb": lambda: _pub(BYTES(len(bomb := _bomb(31))) + bomb, b"\xf5"),
    "garbage that is compressed": lambda: _pub(BYTES(UNIT) + bytes(UNIT), b"\xf5"),
    "a topic of a megabyte": lambda: r.encode_control(1, r.Kind.SUB, "a" * UNIT)[HEADER_SIZE:],
    "bad UTF-8": lambda: b"\xa2\x62id\x01\x67content" + TEXT(UNIT) + b"\xff" * UNIT,
    "a tag": lambda: b"\xa1\x62id\xc2" + BYTES(UNIT) + bytes(UNIT),
    "trailing bytes": lambda: r.encode_control(1, r.Kind.KEEP_ALIVE)[HEADER_SIZE:] + bytes(UNIT),
}

# --- streams of messages

CROWD: Final = ARRAY(UNIT) + b"\x80" * UNIT
"""A payload of a million empty arrays; ``DEFLATED`` is the same in a thousand bytes."""
DEFLATED: Final = zlib.compress(CROWD)

MESSAGES: Final = 100_000
"""Of one flood: as many as a bus carries out in a second or less."""


def _each(make: Callable[[int], Any], count: int = MESSAGES) -> Callable[[], Iterable[Any]]:
    return lambda: map(make, range(1, count + 1))


FLOODS: Final[dict[str, Callable[[], Iterable[Any]]]] = {
    "HELLO": _each(lambda _: m.Hello(1, "x" * 100, ("zlib",) * 100), 1000),
    "SUBSCRIBE": _each(lambda n: m.Subscribe(n, f"flood/{n}", 16_384, 1 << 23)),
    "SUBSCRIBE with wildcards": _each(lambda n: m.Subscribe(n, f"*/{n}/**/x/**", 16_384, 1 << 23)),
    "SUBSCRIBE to what is no topic": _each(lambda n: m.Subscribe(n, "A" * 200, 1, 1)),
    "UNSUBSCRIBE": _each(lambda n: m.Unsubscribe(n, n)),
    "PUBLISH": _each(lambda n: m.Publish(n, False, m.Publication(f"flood/{n}", b"x"))),
    "PUBLISH with wildcards": _each(lambda n: m.Publish(n, True, m.Publication(f"**/{n}/*/**", b"x")), 20_000),
    "PUBLISH_RUN": _each(lambda n: m.PublishRun(n * 2000, True, m.Run("flood", [b""] * m.MOST_IN_RUN)), 500),
    "CLAIM": _each(lambda n: m.Claim(n, f"flood/{n}", 1024, 1 << 23)),
    "UNCLAIM": _each(lambda n: m.Unclaim(n, n)),
    "ASK": _each(lambda n: m.Ask(n, None, f"flood/{n}", b"x")),
    "ASK of the bus itself": _each(lambda n: m.Ask(n, None, "bus/status", b"\xa0"), 20_000),
    "ASK of the bus itself, of a megabyte": _each(lambda n: m.Ask(n, None, "bus/status", CROWD), 200),
    "ASK of the bus itself, compressed": _each(lambda n: m.Ask(n, None, "bus/status", Deflated(DEFLATED)), 20_000),
    "SUBSCRIBE and UNSUBSCRIBE": _each(
        lambda n: m.Subscribe(n, f"flood/{n}", 16_384, 1 << 23) if n % 2 else m.Unsubscribe(n, n - 1)
    ),
    "CLAIM and UNCLAIM": _each(lambda n: m.Claim(n, f"flood/{n}", 1024, 1 << 23) if n % 2 else m.Unclaim(n, n - 1)),
    "ASK and CANCEL, of its own service": _each(
        lambda n: (
            m.Claim(1, "flood", 1024, 1 << 23) if n == 1 else m.Cancel(n - 1) if n % 2 else m.Ask(n, 1, "flood", b"x")
        )
    ),
    "CANCEL": _each(m.Cancel),
    "RESPOND": _each(lambda n: m.Respond(n, b"x")),
    "FAIL": _each(lambda n: m.Fail(n, ErrorCode.REMOTE_ERROR, "x" * 100)),
    "CREDIT": _each(lambda n: m.Credit(tuple(chain.from_iterable((n + each, 1, 1) for each in range(100)))), 5000),
    "PING": _each(m.Ping),
    "PONG": _each(m.Pong),
    "GOODBYE": _each(lambda n: m.Goodbye(f"{n}")),
    "ERROR": _each(lambda n: m.Error(f"{n}")),
    **{
        f"{kind.__name__} of a bus": partial(repeat, message, 1000)
        for kind, message in {type(each): each for each in SERVER_MESSAGES}.items()
    },
    **{
        f"{kind.__name__} of a server": partial(repeat, message, 1000)
        for kind, message in {type(each): each for each in MEMBER_MESSAGES}.items()
    },
}
"""Each makes the messages of one flood, under ids that rise."""

# --- what a bus may send to a client that has subscription 1, service 2 and request 3

_A: Final = m.Publication("a", b"x" * 1000)

BUS_FLOODS: Final[dict[str, Callable[[], Iterable[Any]]]] = {
    "WELCOME": partial(repeat, SERVER_MESSAGES[0], 1000),
    "ACCEPTED": _each(lambda n: m.Accepted(n, (1,) * 1000), 5000),
    "UNREACHED": _each(lambda n: m.Unreached(n, (1,) * 1000), 5000),
    "REFUSED": _each(lambda n: m.Refused(n + 3, ErrorCode.REMOTE_ERROR, "x" * 1000), 20_000),
    "DELIVER": partial(repeat, m.Deliver((1,), _A), 20_000),
    "DELIVER to a million others": lambda: [m.Deliver(tuple(range(7, 100_007)), _A)] * 10,
    "DELIVER_RUN": partial(repeat, m.DeliverRun((1,), m.Run("a", [b"x"] * m.MOST_IN_RUN)), 2000),
    "GAP": _each(lambda n: m.Gap(1, n)),
    "GAP to others": _each(lambda n: m.Gap(n + 7, n)),
    "CALL": _each(lambda n: m.Call(n, 2, None, "s", b"x" * 100)),
    "CALL and WITHDRAW": _each(lambda n: m.Withdraw(n - 1) if n % 2 else m.Call(n, 2, None, "s", b"x" * 100)),
    "WITHDRAW": _each(m.Withdraw),
    "RESPONSE": _each(lambda n: m.Response(n + 3, b"x" * 100)),
    "PING": _each(m.Ping),
    "PONG": _each(m.Pong),
    "GOODBYE": _each(lambda n: m.Goodbye("x" * 1000), 1000),
    "ERROR": _each(lambda n: m.Error("x" * 1000), 1000),
    "SUBSCRIBE of a client": _each(lambda n: m.Subscribe(n, "a", 1, 1), 1000),
}

assert {type(next(iter(make()))) for make in FLOODS.values()} == {row.message for row in KINDS}
