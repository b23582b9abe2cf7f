"""What the decoder sees in the videos that some URIs name: a row for each of them, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from framegate.pipelines.decode.estimate import Probed, probe_videos
from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.sandbox.promise import describe
from framegate.pipelines.decode.sandbox.sandbox import measure_isolation
from framegate.pipelines.plan.model_check import check_job_model
from framegate.pipelines.plan.plan import make_policy
from framegate.pipelines.source.find import find_videos
from framegate.pipelines.source.found import to_videos
from framegate.schemas.clip import Video
from framegate.schemas.config import ClipsConfig, DecodeConfig, FramesConfig, InputConfig, RunConfig
from framegate.schemas.errors import ConfigError, InputError, StorageError, VideoError
from framegate.schemas.qa import Question
from framegate.schemas.signatures import hide
from framegate.schemas.uris import public

OK = "ok"


@dataclass(frozen=True, kw_only=True)
class ProbedVideo:
    """One video, or one URI that names none.

    verdict  OK, truncated, or the reason code of the failure that a run would store; then `message` explains it, and
             what is only known of a video that can be opened is None
    """

    uri: str
    verdict: str
    message: str
    container: str | None = None
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    fps: float | None = None
    num_streams: int | None = None
    num_clips: int | None = None
    num_frames: int | None = None
    num_video_tokens: int | None = None
    size_bytes: int | None = None
    bytes_to_read: int | None = None


def probe_uris(uris: Sequence[str], config: RunConfig | None, questions: Sequence[Question] = ()) -> list[ProbedVideo]:
    """One for each video, in the order of `uris`. Raises ConfigError, and EngineError for a model that a run refuses.

    `config` is the job whose clips, frames, limits and storage options count; without it the defaults do. `questions`
    are the job's.
    """
    if config is not None:
        check_job_model(config, questions)
    storage_options = {} if config is None else config.input.storage_options
    found = [item for uri in uris for item in _find(uri, storage_options)]
    outcomes = iter(
        list(
            probe_videos(
                [video for video, error in found if error is None],
                policy=Policy(frames=FramesConfig(), clips=ClipsConfig()) if config is None else make_policy(config),
                decode=DecodeConfig() if config is None else config.decode,
                storage_options=storage_options,
                scans=True,
            )
        )
    )
    return [_describe(video, next(outcomes) if error is None else error) for video, error in found]


def describe_sandbox(config: RunConfig | None) -> str:
    """What confines decoders on this machine, in a sentence. Raises SandboxError where that is not enough."""
    decode, frames = (DecodeConfig(), FramesConfig()) if config is None else (config.decode, config.frames)
    return describe(measure_isolation(decode, frames.decoders))


def _find(uri: str, storage_options: Mapping[str, object]) -> Iterator[tuple[Video, StorageError | None]]:
    try:
        if not uri:
            raise InputError("the name is empty")
        config = InputConfig.made(videos=uri, storage_options=dict(storage_options))
        for video in to_videos(find_videos(config)):
            yield video, None
    except (ConfigError, InputError, StorageError) as error:
        yield Video(uri=hide(public(uri)), version="", size_bytes=0), StorageError(str(error))


def _describe(video: Video, outcome: Probed | VideoError | StorageError) -> ProbedVideo:
    if isinstance(outcome, VideoError | StorageError):
        size_bytes = video.size_bytes if video.version else None
        return ProbedVideo(uri=video.uri, verdict=outcome.reason, message=str(outcome), size_bytes=size_bytes)
    header, estimate = outcome.header, outcome.estimate
    return ProbedVideo(
        uri=video.uri,
        verdict="truncated" if header.is_cut_short else OK,
        message="The file is shorter than its container says." if header.is_cut_short else "",
        container=header.container,
        codec=header.codec,
        width=header.display_width,
        height=header.display_height,
        duration_seconds=header.duration_seconds,
        fps=header.fps,
        num_streams=header.num_streams,
        num_clips=estimate.num_clips,
        num_frames=estimate.num_frames,
        num_video_tokens=estimate.num_video_tokens,
        size_bytes=video.size_bytes,
        bytes_to_read=estimate.bytes_to_read,
    )
