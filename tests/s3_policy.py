"""An S3 server that goes by a policy: what the policy does not allow is answered with 403, and named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs

from framegate.pipelines.lab.bench.s3_proxy import Answer, Request
from tests.s3_faults import DENIED

Need = tuple[str, str]
"""An action and the resource that it is done to, as a policy names them."""


@dataclass
class Policy:
    """Statements with an effect of Allow, actions and resources, as IAM reads them. Conditions are refused.

    used      statements' (action, resource) that allowed a request so far
    refused   what was asked for and is not allowed
    """

    statements: Sequence[Mapping[str, Any]]
    used: set[Need] = field(default_factory=set)
    refused: list[Need] = field(default_factory=list)

    @staticmethod
    def parse(text: str) -> Policy:
        document = json.loads(text)
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            assert statement.keys() == {"Effect", "Action", "Resource"}, "only these are understood"
        return Policy(document["Statement"])

    @property
    def grants(self) -> set[Need]:
        return {
            (action, resource)
            for statement in self.statements
            for action in _listed(statement["Action"])
            for resource in _listed(statement["Resource"])
        }

    def allows(self, need: Need) -> bool:
        found = {
            grant
            for grant in self.grants
            if fnmatchcase(need[0], grant[0]) and fnmatchcase(need[1], _literal(grant[1]))
        }
        self.used |= found
        return bool(found)

    def guard(self, request: Request, serve: Callable[[], Answer]) -> Answer | None:
        """A fault of `S3Faults`: every request that it is scripted for is held against the policy."""
        refused = [need for need in needs(request) if not self.allows(need)]
        if refused:
            self.refused += refused
            return DENIED(request, serve)
        answer = serve()
        # As S3 does: whether an object is missing is told to those alone who may list its bucket.
        if answer.status == 404 and request.method in ("GET", "HEAD"):
            need = ("s3:ListBucket", f"arn:aws:s3:::{_bucket(request)}")
            if not self.allows(need):
                self.refused.append(need)
                return DENIED(request, serve)
        return answer


def needs(request: Request) -> list[Need]:
    """What a request needs; an action that no policy has, where it is none that we know."""
    path, _, query = request.target.partition("?")
    asked = parse_qs(query, keep_blank_values=True)
    bucket, _, key = path.lstrip("/").partition("/")
    of_bucket, of_object = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{key}"
    if not key and request.method == "GET" and asked.get("list-type") == ["2"]:
        return [("s3:ListBucket", of_bucket)]
    if not key and request.method == "GET" and "uploads" in asked:
        return [("s3:ListBucketMultipartUploads", of_bucket)]
    if not key and request.method == "POST" and "delete" in asked:
        keys = re.findall(rb"<Key>(.*?)</Key>", request.body)
        return [("s3:DeleteObject", f"{of_bucket}/{each.decode()}") for each in keys]
    plain = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}
    if key and request.method in plain and not asked and "x-amz-copy-source" not in request.headers:
        return [(plain[request.method], of_object)]
    return [(f"unknown: {request.method} {sorted(asked)}", of_object)]


def _bucket(request: Request) -> str:
    return request.target.lstrip("/").partition("/")[0].partition("?")[0]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _literal(pattern: str) -> str:
    """IAM knows `*` and `?`, and no brackets."""
    return pattern.replace("[", "[[]")
