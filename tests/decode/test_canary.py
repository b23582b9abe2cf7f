"""Files that name other files or addresses reach neither: nobody is called, and nothing of a canary is ever seen.

Playlists, and videos that carry references, as files and as members of a tar shard, with each decoder; some of them
through the whole flow. Plain decoders, asked to open the same files, do call and do read: the canaries would sing.
"""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av
import decord
import duckdb
import pytest
import ray

from framegate.pipelines import flow
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.strategies.protocol import Ask
from framegate.pipelines.source.find import find_videos
from framegate.pipelines.source.found import to_videos
from framegate.schemas.config import InputConfig
from framegate.schemas.job import parse_job
from framegate.schemas.unit import PlannedVideo
from tests.decode import corpus_texts as texts
from tests.decode.corpus_canary import Canary, hostile_files, is_canary, keep_canary, movie_without_frames
from tests.decode.corpus_films import MAGENTA
from tests.decode.corpus_run import HASHES, clips_of, make_stage


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    (tmp_path / "videos").mkdir()
    with keep_canary(tmp_path / "videos") as canary:
        yield canary


def _watching_engine(folder: Path) -> Callable[[], ScriptedEngine]:
    # Defined here, so that it travels to Ray's workers by value: they cannot import a test's modules.
    colour = list(MAGENTA)

    class Watching(ScriptedEngine):
        def add(self, ask: Ask) -> None:
            mean = ask.clip.frames.frames_THWC.reshape(-1, 3).mean(axis=0)
            sang = all(abs(value - wanted) < 40 for value, wanted in zip(mean, colour, strict=True))
            (folder / f"{'canary' if sang else 'seen'}-{uuid.uuid4().hex}").touch()
            super().add(ask)

    return lambda: Watching()


def _write(canary: Canary, names: Iterable[str] | None = None) -> list[str]:
    """The files, and a shard of them, as inputs of a job."""
    files = hostile_files(canary)
    names = list(files) if names is None else list(names)
    with tarfile.open(canary.folder / "shard.tar", "w") as shard:
        for name in names:
            (canary.folder / f"{name}.mp4").write_bytes(files[name])
            shard.add(canary.folder / f"{name}.mp4", arcname=f"{name}.mp4")
    return [*(str(canary.folder / f"{name}.mp4") for name in names), str(canary.folder / "shard.tar")]


def _check_reasons(reasons: Iterable[tuple[str, str | None]], names: Iterable[str]) -> None:
    """Every playlist is called one, by path and as a member of the shard (`.../shard.tar#name.mp4`)."""
    found = sorted(Path(uri).stem.removeprefix("shard.tar#") for uri, reason in reasons if reason == "playlist")
    assert found == sorted(2 * [name for name in names if not name.startswith(("video-", "avi-"))])


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_nothing_of_the_canary_is_decoded(decoder: str, canary: Canary) -> None:
    videos = list(to_videos(find_videos(InputConfig(videos=tuple(_write(canary))))))
    stage = make_stage(decoder)
    try:
        planned = [PlannedVideo(video=video, question_hashes=HASHES) for video in videos]
        units = [unit for one in planned for unit in stage.decode(one)]
    finally:
        stage.close()
    assert canary.calls == []
    assert {unit.video.uri for unit in units} == {video.uri for video in videos}
    _check_reasons([(unit.video.uri, unit.failure.reason) for unit in units if unit.failure], hostile_files(canary))
    clips = clips_of(units)
    assert clips != []
    assert not any(is_canary(decoded.frames.frames_THWC) for decoded in clips)
    assert not any(canary.text in unit.failure.message for unit in units if unit.failure)


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_nothing_of_the_canary_is_in_the_output_or_the_logs(
    decoder: str, canary: Canary, tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ["hls-address", "hls-path", "ffconcat-neighbour", "dash-file_address", "sdp-address", "video-by-alias",
             "video-before-a-playlist"]  # fmt: skip
    seen = tmp_path / "seen"
    seen.mkdir()
    small = {"fps": 1, "max_frames": 2, "min_frame_pixels": 3136, "max_frame_pixels": 3136}
    job = parse_job(
        {
            "input": {"videos": _write(canary, names)},
            "clips": {"seconds": 2},
            "frames": {**small, "decoder": decoder},
            "questions": [{"id": "red", "text": "Is it red?", "type": "yes_no"}],
            "model": {"name": str(model_folder)},
            "output": {"uri": str(tmp_path / "index")},
            "ray": {"decode_workers": 1},
        }
    )
    summary = flow.run(job, engine_factory=_watching_engine(seen))

    assert summary.num_videos_planned == summary.num_videos_answered + summary.num_videos_failed == 2 * len(names)
    assert canary.calls == []
    noted = [path.name.partition("-")[0] for path in seen.iterdir()]
    assert set(noted) == {"seen"}  # some films were shown, none of them the canary
    failures = _read(tmp_path / "index" / "failures")
    _check_reasons([(uri, reason) for uri, reason, _ in failures], names)
    printed = "".join(capfd.readouterr())
    for said in (printed, *(str(row) for row in failures), *_logs()):
        assert canary.text not in said
    for path in (tmp_path / "index").rglob("*"):
        assert path.is_dir() or canary.text.encode() not in path.read_bytes(), path


def _read(folder: Path) -> list[tuple[str, str, str]]:
    return duckdb.sql(f"SELECT video_uri, reason, message FROM '{folder}/**/*.parquet'").fetchall()


def _logs() -> Iterator[str]:
    """What the workers of this run's cluster have printed so far."""
    folder = Path(ray._private.worker._global_node.get_session_dir_path()) / "logs"  # pyright: ignore
    for path in folder.glob("worker*"):
        yield path.read_text(errors="replace")


def test_a_plain_decoder_calls_the_address_of_a_playlist(canary: Canary) -> None:
    playlist = texts.hls(canary.targets["address"])
    frame = decord.VideoReader(io.BytesIO(playlist), num_threads=1)[0].asnumpy()
    assert canary.calls != []
    assert is_canary(frame[None])


def test_a_plain_decoder_reads_the_path_in_a_playlist(canary: Canary) -> None:
    path = canary.folder / "playlist.mp4"
    path.write_bytes(texts.hls(canary.targets["path"]))
    assert is_canary(decord.VideoReader(str(path), num_threads=1)[0].asnumpy()[None])


def test_a_plain_decoder_reads_the_neighbour_of_a_script(canary: Canary) -> None:
    path = canary.folder / "script.mp4"
    path.write_bytes(texts.ffconcat("canary.ts"))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert is_canary(frame[None])


def test_a_plain_decoder_follows_a_movie_to_its_other_file_once_it_is_told_to(canary: Canary) -> None:
    path = canary.folder / "movie.mp4"
    path.write_bytes(movie_without_frames())
    with av.open(str(path), options={"enable_drefs": "1"}) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert is_canary(frame[None])
