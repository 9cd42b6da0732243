"""The OpenAPI 3.1 document of a set of operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mapsvc.openapi import read_schemas, writes
from mapsvc.openapi.operation import REFUSALS, Operation, Response, ref
from mapsvc.parameter import Parameter, Schema
from mapsvc.problems import CONTENT_TYPE as PROBLEM

VERSION = "1.0.0"  # of the API: another first number would mean other paths than /v1
INTRODUCTION = """\
Where a charger is free, now. Words are OCPI 2.2.1's; instants are RFC 3339 in UTC; powers are kW, distances metres.

Reads need no key and may be made from any web page (CORS); HEAD is answered as GET is. A parameter stands once, an
unknown one is an error, and every error is `application/problem+json` that names the parameter and what is allowed.
Parameters AND, commas OR. A status is shown until its party's TTL is over; then it is UNKNOWN, and `reported_status`
still says the last one."""

HEADERS: Mapping[str, tuple[str, Schema]] = {
    "ETag": (
        "A hash of the very bytes sent, the same on every server. Send it back in If-None-Match.",
        {"type": "string"},
    ),
    "Cache-Control": ("How long it may be kept.", {"type": "string"}),
    "Vary": ("Accept-Encoding: bodies come gzipped to those who take it.", {"type": "string"}),
    "Link": ('The next page, rel="next"; absent on the last one (RFC 8288).', {"type": "string"}),
    "Retry-After": ("Seconds to wait.", {"type": "integer", "minimum": 0}),
    "WWW-Authenticate": ("Bearer.", {"type": "string"}),
    "Idempotency-Replayed": ("true: this is the answer to the first such request.", {"const": "true"}),
    "Content-Security-Policy": ("What the page may load: nothing.", {"type": "string"}),
}

SECURITY_SCHEMES: Mapping[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key made by `mapsvc keys create PARTY`."},
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "OCPI's way for the same keys: `Token <key>`, raw or base64.",
    },
}


def document(operations: Iterable[Operation], base_url: str) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Schema] = {**read_schemas.SCHEMAS, **writes.SCHEMAS}
    for operation in operations:
        schemas.update(operation.schemas)
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mapsvc", "version": VERSION, "description": INTRODUCTION},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": base_url}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in HEADERS.items()},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": {
            **{str(status): _response(response) for status, response in operation.responses.items()},
            **{str(status): _refusal(status) for status in operation.refusals},
            "default": _problem("Any other error: a wrong method, a body that came too slowly, a failure of ours.", ()),
        },
        **operation.more,
    }
    if operation.body:
        told["requestBody"] = {
            "required": True,
            "description": operation.body.description,
            "content": {
                media_type: {"schema": schema, "example": operation.body.examples[media_type]}
                for media_type, schema in operation.body.content.items()
            },
        }
    if operation.secured:
        told["security"] = [{"bearer": []}, {"token": []}]
    if operation.examples:
        told["x-examples"] = list(operation.examples)
    return told


def _parameter(parameter: Parameter[Any]) -> dict[str, Any]:
    schema = dict(parameter.kind.schema)
    told: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required,
        "description": parameter.description,
        "schema": schema,
        "example": value_of(parameter.example, schema),
    }
    if _may_be_sent(parameter):
        schema["default"] = _shortest(parameter.default)
    if schema.get("type") == "array":
        told |= {"style": "form", "explode": False}
    if parameter.may_be_empty:
        told["allowEmptyValue"] = True
    return told


def _may_be_sent(parameter: Parameter[Any]) -> bool:
    """Whether the default is a value that a client may send; else it means absence, and the description says of what."""
    if not isinstance(parameter.default, str | int | float):  # bool is an int
        return False
    try:
        return bool(parameter.kind.parse(str(parameter.default)) == parameter.default)
    except ValueError:
        return False


def value_of(text: str, schema: Schema) -> Any:
    """What a text stands for, read as OpenAPI's style `form` has it. Raises ValueError."""
    match schema.get("type"):
        case "array":
            parts = text.split(",")
            items = [*schema.get("prefixItems", ()), *[schema["items"]] * len(parts)]
            return [value_of(part, item or {}) for part, item in zip(parts, items, strict=False)]
        case "integer":
            return int(text)
        case "number":
            return _shortest(float(text))
        case "boolean":
            return {"true": True, "false": False}[text]
    return text


def _shortest(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _response(response: Response) -> dict[str, Any]:
    told: dict[str, Any] = {"description": response.description}
    if response.headers:
        told["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in response.headers}
    if response.content:
        told["content"] = {media_type: {"schema": schema} for media_type, schema in response.content.items()}
    return told


def _refusal(status: int) -> dict[str, Any]:
    headers = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
    return _problem(REFUSALS[status], headers)


def _problem(description: str, headers: tuple[str, ...]) -> dict[str, Any]:
    return _response(Response(description, {PROBLEM: ref("Problem")}, ("Cache-Control", *headers)))
