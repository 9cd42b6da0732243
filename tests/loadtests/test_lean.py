"""The lean client against answers that are odd but legal, and against those that are not."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from loadtests import tls
from loadtests.http1 import HttpError, field
from loadtests.lean import Connection, Target
from tests.loadtests.scripted import ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def connect(server: ScriptedServer, patience_s: float = 10.0) -> tuple[Connection, bytes]:
    target = Target.of(server.url)
    return Connection(target, patience_s), target.request("/x")


def test_connections_are_kept_and_requests_say_what_is_asked() -> None:
    with ScriptedServer([None, OK, None, OK]) as server:
        connection, request = connect(server)
        assert [connection.ask(request), connection.ask(request)] == [200, 200]
        assert connection.body() == b"hello"
        connection.close()
    assert server.accepted == 1
    host = server.url.removeprefix("http://").encode()
    assert server.requests[0] == b"GET /x HTTP/1.1\r\nHost: " + host + b"\r\nAccept-Encoding: gzip\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_an_answer_may_come_in_pieces_of_any_size(size: int) -> None:
    answer = b'HTTP/1.1 200 OK\r\nETag: "Ab"\r\nCONTENT-LENGTH:  11 \r\nX: y\r\n\r\nhello\r\n\r\nyou'[:-1]
    pieces = [part for at in range(0, len(answer), size) for part in (answer[at : at + size], 0.002)]
    with ScriptedServer([None, *pieces, None, OK]) as server:
        connection, request = connect(server)
        assert connection.ask(request) == 200
        assert (connection.length, connection.body()) == (11, b"hello\r\n\r\nyo")
        assert connection.field(b"etag") == b'"Ab"'
        assert connection.ask(request) == 200
        assert connection.body() == b"hello"
        connection.close()
    assert server.accepted == 1


def test_a_body_larger_than_the_buffer_arrives_whole() -> None:
    body = bytes(range(256)) * 4096
    with ScriptedServer([None, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body]) as server:
        connection, request = connect(server)
        assert connection.ask(request) == 200
        assert connection.body() == body
        connection.close()


@pytest.mark.parametrize("status", [b"304 Not Modified", b"204 No Content"])
def test_some_answers_have_no_body_whatever_their_length_says(status: bytes) -> None:
    """A 304 may carry the Content-Length that the 200 would have (RFC 9110 15.4.5)."""
    with ScriptedServer([None, b"HTTP/1.1 " + status + b"\r\nContent-Length: 999\r\n\r\n", None, OK]) as server:
        connection, request = connect(server)
        assert connection.ask(request) == int(status[:3])
        assert (connection.length, connection.body()) == (0, b"")
        assert connection.ask(request) == 200
        connection.close()


def test_the_answer_to_a_head_request_has_no_body() -> None:
    with ScriptedServer([None, b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", None, OK]) as server:
        connection, request = connect(server)
        assert connection.ask(request.replace(b"GET", b"HEAD"), body=False) == 200
        assert connection.ask(request) == 200
        connection.close()


def test_an_interim_answer_is_not_the_answer() -> None:
    with ScriptedServer([None, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 0.01, OK, None, OK]) as server:
        connection, request = connect(server)
        assert [connection.ask(request), connection.ask(request)] == [200, 200]
        connection.close()


@pytest.mark.parametrize(
    "answer", [OK.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n"), OK.replace(b"/1.1", b"/1.0")]
)
def test_a_server_that_closes_is_asked_on_a_new_connection(answer: bytes) -> None:
    with ScriptedServer([None, answer], [None, OK]) as server:
        connection, request = connect(server)
        assert [connection.ask(request), connection.ask(request)] == [200, 200]
        connection.close()
    assert (server.accepted, connection.reconnects) == (2, 0)


def test_http_1_0_may_keep_a_connection() -> None:
    answer = OK.replace(b"/1.1", b"/1.0").replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
    with ScriptedServer([None, answer, None, OK]) as server:
        connection, request = connect(server)
        assert [connection.ask(request), connection.ask(request)] == [200, 200]
        connection.close()
    assert server.accepted == 1


def test_a_kept_connection_that_was_closed_meanwhile_is_opened_anew() -> None:
    with ScriptedServer([None, OK], [None, OK]) as server:
        connection, request = connect(server)
        assert connection.ask(request) == 200
        gevent.sleep(0.05)  # the end arrives while nobody waits
        assert connection.ask(request) == 200
        connection.close()
    assert (server.accepted, connection.reconnects) == (2, 1)


def test_a_kept_connection_that_closes_instead_of_answering_is_opened_anew_once() -> None:
    with ScriptedServer([None, OK, None], [None]) as server:
        connection, request = connect(server)
        assert connection.ask(request) == 200
        with pytest.raises(HttpError, match="closed instead of an answer"):
            connection.ask(request)
    assert (server.accepted, connection.reconnects) == (2, 1)


def test_a_new_connection_that_closes_is_not_tried_again() -> None:
    with ScriptedServer([None], [None, OK]) as server:
        connection, request = connect(server)
        with pytest.raises(HttpError, match="closed instead of an answer"):
            connection.ask(request)
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: x\r\n\r\nhello", "no Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "no Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", "and a Transfer-Encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", "not a number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhello", "more came than"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", "closed within an answer"),
        (b"HTTP/1.1 200", "closed within an answer"),
        (b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", "not HTTP/1.x"),
        (b"220 smtp.example ESMTP\r\n\r\n", "not HTTP/1.x"),
        (b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n", "not HTTP/1.x"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "does not end"),
    ],
)
def test_what_is_no_answer_is_an_error_that_says_why(answer: bytes, message: str) -> None:
    with ScriptedServer([None, answer]) as server:
        connection, request = connect(server)
        with pytest.raises(HttpError, match=message):
            connection.ask(request)


def test_what_comes_unasked_is_an_error_of_the_next_request() -> None:
    with ScriptedServer([None, OK, 0.02, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", None]) as server:
        connection, request = connect(server)
        assert connection.ask(request) == 200
        gevent.sleep(0.1)
        with pytest.raises(HttpError, match="nobody had asked for"):
            connection.ask(request)


def test_nobody_waits_for_ever() -> None:
    with ScriptedServer([None, b"HTTP/1.1 200 OK\r\n", None]) as server:
        connection, request = connect(server, patience_s=0.5)
        with pytest.raises(HttpError, match=r"no answer within 0\.5 s"):
            connection.ask(request)


def test_nobody_there() -> None:
    with ScriptedServer() as server:
        pass
    connection, request = connect(server)
    with pytest.raises(ConnectionRefusedError):
        connection.ask(request)


def test_many_wait_side_by_side() -> None:
    """Twenty connections of one process, each answer in two parts: the buffer is shared, the answers are not mixed up."""
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbody%02d" % i for i in range(20)]
    scripts = [[None, answer[:-3], 0.01, answer[-3:]] for answer in answers]
    servers = [ScriptedServer(script) for script in scripts]
    bodies: dict[int, bytes] = {}

    def ask(at: int) -> None:
        connection, request = connect(servers[at])
        connection.ask(request)
        bodies[at] = connection.body()
        connection.close()

    for server in servers:
        server.__enter__()
    gevent.joinall([gevent.spawn(ask, at) for at in range(20)], raise_error=True)
    for server in servers:
        server.__exit__(None, None, None)
    assert bodies == {at: b"body%02d" % at for at in range(20)}


def test_a_stream_is_read_as_it_comes() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    with ScriptedServer([None, head[:20], 0.01, head[20:] + b"a", 0.05, b"b"]) as server:
        connection, request = connect(server)
        assert connection.stream(request) == 200
        assert [connection.read(), connection.read(), connection.read()] == [b"a", b"b", b""]
        connection.close()


def test_targets_are_urls_of_http() -> None:
    target = Target.of("http://127.0.0.1:8080/api/")
    assert (target.host, target.prefix, target.tls_name) == ("127.0.0.1:8080", "/api", None)
    assert target.request("/v1").startswith(b"GET /api/v1 HTTP/1.1\r\n")
    for url in ("127.0.0.1:8080", "ftp://127.0.0.1", "http://"):
        with pytest.raises(ValueError, match="a target is a URL"):
            Target.of(url)


def test_fields_are_found_by_name() -> None:
    head = b'HTTP/1.1 200 OK\r\nX-ETag: no\r\nEtag:"x"\r\nlast: y\r\n\r\n'
    assert [field(head, name) for name in (b"etag", b"last", b"link")] == [b'"x"', b"y", b""]


# -- TLS ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "localhost.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", str(tmp_path / "crt.pem")),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + (tmp_path / "crt.pem").read_text())
    yield path


def test_https_is_spoken_and_certificates_are_checked(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    body = b"x" * 300_000
    inner = ScriptedServer()
    listener = inner._listener

    def serve() -> None:
        for _ in range(2):
            raw, _ = listener.accept()
            try:
                with server.wrap_socket(raw, server_side=True) as connection:
                    for _ in range(2):
                        connection.recv(65536)
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            except OSError:
                continue  # the client refused our certificate

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    target = Target.of(inner.url.replace("http://127.0.0.1", "https://localhost"))._replace(
        family=listener.family, address=listener.getsockname()
    )
    connection = Connection(target)
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.ask(target.request("/"))
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(tls, "context", lambda: trusting)
    for _ in range(2):
        assert connection.ask(target.request("/")) == 200
        assert connection.body() == body
        gevent.sleep(0.02)  # session tickets arrive unasked, and are no fault
    connection.close()
    thread.join(5.0)
    listener.close()
