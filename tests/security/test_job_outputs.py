"""Attacks by the place of an output: one that keeps nothing or is no storage is refused before any work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from framegate.pipelines.store import Store
from framegate.schemas.config import OutputConfig
from framegate.schemas.errors import FramegateError
from framegate.schemas.job import parse_job
from tests.security.job_attacks import CANARY, JOB, refused, run_command

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
    result = run_command(command, str(tmp_path / "job.yaml"))
    assert (result.exit_code, "keeps nothing once its process ends" in result.stderr) == (2, True), result.output
    assert os.listdir(tmp_path) == ["job.yaml"]


@pytest.mark.parametrize("uri", ["memory://index", f"s3://me:{CANARY}@b/x", "github://x/y", "simplecache::s3://b/x"])
def test_an_output_that_is_named_on_the_command_line_is_judged_alike(uri: str) -> None:
    for arguments in (["audit", uri], ["query", "--output", uri, "SELECT 1"]):
        result = run_command(*arguments)
        assert result.exit_code == 2, result.output
        assert CANARY not in result.output + result.stderr


def _no_client(*_: object) -> None:
    raise FramegateError("a client was asked for")
