"""The roles of docs/operate.md are enough for what each is for, and for nothing that another one is for.

A real S3 server behind a guard that refuses whatever a role's policy, as the page has it, does not allow.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import s3fs
from typer.testing import CliRunner, Result

import framegate.pipelines.flow as flow
from framegate.jobs.cli import app
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.report.build import Request
from framegate.pipelines.report.stored import store_report
from framegate.pipelines.store import Store
from framegate.schemas.errors import StorageError
from framegate.schemas.job import parse_job
from tests.docs.pages import PAGES, code_blocks, section
from tests.s3_faults import S3Faults
from tests.s3_policy import Policy

LEAST_RIGHTS = section(PAGES["docs/operate.md"], "Least rights")
BLOCKS = [block for block in code_blocks(LEAST_RIGHTS) if '"Statement"' in block]
POLICIES = dict(zip(re.findall(r"^\*\*`(\w+)`", LEAST_RIGHTS, re.MULTILINE), BLOCKS, strict=True))
QUESTION = {"id": "red", "text": "Is it red?", "type": "yes_no"}
# What each role may not do: the command, and what stays as it was.
FORBIDDEN = [
    pytest.param("query", "run", id="query-runs-a-job"),
    pytest.param("query", "erase", id="query-erases"),
    pytest.param("run", "erase", id="run-erases"),
    pytest.param("erase", "run", id="erase-runs-a-job"),
    pytest.param("erase", "read a video", id="erase-reads-a-video"),
    pytest.param("run", "write a video", id="run-writes-into-the-archive"),
    pytest.param("run", "delete a tombstone", id="run-undoes-an-erasure"),
    pytest.param("run", "write a label", id="run-labels"),
    pytest.param("query", "write a row", id="query-writes-a-row"),
    pytest.param("run", "write beside", id="run-writes-beside-its-output"),
    pytest.param("erase", "delete a label elsewhere", id="erase-deletes-beside-its-output"),
]

# Granted, and needed where the test below does not come: by a deepening, an adoption, old runs and seals,
# many small files, an erasure beside a run, and what a run that was killed leaves.
SELDOM = {
    "run": {
        "s3:PutObject": {"deepened/*", "adoptions/*"},
        "s3:DeleteObject": {
            *(
                "results/*",
                "failures/*",
                "clips/*",
                "deepened/*",
                "seals/*",
                "videos/*",
                "plans/*",
                "runs/*",
                "reports/*",
            )
        },
    },
    "query": {},
    "erase": {
        "s3:PutObject": {"runs/history.json.gz"},
        "s3:DeleteObject": {"journal/*", "deepened/*", "attempts/*", "labels/*"},
    },
}


class Site:
    """An archive and an output in a bucket each, and commands under a role."""

    def __init__(self, endpoint: str, faults: S3Faults, folder: Path, make_video: Callable[..., Path], model: Path):
        self.faults, self.endpoint, self.folder = faults, endpoint, folder
        self.files = s3fs.S3FileSystem(endpoint_url=endpoint, skip_instance_cache=True)
        for bucket in ("archive", "index"):
            if not self.files.exists(bucket):
                self.files.mkdir(bucket)
            for path in self.files.find(bucket):
                self.files.rm_file(path)
        data = make_video(folder / "a.mp4", seconds=2).read_bytes()
        for name in ("a.mp4", "b.mp4", "c.mp4"):
            self.files.pipe_file(f"archive/2026/{name}", data + name.encode())
        self.files.pipe_file("archive/2026/broken.mp4", b"this is no video")
        self.files.pipe_file("archive/2026/some.tar", _shard(data))
        self.model, self.policy, self.role = model, Policy([]), ""
        self.store = Store({"endpoint_url": faults.endpoint})

    def under(self, role: str) -> Site:
        self.role, self.policy = role, Policy.parse(POLICIES[role])
        self.faults.clear()
        self.faults.script(self.policy.guard, target="^/(archive|index)", times=float("inf"))
        return self

    def freely(self) -> Site:
        self.faults.clear()
        return self

    def job(self, questions: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        options = {"storage_options": {"endpoint_url": self.faults.endpoint}}
        return {
            "input": {"videos": "s3://archive/2026/", **options},
            "clips": {"seconds": 2},
            "frames": {"fps": 2, "max_frames": 4},
            "questions": questions or [QUESTION],
            "model": {"name": str(self.model)},
            "output": {"uri": "s3://index/cameras", **options},
            "decode": {"sandbox": False},  # a process less for each run
            "gate": {"threshold": 0.5, "audit": {"rate": 0.5}},
        }

    def run(self, questions: list[dict[str, Any]] | None = None) -> str:
        return flow.run(parse_job(self.job(questions)), engine_factory=ScriptedEngine, in_process=True).run_id

    def type(self, *arguments: str) -> Result:
        (self.folder / "job.yaml").write_text(json.dumps(self.job()))
        typed = [str(self.folder / "job.yaml") if each == "JOB" else each for each in arguments]
        return CliRunner().invoke(app, typed, env={"COLUMNS": "200"})

    def content(self) -> dict[str, str]:
        self.files.invalidate_cache()
        return {path: info["ETag"] for bucket in ("archive", "index") for path, info in self._listed(bucket).items()}

    def _listed(self, bucket: str) -> dict[str, Any]:
        return self.files.find(bucket, detail=True)


@pytest.fixture
def site(
    s3_endpoint: str, s3_faults: S3Faults, tmp_path: Path, make_video: Callable[..., Path], model_folder: Path
) -> Site:
    return Site(s3_endpoint, s3_faults, tmp_path, make_video, model_folder)


def test_the_page_has_three_roles() -> None:
    assert list(POLICIES) == ["run", "query", "erase"]


def test_each_role_is_enough_for_what_it_is_for_and_no_grant_is_idle(site: Site) -> None:
    site.under("run").run()
    site.run([QUESTION, {**QUESTION, "id": "blue", "text": "Is it blue?"}])
    site.files.rm_file("archive/2026/c.mp4")  # a video that goes away
    site.files.pipe_file("archive/2026/d.mp4", site.files.cat_file("archive/2026/b.mp4") + b"d")
    store_report(parse_job(site.job()).config.output, Request(), site.run())
    for command in ("plan", "status", "seal", "compact", "migrate", "refresh"):
        done = site.type(command, "JOB")
        assert done.exit_code == 0, (command, done.output)
    check(site)

    site.under("query")
    before = site.content()
    for arguments in (
        ("query", "-j", "JOB", "SELECT count(*) FROM answers"),
        ("query", "-j", "JOB", "SELECT * FROM failures"),
        ("query", "-j", "JOB", "SELECT * FROM clips"),
        ("query", "-j", "JOB", "SELECT * FROM videos"),
        ("status", "JOB"),
        ("report", "JOB", "--out", str(site.folder / "report.html")),
        ("audit", "JOB"),
    ):
        done = site.type(*arguments)
        assert done.exit_code == 0, (arguments, done.output)
    assert site.content() == before
    check(site)

    site.under("erase")
    done = site.type("erase", "JOB", "--video", "s3://archive/2026/a.mp4", "--execute")
    assert done.exit_code == 0, done.output
    for prefix in ("some.tar", "b"):  # b.mp4, and broken.mp4, which has failures
        done = site.type("erase", "JOB", "--prefix", f"s3://archive/2026/{prefix}", "--execute")
        assert done.exit_code == 0, done.output
    check(site)
    site.under("query")
    done = site.type("query", "-j", "JOB", "SELECT video_uri FROM answers")
    assert "d.mp4" in done.output
    assert "/a.mp4" not in done.output
    assert site.type("audit", "JOB").exit_code == 0
    site.under("run").run()
    assert not site.policy.refused


@pytest.mark.parametrize(("role", "what"), FORBIDDEN)
def test_a_role_is_refused_what_another_one_is_for(role: str, what: str, site: Site) -> None:
    site.under("run").run()
    site.freely()
    for name in ("tombstones/x.json", "labels/config_id=a/x.json"):
        site.files.pipe_file(f"index/cameras/{name}", b"{}")
    if what == "erase":
        site.files.rm_file("index/cameras/tombstones/x.json")
    before = site.content()
    site.under(role)
    calls: dict[str, Callable[[], object]] = {
        "read a video": lambda: site.store.read("s3://archive/2026/a.mp4"),
        "write a video": lambda: site.store.put_once("s3://archive/2026/new.mp4", b"another"),
        "delete a tombstone": lambda: site.store.delete(["s3://index/cameras/tombstones/x.json"]),
        "write a label": lambda: site.store.put_once("s3://index/cameras/labels/config_id=a/y.json", b"{}"),
        "write a row": lambda: site.store.put_once("s3://index/cameras/results/config_id=a/y.parquet", b"PAR1"),
        "write beside": lambda: site.store.put_once("s3://index/others/results/y.parquet", b"PAR1"),
        "delete a label elsewhere": lambda: site.store.delete(["s3://index/others/labels/y.json"]),
    }
    commands = {
        "run": ["run", "JOB"],
        "erase": ["erase", "JOB", "--video", "s3://archive/2026/a.mp4", "--execute"],
    }
    if what in commands:
        done = site.type(*commands[what])
        assert done.exit_code in (1, 2), done.output
        assert "permission denied" in done.output
    else:
        with pytest.raises(StorageError, match="permission denied"):
            calls[what]()
    assert site.policy.refused
    assert site.freely().content() == before


def test_a_request_that_no_policy_knows_is_refused(site: Site) -> None:
    site.under("run")
    own = s3fs.S3FileSystem(endpoint_url=site.faults.endpoint, skip_instance_cache=True)
    with pytest.raises(PermissionError):
        own.call_s3("get_bucket_policy", Bucket="index")
    assert site.policy.refused[-1][0].startswith("unknown: GET")


def check(site: Site) -> None:
    """The role was enough, and what it grants was needed, or is known to be needed seldom."""
    assert not site.policy.refused
    root = "arn:aws:s3:::index/cameras/"
    seldom = {(action, root + name) for action, names in SELDOM[site.role].items() for name in names}
    assert seldom <= site.policy.grants
    idle = site.policy.grants - site.policy.used - seldom
    assert not idle, "granted and not needed"


def _shard(video: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as shard:
        info = tarfile.TarInfo("e.mp4")
        info.size = len(video)
        shard.addfile(info, io.BytesIO(video))
    return file.getvalue()
