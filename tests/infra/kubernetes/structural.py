"""Objects held against the schema of a custom resource, as an API server does it: unknown fields and CEL rules too."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import celpy
import celpy.adapter
import jsonschema

Schema = dict[str, Any]


def faults(value: Any, schema: Schema) -> list[str]:
    """A sentence for each thing that an API server would refuse; none where it takes the object."""
    validator = jsonschema.Draft202012Validator(closed(schema))
    found = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    return [*found, *broken_rules(value, schema, "$")]


def closed(schema: Schema) -> Schema:
    """A copy in which a field that the schema does not name is an error, and quantities may be numbers."""
    schema = copy.copy(schema)
    if schema.pop("x-kubernetes-int-or-string", False):
        return {"type": ["integer", "string"]}
    if "properties" in schema:
        schema["properties"] = {name: closed(inner) for name, inner in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("x-kubernetes-embedded-resource"):
            schema["additionalProperties"] = False
    if isinstance(schema.get("items"), dict):
        schema["items"] = closed(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = closed(schema["additionalProperties"])
    schema.pop("format", None)
    return schema


def broken_rules(value: Any, schema: Schema, path: str) -> Iterator[str]:
    """The rules in CEL that do not hold, but for those about an update, which need the object of before."""
    for rule in schema.get("x-kubernetes-validations", []):
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], value):
            yield f"{path}: {rule.get('message', rule['rule'])}"
    if isinstance(value, dict):
        named = schema.get("properties", {})
        for name, inner in value.items():
            if name in named:
                yield from broken_rules(inner, named[name], f"{path}.{name}")
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for number, inner in enumerate(value):
            yield from broken_rules(inner, schema["items"], f"{path}[{number}]")


def _holds(rule: str, value: Any) -> bool:
    environment = celpy.Environment()
    program = environment.program(environment.compile(rule))
    return bool(program.evaluate({"self": celpy.adapter.json_to_cel(value)}))
