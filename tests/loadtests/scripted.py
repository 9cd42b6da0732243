"""A server that says exactly what a test wrote down, byte for byte and pause for pause, in a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

Part = bytes | float | None
"""Bytes to send; seconds to wait; None: wait for the next request."""


class ScriptedServer:
    """`scripts`: one for each connection, in turn; a connection ends with its script."""

    def __init__(self, *scripts: Sequence[Part]) -> None:
        self.requests: list[bytes] = []
        self.accepted = 0
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in accept()
        self._listener.close()
        self._thread.join(10.0)

    def _serve(self) -> None:
        for script in self._scripts:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # the test is over
            self.accepted += 1
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._play(connection, script)

    def _play(self, connection: socket.socket, script: Sequence[Part]) -> None:
        for part in script:
            if part is None:
                request = b""
                while b"\r\n\r\n" not in request:
                    if not (data := connection.recv(65536)):
                        return
                    request += data
                self.requests.append(request)
            elif isinstance(part, bytes):
                try:
                    connection.sendall(part)
                except OSError:
                    return  # the client has had enough
            else:
                time.sleep(part)
