"""What is learnt from a target: all pages of its stations, the ETags of paths, or one sentence that says why not."""

from __future__ import annotations

import json

import pytest

from loadtests import survey
from loadtests.lean import Target
from loadtests.places import Found
from loadtests.survey import SurveyError
from tests.loadtests.scripted import ScriptedServer


def page(*ids: str, link: str = "", status: bytes = b"200 OK") -> bytes:
    body = json.dumps({"stations": [{"id": one, "lat": 1.5, "lon": 2} for one in ids]}).encode()
    head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n" % (status, len(body))
    return head + (f'Link: <{link}>; rel="next"\r\n'.encode() if link else b"") + b"\r\n" + body


def test_pages_are_followed_wherever_their_links_call_the_target() -> None:
    """Behind a proxy the target calls itself by another name, and by another prefix of its paths."""
    pages = [page("a", "b", link="https://public.example/api/v1/stations?after=2"), page("c")]
    with ScriptedServer([None, pages[0], None, pages[1]]) as server:
        found = survey.stations(Target.of(server.url + "/api"), "1,2,3,4", 1000, "&operator=X")
    assert found == [Found(one, 1.5, 2.0) for one in "abc"]
    assert [request.split(b" ")[1] for request in server.requests] == [
        b"/api/v1/stations?bbox=1,2,3,4&limit=1000&fields=id,lat,lon&operator=X",
        b"/api/v1/stations?after=2",
    ]


def test_enough_is_enough() -> None:
    with ScriptedServer([None, page("a", "b", link="/v1/stations?after=2"), None]) as server:
        assert len(survey.stations(Target.of(server.url), survey.WORLD, 1)) == 1
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (page("a", status=b"503 Busy"), "answered 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "no JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "tells no stations"),
        (b"", "closed instead of an answer"),
    ],
)
def test_a_target_of_another_kind_is_told_apart(answer: bytes, message: str) -> None:
    with ScriptedServer([None, answer]) as server, pytest.raises(SurveyError, match=message):
        survey.stations(Target.of(server.url), survey.WORLD, 10)


def test_etags_are_asked_for_without_bodies() -> None:
    tagged = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 999\r\n\r\n'
    bare = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with ScriptedServer([None, tagged], [None, bare]) as server:
        found = survey.etags(Target.of(server.url), ["/a", "/b"])
    assert sorted(found.values()) == ["", '"x"']
    assert {request[:6] for request in server.requests} == {b"HEAD /"}


def test_one_path_that_is_not_there_ends_the_survey() -> None:
    missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    with (
        ScriptedServer([None, missing], [None, missing]) as server,
        pytest.raises(SurveyError, match=r"HEAD /. answered 404"),
    ):
        survey.etags(Target.of(server.url), ["/a", "/b"])
