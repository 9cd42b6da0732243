"""`/docs`: the OpenAPI document as one page for people. No scripts, nothing from elsewhere, readable without colours.

Ours rather than a packaged viewer: those are megabytes of scripts that need a laxer Content-Security-Policy, and some load
fonts from afar; this is a table or two for each operation, and prints well.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from itertools import groupby
from typing import Any
from urllib.parse import quote

Json = Mapping[str, Any]

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 3rem; } h3 { margin: 2.5rem 0 .5rem; font-size: 1.1rem; }
code, pre { font: .9em/1.45 ui-monospace, monospace; } h3 code { font-size: 1em; overflow-wrap: anywhere; }
pre { background: var(--soft); padding: .6rem .8rem; border-radius: .3rem; white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; } caption { text-align: left; font-weight: 600; }
th, td { border-top: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; } .small { font-size: .85em; } summary { cursor: pointer; }
"""
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)


def render(document: Json) -> str:
    """The page of an OpenAPI document."""
    info, base_url = document["info"], document["servers"][0]["url"]
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    order = list(dict.fromkeys(operation["tags"][0] for _, _, operation in operations))
    operations.sort(key=lambda one: order.index(one[2]["tags"][0]))
    sections = [
        f"<section><h2>{escape(tag)}</h2>{''.join(_operation(*one, base_url) for one in members)}</section>"
        for tag, members in groupby(operations, key=lambda one: one[2]["tags"][0])
    ]
    contents = "".join(
        f'<li><a href="#{escape(operation["operationId"])}"><code>{method.upper()} {escape(path)}</code></a> '
        f"{escape(operation['summary'])}</li>"
        for method, path, operation in operations
    )
    schemas = "".join(
        f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>'
        for name, schema in document["components"]["schemas"].items()
    )
    title = f"{escape(info['title'])} API"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><header><h1>{title}</h1>{_prose(info['description'])}"
        f'<p>For machines: <a href="{escape(base_url)}/openapi.json">openapi.json</a>.</p></header>'
        f'<nav aria-label="Operations"><ul>{contents}</ul></nav><main>{"".join(sections)}'
        f"<section><h2>Schemas</h2>{schemas}</section></main></body></html>"
    )


def _operation(method: str, path: str, operation: Json, base_url: str) -> str:
    key = "<p>Needs a key.</p>" if operation.get("security") else ""
    return (
        f'<article><h3 id="{escape(operation["operationId"])}"><code>{method.upper()} {escape(path)}</code></h3>'
        f"<p><strong>{escape(operation['summary'])}.</strong></p>{_prose(operation['description'])}{key}"
        f"{_parameters(operation['parameters'])}{_body(operation.get('requestBody'))}"
        f"{_examples(method, path, operation, base_url)}{_responses(operation['responses'])}</article>"
    )


def _parameters(parameters: Iterable[Json]) -> str:
    rows = [
        (
            f"<code>{escape(one['name'])}</code>" + ("<br>required" if one["required"] else ""),
            f"{_inline(one['description'])}<br><span class=small>{_allowed(one)}</span>",
        )
        for one in parameters
    ]
    return _table("Parameters", rows)


def _allowed(parameter: Json) -> str:
    schema = parameter["schema"]
    items = schema.get("items") or {}
    parts = [f"in the {parameter['in']}"] if parameter["in"] != "query" else []
    if "enum" in schema or "enum" in items:
        parts.append(" · ".join(f"<code>{escape(word)}</code>" for word in schema.get("enum") or items["enum"]))
    if "minimum" in schema:
        parts.append(f"{schema['minimum']:,} to {schema['maximum']:,}")
    if "maxItems" in schema:
        parts.append(f"at most {schema['maxItems']}, comma-separated")
    if "default" in schema:
        parts.append(f"default <code>{escape(json.dumps(schema['default']))}</code>")
    return "; ".join(parts)


def _body(body: Json | None) -> str:
    if body is None:
        return ""
    media = "".join(
        f"<p class=small><code>{escape(name)}</code>, {_schema(told['schema'])}</p>{_json(told['example'])}"
        for name, told in body["content"].items()
    )
    return f"<p>{_inline(body['description'])}</p>{media}"


def _examples(method: str, path: str, operation: Json, base_url: str) -> str:
    if method == "get":
        return "".join(_curl(f"'{base_url}{target}'") for target in operation.get("x-examples", ()))
    for one in operation["parameters"]:
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", quote(one["example"], safe="*~"))
    data = " -d @body.json" if "requestBody" in operation else ""
    return _curl(f"-X {method.upper()} -H \"Authorization: Bearer $KEY\"{data} '{base_url}{path}'")


def _curl(rest: str) -> str:
    return f"<pre>curl {escape(rest)}</pre>"


def _responses(responses: Json) -> str:
    rows = []
    for status, told in responses.items():
        content = ", ".join(
            f"<code>{escape(name)}</code> {_schema(media['schema'])}" for name, media in told.get("content", {}).items()
        )
        headers = ", ".join(f"<code>{escape(name)}</code>" for name in told.get("headers", ()))
        more = "; ".join(part for part in (content, headers) if part)
        rows.append((escape(status), f"{_inline(told['description'])}<br><span class=small>{more}</span>"))
    return _table("Answers", rows)


def _table(caption: str, rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f'<tr><th scope="row">{head}</th><td>{rest}</td></tr>' for head, rest in rows)
    return f"<table><caption>{caption}</caption><tbody>{body}</tbody></table>" if body else ""


def _schema(schema: Json) -> str:
    """A link to a named schema."""
    name = (schema.get("$ref") or schema.get("items", {}).get("$ref", "")).rpartition("/")[2]
    return f'<a href="#schema-{escape(name)}">{escape(name)}</a>' if name else ""


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(part)}</p>" for part in text.split("\n\n") if part)


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
