"""Attacks by what a person, or somebody who may write a job or a question file, puts into it: each is one sentence."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from framegate.pipelines.store import Store
from framegate.pipelines.store.client_options import client_options, hide_credentials
from framegate.pipelines.store.errors import translate_errors
from framegate.schemas.config import InputConfig, OutputConfig
from framegate.schemas.errors import ConfigError, CredentialsError, FramegateError, StorageError
from framegate.schemas.job import load_job, parse_job, parse_questions
from framegate.schemas.plain_yaml import MAX_BYTES, parse_yaml

CANARY = "k4n4ry-5ec2e7"
JOB: dict[str, Any] = {
    "input": {"videos": "films"},
    "questions": [{"id": "red", "text": "Is it red?", "type": "yes_no"}],
    "model": {"name": "dock"},
    "output": {"uri": "index"},
}
PLAIN = yaml.safe_dump(JOB)

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)
)
MERGED_LAUGHS = "a0: &a0 {k: v}\n" + "\n".join(
    f"a{n}: &a{n} {{k{n}: [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]}}" for n in range(1, 25)
)

TEXTS: list[Any] = [
    pytest.param(LAUGHS, "stands for more than 200,000 keys and values", id="billion-laughs"),
    pytest.param(MERGED_LAUGHS, "stands for more than 200,000 keys and values", id="billion-laughs-in-mappings"),
    pytest.param(PLAIN + "x: &x {y: &y {z: [*x]}}", "refers to what it is a part of (*x)", id="self-reference-deep"),
    pytest.param("&a [*a]", "refers to what it is a part of (*a)", id="self-reference-of-a-list"),
    pytest.param("&a {<<: *a, b: 1}", "refers to what it is a part of (*a)", id="self-reference-by-merge"),
    pytest.param("a: *nobody", "no &nobody is above it", id="alias-of-nothing"),
    pytest.param("[" * 100_000, "nested deeper than 32 levels", id="deep-flow-lists"),
    pytest.param("{a: " * 5_000, "nested deeper than 32 levels", id="deep-flow-mappings"),
    pytest.param("- " * 5_000, "nested deeper than 32 levels", id="deep-block-lists"),
    pytest.param(
        "a: &a [[[[[[[[[[[[x]]]]]]]]]]]]\nb: &b [[[[[[[[[[[[*a]]]]]]]]]]]]\nc: [[[[[[[[[[[[*b]]]]]]]]]]]]",
        "nested deeper than 32 levels",
        id="deep-by-aliases",
    ),
    pytest.param("[" + "0," * 250_000 + "]", "more than 200,000 keys and values", id="a-quarter-million-values"),
    pytest.param(PLAIN + "model: {name: other}\n", "has the key 'model' a second time", id="key-twice"),
    pytest.param(
        PLAIN.replace("uri: index", "uri: index\n  uri: elsewhere"),
        "has the key 'uri' a second time",
        id="inner-key-twice",
    ),
    pytest.param(
        PLAIN.replace("uri: index", "uri: index\n  'uri': elsewhere"),
        "has the key 'uri' a second time",
        id="key-twice-with-quotes",
    ),
    pytest.param(
        PLAIN.replace("uri: index", 'uri: index\n  "\\x75ri": elsewhere'),
        "has the key 'uri' a second time",
        id="key-twice-by-an-escape",
    ),
    pytest.param("a: {b: [{c: 1, c: 2}]}", "has the key 'c' a second time", id="key-twice-far-inside"),
    pytest.param("seed: " + "9" * 5_000, "has a number of 5,000 characters", id="integer-of-5000-digits"),
    pytest.param("seed: 0x" + "f" * 60, "a whole number of more than 64 bits", id="hexadecimal-integer"),
    pytest.param("seed: 0b" + "1" * 62 + "1111", "has a number of 68 characters", id="binary-integer"),
    pytest.param("seed: " + "1:" * 20 + "1", "1:30 is 90, in base 60", id="sexagesimal-integer"),
    pytest.param("seed: 99999999999999999999", "a whole number of more than 64 bits", id="integer-of-67-bits"),
    pytest.param("cost: .inf", "has a number that is not finite", id="infinity"),
    pytest.param("cost: -.INF", "has a number that is not finite", id="minus-infinity"),
    pytest.param("cost: .nan", "has a number that is not finite", id="nan"),
    pytest.param("cost: 1.0e+999", "has a number that is not finite", id="a-float-that-overflows"),
    pytest.param("day: 2026-99-99", "has a timestamp that is none", id="a-date-that-is-none"),
    pytest.param("day: 2026-01-01 99:00:00", "has a timestamp that is none", id="a-time-that-is-none"),
    pytest.param("day: !!int words", "has a int that is none", id="a-tag-that-does-not-fit"),
    pytest.param("day: !!timestamp words", "has a timestamp that is none", id="a-timestamp-tag-that-does-not-fit"),
    pytest.param("a: !!python/object/apply:os.system [id]", "has the tag !!python/object/apply", id="python-apply"),
    pytest.param("a: !!python/name:os.system", "has the tag !!python/name:os.system", id="python-name"),
    pytest.param("a: !!python/module:os", "has the tag !!python/module:os", id="python-module"),
    pytest.param("a: !!python/tuple [1]", "has the tag !!python/tuple", id="python-tuple"),
    pytest.param("a: !!binary aGk=", "has the tag !!binary", id="binary"),
    pytest.param("a: !!set {b}", "has the tag !!set", id="set"),
    pytest.param("a: !include /etc/passwd", "has the tag !include", id="include"),
    pytest.param("a: !env HOME", "has the tag !env", id="environment-tag"),
    pytest.param("%TAG ! tag:evil,2026:\n---\na: !x y", "has the tag tag:evil,2026:x", id="tag-directive"),
    pytest.param("? [a, b]\n: c", "has a list or a mapping for a key", id="list-for-a-key"),
    pytest.param("? {a: b}\n: c", "has a list or a mapping for a key", id="mapping-for-a-key"),
    pytest.param("1: a", "has a key that is no text", id="number-for-a-key"),
    pytest.param("yes: a", "has a key that is no text", id="yes-for-a-key"),
    pytest.param("~: a", "has a key that is no text", id="null-for-a-key"),
    pytest.param(PLAIN + "---\n" + PLAIN, "holds a second document", id="two-documents"),
    pytest.param("--- a\n--- b\n--- c", "holds a second document", id="three-documents"),
    pytest.param("\0" + PLAIN, "holds a NUL character in line 1", id="nul"),
    pytest.param(PLAIN.replace("index", '"in\\0dex"'), "holds a NUL character", id="nul-by-an-escape"),
    pytest.param("a: \x1b]0;owned\x07", "is no valid YAML", id="escape-sequence"),
    pytest.param(
        PLAIN.replace("index", '"\\ud800"'), ("is no valid YAML", "half of a character"), id="half-a-character"
    ),
    pytest.param("", "must be a mapping", id="empty"),
    pytest.param("just words", "must be a mapping", id="words"),
    pytest.param("[1, 2]", "must be a mapping", id="a-list"),
    pytest.param("{", "is no valid YAML", id="half-a-mapping"),
    pytest.param("a: 'b", "is no valid YAML", id="open-quote"),
    pytest.param("\ta: b", "is no valid YAML", id="tab"),
    pytest.param("a: b: c", "is no valid YAML", id="two-colons"),
    pytest.param("<<: 7", "is no valid YAML", id="merge-of-a-number"),
    pytest.param("a: {<<: [1, 2]}", "is no valid YAML", id="merge-of-a-list-of-numbers"),
    pytest.param(
        PLAIN.replace("uri: index", "<<: {uri: a}\n  <<: {uri: b}"), "has the key '<<' a second time", id="merge-twice"
    ),
    pytest.param("&a {<<: [{b: *a}]}", "refers to what it is a part of (*a)", id="self-reference-in-a-merged-list"),
    pytest.param(
        "a0: &a0 {k: v}\n" + "\n".join(f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: 1}}" for n in range(1, 200)),
        "nested deeper than 32 levels",
        id="deep-by-merges",
    ),
    pytest.param(
        "a0: &a0 {k: v}\n" + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)),
        "stands for more than 200,000 keys and values",
        id="billion-laughs-by-merges",
    ),
    pytest.param(PLAIN + "clips: {seconds: 010}", "010 is 8, in base 8", id="octal-number"),
    pytest.param(PLAIN + "clips: {seconds: -0_17}", "010 is 8, in base 8", id="octal-number-with-an-underscore"),
    pytest.param(PLAIN + "clips: {seconds: 1:30}", "1:30 is 90, in base 60", id="sexagesimal-number"),
    pytest.param(PLAIN + "clips: {seconds: 1:30.5}", "1:30 is 90, in base 60", id="sexagesimal-float"),
    pytest.param(PLAIN + "run: {timezone: 16:30}", "1:30 is 90, in base 60", id="a-time-of-day-that-is-a-number"),
    pytest.param("a: !!omap [b: c]", "has the tag !!omap", id="omap"),
    pytest.param("a: !<tag:yaml.org,2002:python/object/new:os.system> [id]", "has the tag !!python", id="verbatim-tag"),
    pytest.param("a: &x b\n*x : 1\nb: 2", "has the key 'b' a second time", id="key-twice-by-an-alias"),
    pytest.param("? " + "k" * 100_000 + "\n: 1\n" + PLAIN, "is not a known key", id="key-of-100000-characters"),
    pytest.param("%YAML 2.0\n---\na: 1", "is no valid YAML", id="another-version-of-yaml"),
    pytest.param(
        '{"input": {"videos": "a", "videos": "b"}}', "has the key 'videos' a second time", id="json-key-twice"
    ),
    pytest.param('{"a": ' * 200 + "1" + "}" * 200, "nested deeper than 32 levels", id="json-deep"),
]
DATA: list[Any] = [
    pytest.param(PLAIN.encode("utf-16"), "is written in UTF-16", id="utf-16"),
    pytest.param(PLAIN.encode("utf-16-le"), "holds a NUL character in line 1", id="utf-16-without-a-mark"),
    pytest.param(PLAIN.encode() + "# caf\xe9".encode("latin-1"), "is not written in UTF-8 (byte 0xe9", id="latin-1"),
    pytest.param(PLAIN.encode("utf-32"), "is written in UTF-16 or UTF-32", id="utf-32"),
    pytest.param(PLAIN.encode() + b"# \xff\xfe", "is not written in UTF-8 (byte 0xff", id="invalid-utf-8"),
    pytest.param(b"# \xed\xa0\x80\n" + PLAIN.encode(), "is not written in UTF-8", id="surrogate-in-utf-8"),
    pytest.param(b"# " + b"x" * MAX_BYTES, "has more than 4,194,304 bytes", id="more-than-4-mib"),
    pytest.param(b"\x80" * 100, "is not written in UTF-8", id="no-text"),
]


def _nested(depth: int) -> dict[str, Any]:
    return {"client_kwargs": _nested(depth - 1)} if depth else {"secret": CANARY}


S3, GS, AZ = "s3://b/v", "gs://b/v", "az://c/v"
SPELLINGS: list[Any] = [
    pytest.param(uri, options, id=name)
    for name, uri, options in [
        ("key", S3, {"key": CANARY}),
        ("secret", S3, {"secret": CANARY}),
        ("token", S3, {"token": CANARY}),
        ("Secret", S3, {"Secret": CANARY}),
        ("KEY", S3, {"KEY": CANARY}),
        ("password", S3, {"password": CANARY}),
        ("passwd", S3, {"passwd": CANARY}),
        ("pwd", S3, {"pwd": CANARY}),
        ("pass", S3, {"pass": CANARY}),
        ("username", S3, {"username": CANARY}),
        ("aws_access_key_id", S3, {"aws_access_key_id": CANARY}),
        ("aws_secret_access_key", S3, {"aws_secret_access_key": CANARY}),
        ("AwsSecretAccessKey", S3, {"AwsSecretAccessKey": CANARY}),
        ("awsSecretAccessKey", S3, {"awsSecretAccessKey": CANARY}),
        ("AWS-SECRET-ACCESS-KEY", S3, {"AWS-SECRET-ACCESS-KEY": CANARY}),
        ("aws_session_token", S3, {"aws_session_token": CANARY}),
        ("accessKey", S3, {"accessKey": CANARY}),
        ("secretKey", S3, {"secretKey": CANARY}),
        ("accesskey", S3, {"accesskey": CANARY}),
        ("apikey", S3, {"apikey": CANARY}),
        ("api-key", S3, {"api-key": CANARY}),
        ("bearer", S3, {"bearer": CANARY}),
        ("auth", S3, {"auth": CANARY}),
        ("authorization", S3, {"authorization": CANARY}),
        ("headers-authorization", S3, {"headers": {"Authorization": f"Bearer {CANARY}"}}),
        ("client-kwargs-headers", S3, {"client_kwargs": {"headers": {"X-Auth": CANARY}}}),
        ("client-kwargs-secret", S3, {"client_kwargs": {"aws_secret_access_key": CANARY}}),
        ("client-kwargs-access-key", S3, {"client_kwargs": {"aws_access_key_id": CANARY}}),
        ("client-kwargs-session-token", S3, {"client_kwargs": {"aws_session_token": CANARY}}),
        ("client-kwargs-auth", S3, {"client_kwargs": {"auth": ["me", CANARY]}}),
        ("config-kwargs-proxy", S3, {"config_kwargs": {"proxies": {"https": f"http://me:{CANARY}@p"}}}),
        ("config-kwargs-user-agent", S3, {"config_kwargs": {"user_agent_extra": CANARY}}),
        ("config-kwargs-proxy-certificate", S3, {"config_kwargs": {"proxies_config": {"proxy_client_cert": CANARY}}}),
        ("sse-customer-key", S3, {"s3_additional_kwargs": {"SSECustomerKey": CANARY}}),
        ("copy-source-sse-key", S3, {"s3_additional_kwargs": {"CopySourceSSECustomerKey": CANARY}}),
        ("session", S3, {"session": CANARY}),
        ("passphrase", S3, {"passphrase": CANARY}),
        ("private_key", S3, {"private_key": CANARY}),
        ("credentials", S3, {"credentials": {"AccessKey": CANARY}}),
        ("cookie", S3, {"cookies": CANARY}),
        ("zero-width-key", S3, {"sec\u200bret": CANARY}),
        ("full-width-key", S3, {"ｓｅｃｒｅｔ": CANARY}),
        ("key-that-is-the-secret", S3, {f"AKIA {CANARY}": 1}),
        ("endpoint-with-password", S3, {"endpoint_url": f"https://me:{CANARY}@s3.example"}),
        ("endpoint-with-user", S3, {"endpoint_url": f"https://{CANARY}@s3.example"}),
        ("endpoint-with-query", S3, {"endpoint_url": f"https://s3.example?sig={CANARY}"}),
        ("nested-endpoint-with-password", S3, {"client_kwargs": {"endpoint_url": f"https://me:{CANARY}@s3.example"}}),
        ("gs-token", GS, {"token": CANARY}),
        ("gs-token-file", GS, {"token": f"/keys/{CANARY}.json"}),
        ("gs-token-mapping", GS, {"token": {"private_key": CANARY}}),
        ("gs-session-kwargs", GS, {"session_kwargs": {"headers": {"Authorization": CANARY}}}),
        ("az-account-key", AZ, {"account_key": CANARY}),
        ("az-sas", AZ, {"sas": CANARY}),
        ("az-sas-token", AZ, {"sas_token": CANARY}),
        ("az-connection-string", AZ, {"connection_string": f"AccountKey={CANARY}"}),
        ("az-ConnectionString", AZ, {"ConnectionString": f"AccountKey={CANARY}"}),
        ("az-credential", AZ, {"credential": CANARY}),
        ("az-client-secret", AZ, {"client_secret": CANARY}),
        ("half-a-reference", S3, {"secret": f"${{env:HOME}}{CANARY}"}),
        ("reference-with-a-default", S3, {"secret": f"${{env:HOME:-{CANARY}}}"}),
        ("reference-to-a-file", S3, {"secret": f"${{file:/{CANARY}}}"}),
        ("shell-variable", S3, {"secret": f"${CANARY}"}),
        ("reference-for-a-key", S3, {"${env:CANARY_VARIABLE}": True}),
        ("reference-in-a-list", S3, {"secret": ["${env:CANARY_VARIABLE}"]}),
        ("reference-in-a-mapping", S3, {"secret": {"value": "${env:CANARY_VARIABLE}"}}),
        ("reference-with-a-line-break", S3, {"secret": "${env:CANARY_VARIABLE}\n"}),
        ("reference-in-capitals", S3, {"secret": "${ENV:CANARY_VARIABLE}"}),
        ("key-with-a-dot", S3, {"client_kwargs.region_name": CANARY}),
        ("key-with-a-dot-further-in", S3, {"config_kwargs": {"s3.addressing_style": CANARY}}),
        ("region-with-a-header", S3, {"region": f"eu\r\nAuthorization: {CANARY}"}),
        ("endpoint-with-a-fragment", S3, {"endpoint_url": f"https://s3.example#{CANARY}"}),
        ("endpoint-with-an-encoded-user", S3, {"endpoint_url": f"https://{CANARY}%40s3.example"}),
        ("mappings-500-deep", S3, _nested(500)),
        ("reference-in-an-endpoint", S3, {"endpoint_url": "${env:CANARY_VARIABLE}"}),
        ("reference-in-a-region", S3, {"region": "${env:CANARY_VARIABLE}"}),
        ("value-of-the-wrong-kind", S3, {"anon": CANARY}),
        ("options-that-are-a-text", S3, f"secret={CANARY}"),
        ("options-that-are-a-list", S3, [CANARY]),
        ("file-key", "films", {"protocol_key": CANARY}),
        ("https-headers", "https://h/a.mp4", {"headers": {"Authorization": CANARY}}),
        ("ftp-password", "ftp://h/a.mp4", {"password": CANARY}),
    ]
]
PASSWORDS: list[Any] = [
    pytest.param(parts, id=name)
    for name, parts in [
        ("output-s3", {"output": {"uri": f"s3://me:{CANARY}@b/x"}}),
        ("output-https", {"output": {"uri": f"https://{CANARY}@h/x"}}),
        ("output-with-a-space-before", {"output": {"uri": f" s3://me:{CANARY}@b/x"}}),
        ("input-https", {"input": {"videos": f"https://me:{CANARY}@h/a.mp4"}}),
        ("input-in-a-list", {"input": {"videos": ["a.mp4", f"ftp://me:{CANARY}@h/a.mp4"]}}),
        ("input-encoded-colon", {"input": {"videos": f"ftp://me%3A{CANARY}@h/a.mp4"}}),
        ("input-password-with-a-slash", {"input": {"videos": f"https://me:{CANARY}/x@h/a.mp4"}}),
        ("input-password-with-an-at", {"input": {"videos": f"https://me:{CANARY}@{CANARY}@h/a.mp4"}}),
        ("input-upper-case", {"input": {"videos": f"HTTPS://me:{CANARY}@h/a.mp4"}}),
        ("report-link", {"report": {"link": f"https://me:{CANARY}@player/?v={{uri}}"}}),
        ("model-name", {"model": {"name": f"https://me:{CANARY}@hub/model"}}),
        ("a-key-of-no-part", {"model": {"name": "dock", "hub_token": CANARY}}),
    ]
]
OUTPUTS: list[Any] = [
    pytest.param("memory://index", "keeps nothing once its process ends", id="memory"),
    pytest.param("MEMORY://index", "keeps nothing once its process ends", id="memory-in-capitals"),
    pytest.param("https://host/index", "is an address to read from", id="https"),
    pytest.param("github://owner:repo@/x", ("no kind of storage", "password"), id="github"),
    pytest.param("simplecache::s3://b/x", "simplecache:// is no kind of storage", id="chain"),
    pytest.param("zip://x::file:///tmp/a.zip", "zip:// is no kind of storage", id="zip"),
    pytest.param("arrow_hdfs://host/x", "arrow_hdfs:// is no kind of storage", id="arrow-hdfs"),
    pytest.param("reference://x", "reference:// is no kind of storage", id="reference"),
    pytest.param("dask://x", "dask:// is no kind of storage", id="dask"),
    pytest.param("\u200bs3://b/x", "characters that nobody sees", id="invisible-before-the-protocol"),
    pytest.param("simplecache::memory://x", "simplecache:// is no kind of storage", id="chain-to-memory"),
    pytest.param("dir::memory://x", "dir:// is no kind of storage", id="folder-in-memory"),
    pytest.param("memory:/x", "would be a folder of that name", id="memory-with-one-slash"),
    pytest.param("memory::x", "would be a folder of that name", id="memory-with-two-colons"),
    pytest.param("Memory:x", "would be a folder of that name", id="memory-without-a-slash"),
    pytest.param("memory\u200b://x", "characters that nobody sees", id="invisible-in-the-protocol"),
    pytest.param("ｍemory://x", "has :// in the name of a folder", id="full-width-protocol"),
    pytest.param("local://memory://x", "has :// in the name of a folder", id="memory-below-local"),
    pytest.param("file://memory://x", "has :// in the name of a folder", id="memory-below-file"),
    pytest.param("file://host/x", "has :// in the name of a folder", id="file-of-another-host"),
    pytest.param("/tmp/memory://x", "has :// in the name of a folder", id="protocol-inside-a-path"),
    pytest.param("s3:/b/x", "would be a folder of that name", id="s3-with-one-slash"),
    pytest.param("simplecache::x", "would be a folder of that name", id="chain-to-a-name"),
    pytest.param("s3://", "names no bucket", id="no-bucket"),
    pytest.param("S3:///x", "names no bucket", id="no-bucket-before-the-slash"),
    pytest.param("in\u202edex", "characters that nobody sees", id="bidi-override"),
    pytest.param("\ufeffindex", "characters that nobody sees", id="byte-order-mark-before"),
    pytest.param("in\ndex", "characters that nobody sees", id="line-break"),
    pytest.param("in\x1b[2Jdex", "characters that nobody sees", id="ansi"),
    pytest.param("index ", "white space around it", id="space-behind"),
]
TWINS: list[Any] = [
    pytest.param("open", "open ", "'open '", id="trailing-space"),
    pytest.param("open", " open", "' open'", id="leading-space"),
    pytest.param("open door", "open  door", "'open  door'", id="two-spaces"),
    pytest.param("open door", "open\u00a0door", "\\xa0", id="no-break-space"),
    pytest.param("open door", "open\tdoor", "\\t", id="tab"),
    pytest.param("open", "open\u200b", "\\u200b", id="zero-width-space"),
    pytest.param("open", "op\u200den", "\\u200d", id="zero-width-joiner"),
    pytest.param("open", "\ufeffopen", "\\ufeff", id="byte-order-mark"),
    pytest.param("open", "op\u00aden", "\\xad", id="soft-hyphen"),
    pytest.param("open", "op\u202een", "\\u202e", id="bidi-override"),
    pytest.param("open", "open\ufe0f", "\\ufe0f", id="variation-selector"),
    pytest.param("open", "op\u034fen", "\\u034f", id="grapheme-joiner"),
    pytest.param("caf\u00e9", "cafe\u0301", "e\\u0301", id="composed-and-decomposed"),
    pytest.param("open", "ｏｐｅｎ", "\\uff4f", id="full-width"),
    pytest.param("fine", "\ufb01ne", "\\ufb01", id="ligature"),
    pytest.param("1", "\u2460", "\\u2460", id="number-in-a-circle"),
    pytest.param("open", "open\u2800", "\\u2800", id="braille-blank-behind"),
    pytest.param("open door", "open\u2800door", "\\u2800", id="braille-blank-for-a-space"),
    pytest.param("open", "op\u2065en", "\\u2065", id="ignorable-without-a-meaning-yet"),
    pytest.param("open", "op\ufff0en", "\\ufff0", id="ignorable-of-the-specials"),
    pytest.param("open", "open\U000e0fff", "\\U000e0fff", id="ignorable-of-the-tags"),
    pytest.param("open", "open\x7f", "\\x7f", id="delete"),
]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes | str], object]:
    def read(data: bytes | str) -> object:
        path = tmp_path / "job.yaml"
        path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
        return load_job(path)

    return read


def refused(act: Callable[[], object], said: str | tuple[str, ...]) -> str:
    """The sentence, which comes at once and on one line."""
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        act()
    sentence = str(caught.value)
    assert time.monotonic() - began < 10
    assert any(part in sentence for part in ((said,) if isinstance(said, str) else said)), sentence
    assert len(sentence) < 1_500
    assert sentence.isprintable()
    return sentence


@pytest.mark.parametrize(("text", "said"), TEXTS)
def test_yaml_that_is_an_attack_is_one_sentence(text: str, said: str, load: Callable[[str], object]) -> None:
    refused(lambda: load(text), said)


@pytest.mark.parametrize(("data", "said"), DATA)
def test_bytes_that_are_no_yaml_are_one_sentence(data: bytes, said: str, load: Callable[[bytes], object]) -> None:
    refused(lambda: load(data), said)


@pytest.mark.parametrize(("text", "said"), TEXTS[:12])
def test_a_question_file_is_read_within_the_same_limits(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "questions.yaml").write_text(text)
    sentence = refused(lambda: parse_job({**JOB, "questions": "questions.yaml"}, folder=tmp_path), said)
    assert "the question file" in sentence


def test_a_byte_order_mark_comments_and_plain_anchors_are_no_attack(load: Callable[[bytes], Any]) -> None:
    shared = "s: &s {endpoint_url: 'http://127.0.0.1:9000'}\n"
    text = PLAIN.replace("videos: films", "videos: s3://b/v\n  storage_options: &s {endpoint_url: 'http://h:9000'}")
    text = text.replace("uri: index", "uri: s3://b/x\n  storage_options: *s")
    job = load(b"\xef\xbb\xbf# a comment\n" + text.encode())
    assert job.config.output.storage_options == job.config.input.storage_options == {"endpoint_url": "http://h:9000"}
    refused(lambda: load(shared.encode() + PLAIN.encode()), "s is not a known key")


PLACES: list[Any] = [
    pytest.param(lambda folder: "/dev/zero", "is a device", id="dev-zero"),
    pytest.param(lambda folder: "/dev/stdin", ("is a", "must be a mapping", "cannot be read"), id="dev-stdin"),
    pytest.param(lambda folder: str(folder), "is a folder", id="folder"),
    pytest.param(lambda folder: _pipe(folder / "pipe"), "is a pipe", id="fifo"),
    pytest.param(lambda folder: _link(folder / "link", "/dev/zero"), "is a device", id="link-to-dev-zero"),
    pytest.param(
        lambda folder: _link(folder / "circle", str(folder / "circle")), "cannot be read", id="circle-of-links"
    ),
    pytest.param(lambda folder: "a\0b.yaml", "cannot be read", id="nul-in-the-name"),
    pytest.param(lambda folder: str(folder / "none.yaml"), "does not exist", id="missing"),
    pytest.param(lambda folder: str(folder / ("x" * 300)), "cannot be read", id="name-too-long"),
    pytest.param(lambda folder: "/proc/self/environ", ("NUL character", "must"), id="environment-of-the-process"),
]


@pytest.mark.parametrize("kind", ["job", "questions", "prompt"])
@pytest.mark.parametrize(("place", "said"), PLACES)
def test_what_is_no_file_is_refused_at_once(
    kind: str, place: Callable[[Path], str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AN_ENVIRONMENT_VARIABLE", CANARY)
    path = place(tmp_path)
    if kind == "job":
        sentence = refused(lambda: load_job(path), said)
    elif kind == "questions":
        sentence = refused(lambda: parse_job({**JOB, "questions": path}, folder=tmp_path), said)
    else:
        if path == "/dev/stdin":
            pytest.skip("pytest's own standard input is an empty file here, which is a prompt")
        sentence = refused(lambda: parse_job({**JOB, "prompt": {"system_file": path}}, folder=tmp_path), said)
    assert CANARY not in sentence


def test_bombs_take_neither_memory_nor_time(tmp_path: Path) -> None:
    """In a process that may have 512 MiB."""
    for number, text in enumerate((LAUGHS, MERGED_LAUGHS, "[" * 1_000_000, "[" + "0," * 1_000_000 + "]")):
        (tmp_path / f"{number}.yaml").write_text(text)
    code = f"""
        import resource
        from framegate.schemas.errors import ConfigError
        from framegate.schemas.job import load_job
        resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
        for number in range(4):
            try:
                load_job({str(tmp_path)!r} + f"/{{number}}.yaml")
            except ConfigError:
                print("refused")
    """
    assert resource.RLIMIT_AS
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["refused"] * 4, done.stderr


@pytest.mark.parametrize(("uri", "options"), SPELLINGS)
@pytest.mark.parametrize("part", ["input", "output"])
def test_no_spelling_of_a_credential_passes_or_is_repeated(
    part: str, uri: str, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_VARIABLE", CANARY)
    if part == "input":
        place = {"input": {"videos": uri, "storage_options": options}}
    else:
        place = {"output": {"uri": "s3://b/x" if "://h" in uri else uri, "storage_options": options}}
    sentence = refused(lambda: parse_job({**JOB, **place}), "storage_options")
    assert CANARY not in sentence
    assert "env:HOME" not in sentence


@pytest.mark.parametrize("parts", PASSWORDS)
def test_a_password_in_any_field_is_refused_and_not_repeated(parts: dict[str, Any]) -> None:
    sentence = refused(lambda: parse_job({**JOB, **parts}), ("password", "credential"))
    assert CANARY not in sentence


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"secrett": "x"}, "did you mean secret: ${env:NAME}"),
        ({"aws_secret_access_key": "x"}, "did you mean secret: ${env:NAME}"),
        ({"endpoint": "x"}, "did you mean endpoint_url?"),
        ({"Endpoint_URL": "x"}, "did you mean endpoint_url?"),
        ({"requester_pay": True}, "did you mean requester_pays?"),
        ({"client_kwargs": {"region": "x"}}, "did you mean client_kwargs.region_name?"),
    ],
    ids=str,
)
def test_a_wrong_option_is_told_the_nearest_right_one(options: dict[str, Any], hint: str) -> None:
    refused(lambda: parse_job({**JOB, "output": {"uri": "s3://b/x", "storage_options": options}}), hint)


def test_options_that_are_on_the_list_reach_the_client_and_those_of_other_kinds_do_not() -> None:
    options = {
        "endpoint_url": "http://127.0.0.1:9000",
        "region": "eu-central-1",
        "addressing_style": "path",
        "signature_version": "s3v4",
        "requester_pays": True,
        "config_kwargs": {"read_timeout": 5, "s3": {"payload_signing_enabled": False}},
        "account_name": "acme",
        "project": "p",
    }
    config = InputConfig(videos="list.csv", storage_options=options)
    assert client_options("s3://b/v", config.storage_options) == {
        "endpoint_url": "http://127.0.0.1:9000",
        "requester_pays": True,
        "client_kwargs": {"region_name": "eu-central-1"},
        "config_kwargs": {
            "read_timeout": 5,
            "signature_version": "s3v4",
            "s3": {"payload_signing_enabled": False, "addressing_style": "path"},
        },
    }
    assert client_options("az://c/v", config.storage_options) == {"account_name": "acme"}
    assert set(client_options("gs://b/v", config.storage_options)) == {"endpoint_url", "project", "requester_pays"}


def test_a_credential_that_is_referred_to_is_known_to_the_client_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE_SECRET", CANARY)
    options = {"key": "${env:ARCHIVE_KEY}", "secret": "${env:ARCHIVE_SECRET}"}
    config = OutputConfig(uri="s3://b/x", storage_options=options)
    with pytest.raises(CredentialsError, match=r"environment variable ARCHIVE_KEY, which is not set") as caught:
        Store(config.storage_options).stat("s3://b/x")
    assert CANARY not in str(caught.value)
    monkeypatch.setenv("ARCHIVE_KEY", "AKIA" + CANARY)
    assert client_options("s3://b/x", config.storage_options) == {"key": "AKIA" + CANARY, "secret": CANARY}
    for text in (repr(config), config.model_dump_json(), repr(Store(config.storage_options))):
        assert CANARY not in text
        assert "${env:ARCHIVE_SECRET}" in text
    assert CANARY not in hide_credentials(f"wrong secret {CANARY}")


def test_an_error_of_a_client_that_repeats_its_credential_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE_SECRET", CANARY)
    client_options("s3://b/x", {"secret": "${env:ARCHIVE_SECRET}"})
    with pytest.raises(StorageError) as caught, translate_errors("read", "s3://b/x"):
        raise ValueError(f"secret {CANARY} is malformed")
    assert "***" in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(("uri", "said"), OUTPUTS)
def test_an_output_that_keeps_nothing_or_is_no_storage_is_refused_before_any_work(
    uri: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "_backend", _no_client)
    monkeypatch.chdir(tmp_path)
    refused(lambda: parse_job({**JOB, "output": {"uri": uri}}), said)
    with pytest.raises(ValidationError):
        OutputConfig(uri=uri)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", ["plan", "run", "status", "audit", "seal"])
def test_memory_as_an_output_ends_every_command_with_exit_code_2(command: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({**JOB, "output": {"uri": "memory://index"}}))
    result = _run(command, str(tmp_path / "job.yaml"))
    assert (result.exit_code, "keeps nothing once its process ends" in result.stderr) == (2, True), result.output
    assert os.listdir(tmp_path) == ["job.yaml"]


@pytest.mark.parametrize("uri", ["memory://index", f"s3://me:{CANARY}@b/x", "github://x/y", "simplecache::s3://b/x"])
def test_an_output_that_is_named_on_the_command_line_is_judged_alike(uri: str) -> None:
    for arguments in (["audit", uri], ["query", "--output", uri, "SELECT 1"]):
        result = _run(*arguments)
        assert result.exit_code == 2, result.output
        assert CANARY not in result.output + result.stderr


@pytest.mark.parametrize(
    "text", [LAUGHS, "[" * 100_000, PLAIN + "model: {name: x}\n", "seed: " + "9" * 5000, "day: 2026-99-99", "\0"]
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_job_that_is_an_attack_ends_a_command_with_exit_code_2(command: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(text)
    result = _run(command, str(tmp_path / "job.yaml"))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: the job file")
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("one", "other", "shown"), TWINS)
@pytest.mark.parametrize("kind", ["options", "ids"])
def test_twins_are_refused_and_what_is_not_seen_is_shown(kind: str, one: str, other: str, shown: str) -> None:
    if kind == "options":
        bank = [{"id": "q", "text": "Which?", "type": "choice", "options": [one, other]}]
    else:
        bank = [{"id": id, "text": f"Is it {n}?", "type": "yes_no"} for n, id in enumerate((one, other))]
    sentence = refused(lambda: parse_questions(bank), "differ only in white space")
    assert shown in sentence


@pytest.mark.parametrize(
    ("one", "other"), [("open", "Open"), ("a", "\u0430"), ("no where", "nowhere"), ("1 0", "10"), ("\u7ea2", "\u7eff")]
)
def test_texts_that_can_be_told_apart_are_no_twins(one: str, other: str) -> None:
    [question] = parse_questions([{"id": "q", "text": "Which?", "type": "choice", "options": [one, other]}])
    assert question.options == (one, other)


@pytest.mark.parametrize("nothing", ["\u200b", "\u2800", "\ufeff \u2060", "\u3164"], ids=ascii)
@pytest.mark.parametrize("key", ["id", "text", "options"])
def test_words_of_which_nothing_is_seen_are_refused(key: str, nothing: str) -> None:
    question: dict[str, Any] = {"id": "q", "text": "Which?", "type": "choice", "options": ["a", "b"]}
    question[key] = ["a", nothing] if key == "options" else nothing
    refused(lambda: parse_questions([question]), ("must be a word", "must be the question's words", "must be text"))


def test_questions_whose_words_look_the_same_are_refused() -> None:
    bank = [{"id": f"q{n}", "text": text} for n, text in enumerate(("What is here?", "What is\u200b here?"))]
    refused(lambda: parse_questions(bank), "'q0' and 'q1' ask the same")


def test_a_value_in_an_error_is_short_and_shows_no_query() -> None:
    for value in ("x" * 100_000, f"https://h/?sig={CANARY}", ["y" * 100_000], {"z": "z" * 100_000}):
        sentence = refused(lambda value=value: parse_job({**JOB, "model": {"name": "dock", "dtype": value}}), "dtype")
        assert len(sentence) < 400
        assert CANARY not in sentence


def test_a_name_in_an_error_is_short() -> None:
    twice = [{"id": "i" * 100_000, "text": text} for text in ("One?", "Two?")]
    refused(lambda: parse_questions(twice), "stands twice")
    same = [{"id": id * 100_000, "text": "One?"} for id in "ab"]
    refused(lambda: parse_questions(same), "ask the same")


def test_yaml_errors_repeat_no_line_of_the_file() -> None:
    sentence = refused(lambda: parse_yaml(f"a: {{secret: {CANARY}\nb: ]", "the job file"), "is no valid YAML")
    assert CANARY not in sentence
    assert "line " in sentence


def _run(*arguments: str) -> Any:
    from framegate.jobs.cli import app

    return CliRunner().invoke(app, list(arguments))


def _no_client(*_: object) -> None:
    raise FramegateError("a client was asked for")


def _pipe(path: Path) -> str:
    os.mkfifo(path)
    return str(path)


def _link(path: Path, target: str) -> str:
    path.symlink_to(target)
    return str(path)
