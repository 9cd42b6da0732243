"""/docs: everything of the document, nothing from elsewhere, no scripts, well-formed, and nothing unescaped."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from mapsvc.docs_page import POLICY, render
from mapsvc.openapi.document import document
from mapsvc.openapi.operation import Operation, Response
from mapsvc.openapi.reads import DOCS, OPENAPI, PROBES, READS
from mapsvc.openapi.writes import WRITES
from mapsvc.parameter import Parameter, one_of

OPERATIONS = (*READS, *WRITES, *PROBES, OPENAPI, DOCS)
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Elements, the ids and links among their attributes, the text; whether every element is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.style = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            self.style += data
        else:
            self.text += data

    def all(self, attribute: str) -> list[str]:
        return [value for _, attrs in self.elements if (value := attrs.get(attribute)) is not None]


@pytest.fixture
def page() -> Page:
    return Page(render(document(OPERATIONS, "https://maps.test/here")))


def test_the_page_tells_every_operation_parameter_and_schema(page: Page) -> None:
    for operation in OPERATIONS:
        assert f"{operation.method} {operation.path}" in page.text
        assert operation.id in page.all("id")
        for parameter in operation.parameters:
            assert parameter.name in page.text
    assert "Problem" in page.text
    assert "1 to 200,000; default 10000" in page.text


def test_examples_are_commands_that_can_be_copied(page: Page) -> None:
    for operation in OPERATIONS:
        for target in operation.examples:
            assert f"curl 'https://maps.test/here{target}'" in page.text
    assert (
        'curl -X PUT -H "Authorization: Bearer $KEY" -d @body.json \'https://maps.test/here/v1/stations/XH*NOH~'
        in page.text
    )


def test_nothing_is_loaded_and_nothing_runs(page: Page) -> None:
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "svg", "audio", "video"}
    assert page.all("src") == [] and not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert "url(" not in page.style and "@import" not in page.style
    assert page.all("style") == []


def test_the_policy_allows_this_style_and_nothing_else(page: Page) -> None:
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    assert POLICY.startswith("default-src 'none';")
    assert "unsafe" not in POLICY and "http" not in POLICY


def test_links_lead_somewhere(page: Page) -> None:
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    for link in page.all("href"):
        assert link == "https://maps.test/here/openapi.json" or (link[0] == "#" and link[1:] in ids)


def test_the_page_can_be_read_aloud_and_by_night(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert {"main", "nav", "header", "caption"} <= {tag for tag, _ in page.elements}
    assert dict(page.elements)["html"] == {"lang": "en"}
    assert "color-scheme: light dark" in page.style


def test_what_a_document_says_is_text_and_never_markup() -> None:
    evil = "<script>alert(1)</script>&\"'"
    parameter: Parameter[Any] = Parameter("p<b>", one_of(evil), evil, evil, evil)
    operation = Operation(
        id="x", method="GET", path="/<i>", tag=evil, summary=evil, description=evil, parameters=(parameter,),
        responses={200: Response(evil, {"a/<u>": {"type": "string"}})}, examples=("/?<s>",),
        schemas={"S<q>": {"description": evil}},
    )  # fmt: skip
    page = Page(render(document([operation], 'https://maps.test/?<x>"')))
    assert not {tag for tag, _ in page.elements} & {"script", "b", "i", "u", "s", "q", "x"}
    assert evil in page.text
