"""Whether an answer is what the OpenAPI document says of it: status, media type, headers, and the body member by member."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator, FormatChecker

Json = Any

FORMATS = FormatChecker(["date-time"])
ALWAYS = {
    "Content-Length", "Content-Type", "Content-Encoding", "Date", "Server", "Connection", "Keep-Alive", "Allow",
    "Access-Control-Allow-Origin", "Access-Control-Expose-Headers",
}  # fmt: skip


def assert_documented(
    document: Json, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
) -> Json:
    """`path`: as the document has it. Returns the JSON body, None where there is none."""
    responses = document["paths"][path][method.lower()]["responses"]
    assert str(status) in responses, f"{method} {path} answered {status}: {body[:300]!r}"
    return assert_response(document, responses[str(status)], headers, body)


def assert_response(document: Json, response: Json, headers: Mapping[str, str], body: bytes) -> Json:
    told = {name.lower() for name in response.get("headers", ())}
    unknown = {name.lower() for name in headers} - {name.lower() for name in ALWAYS} - told
    assert not unknown, f"headers that nobody announced: {unknown}"
    optional = {"link", "idempotency-replayed"}
    if "Idempotency-Replayed" in headers:
        optional |= {"cache-control"}
    assert told - optional <= {name.lower() for name in headers}, f"announced, but not there: {told}"
    content = response.get("content", {})
    if not content:
        assert body == b""
        return None
    media_type = headers["Content-Type"].partition(";")[0]
    assert media_type in content
    schema = content[media_type]["schema"]
    if "json" not in media_type:
        return None
    value = orjson.loads(body)
    errors = [
        f"{error.json_path}: {error.message}"
        for error in validator(orjson.dumps(document), orjson.dumps(schema)).iter_errors(value)
    ]
    assert not errors, errors[:5]
    return value


@lru_cache
def validator(document: bytes, schema: bytes) -> Draft202012Validator:
    """Of a schema in a document, by which no object may have members that are not told."""
    whole = {**orjson.loads(schema), "components": orjson.loads(document)["components"]}
    return Draft202012Validator(_closed(whole), format_checker=FORMATS)


def _closed(schema: Json) -> Json:
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


def path_of(document: Json, target: str) -> str:
    """The document's path that a request's target is of."""
    path = target.partition("?")[0]
    found: list[str] = [
        template
        for template in document["paths"]
        if re.fullmatch("[^/]+".join(map(re.escape, re.split(r"\{[^}]+\}", template))), path)
    ]
    return min(found, key=lambda template: template.count("{"))
