"""Server-Sent Events out of a byte stream: undoing chunks (RFC 9112 7.1), then cutting at blank lines. Pure."""

from __future__ import annotations

from loadtests.http1 import HttpError

LONGEST_SIZE_LINE = 1024


class Dechunker:
    """Takes bytes as they come, gives the body's bytes that are in them."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._left = 0  # of the chunk under way, its closing CRLF included

    def feed(self, data: bytes) -> bytes:
        """Raises HttpError."""
        self._data += data
        out = []
        while self._data:
            if self._left > 2:
                part = self._data[: self._left - 2]
                out.append(bytes(part))
                del self._data[: len(part)]
                self._left -= len(part)
            elif self._left:
                take = min(self._left, len(self._data))
                if self._data[:take] != b"\r\n"[2 - self._left :][:take]:
                    raise HttpError("a chunk is longer than it says")
                del self._data[:take]
                self._left -= take
            else:
                end = self._data.find(b"\r\n")
                if end < 0:
                    if len(self._data) > LONGEST_SIZE_LINE:
                        raise HttpError("a chunk has no size")
                    break
                try:
                    size = int(self._data[:end].partition(b";")[0], 16)
                except ValueError:
                    raise HttpError("a chunk has no size") from None
                del self._data[: end + 2]
                self._left = size + 2
        return b"".join(out)


class Events:
    """Whole blocks (what lies between blank lines) out of a stream that is chunked, or not."""

    def __init__(self, chunked: bool) -> None:
        self._dechunker = Dechunker() if chunked else None
        self._rest = b""
        self.last_id = b""

    def feed(self, data: bytes) -> list[bytes]:
        if self._dechunker is not None:
            data = self._dechunker.feed(data)
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            at = block.rfind(b"id: ")
            if at == 0 or (at > 0 and block[at - 1 : at] == b"\n"):
                self.last_id = block[at + 4 :].partition(b"\n")[0]
        return blocks


def data_of(block: bytes, event: bytes) -> bytes | None:
    """The data line of a block of this event; None if the block is another's."""
    if not block.startswith(b"event: " + event + b"\n"):
        return None
    at = block.find(b"\ndata: ")
    return None if at < 0 else block[at + 7 :].partition(b"\n")[0]
