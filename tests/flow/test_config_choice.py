"""A config_id that would be new in an archive is begun only when a person has said so. Without Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from framegate.pipelines import flow
from framegate.pipelines.audit.audit import audit
from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import record_config
from framegate.pipelines.plan.identity import read_wording
from framegate.pipelines.plan.previous_ids import older_config_id
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.strategies.build import make_strategy
from framegate.schemas.config import config_id
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import Job
from framegate.schemas.run import RunSummary

JobMaker = Callable[..., Job]


def run(job: Job, **options: Any) -> RunSummary:
    return flow.run(job, engine_factory=ScriptedEngine, in_process=True, **options)


def ids(job: Job) -> list[str]:
    root = Path(job.config.output.uri)
    return [id for (id,) in duckdb.sql(f"SELECT DISTINCT config_id FROM '{root}/results/**/*.parquet'").fetchall()]


def below(job: Job) -> dict[str, bytes]:
    """Every object but the records of runs."""
    root = Path(job.config.output.uri)
    files = [path for path in root.rglob("*") if path.is_file() and root / "runs" not in path.parents]
    return {str(path): path.read_bytes() for path in files}


@pytest.fixture
def two_jobs(make_job: JobMaker) -> tuple[Job, Job]:
    """One that has run, and one that asks the same with other frames."""
    first = make_job()
    run(first)
    return first, make_job(frames={"fps": 1, "max_frames": 4})


def test_an_empty_output_takes_any_configuration(make_job: JobMaker) -> None:
    job = make_job()
    planned = flow.plan(job)
    assert planned.notices == ()
    assert run(job).config_id == planned.config_id


def test_a_new_config_id_is_said_by_a_plan_and_refused_by_a_run(two_jobs: tuple[Job, Job]) -> None:
    first, changed = two_jobs
    before, known = below(first), ids(first)[0]
    [notice] = flow.plan(changed).notices
    assert "it differs in frames.fps (2.0 there, 1.0 here)" in notice
    assert f"say adopt: {known} in the job" in notice
    with pytest.raises(ConfigError) as refused:
        run(changed)
    assert str(refused.value) == notice
    assert len(notice.splitlines()) == 1
    assert below(first) == before


def test_what_is_accepted_once_need_not_be_accepted_again(two_jobs: tuple[Job, Job]) -> None:
    first, changed = two_jobs
    summary = run(changed, accept_new_config=True)
    assert summary.counts.num_answers == 12
    assert "frames.fps (2.0 there, 1.0 here)" in summary.notices[0]
    for job in (changed, first):
        again = run(job)
        assert (again.num_videos_skipped, again.notices) == (5, ())
    assert len(ids(first)) == 2


def test_a_job_that_adopts_goes_on_under_the_other_id_and_need_not_say_so_again(
    two_jobs: tuple[Job, Job], make_job: JobMaker
) -> None:
    first, changed = two_jobs
    [known] = ids(first)
    own = flow.plan(changed).config_id
    frames = {"fps": 1, "max_frames": 4}
    summary = run(make_job(frames=frames, adopt=known))
    assert (summary.config_id, summary.num_videos_skipped) == (known, 5)
    assert "frames.fps (2.0 there, 1.0 here)" in summary.notices[0]
    adoption = yaml.safe_load((Path(first.config.output.uri) / "adoptions" / f"{own}.yaml").read_text())
    assert (adoption["config_id"], config_id(adoption["document"])) == (known, own)
    again = run(changed)
    assert (again.config_id, again.num_videos_skipped, again.notices) == (known, 5, ())
    assert not (Path(first.config.output.uri) / "configs" / f"{own}.yaml").exists()
    assert audit(Output.open(first.config.output)).is_clean


@pytest.mark.parametrize("other", ["abcdefabcdefabcd", "own"])
def test_what_cannot_be_adopted_is_refused(other: str, two_jobs: tuple[Job, Job], make_job: JobMaker) -> None:
    first, changed = two_jobs
    known = ids(first)[0]
    if other == "own":
        run(changed, accept_new_config=True)
        with pytest.raises(ConfigError, match=f"adopt: {known} comes too late"):
            run(make_job(frames={"fps": 1, "max_frames": 4}, adopt=known))
    else:
        with pytest.raises(ConfigError, match=f"has no config_id {other}; it has {known}"):
            flow.plan(make_job(frames={"fps": 1, "max_frames": 4}, adopt=other))


def test_names_of_models_are_columns_and_no_configuration(
    make_job: JobMaker, model_folder: Path, tmp_path: Path
) -> None:
    job = make_job()
    run(job)
    (tmp_path / "renamed").symlink_to(model_folder)
    renamed = make_job(model={"name": str(tmp_path / "renamed")})
    assert run(renamed).num_videos_skipped == 5
    [known] = ids(job)
    document = yaml.safe_load((Path(job.config.output.uri) / "configs" / f"{known}.yaml").read_text())
    assert document["named"]["model"] == "scripted"
    assert document["named"]["decoders"][0].startswith("pyav-")
    assert config_id(document) == known


def test_an_archive_of_an_older_release_goes_on_under_its_id(make_job: JobMaker) -> None:
    job = make_job()
    strategy = make_strategy(job.config.gate)
    older = older_config_id(job.config, strategy, read_wording(job.config))
    output = Output.open(job.config.output)
    record_config(output, older, {"schema_version": 1, "model": {"name": "scripted"}})
    first, second = run(job), run(job)
    assert first.config_id == second.config_id == older
    assert first.notices[0].startswith(f"answers go on under config_id {older}, as an older release called")
    assert second.notices == ()
    changed = make_job(frames={"fps": 1, "max_frames": 4})
    with pytest.raises(ConfigError, match="it differs in"):
        run(changed)


def test_the_id_of_an_older_release_is_what_it_was(make_job: JobMaker) -> None:
    """As releases before this one computed it, for the packaged checkpoint and PyAV 18.1.0."""
    config = make_job(model={"name": "dock"}).config
    strategy = make_strategy(config.gate)
    assert older_config_id(config, strategy, read_wording(config)) == "d44605e5cfdfb31e"
