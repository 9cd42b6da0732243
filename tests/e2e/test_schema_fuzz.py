"""Promise R6 above HTTP: every operation of the /openapi.json that the service hands out, asked with what the document allows
and with what it forbids. No 5xx; every answer is one that the document names, of the type and the shape it says; what is
forbidden is refused with a problem that says what is wrong; and a refused write leaves nothing behind."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from mapsvc.roads.valhalla_files import is_installed
from tests.e2e.stack import PARTY, TORTURE, Stack

EXAMPLES = 4000 if TORTURE else 50  # of each operation and mode: 10^5 requests under TORTURE=1
ANSWER_S = 20.0
CONFORMS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
WRITES = ("POST", "PUT", "DELETE", "PATCH")
STREAM = "text/event-stream"  # never ends: live streams have tests of their own
STORED = """SELECT (SELECT sum(n) FROM shard), (SELECT count(*) FROM status_history), (SELECT count(*) FROM outbox),
    (SELECT count(*) FROM station), (SELECT count(*) FROM evse), (SELECT array_agg(status ORDER BY num, slot) FROM evse),
    (SELECT array_agg(id ORDER BY id) FROM party)"""


@pytest.fixture(scope="module")
def schema(shared_stack: Stack) -> Any:
    url = f"{shared_stack.url}/openapi.json"
    if requests.get(url, timeout=ANSWER_S).status_code == 404:
        pytest.skip("the service hands out no /openapi.json")
    return schemathesis.openapi.from_url(url)


def operations(schema: Any) -> list[Any]:
    """All that end. Raises for one that the document describes wrongly."""
    found = [result.ok() for result in schema.get_all_operations()]
    return [
        operation
        for operation in found
        if STREAM not in str(operation.definition.raw["responses"])
        and (is_installed() or "Roads" not in operation.definition.raw["tags"])  # they would all say 503
    ]


def stored(stack: Stack) -> asyncpg.Record:
    async def ask() -> asyncpg.Record:
        connection = await asyncpg.connect(stack.database_url)
        try:
            return (await connection.fetch(STORED))[0]
        finally:
            await connection.close()

    return asyncio.run(ask())


def readings(text: str) -> Iterator[Any]:
    """What a value of a query may stand for."""
    yield text
    for convert in (int, float):
        with suppress(ValueError):
            yield convert(text)
            yield [convert(part) for part in text.split(",")]
    if text in ("true", "false"):
        yield text == "true"
    yield text.split(",")


def allowed_as_sent(operation: Any, response: Any) -> bool:
    """A forbidden value may become an allowed one on the wire, where all is text: an empty object is nothing at all, and two
    names in one string are a list of two. Only of operations without a body."""
    sent = parse_qsl(urlsplit(response.request.url).query, keep_blank_values=True)
    known = {p["name"]: p for p in operation.definition.raw.get("parameters", ()) if p["in"] == "query"}
    if operation.method.upper() in WRITES or len({name for name, _ in sent}) < len(sent):
        return False
    if {name for name, p in known.items() if p.get("required")} - {name for name, _ in sent}:
        return False
    return all(
        name in known
        and (
            (text == "" and known[name].get("allowEmptyValue"))
            or any(Draft202012Validator(known[name]["schema"]).is_valid(value) for value in readings(text))
        )
        for name, text in sent
    )


class Fuzz:
    """Asks operations and counts what was answered."""

    def __init__(self, stack: Stack, mode: GenerationMode) -> None:
        self.statuses: collections.Counter[tuple[str, int]] = collections.Counter()
        self.written = 0  # rows and documents that were taken
        self._stack = stack
        self._mode = mode
        self._session = requests.Session()

    def run(self, operation: Any, key: str, **fixed: Any) -> str:
        """What was found wrong, with the request that shows it; "" if nothing was. `fixed`: what is not drawn."""
        writes = bool(operation.definition.raw.get("security"))
        headers = {"Authorization": f"Bearer {key}"} if writes else {}

        @hypothesis.settings(
            max_examples=EXAMPLES, deadline=None, database=None, verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
        )  # fmt: skip
        @hypothesis.given(case=operation.as_strategy(generation_mode=self._mode, **fixed))
        def ask(case: Any) -> None:
            response = case.call(self._stack.url, session=self._session, headers=headers, timeout=ANSWER_S)
            self.statuses[operation.label, response.status_code] += 1
            self._note_written(operation, response)
            checks = self._checks(operation, response.status_code)
            if (
                negative_data_rejection in checks
                and response.status_code < 300
                and allowed_as_sent(operation, response)
            ):
                checks.remove(negative_data_rejection)
            case.validate_response(response, checks=checks)
            if 400 <= response.status_code < 500 and case.method != "HEAD":
                told = response.json()
                assert told["detail"] and told["status"] == response.status_code
                if response.status_code == 400:
                    assert told["errors"], "a fault is named"

        try:
            ask()
        except Unsatisfiable:  # it takes nothing, so nothing about it can be forbidden
            return ""
        except AssertionError as error:
            return f"{operation.label}: {error}"
        except BaseExceptionGroup as group:
            return "\n".join(f"{operation.label}: {error}" for error in group.exceptions)
        return ""

    def _checks(self, operation: Any, status: int) -> list[Any]:
        # A batch with a bad row is taken and says so of that row; what is too large is refused before it is looked at.
        if self._mode is GenerationMode.POSITIVE or operation.path == "/v1/status" or status in (413, 414, 431):
            return list(CONFORMS)
        return [*CONFORMS, negative_data_rejection]

    def _note_written(self, operation: Any, response: Any) -> None:
        if not operation.definition.raw.get("security") or response.status_code >= 300:
            return
        if operation.path == "/v1/status":
            self.written += sum(row["outcome"] in ("applied", "confirmed") for row in response.json()["outcomes"])
        elif operation.path != "/v1/heartbeat":
            self.written += 1


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
def test_every_operation_does_what_its_document_says(shared_stack: Stack, schema: Any, mode: GenerationMode) -> None:
    fuzz = Fuzz(shared_stack, mode)
    before = stored(shared_stack)
    wrong = [fault for operation in operations(schema) if (fault := fuzz.run(operation, shared_stack.key))]
    # Drawn ids are nobody's, so few requests would get as far as the body.
    own = {"id": f"{PARTY}~L0"}
    wrong += [
        fault
        for operation in operations(schema)
        if operation.label in ("PUT /v1/stations/{id}", "GET /v1/stations/{id}")
        and (fault := fuzz.run(operation, shared_stack.key, path_parameters=own))
    ]
    print(sum(fuzz.statuses.values()), "requests", dict(fuzz.statuses))
    assert not wrong, "\n\n".join(wrong)
    if not fuzz.written:
        assert stored(shared_stack) == before
    assert mode is GenerationMode.POSITIVE or not fuzz.written, "what is forbidden is not written"


def test_without_a_key_nothing_is_written_whatever_is_sent(shared_stack: Stack, schema: Any) -> None:
    before = stored(shared_stack)
    fuzz = Fuzz(shared_stack, GenerationMode.POSITIVE)
    writes = [operation for operation in operations(schema) if operation.definition.raw.get("security")]
    assert len(writes) >= 4
    wrong = [fault for operation in writes if (fault := fuzz.run(operation, "msk_wrong"))]
    assert not wrong, "\n\n".join(wrong)
    assert {status for _, status in fuzz.statuses} <= {400, 401, 404}
    assert stored(shared_stack) == before
