"""The frames that are put together by hand are those of the frames' own encoders."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from t2bus.rust import frames as r
from t2bus.rust.fast_frames import encode_publications, encode_receipt

U32 = st.integers(0, 2**32 - 1)


@given(st.sampled_from(["a", "a/b/**", "x" * 300]), st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_a_run_is_one_frame_for_each_publication(topic: str, payloads: list[bytes]) -> None:
    """Byte for byte as each by itself, whatever lengths they have."""
    alone = [r.encode_carrier(0, r.Kind.PUB, topic, r.Body(payload)) for payload in payloads]
    assert encode_publications(topic, payloads) == b"".join(alone)


@given(U32, U32)
def test_a_receipt_is_an_acknowledgement_with_a_count(operation: int, recipients: int) -> None:
    """Byte for byte, whatever the id and the count take."""
    assert encode_receipt(operation, recipients) == r.encode_ack(operation, None, recipients)
