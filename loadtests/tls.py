"""TLS for the lean client: a non-blocking socket that looks like a plain one.

Python's own TLS sockets belong to gevent once Locust has patched the ssl module; memory buffers (ssl.MemoryBIO) belong to
nobody, so waiting stays the client's.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Any

RECORD_BYTES = 32 << 10  # read from the wire at once: a TLS record has at most 16 KiB


@lru_cache
def context() -> ssl.SSLContext:
    """Certificates are checked, as an app does."""
    return ssl.create_default_context()


class TlsSocket:
    """`raw` is connected and non-blocking. `send_all(bytes)` and `wait()` (until something can be read) may wait."""

    def __init__(self, raw: Any, name: str, send_all: Callable[[bytes], None], wait: Callable[[], None]) -> None:
        self._raw, self._send_all = raw, send_all
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context().wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                wait()
                if not self._fill():
                    raise ConnectionResetError("the connection was closed within the TLS handshake") from None
        self._flush()

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def close(self) -> None:
        self._raw.close()

    def send(self, data: bytes) -> int:
        self._tls.write(data)
        self._flush()
        return len(data)

    def recv_into(self, buffer: bytearray) -> int:
        """Raises BlockingIOError when nothing is there yet; 0: the end."""
        while True:
            try:
                return int(self._tls.read(len(buffer), buffer))
            except ssl.SSLZeroReturnError:
                return 0
            except ssl.SSLWantReadError:
                self._flush()  # an answer to the server's own messages
                if not self._fill():
                    return 0

    def _fill(self) -> bool:
        data = self._raw.recv(RECORD_BYTES)
        self._incoming.write(data)
        return bool(data)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._send_all(self._outgoing.read())
