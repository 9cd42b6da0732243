"""Event streams: chunks undone wherever they are cut, events cut at blank lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.http1 import HttpError
from loadtests.sse import Dechunker, Events, data_of

bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


def chunked(parts: list[bytes], extension: bytes = b"") -> bytes:
    return b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)


@given(bodies, st.lists(st.integers(1, 9), min_size=1), st.sampled_from([b"", b";a=b"]))
def test_chunks_are_undone_however_the_bytes_come(parts: list[bytes], sizes: list[int], extension: bytes) -> None:
    data, got, dechunker = chunked(parts, extension), b"", Dechunker()
    turn = 0
    while data:
        size = sizes[turn % len(sizes)]
        got += dechunker.feed(data[:size])
        data, turn = data[size:], turn + 1
    assert got == b"".join(parts)


@pytest.mark.parametrize("data", [b"zz\r\nab", b"2\r\nabc\r\n", b"1" * 2000])
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(HttpError, match="a chunk"):
        Dechunker().feed(data)


STREAM = (
    b'retry: 2000\n\nid: 0\n\nevent: snapshot\ndata: {"stations":[]}\n\nid: 1.2.3\n\n'
    b':\n\nevent: change\ndata: {"a":1}\n\nid: 1.2.4\n\n'
)


@given(st.integers(1, 50), st.booleans())
def test_events_come_whole(size: int, in_chunks: bool) -> None:
    data = chunked([STREAM[:30], STREAM[30:]]) if in_chunks else STREAM
    events, blocks = Events(in_chunks), list[bytes]()
    for at in range(0, len(data), size):
        blocks += events.feed(data[at : at + size])
    assert blocks == STREAM.split(b"\n\n")[:-1]
    assert events.last_id == b"1.2.4"
    assert [data_of(block, b"change") for block in blocks] == [None, None, None, None, None, b'{"a":1}', None]


def test_an_id_in_the_data_is_no_id() -> None:
    events = Events(False)
    events.feed(b'id: 7\n\nevent: change\ndata: {"name":"id: 9"}\n\n')
    assert events.last_id == b"7"
