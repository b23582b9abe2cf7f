"""Tar shards on a real S3 server, through the whole flow: members are videos, and a shard that changes is no mix."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framegate.pipelines import flow
from framegate.pipelines.plan import plan as driver_plan
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.results.views import open_views, select
from framegate.pipelines.store import Store, join
from framegate.schemas.job import Job

pytestmark = pytest.mark.usefixtures("ray_cluster")


def make_tar(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


@pytest.fixture
def clips(tmp_path: Path, make_video: Callable[..., Path]) -> list[bytes]:
    return [make_video(tmp_path / f"{n}.mp4", seconds=2, shade=50 * n).read_bytes() for n in range(3)]


@pytest.fixture
def shard_job(s3_root: str, s3_endpoint: str, make_job: Callable[..., Job]) -> Job:
    options = {"endpoint_url": s3_endpoint}
    return make_job(
        input={"videos": join(s3_root, "shard-{00..01}.tar"), "storage_options": options},
        output={"uri": join(s3_root, "index"), "storage_options": options},
        questions=[{"id": "red", "text": "Is it red?", "type": "yes_no"}],
        ray={"decode_workers": 1},
    )


def rows(job: Job, sql: str) -> list[dict[str, Any]]:
    with open_views(job.config.output.uri, job.config.output.storage_options) as connection:
        return select(connection, sql).to_pylist()


def test_members_are_answered_or_failed_and_side_files_are_columns(
    s3_root: str, shard_job: Job, clips: list[bytes]
) -> None:
    store = Store()
    first = {"a/one.mp4": clips[0], "a/one.json": b'{"camera": 7}', "two.mp4": clips[1], "two.cls": b"3"}
    store.put_once(join(s3_root, "shard-00.tar"), make_tar(first))
    store.put_once(join(s3_root, "shard-01.tar"), make_tar({"three.mp4": clips[2], "../up.mp4": clips[0]}))
    summary = flow.run(shard_job, engine_factory=ScriptedEngine)
    assert (summary.num_videos_answered, summary.num_videos_failed, summary.is_complete) == (3, 1, True)

    found = rows(shard_job, "SELECT video_uri, input_json, bytes_read FROM answers ORDER BY 1")
    assert [(row["video_uri"].removeprefix(s3_root), row["input_json"]) for row in found] == [
        ("/shard-00.tar#a/one.mp4", '{"camera": 7}'),
        ("/shard-00.tar#two.mp4", None),
        ("/shard-01.tar#three.mp4", None),
    ]
    assert [row["bytes_read"] for row in found] == [len(clip) for clip in clips]
    (failure,) = rows(shard_job, "SELECT video_uri, reason, decoder, bytes_read FROM failures")
    assert failure == {
        "video_uri": join(s3_root, "shard-01.tar#../up.mp4"),
        "reason": "unsafe_member",
        "decoder": None,
        "bytes_read": 0,
    }

    planned = flow.plan(shard_job)
    assert (planned.num_skipped, planned.videos.num_rows, planned.num_ignored_members) == (4, 0, {"cls": 1})


def test_a_shard_that_is_replaced_after_the_plan_gives_no_row_of_either_version(
    s3_root: str, shard_job: Job, clips: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    shards = [join(s3_root, f"shard-0{n}.tar") for n in range(2)]
    for n, uri in enumerate(shards):
        store.put_once(uri, make_tar({f"{n}.mp4": clips[n]}))
    find_input = driver_plan.find_input

    def find_and_replace(*args: Any, **kwargs: Any) -> Any:
        videos = find_input(*args, **kwargs)
        store.delete([shards[1]])
        store.put_once(shards[1], make_tar({"new.mp4": clips[2], "1.mp4": clips[2]}))
        return videos

    monkeypatch.setattr(driver_plan, "find_input", find_and_replace)
    summary = flow.run(shard_job, engine_factory=ScriptedEngine)
    assert (summary.num_videos_answered, summary.num_videos_failed) == (1, 1)
    (failure,) = rows(shard_job, "SELECT video_uri, reason FROM failures")
    assert failure == {"video_uri": f"{shards[1]}#1.mp4", "reason": "source_changed"}

    monkeypatch.undo()  # the next run finds the new shard and takes its members for new videos
    summary = flow.run(shard_job, engine_factory=ScriptedEngine)
    assert (summary.num_videos_answered, summary.num_videos_skipped, summary.is_complete) == (2, 1, True)
