"""Attacks by lines of a manifest: rows with a reason, and nothing is asked unless allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.source.find import find_videos
from framegate.pipelines.source.found import to_videos
from framegate.pipelines.store import Store
from framegate.pipelines.store import store as store_module
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import (
    REASON_MEANINGS,
    ConfigError,
    InputError,
    video_error,
)
from framegate.schemas.job import load_job, parse_job
from framegate.schemas.retries import RETRY_AFTER
from framegate.schemas.uris import public, split_access
from tests.security.manifest_rows import CANARY, find

LINES: list[Any] = [
    pytest.param(line, uri, reason, id=name)
    for name, line, uri, reason in [
        ("http", "http://127.0.0.1:9/a.mp4", None, "protocol_refused"),
        ("https", "https://host/a.mp4", None, "protocol_refused"),
        ("https-with-a-signature", f"https://host/a.mp4?sig={CANARY}", "https://host/a.mp4", "protocol_refused"),
        ("metadata-service", "http://169.254.169.254/latest/meta-data", None, "protocol_refused"),
        ("http-in-capitals", "HTTP://127.0.0.1:9/a.mp4", None, "protocol_refused"),
        ("space-before-http", " http://127.0.0.1:9/b.mp4", "http://127.0.0.1:9/b.mp4", "protocol_refused"),
        ("zero-width-before-http", "\u200bhttp://127.0.0.1:9/a.mp4", None, "protocol_refused"),
        ("ftp", "ftp://host/a.mp4", None, "protocol_refused"),
        ("sftp", "sftp://host/a.mp4", None, "protocol_refused"),
        ("ssh", "ssh://host/a.mp4", None, "protocol_refused"),
        ("smb", "smb://host/share/a.mp4", None, "protocol_refused"),
        ("memory", "memory://a.mp4", None, "protocol_refused"),
        ("data", "data://text/plain;base64,AAAA", None, "protocol_refused"),
        ("github", "github://owner:repo/a.mp4", None, "protocol_refused"),
        ("git", "git://path:main/a.mp4", None, "protocol_refused"),
        ("hf", "hf://datasets/x/a.mp4", None, "protocol_refused"),
        ("reference", "reference://a.mp4", None, "protocol_refused"),
        ("dask", "dask://a.mp4", None, "protocol_refused"),
        ("arrow-hdfs", "arrow_hdfs://namenode/a.mp4", None, "protocol_refused"),
        ("hdfs", "hdfs://namenode/a.mp4", None, "protocol_refused"),
        ("webhdfs", "webhdfs://namenode:9870/a.mp4", None, "protocol_refused"),
        ("jupyter", "jupyter://host/a.mp4", None, "protocol_refused"),
        ("dbfs", "dbfs://host/a.mp4", None, "protocol_refused"),
        ("libarchive", "libarchive://a.mp4::file:///tmp/a.7z", None, "protocol_refused"),
        ("zip-over-http", "zip://a.mp4::http://127.0.0.1:9/a.zip", None, "protocol_refused"),
        ("simplecache-over-http", "simplecache::http://127.0.0.1:9/a.mp4", None, "protocol_refused"),
        ("filecache-over-s3", "filecache::s3://bucket/a.mp4", None, "protocol_refused"),
        ("blockcache-over-file", "blockcache::file:///etc/passwd", None, "protocol_refused"),
        ("chain-of-three", "simplecache::zip://a.mp4::https://host/a.zip", None, "protocol_refused"),
        ("tar-over-file", "tar://a.mp4::file:///tmp/a.tar", None, "protocol_refused"),
        ("dir-over-http", "dir://a.mp4::http://host/", None, "protocol_refused"),
        ("javascript", "javascript://%0aalert(1)", None, "protocol_refused"),
        ("gopher", "gopher://127.0.0.1:6379/_FLUSHALL", None, "protocol_refused"),
        ("dict", "dict://127.0.0.1:11211/stats", None, "protocol_refused"),
        ("ffmpeg-concat", "concat://a.mp4|b.mp4", None, "protocol_refused"),
        ("s3-with-a-password", f"s3://me:{CANARY}@bucket/a.mp4", "s3://***@bucket/a.mp4", "secret_in_uri"),
        ("https-with-a-token", f"https://{CANARY}@host/a.mp4", "https://***@host/a.mp4", "secret_in_uri"),
        ("password-with-a-slash", f"https://me:{CANARY}/x@host/a.mp4", "https://***@host/a.mp4", "secret_in_uri"),
        ("password-with-an-at", f"ftp://me:{CANARY}@{CANARY}@host/a.mp4", "ftp://***@host/a.mp4", "secret_in_uri"),
        ("password-and-a-signature", f"https://me:{CANARY}@h/a?s={CANARY}", "https://***@h/a", "secret_in_uri"),
        ("space-before-a-password", f" s3://me:{CANARY}@b/a.mp4", "s3://***@b/a.mp4", "secret_in_uri"),
        ("missing", "nothing.mp4", "{folder}/nothing.mp4", "not_found"),
        ("folder", "films", "{folder}/films", "not_found"),
        ("device", "/dev/zero", "/dev/zero", "not_found"),
        ("pipe", "pipe.mp4", "{folder}/pipe.mp4", "not_found"),
        ("glob", "*.mp4", "{folder}/*.mp4", "not_found"),
        ("home", "~/.ssh/id_rsa", "{folder}/~/.ssh/id_rsa", "not_found"),
        ("variable", "$HOME/a.mp4", "{folder}/$HOME/a.mp4", "not_found"),
    ]
]
ROOTS: list[Any] = [
    pytest.param(line, is_inside, id=name)
    for name, line, is_inside in [
        ("inside", "films/good.mp4", True),
        ("inside-by-a-link", "films/inside-link.mp4", True),
        ("inside-as-file-uri", "file://{folder}/films/good.mp4", True),
        ("inside-with-dots", "films/../films/good.mp4", True),
        ("root-by-a-link", "films-link/good.mp4", True),
        ("etc-passwd", "/etc/passwd", False),
        ("etc-passwd-as-file-uri", "file:///etc/passwd", False),
        ("etc-passwd-as-local-uri", "local:///etc/passwd", False),
        ("etc-passwd-with-dots", "films/../../../../../../../../etc/passwd", False),
        ("etc-passwd-with-slashes", "////etc//passwd", False),
        ("environment", "/proc/self/environ", False),
        ("descriptor", "/proc/self/fd/0", False),
        ("link-out", "films/link-out.mp4", False),
        ("linked-folder-out", "films/folder-out/secret.mp4", False),
        ("link-to-a-link-out", "films/link-to-link.mp4", False),
        ("a-folder-with-the-same-beginning", "films-secret/secret.mp4", False),
        ("shard-out", "outside/secret.tar", False),
        ("member-of-a-shard-out", "outside/secret.tar#a.mp4", False),
        ("nul", "films/good.mp4\0", False),
    ]
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """URIs for which a client was made."""
    made, backend = list[str](), store_module.Store._backend

    def watch(store: Store, uri: str) -> object:
        made.append(uri)
        return backend(store, uri)

    monkeypatch.setattr(store_module.Store, "_backend", watch)
    return made


@pytest.mark.parametrize(("line", "uri", "reason"), LINES)
def test_a_line_that_leads_elsewhere_is_a_row_and_is_not_looked_up(
    line: str, uri: str | None, reason: str, films: Path, asked: list[str]
) -> None:
    bad, good = find(films, line, "films/good.mp4")
    wanted = line if uri is None else uri.format(folder=films)
    assert (bad.uri, bad.refusal and bad.refusal.reason) == (wanted, reason)
    assert (good.uri, good.refusal) == (f"{films}/films/good.mp4", None)
    assert all("://" not in one for one in asked), asked
    assert CANARY not in f"{bad}{bad.refusal}"
    assert video_error(reason, "").reason == reason or reason == "not_found"


@pytest.mark.parametrize("reason", ["protocol_refused", "outside_roots", "secret_in_uri", "address_refused"])
def test_each_reason_has_a_meaning_and_its_own_error(reason: str) -> None:
    assert reason in REASON_MEANINGS
    assert RETRY_AFTER[reason] is None
    assert video_error(reason, "x").reason == reason


@pytest.mark.parametrize(("line", "is_inside"), ROOTS)
def test_a_local_file_lies_below_a_root_wherever_links_lead(
    line: str, is_inside: bool, films: Path, asked: list[str]
) -> None:
    asked_before = len(asked)
    if "\0" in line:
        pa.parquet.write_table(pa.table({"uri": [line]}), films / "list.parquet")
        [found] = to_videos(find_videos(InputConfig(videos=str(films / "list.parquet"), roots=(str(films / "films"),))))
    else:
        [found] = find(films, line.format(folder=films), roots=(str(films / "films"),))
    reason = found.refusal and found.refusal.reason
    assert reason == (None if is_inside else "outside_roots")
    if not is_inside:
        assert [one for one in asked[asked_before:] if not one.endswith(("list.csv", "list.parquet"))] == []
        assert found.size_bytes == 0


def test_what_a_listed_folder_links_to_is_judged_by_roots_as_well(films: Path) -> None:
    config = InputConfig(videos=str(films / "films"), roots=(str(films / "films"),))
    found = {Path(video.uri).name: video.refusal and video.refusal.reason for video in to_videos(find_videos(config))}
    assert found == {
        "good.mp4": None,
        "inside-link.mp4": None,
        "link-out.mp4": "outside_roots",
        "link-to-link.mp4": "outside_roots",
        "secret.mp4": "outside_roots",
        "secret.tar": "outside_roots",
    }
    with pytest.raises(InputError, match="lies below none of the folders"):
        find_videos(InputConfig(videos="/etc/passwd", roots=(str(films / "films"),)))


def test_relative_roots_count_from_the_job_file(films: Path) -> None:
    job = {
        "input": {"videos": "list.csv", "roots": ["films"]},
        "questions": [{"id": "red", "text": "Is it red?"}],
        "model": {"name": "dock"},
        "output": {"uri": "index"},
    }
    (films / "list.csv").write_text("uri\nfilms/good.mp4\noutside/secret.mp4\n")
    (films / "job.yaml").write_text(yaml.safe_dump(job))
    config = load_job(films / "job.yaml").config.input
    assert config.roots == (f"{films}/films",)
    assert [video.refusal and video.refusal.reason for video in to_videos(find_videos(config))] == [
        None,
        "outside_roots",
    ]


@pytest.mark.parametrize(
    ("protocols", "videos", "said"),
    [
        (["ftps"], "v", "input.protocols"),
        ([], "v", "input.protocols"),
        (["s3"], "v", "protocols allows s3"),
        (["file"], "https://h/a.mp4", "protocols allows file"),
        (["file"], ["a.mp4", "s3://b/c.mp4"], "protocols allows file"),
        (None, "github://o:r/a.mp4", "github:// is no kind of storage that is read"),
        (None, ["arrow_hdfs://n/a.mp4"], "arrow_hdfs:// is no kind of storage that is read"),
        (None, "simplecache::s3://b/a", "simplecache:// is no kind of storage that is read"),
        (None, " https://h/a.mp4", "https:// is no kind of storage that is read"),
    ],
    ids=str,
)
def test_what_the_job_itself_names_is_refused_before_any_work(protocols: Any, videos: Any, said: str) -> None:
    parts = {"videos": videos} | ({} if protocols is None else {"protocols": protocols})
    with pytest.raises(ConfigError) as caught:
        parse_job({"input": parts, "questions": [{"id": "r", "text": "?"}], "model": {"name": "dock"},
                   "output": {"uri": "index"}})  # fmt: skip
    assert said in str(caught.value)


def test_a_run_over_a_hostile_manifest_goes_on_and_writes_no_secret(films: Path, model_folder: Path) -> None:
    refused = ("protocol_refused", "secret_in_uri")
    lines = list({split_access(line)[0]: line for line, _, reason in (case.values for case in LINES)
                  if reason in refused}.values())  # fmt: skip
    quoted = [f'"{line}"' for line in lines]
    (films / "list.csv").write_text("\n".join(["uri", "films/good.mp4", "outside/secret.mp4", *quoted]) + "\n")
    job = parse_job(
        {
            "input": {"videos": "list.csv", "roots": ["films"]},
            "clips": {"seconds": 2},
            "frames": {"fps": 1, "max_frames": 2},
            "questions": [{"id": "anyone", "text": "Is anyone there", "type": "yes_no"}],
            "model": {"name": str(model_folder)},
            "output": {"uri": "index"},
        },
        folder=films,
    )
    summary = flow.run(job, engine_factory=ScriptedEngine, in_process=True)
    assert (summary.is_complete, summary.is_stopped) == (True, False)
    assert (summary.num_videos_answered, summary.num_videos_failed) == (1, len({*map(public, lines)}) + 1)
    files = [path for path in (films / "index").rglob("*") if path.is_file()]
    tables = [pa.parquet.read_table(path) for path in files if "failures" in str(path) and path.suffix == ".parquet"]
    reasons = [reason for table in tables for reason in table.column("reason").to_pylist()]
    assert set(reasons) == {"protocol_refused", "secret_in_uri", "outside_roots"}
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    again = flow.run(job, engine_factory=ScriptedEngine, in_process=True)
    assert again.num_videos_skipped == again.num_videos_planned  # what is refused is not tried every night
    assert (again.counts.num_answers, again.counts.num_failures) == (0, 0)
