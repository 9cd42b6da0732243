"""An HTTP/1.1 client that costs little: a keep-alive connection whose user waits in gevent's loop.

What makes it cheap, of some 15 CPU-µs a request, most of them the kernel's:
  * requests are prepared bytes, one `send` each, never pipelined;
  * a connection's read watcher stays with the loop as long as the connection lives, and wakes its greenlet directly: gevent's
    own sockets make a watcher, start it and stop it for every wait;
  * answers are read into one buffer of the process and looked at there. It is the process's, because a greenlet that has an
    answer in it is done with it before any other runs; a body that comes in parts is put together elsewhere;
  * one sweep a second looks for who has waited too long, instead of a timer for every request.
"""

from __future__ import annotations

import errno
import os
import socket
import time
import weakref
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import gevent
from gevent import get_hub, getcurrent
from gevent import socket as gevent_socket
from gevent.monkey import get_original

from loadtests.http1 import LONGEST_HEAD, Head, HttpError, field, read_head
from loadtests.tls import TlsSocket

PATIENCE_S = 10.0  # for an answer, or for a connection
SWEEP_S = 1.0
READ, WRITE = 1, 2  # events of gevent's loop
BUFFER_BYTES = 256 << 10

_Socket = get_original("socket", "socket")  # whether or not Locust has put gevent's in its place
_buffer = bytearray(BUFFER_BYTES)
_view = memoryview(_buffer)
_clock = time.perf_counter


class Target(NamedTuple):
    """A server, its name looked up once."""

    host: str  # as in the Host header
    family: int
    address: Any
    tls_name: str | None
    prefix: str  # of every path

    @classmethod
    def of(cls, url: str) -> Target:
        """Raises ValueError for what is no http(s) URL, OSError for a name that nobody knows."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"a target is a URL such as http://127.0.0.1:8080, not {url!r}")
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        found = gevent_socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return cls(parts.netloc.rpartition("@")[2], family, address, parts.hostname if secure else None,
                   parts.path.rstrip("/"))  # fmt: skip

    def head(self, path: str, method: str = "GET", *, encoding: str = "gzip", **fields: str) -> bytes:
        """A request's head without the empty line that ends it. Answers may come compressed, as for any app."""
        lines = [f"{method} {self.prefix}{path} HTTP/1.1", f"Host: {self.host}", f"Accept-Encoding: {encoding}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        return "\r\n".join(lines).encode("ascii") + b"\r\n"

    def request(
        self, path: str, method: str = "GET", body: bytes = b"", *, encoding: str = "gzip", **fields: str
    ) -> bytes:
        if method == "POST":
            fields["Content_Length"] = str(len(body))
        return self.head(path, method, encoding=encoding, **fields) + b"\r\n" + body


class _GoneError(HttpError):
    """The connection ended before the first byte of an answer."""


class Connection:
    """For one greenlet at a time. `length` and `head` are the last answer's. `patience_s`: how long one wait may last."""

    def __init__(self, target: Target, patience_s: float = PATIENCE_S) -> None:
        self.length = 0
        self.head = b""
        self.reconnects = 0  # times the server had closed a connection that was kept
        self._target = target
        self._patience_s = patience_s
        self._hub = get_hub()
        self._socket: Any = None
        self._watcher: Any = None
        self._greenlet: Any = None  # who waits, and since when
        self._since = 0.0
        self._idle_news = False  # something came while nobody waited
        self._fresh = True  # no answer has come on this connection yet
        self._parts: bytearray | None = None  # the last answer, if it came in parts
        self._body_at = 0
        _sweep_of(self._hub).connections.add(self)

    # -- asking -------------------------------------------------------------------------------------------------------

    def ask(self, request: bytes, *, body: bool = True) -> int:
        """Sends one request, reads the whole answer, returns its status. `body=False`: it is a HEAD. Raises HttpError or
        OSError; then the connection is closed. A kept connection that turns out to be closed is opened anew, once: whoever
        keeps connections must expect that (RFC 9112 9.3.1)."""
        try:
            if self._socket is None:
                self.open()
            elif self._idle_news and not self._still_good():
                self._reopen()
            try:
                return self._exchange(request, body)
            except _GoneError:
                if self._fresh:
                    raise
            self._reopen()
            return self._exchange(request, body)
        except BaseException:
            self.close()
            raise

    def body(self) -> bytes:
        """Of the last answer. To be asked for before anybody else runs."""
        if self._parts is not None:
            return bytes(self._parts[self._body_at :])
        return bytes(_view[self._body_at : self._body_at + self.length])

    def field(self, name: bytes) -> bytes:
        """A field of the last answer's head; `name` in lower case."""
        return field(self.head, name)

    def _exchange(self, request: bytes, body: bool) -> int:
        self._since = _clock()
        try:
            sent = self._socket.send(request)
            if sent != len(request):
                self._push(self._socket, request[sent:])
            self._wait()
            count = self._receive()
        except (ConnectionResetError, BrokenPipeError):
            count = 0
        if count == 0:
            raise _GoneError("the connection was closed instead of an answer")
        head = read_head(_buffer, count, body=body)
        if head is not None and head.size + head.length == count and head.status >= 200:  # as almost always
            self._parts = None
            self.head = bytes(_view[: head.size])
        else:
            head = self._receive_parts(bytearray(_view[:count]), body)
        self.length, self._body_at = head.length, head.size
        self._fresh = False
        if head.closes:
            self.close()
        return head.status

    def _receive_parts(self, data: bytearray, body: bool) -> Head:
        """The answer that begins with `data` and comes in parts, or behind an interim one."""
        while True:
            head = read_head(data, len(data), body=body)
            if head is not None and 100 <= head.status < 200 and head.status != 101:
                del data[: head.size]  # RFC 9110 15.2: the answer is still to come
                continue
            if head is not None and len(data) >= head.size + head.length:
                break
            if (count := self._receive()) == 0:
                raise HttpError("the connection was closed within an answer")
            data += _view[:count]
        if len(data) > head.size + head.length:
            raise HttpError("more came than the Content-Length says")
        self._parts, self.head = data, bytes(data[: head.size])
        return head

    # -- streams ------------------------------------------------------------------------------------------------------

    def stream(self, request: bytes) -> int:
        """Sends a request whose answer goes on and on; its status. Raises as `ask` does."""
        try:
            self._reopen()
            self._since = _clock()
            self._push(self._socket, request)
            data = bytearray()
            while (end := data.find(b"\r\n\r\n")) < 0:
                if (count := self._receive()) == 0 or len(data) > LONGEST_HEAD:
                    raise HttpError("the head of the answer does not end")
                data += _view[:count]
            self.head, self._parts, self._body_at = bytes(data[: end + 4]), data, end + 4
            return int(data[9:12])
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes:
        """What comes next of the stream's body; empty at its end."""
        if self._parts is not None and (first := self.body()):
            self._parts = None
            return first
        self._parts = None
        self._since = _clock()
        try:
            return bytes(_view[: self._receive()])
        except BaseException:
            self.close()
            raise

    # -- the connection -----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Raises OSError or HttpError."""
        target = self._target
        raw = _Socket(target.family, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = raw.connect_ex(target.address)  # on loopback this is the whole handshake
            if code == errno.EINPROGRESS:
                self._wait_to_write(raw.fileno())
                code = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
        except BaseException:
            raw.close()
            raise
        self._socket, self._fresh, self._idle_news = raw, True, False
        self._watcher = self._hub.loop.io(raw.fileno(), READ)
        self._watcher.start(self._readable)
        if target.tls_name is not None:
            self._since = _clock()
            try:
                self._socket = TlsSocket(raw, target.tls_name, partial(self._push, raw), self._wait)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()  # before its descriptor is somebody else's
            self._watcher.close()
            self._watcher = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _reopen(self) -> None:
        if self._socket is not None:
            self.reconnects += 1
            self.close()
        self.open()

    def _still_good(self) -> bool:
        """Whether what came while nobody waited was no end: TLS has messages of its own."""
        self._idle_news = False
        try:
            if self._socket.recv_into(_buffer):
                raise HttpError("something came that nobody had asked for")
        except BlockingIOError:
            self._watcher.start(self._readable)
            return True
        except OSError:
            pass
        return False

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _receive(self) -> int:
        """Bytes put into the buffer; 0: the end."""
        while True:
            try:
                return int(self._socket.recv_into(_buffer))
            except BlockingIOError:
                self._wait()

    def _wait(self) -> None:
        """Until there is something to read."""
        self._greenlet = getcurrent()
        try:
            self._hub.switch()
        finally:
            self._greenlet = None

    def _readable(self) -> None:
        """Called by the loop."""
        if self._greenlet is not None:
            self._greenlet.switch()
        else:
            self._idle_news = True
            self._watcher.stop()  # it would be called again and again

    def give_up(self, now: float) -> None:
        """Ends a wait that has lasted too long; called by the loop."""
        if self._greenlet is not None and now - self._since > self._patience_s:
            self._greenlet.throw(HttpError(f"no answer within {self._patience_s:g} s"))

    def _push(self, to: Any, data: bytes) -> None:
        """Sends all of it, however slowly the other side reads."""
        while data:
            try:
                data = data[to.send(data) :]
            except BlockingIOError:
                self._wait_to_write(to.fileno())

    def _wait_to_write(self, descriptor: int) -> None:
        watcher = self._hub.loop.io(descriptor, WRITE)
        try:
            with gevent.Timeout(self._patience_s, HttpError(f"no connection within {self._patience_s:g} s")):
                self._hub.wait(watcher)
        finally:
            watcher.close()


class _Sweep:
    """Looks once a second for connections that have waited too long."""

    def __init__(self, hub: Any) -> None:
        self.connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._timer = hub.loop.timer(SWEEP_S, SWEEP_S, ref=False)
        self._timer.start(self._look)

    def _look(self) -> None:
        now = _clock()
        for connection in list(self.connections):
            connection.give_up(now)


_sweeps: weakref.WeakKeyDictionary[Any, _Sweep] = weakref.WeakKeyDictionary()


def _sweep_of(hub: Any) -> _Sweep:
    if hub not in _sweeps:
        _sweeps[hub] = _Sweep(hub)
    return _sweeps[hub]
