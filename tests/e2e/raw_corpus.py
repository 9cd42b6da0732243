"""What clients may send instead of good HTTP, as data: the bytes, and the answers that are right.

`@HOST@`, `@KEY@` and `@UPDATE@` stand for the service's address, a valid key, and a batch that would be applied if any
server on the way took it for a request's body (it is as long as UPDATE_BYTES says). Nothing here may be applied.
Any server that answers for this service can be held against it; see test_raw_sockets.py for what must hold besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from mapsvc.connections import HEAD_S

UPDATE = b'[{"evse_uid":"L0-0","location_id":"L0","status":"BLOCKED","source_ts":"2026-01-01T00:00:00Z"}]'
UPDATE_BYTES = len(UPDATE)
SLOW_S = HEAD_S + 5.0  # to be cut for slowness

OK = frozenset({200})
BAD = frozenset({400})
NOT_FOUND = frozenset({404})
METHOD = frozenset({405})
REFUSED = frozenset({400, 404, 405, 411, 413, 414, 417, 431, 501, 505})
TOO_LARGE = frozenset({400, 414, 431})
SLOW = frozenset({408})


class Case(NamedTuple):
    name: str
    pieces: tuple[bytes, ...]
    answers: tuple[frozenset[int], ...]  # the allowed statuses of each answer, in order
    end: Literal["open", "closed", "broken", "either", "cut"]
    """Afterwards. broken: closed, one more 400 may come first; cut: closed by a time-out, not before."""
    pause_s: float = 0.0  # between pieces
    methods: tuple[str, ...] = ("GET",)  # of the requests, for whoever reads the answers; the last one goes on


HOST = b"Host: @HOST@\r\n"
KEY = b"Authorization: Bearer @KEY@\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
NEARBY = b"/v1/nearby?lat=48.8&lon=2.2"


def get(target: bytes, headers: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET " + target + b" " + version + b"\r\n" + HOST + headers + b"\r\n"


def post(headers: bytes, body: bytes = b"", target: bytes = b"/v1/status") -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\n" + HOST + KEY + headers + b"\r\n" + body


def length(value: bytes | int) -> bytes:
    return b"Content-Length: %b\r\n" % (str(value).encode() if isinstance(value, int) else value)


CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKED_UPDATE = b"%x\r\n%b\r\n0\r\n\r\n" % (UPDATE_BYTES, b"@UPDATE@")
WRITE = post(length(UPDATE_BYTES), b"@UPDATE@")
SMUGGLED, SMUGGLED_LENGTH = b"@SMUGGLED@", length(b"@SMUGGLED_BYTES@")  # WRITE, as somebody's body


def smuggling() -> Iterator[Case]:
    """Two readings of where a request ends. Whatever the first reading is, the second must not be acted upon."""
    for name, headers in {
        "length, then chunked": length(5) + CHUNKED,
        "chunked, then length": CHUNKED + length(5),
        "two lengths that differ": length(5) + length(UPDATE_BYTES),
        "two lengths that agree": length(UPDATE_BYTES) + length(UPDATE_BYTES),
        "a list of lengths": length(b"5, 5"),
        "a length with a plus": length(b"+5"),
        "a negative length": length(b"-5"),
        "a length with an underscore": length(b"1_0"),
        "a length in hex": length(b"0x5"),
        "a length in another script": length("٥".encode()),
        "a length beyond all integers": length(b"9" * 30),
        "a length of 2^64 and a bit": length(18446744073709551621),
        "an empty length": length(b""),
        "a blank inside the length": length(b"5 5"),
        "a decimal length": length(b"5.0"),
        "chunked spelt xchunked": b"Transfer-Encoding: xchunked\r\n",
        "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n",
        "identity, chunked": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n" + length(5),
        "chunked twice": CHUNKED + CHUNKED,
        "chunked in quotes": b'Transfer-Encoding: "chunked"\r\n',
        "chunked after a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
        "chunked after NUL": b"Transfer-Encoding: \x00chunked\r\n",
        "chunked, folded": b"Transfer-Encoding:\r\n chunked\r\n",
        "a blank before the colon": b"Transfer-Encoding : chunked\r\n",
        "a blank before the length's colon": b"Content-Length : 5\r\n",
        "a tab before the colon": b"Transfer-Encoding\t: chunked\r\n",
        "a header hidden behind a bare LF": b"X: y\nTransfer-Encoding: chunked\r\n" + length(5),
        "a header hidden behind a bare CR": b"X: y\rTransfer-Encoding: chunked\r\n" + length(5),
        "a header hidden behind NUL": b"X: y\x00\r\nTransfer-Encoding: chunked\r\n" + length(5),
        "a header line without a colon": b"Transfer-Encoding\r\n" + length(5),
        "an empty header name": b": chunked\r\n" + length(5),
        "a folded line first": b" X: y\r\n" + length(5),
        "an underscore for the hyphen": b"Transfer_Encoding: chunked\r\n" + length(b"x"),
    }.items():
        yield Case(name, (post(headers, b"0\r\n\r\n" + SMUGGLED),), (BAD,), "closed")
    for name, body in {
        "a chunk size that is no number": b"zz\r\n@UPDATE@\r\n0\r\n\r\n",
        "a negative chunk size": b"-5\r\n@UPDATE@\r\n0\r\n\r\n",
        "a chunk size with a plus": b"+5\r\nhello\r\n0\r\n\r\n",
        "a chunk size in C's hex": b"0x5\r\nhello\r\n0\r\n\r\n",
        "a chunk size beyond all integers": b"f" * 17 + b"\r\n@UPDATE@\r\n0\r\n\r\n",
        "an empty chunk size": b"\r\n@UPDATE@\r\n0\r\n\r\n",
        "a chunk longer than it says": b"2\r\n@UPDATE@\r\n0\r\n\r\n",
        "a chunk's end by a bare LF": b"%x\n@UPDATE@\n0\n\n" % UPDATE_BYTES,
        "a bare LF inside a chunk's extension": b"2;\n[]\r\n0\r\n\r\n",
        "a blank before a chunk size": b" 2\r\n[]\r\n0\r\n\r\n",
    }.items():
        yield Case(name, (post(CHUNKED, body),), (BAD,), "closed")
    yield Case("chunk extensions", (post(CHUNKED, b'1;a=b;c="d"\r\n[\r\n1\r\n]\r\n0;e\r\n\r\n'),), (OK,), "open")
    yield Case("chunks with trailers", (post(CHUNKED, b"2\r\n[]\r\n0\r\nX-Trailer: 1\r\n\r\n"),), (OK,), "open")
    yield Case(
        "a trailer that claims another key",
        (post(CHUNKED, b"2\r\n[]\r\n0\r\nAuthorization: Bearer x\r\n\r\n"),),
        (OK,), "open",
    )  # fmt: skip
    yield Case(
        "chunk extensions without end", (post(CHUNKED, b"2;" + b"a" * 70_000 + b"\r\n"),), (BAD | SLOW,), "either"
    )
    yield Case("trailers without end", (post(CHUNKED, b"2\r\n[]\r\n0\r\n" + b"X: y\r\n" * 10_000),), (BAD,), "closed")
    yield Case("a body that is a request", (post(SMUGGLED_LENGTH, SMUGGLED),), (BAD,), "open")
    yield Case("a GET whose body is a write", (get(NEARBY, SMUGGLED_LENGTH) + SMUGGLED,), (OK,), "either")
    yield Case("a GET whose chunks are a write", (get(NEARBY, CHUNKED) + CHUNKED_UPDATE,), (OK,), "open")
    yield Case(
        "a write forwarded with another one inside a header",
        (post(length(2) + b"Content-Type: a\\r\\nPOST /v1/status HTTP/1.1\r\n", b"[]"),), (OK,), "open",
    )  # fmt: skip
    yield Case(
        "a path with an encoded line break and a header",
        (b"PUT /v1/stations/FR*TST~a%0d%0aX:%20y HTTP/1.1\r\n" + HOST + KEY + length(2) + b"\r\n{}",),
        (NOT_FOUND | BAD,), "open",
    )  # fmt: skip
    yield Case(
        "a path with an encoded blank and a version",
        (b"DELETE /v1/stations/FR*TST~a%20HTTP/1.1%0d%0a%0d%0aDELETE%20/v1/stations/FR*TST~L0 HTTP/1.1\r\n" + HOST + KEY
         + b"\r\n",), (NOT_FOUND,), "open",
    )  # fmt: skip
    yield Case(
        "absolute form that names another server",
        (post(length(2), b"[]", b"http://127.0.0.1:1/v1/status"),), (OK | BAD,), "either",
    )  # fmt: skip
    yield Case(
        "absolute form with a user that looks like our server",
        (post(length(2), b"[]", b"http://@HOST@@127.0.0.1:1/v1/status"),), (OK | BAD,), "either",
    )  # fmt: skip


def request_lines() -> Iterator[Case]:
    refused = {
        "no version": b"GET /healthz\r\n" + HOST + b"\r\n",
        "HTTP/0.9": b"GET /healthz\r\n\r\n",
        "HTTP/1.2": get(b"/healthz", version=b"HTTP/1.2"),
        "HTTP/2.0": get(b"/healthz", version=b"HTTP/2.0"),
        "HTTP/9": get(b"/healthz", version=b"HTTP/9"),
        "HTTP/1.1x": get(b"/healthz", version=b"HTTP/1.1x"),
        "http/1.1 in small letters": get(b"/healthz", version=b"http/1.1"),
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        "TLS ClientHello": bytes.fromhex("16030100c8010000c40303") + bytes(range(180)) + b"\r\n\r\n",
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "Redis": b"*1\r\n$8\r\nFLUSHALL\r\n\r\n",
        "NUL bytes": bytes(64),
        "a tab for the blank": b"GET\t/healthz\tHTTP/1.1\r\n" + HOST + b"\r\n",
        "a blank inside the target": b"GET /heal thz HTTP/1.1\r\n" + HOST + b"\r\n",
        "a method in small letters": b"get /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        "an unknown method": b"BREW /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        "a method with a line break": b"GE\r\nT /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        "a method of 10,000 letters": b"A" * 10_000 + b" /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
        "only garbage": b"\x80\xff\x00\x01garbage\xfe\r\n\r\n",
        "a control character in the target": b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
        "NUL in the target": b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    }
    for name, data in refused.items():
        yield Case(name, (data,), (REFUSED,), "closed")
    for name, target in {
        "a request line of 9 KB": b"/v1/nearby?" + b"a" * 9_000,
        "a request line of a MiB": b"/" + b"a" * (1 << 20),
    }.items():
        yield Case(name, (get(target),), (TOO_LARGE,), "closed")
    for target in (b"http://@HOST@/healthz", b"http://elsewhere.example/healthz", b"HTTP://@HOST@:80/healthz"):
        yield Case(f"absolute form {target.decode()}", (get(target),), (OK | BAD,), "either")
    yield Case("absolute form, another scheme", (get(b"ftp://@HOST@/healthz"),), (OK | BAD,), "either")
    yield Case("absolute form, no such port", (get(b"http://@HOST@:99999999/healthz"),), (OK | BAD,), "either")
    yield Case("absolute form, half an IPv6 address", (get(b"http://[::1/healthz"),), (OK | BAD | NOT_FOUND,), "either")
    yield Case("authority form", (get(b"@HOST@"),), (REFUSED,), "either")
    yield Case("asterisk form", (get(b"*"),), (REFUSED,), "either")
    yield Case("OPTIONS *", (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",), (REFUSED | {204},), "either")
    yield Case("CONNECT", (b"CONNECT @HOST@ HTTP/1.1\r\n" + HOST + b"\r\n",), (REFUSED,), "either")
    yield Case("CONNECT elsewhere", (b"CONNECT example.org:443 HTTP/1.1\r\n" + HOST + b"\r\n",), (REFUSED,), "either")
    for method in (b"TRACE", b"PATCH", b"PROPFIND", b"PURGE", b"QUERY"):
        yield Case(method.decode(), (method + b" " + NEARBY + b" HTTP/1.1\r\n" + HOST + b"\r\n",), (REFUSED,), "either")
    yield Case("PATCH of a station", (b"PATCH /v1/stations/FR*TST~L0 HTTP/1.1\r\n" + HOST + KEY + length(2) + b"\r\n{}",),
               (METHOD,), "open")  # fmt: skip
    yield Case("two blanks", (b"GET  /healthz HTTP/1.1\r\n" + HOST + b"\r\n",), (OK | BAD,), "either")
    yield Case("blank lines first", (b"\r\n\r\n" + GET,), (OK,), "open")
    yield Case("a bare LF ends each line", (GET.replace(b"\r\n", b"\n"),), (OK | BAD,), "either")


def heads() -> Iterator[Case]:
    for name, headers in {
        "a header of 9 KB": b"X: " + b"a" * 9_000 + b"\r\n",
        "a header of a MiB": b"X: " + b"a" * (1 << 20) + b"\r\n",
        "a header name of 9 KB": b"X" * 9_000 + b": a\r\n",
        "129 headers": b"X: a\r\n" * 129,
        "10,000 headers": b"".join(b"X-%d: a\r\n" % i for i in range(10_000)),
        "a NUL in a header": b"X: a\x00b\r\n",
        "a control character in a header": b"X: a\x01b\r\n",
        "a blank in a header name": b"X y: a\r\n",
        "a header name in UTF-8": "Größe: a\r\n".encode(),
        "a folded header": b"X: a\r\n b\r\n",
        "two hosts": HOST,
    }.items():
        yield Case(name, (get(b"/healthz", headers),), (BAD | TOO_LARGE,), "closed")
    for name, headers in {
        "100 headers": b"X: a\r\n" * 100,
        "a header of 8,000 bytes": b"X: " + b"a" * 8_000 + b"\r\n",
        "invalid UTF-8 in a header": b"X: \xff\xfe\xc3\x28\r\n",
        "invalid UTF-8 in User-Agent": b"User-Agent: \xff\r\n",
        "an empty header": b"X:\r\n",
        "blanks around a value": b"X:   a  \t \r\n",
        "invalid UTF-8 in If-None-Match": b"If-None-Match: \xff\r\n",
        "an ETag without its end": b'If-None-Match: "\r\n',
        "Accept-Encoding nonsense": b"Accept-Encoding: gzip;q=x,;;,=\r\n",
        "an impossible date": b"If-Modified-Since: yesterday\r\n",
        "a range": b"Range: bytes=0-1\r\n",
        "a range backwards": b"Range: bytes=5-1\r\n",
        "a thousand ranges": b"Range: bytes=" + b"0-1," * 1000 + b"0-1\r\n",
        "cookies": b"Cookie: a=b; \xff=;;=\r\n",
        "an unknown Connection": b"Connection: keep-alive, Upgrade, x\r\n",
        "X-Forwarded-For": b"X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4;proto=x\r\n",
        "websocket asked for": (
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        ),
        "h2c asked for": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    }.items():
        yield Case(name, (get(NEARBY, headers),), (OK,), "open")
    yield Case("no Host", (b"GET /healthz HTTP/1.1\r\n\r\n",), (OK | BAD,), "either")
    yield Case("a Host that is none", (b"GET /healthz HTTP/1.1\r\nHost: a b/%%\r\n\r\n",), (OK | BAD,), "either")
    yield Case(
        "a Host of another", (b"GET /v1/tiles/stations.json HTTP/1.1\r\nHost: evil.example\r\n\r\n",), (OK,), "open"
    )
    yield Case("half a Host", (b"GET /healthz HTTP/1.1\r\nHost: [::1\r\n\r\n",), (OK | BAD,), "either")
    yield Case("Connection: close", (get(b"/healthz", b"Connection: close\r\n"),), (OK,), "closed")
    yield Case("HTTP/1.0", (b"GET /healthz HTTP/1.0\r\n\r\n",), (OK,), "closed")
    yield Case("HTTP/1.0 that keeps", (b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",), (OK,), "open")
    yield Case("HEAD", (get(NEARBY).replace(b"GET", b"HEAD", 1),), (OK,), "open", methods=("HEAD", "GET"))
    yield Case(
        "HEAD of nothing", (get(b"/no").replace(b"GET", b"HEAD", 1),), (NOT_FOUND,), "open", methods=("HEAD", "GET")
    )
    preflight = b"Origin: https://a.example\r\nAccess-Control-Request-Method: "
    for method, told in ((b"GET", frozenset({204})), (b"POST", METHOD), (b"\xff", METHOD | BAD)):
        yield Case(
            f"preflight for {method!r}",
            (b"OPTIONS " + NEARBY + b" HTTP/1.1\r\n" + HOST + preflight + method + b"\r\n\r\n",), (told,), "either",
        )  # fmt: skip
    yield Case("Expect: 100-continue", (post(length(2) + b"Expect: 100-continue\r\n"), b"[]"), (OK,), "open", 0.3)
    yield Case(
        "Expect: 100-continue, and then nothing", (post(length(2) + b"Expect: 100-continue\r\n"),), (SLOW,), "either"
    )
    yield Case("Expect of something else", (get(b"/healthz", b"Expect: a-miracle\r\n"),), (frozenset({417}),), "either")
    yield Case("Expect of bytes", (get(b"/healthz", b"Expect: \xff\r\n"),), (REFUSED,), "either")
    for name, value in {
        "a key of bytes": b"Bearer \xff\xfe", "a Token of bad base64": b"Token %%%", "an empty key": b"Bearer ",
        "a key of 8 KB": b"Bearer " + b"a" * 8_000, "a scheme alone": b"Bearer", "Token of NUL": b"Token AAAA",
    }.items():  # fmt: skip
        data = b"POST /v1/status HTTP/1.1\r\n" + HOST + b"Authorization: " + value + b"\r\n"
        yield Case(name, (data + length(UPDATE_BYTES) + b"\r\n@UPDATE@",), (frozenset({401}),), "open")
    yield Case(
        "two keys, the second one good",
        (b"POST /v1/status HTTP/1.1\r\n" + HOST + b"Authorization: Bearer x\r\n" + KEY + length(2) + b"\r\n[]",),
        (frozenset({400, 401}),), "either",
    )  # fmt: skip


def targets() -> Iterator[Case]:
    for target in (
        b"/v1/nearby?lat=%00&lon=2", b"/v1/nearby?lat=48.8&lon=2.2&%ff=1", b"/v1/nearby?lat=48.8&lon=2.2&operator=%ff",
        b"/v1/nearby?lat=48.8&lon=2.2&operator=%ed%a0%80", b"/v1/nearby?lat=%", b"/v1/nearby?lat=%zz&lon=2",
        b"/v1/nearby?lat=\xff&lon=2", b"/v1/nearby?\xff\xfe", b"/v1/nearby?lat=48.8;lon=2.2", b"/v1/nearby?&&&=&",
 b"/v1/stations?bbox=%00,0,0,0", b"/v1/nearby?" + b"a=b&" * 1900,
        b"/v1/stations?bbox=1,2,3", b"/v1/tiles/stations/3/0/0.mvt?x=%c0%ae", b"/v1/tiles/stations/99/0/0.mvt",
        b"/v1/nearby?lat=48.8&lon=2.2&lat=1", b"/v1/nearby?lat[]=1&lon=2",
    ):  # fmt: skip
        yield Case(f"query {target[:60]!r}", (get(target),), (BAD,), "either")
    for target in (
        b"/%2e%2e/%2e%2e/etc/passwd", b"/../../etc/passwd", b"//", b"/v1/../v1/nothing", b"/v1//nearby", b"/%00", b"/%ff",
        b"/v1/stations/%00", b"/v1/stations/%ff%fe", b"/v1/stations/\xff", b"/v1/stations/%c0%ae%c0%ae", b"/%",
        b"/v1/stations/..%2f..%2fnearby", b"/v1/stations/a%2fb", b"/v1/stations/~", b"/v1/stations/FR*TST~%F0%9F%94%8C",
        b"/v1/tiles/stations/1/1/1.mvt%00", b"/v1/tiles/stations/%31/%zz/0.mvt", b"/v1/tiles/stations/-1/0/0.mvt",
        b"/v1/tiles/stations/1/" + b"9" * 400 + b"/0.mvt", b"/v1/stations/" + b"a" * 4_000, b"/v1/nearby%3flat=1",
        b"/v1/nearby/", b"/V1/NEARBY", b"/;/v1/nearby", "/ключ".encode(), b"/v1/stations/%u0041", b"///evil.example/",
        b"/\\evil.example", b"/v1/tiles/stations/\xd9\xa1/0/0.mvt", b"/v1/tiles/stations/%D9%A1/0/0.mvt",
    ):  # fmt: skip
        yield Case(f"path {target[:60]!r}", (get(target),), (NOT_FOUND | BAD,), "either")
    yield Case("a fragment", (get(b"/healthz#x"),), (OK | BAD | NOT_FOUND,), "either")
    yield Case("a path that is encoded needlessly", (get(b"/%68ealthz"),), (OK | NOT_FOUND,), "open")


def pipelines() -> Iterator[Case]:
    yield Case("20 requests at once", (GET * 20,), (OK,) * 20, "open")
    yield Case("100 requests at once", (GET * 100,), (OK,) * 100, "open")
    # The second answer tells the order: it is the only one that is not found.
    yield Case("answers in order", (GET + get(b"/no") + GET,), (OK, NOT_FOUND, OK), "open")
    yield Case("a write between reads", (GET + post(length(2), b"[]") + GET,), (OK, OK, OK), "open",
               methods=("GET", "POST", "GET"))  # fmt: skip
    yield Case("garbage behind a request", (GET + b"garbage\r\n\r\n",), (OK | BAD,), "broken")
    yield Case("garbage behind a write", (post(length(2), b"[]") + b"\x00" * 50,), (OK | BAD,), "broken")
    yield Case("half a request behind one", (GET, GET[:30]), (OK, SLOW), "cut", 0.5)
    yield Case("a body longer than declared", (post(length(1), b"[]"),), (BAD,), "broken")
    yield Case(
        "a request behind Connection: close", (get(b"/healthz", b"Connection: close\r\n") + GET,), (OK | BAD,), "closed"
    )
    yield Case("TLS behind a request", (GET + bytes.fromhex("16030100c8") + b"\r\n\r\n",), (OK | BAD,), "broken")
    yield Case("blank lines between requests", (GET + b"\r\n\r\n" + GET,), (OK, OK), "open")


def trickles() -> Iterator[Case]:
    """Slow is not wrong, up to a limit."""
    yield Case("a head byte by byte", tuple(GET[i : i + 1] for i in range(len(GET))), (OK,), "open", 0.02)
    slow = post(length(2) + b"Connection: keep-alive\r\n")
    yield Case("a body byte by byte", (slow, b"[", b"]"), (OK,), "open", 1.5)
    yield Case(
        "chunks byte by byte", (post(CHUNKED), *(b"%c" % c for c in b"2\r\n[]\r\n0\r\n\r\n")), (OK,), "open", 0.1
    )
    yield Case("a byte a second", tuple(b"%c" % c for c in GET[:40]), (SLOW,), "cut", 1.0)
    yield Case("silence", (b"",), (), "cut")
    yield Case("half a request line", (b"GET /heal",), (SLOW,), "cut")
    yield Case("half a head", (GET[:-2],), (SLOW,), "cut")
    yield Case("blank lines for ever", (b"\r\n",) * 40, (SLOW,), "cut", 0.5)
    yield Case("a header a second", (GET[:-2], *(b"X-%d: a\r\n" % i for i in range(30))), (SLOW,), "cut", 0.7)
    yield Case("half a body", (post(length(UPDATE_BYTES), UPDATE[:50]),), (SLOW,), "either")
    yield Case("half a chunk", (post(CHUNKED, b"50\r\n["),), (SLOW,), "either")
    yield Case("a body of a MiB, a byte a second", (post(length(1 << 20)), *(b" ",) * 30), (SLOW,), "either", 0.7)
    yield Case("a body that a GET never sends", (get(NEARBY, length(1000)),), (OK,), "closed")
    yield Case("a request line a byte a second after a good request", (GET, *(b"%c" % c for c in GET[:40])), (OK, SLOW),
               "cut", 0.8)  # fmt: skip


def sizes() -> Iterator[Case]:
    mib = 1 << 20
    yield Case("a body of a MiB", (post(length(mib), b"[" + b" " * (mib - 2) + b"]"),), (OK,), "open")
    yield Case("a body of a MiB and a byte, declared", (post(length(mib + 1)),), (frozenset({413}),), "either")
    yield Case("a body of a TiB, declared", (post(length(1 << 40)),), (frozenset({413}),), "either")
    yield Case(
        "a body of a MiB and a byte, in chunks",
        (post(CHUNKED, (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 16 + b"1\r\n]\r\n0\r\n\r\n"),), (frozenset({413}),),
        "either",
    )  # fmt: skip
    small = 1 << 16
    yield Case("a heartbeat of 64 KiB", (post(length(small), b" " * small, b"/v1/heartbeat"),), (OK,), "open")
    yield Case("a heartbeat of 64 KiB and a byte", (post(length(small + 1), b" " * (small + 1), b"/v1/heartbeat"),),
               (frozenset({413}),), "either")  # fmt: skip
    yield Case("a write of nothing", (post(length(0)),), (BAD,), "open")
    yield Case("a write without a length", (post(b""),), (BAD | {411},), "open")


CORPUS = (
    *smuggling(), *request_lines(), *heads(), *targets(), *pipelines(), *trickles(), *sizes(),
)  # fmt: skip
