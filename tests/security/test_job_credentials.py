"""Attacks by what a job says of credentials: none passes, and no error repeats one."""

from __future__ import annotations

from typing import Any

import pytest

from framegate.pipelines.store import Store
from framegate.pipelines.store.client_options import client_options, hide_credentials
from framegate.pipelines.store.errors import translate_errors
from framegate.schemas.config import InputConfig, OutputConfig
from framegate.schemas.errors import CredentialsError, StorageError
from framegate.schemas.job import parse_job
from tests.security.job_attacks import CANARY, JOB, refused


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


def test_a_value_in_an_error_is_short_and_shows_no_query() -> None:
    for value in ("x" * 100_000, f"https://h/?sig={CANARY}", ["y" * 100_000], {"z": "z" * 100_000}):
        sentence = refused(lambda value=value: parse_job({**JOB, "model": {"name": "dock", "dtype": value}}), "dtype")
        assert len(sentence) < 400
        assert CANARY not in sentence
