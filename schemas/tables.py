"""The Arrow schemas of what is handed from process to process and of what is stored.

    between processes   FOUND, PLANNED, DECODED (`schemas.unit` has them as dataclasses)
    stored              JOURNAL, and sealed from it RESULTS, FAILURES and CLIPS

Each column carries its meaning as field metadata (`meaning(field)`). Parquet keeps it, and the SQL views print it.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from framegate.schemas.answer_fields import ANSWER, NEWER_OF_ANSWERS
from framegate.schemas.columns import column as _column
from framegate.schemas.columns import meaning as meaning
from framegate.schemas.columns import optional as _optional
from framegate.schemas.deepening import DEEPENED, WANTED
from framegate.schemas.pruned import PRUNED
from framegate.schemas.still import COPIED, SAME_AS

INPUT_PREFIX: Final = "input_"
"""Put before each column of the user's manifest in results and failures."""


_VIDEO = [
    _column("video_uri", pa.string(), "where the video was found"),
    _column("video_id", pa.string(), "16 hex digits for URI and version; an overwritten video is a new one"),
    _column("video_version", pa.string(), "etag, or size and modification time, as seen when the run was planned"),
    _column("video_size_bytes", pa.int64(), "size of the video: of the object, or of the member of a tar shard"),
    _optional("member_name", pa.string(), "name of the member, where the video lies in a tar shard"),
    _optional("member_offset_bytes", pa.int64(), "the shard's byte that is the member's first"),
    _column("inputs", pa.binary(), "the manifest's columns: an Arrow IPC stream of one row; empty: there are none"),
]

_DONE_KEY = pa.struct(
    [
        _column("clip_index", pa.int32(), "a clip that is stored already"),
        _column("question_hash", pa.string(), "for this question"),
    ]
)

_ATTEMPTS = pa.struct(
    [
        _column("clip_index", pa.int32(), "a clip that is asked again"),
        _column("question_hash", pa.string(), "for this question"),
        _column("attempts", pa.int32(), "how often it has failed there"),
    ]
)

_REFUSAL = [
    _column("reason", pa.string(), "reason code; schemas/errors.py lists them with their meanings"),
    _column("message", pa.string(), "one sentence on what happened"),
]

FOUND: Final = pa.schema(
    [
        *_VIDEO,
        _optional("access", pa.string(), "the query of an http URL, perhaps a signature: for the server alone"),
        _optional("refusal", pa.struct(_REFUSAL), "why the video is given up before it is read"),
    ]
)
"""What the input names: one row per video, whether it is done or not."""

PLANNED: Final = pa.schema(
    [
        *FOUND,
        _column("question_hashes", pa.list_(pa.string()), "the questions that are missing somewhere in the video"),
        _column("done", pa.list_(_DONE_KEY), "what of them is stored already, clip by clip; empty for a new video"),
        _column("attempts", pa.list_(_ATTEMPTS), "what of them failed before and is tried again"),
        _column("undecoded_attempts", pa.int32(), "how often the video, or the rest of it, gave no frames"),
        _optional("breaks_off", pa.int32(), "the first clip without frames, which is not tried again; null: unknown"),
        _optional(
            "wanted", pa.list_(WANTED), "the rows that are deepened, and nothing else; null: all that is missing"
        ),
    ]
)
"""What a plan holds: one row per video that has work left."""

PARTS: Final = pa.schema(
    [
        *PLANNED,
        _column("part", pa.int32(), "which part of the video this row is, from 0"),
        _column("num_parts", pa.int32(), "how many workers may decode the video at once; 1: it is whole"),
    ]
)
"""plan -> decode: one row per video, or per part of a long one."""

_CLIP = [
    _column("clip_index", pa.int32(), "place of the clip in the video, from 0"),
    _column("start_seconds", pa.float64(), "start of the clip in seconds of the video"),
    _column("end_seconds", pa.float64(), "end of the clip in seconds of the video"),
    _column("clip_is_last", pa.bool_(), "no clip of the video comes after this one"),
    _column("num_frames", pa.int32(), "frames that were selected"),
    _column("clip_is_truncated", pa.bool_(), "the file breaks off in this clip: it has fewer frames than it should"),
    _optional(
        "clip_is_letterboxed",
        pa.bool_(),
        "the picture changed its shape: frames of another shape than the video's first one have black beside them",
    ),
    _column("decode_seconds", pa.float64(), "time spent on decoding this clip"),
    _column("bytes_read", pa.int64(), "bytes fetched from storage for this clip; the first also opens the file"),
]

_CLIP_CLOCK = [
    _optional("clip_started_at", pa.timestamp("us", tz="UTC"), "when the clip began, by `input.started_at`"),
    _optional("clip_ended_at", pa.timestamp("us", tz="UTC"), "when it ended"),
]

_FACTS = [
    _optional("duration_seconds", pa.float64(), "how long the video is"),
    _optional("container", pa.string(), "kind of file, such as iso_bmff"),
    _optional("codec", pa.string(), "how its pictures are coded"),
    _optional("fps", pa.float64(), "frames per second on average; null where the file does not tell"),
    _optional("height", pa.int32(), "of its first frame as a player shows it, in pixels"),
    _optional("width", pa.int32(), "of the same, in pixels"),
    _optional("rotation", pa.int32(), "degrees by which stored pictures are turned to the right before they are shown"),
    _optional("created_at", pa.timestamp("us", tz="UTC"), "when the file says that it was made"),
]

_LOOK = [
    _optional("thumbnail", pa.binary(), "its middle frame as a JPEG, the longer side of 160 pixels at most"),
    _optional("motion", pa.float64(), "mean difference of selected frames and those before, 0 to 1; null: one frame"),
    _optional("darkness", pa.float64(), "share of it that is nearly black, 0 to 1"),
]

FACT_NAMES: Final = tuple(field.name for field in _FACTS)

_DECODED_CLIP = pa.struct(
    [
        *_CLIP,
        _column("height", pa.int32(), "of each frame, in pixels"),
        _column("width", pa.int32(), "of each frame, in pixels"),
        _column("pts_seconds", pa.list_(pa.float64()), "presentation time of each frame in seconds of the video"),
        _optional("look", pa.struct(_LOOK), "what it looks like"),
        _optional("same_as", SAME_AS, "it shows what another clip shows; null: it is asked itself"),
    ]
)

_FAILURE = [_column("stage", pa.string(), "decode or reason"), *_REFUSAL]

DECODED: Final = pa.schema(
    [
        *_VIDEO,
        _column("question_hashes", pa.list_(pa.string()), "the questions that are missing for these clips"),
        _column("attempts", pa.list_(pa.int32()), "for each of them: which attempt this is, from 1"),
        _column("decoder", pa.string(), "package and version that decoded, such as pyav-18.1.0"),
        _column("clips", pa.list_(_DECODED_CLIP), "consecutive clips; empty where decoding failed"),
        _column("frames", pa.large_binary(), "uint8 RGB of all clips, one after the other, each (T, H, W, 3)"),
        _optional("failure", pa.struct(_FAILURE), "why the rest of the video gives no frames"),
        _optional("failed_clip_index", pa.int32(), "the first clip without frames; null: the video as a whole"),
        _optional("failed_bytes_read", pa.int64(), "bytes fetched from storage of which no clip came"),
        _column("failed_attempt", pa.int32(), "which attempt at the video this failure is, from 1"),
        _optional("video_clips", pa.float64(), "how many clips the video is expected to have; null where none came"),
        _optional("facts", pa.struct(_FACTS), "what the opened file says of itself"),
        _optional("wanted", pa.list_(WANTED), "of these clips, the rows that are deepened; null: none is"),
    ]
)
"""decode -> reason: one row per unit, bounded in frame bytes; a failure is a row of its own, the video's last."""

_RUN = [
    _column("run_id", pa.string(), "the run that wrote the row"),
    _column("written_at", pa.timestamp("us", tz="UTC"), "when the unit was committed"),
]
_VIDEO_KEY = [field for field in _VIDEO if field.name in ("video_uri", "video_id")]
_VERSION = _optional("video_version", pa.string(), "of the video: etag, or size and modification time")
_FRAMES = [
    _optional("frame_height", pa.int32(), "of the frames that the model saw, in pixels"),
    _optional("frame_width", pa.int32(), "of the frames that the model saw, in pixels"),
    _optional("clip_fps", pa.float64(), "frames a second that were selected; null for a single frame"),
]

CONFIG_ID: Final = _column(
    "config_id", pa.string(), "everything beside the question that can change an answer; a part of the path"
)
"""A part of the path of each sealed file, and no column in it: readers take it from there, as they do with all hive
partitions. Files of earlier versions have it as a column, too (`framegate migrate`)."""

RESULTS: Final = pa.schema(
    [
        *_VIDEO_KEY,
        _VERSION,
        *_CLIP,
        *_FRAMES,
        *_CLIP_CLOCK,
        *ANSWER,
        _optional("threshold", pa.float64(), "confidence at which the gate let go; null where none was in force"),
        _optional("audit_rank", pa.float64(), "place in the audit sample, 0 to 1; null: the row is not in it"),
        _optional("audit_rate", pa.float64(), "share of rows that were audited then; null: none"),
        *COPIED,
        *PRUNED,
        _column("model", pa.string(), "name of the model"),
        _column("strategy", pa.string(), "the job's `gate.strategy`"),
        _column("engine", pa.string(), "what ran the model"),
        _column("decoder", pa.string(), "package and version that decoded"),
        *_RUN,
        *DEEPENED,
    ]
)
"""A file of results: one row per (clip, question) that came back. The manifest's columns follow with the prefix
`input_`; config_id stands in the path."""

_OF_CLIPS = [
    _column("clip_policy", pa.string(), "16 hex digits for how the video was cut and frames were selected"),
    *_LOOK,
    _optional("embedding", pa.list_(pa.float32()), "the engine's pooled vision states; null where it gives none"),
    _optional("num_steps", pa.int32(), "temporal steps for the vision tower; null where the engine does not tell"),
    _optional("num_steps_reused", pa.int32(), "of these, those that took the features of a step with the same pixels"),
]

CLIPS: Final = pa.schema(
    [
        *_VIDEO_KEY,
        *(field for field in _CLIP if field.name in ("clip_index", "start_seconds", "end_seconds", "clip_is_last")),
        *_CLIP_CLOCK,
        *_OF_CLIPS,
        *_RUN,
    ]
)
"""A file of clips: one row per clip of which anything was asked. The manifest's columns follow with the prefix
`input_`; config_id stands in the path."""

NEWER_COLUMNS: Final = frozenset(
    {"clip_is_letterboxed", "video_version", "frame_height", "frame_width", "clip_fps", "question_options",
     "question_since", "answer_letter", "answer_number", "answer_bool", "answer_first_value",
     "answer_second_value", "audit_rank", "audit_rate", "prompt_seconds", "first_answer_seconds", "thinking_seconds",
     *(f.name for f in (*_CLIP_CLOCK, *_OF_CLIPS, *_FACTS, *DEEPENED, *NEWER_OF_ANSWERS)),
     *(f.name for f in (*COPIED, *PRUNED))})  # fmt: skip
"""Columns that rows of earlier versions do not have: null where they are read, and no fault of a file without them."""

FAILURES: Final = pa.schema(
    [
        *_VIDEO_KEY,
        _optional("clip_index", pa.int32(), "the clip, or the first of those without frames; null: the whole video"),
        _optional("start_seconds", pa.float64(), "start of the clip in seconds of the video"),
        _optional("end_seconds", pa.float64(), "end of the clip in seconds of the video"),
        _column("clip_is_last", pa.bool_(), "nothing of the video comes after this row"),
        _optional("question_id", pa.string(), "the question; null: all of them, those of later runs too"),
        _optional("question_hash", pa.string(), "16 hex digits for the question; null: all of them"),
        *_FAILURE,
        _column("attempts", pa.int32(), "how often it failed, this time included: with the key, a row's own number"),
        _optional("decoder", pa.string(), "package and version that decoded; null where none was asked"),
        _optional("bytes_read", pa.int64(), "bytes fetched from storage for it; null where a clip's rows have them"),
        *_RUN,
    ]
)
"""One row per attempt that failed, at a video, a clip or a question. What was answered later keeps its rows here;
`framegate query` shows those alone that still stand. The manifest's columns follow with the prefix `input_`; config_id
stands in the path."""


def with_config_id(schema: pa.Schema) -> pa.Schema:
    """The columns of RESULTS, FAILURES or CLIPS as readers have them, with the one that stands in the path."""
    place = schema.get_field_index(_RUN[0].name)
    return schema.insert(place, CONFIG_ID)


_ROW_KIND = _column(
    "row_kind", pa.string(), "answer, failure or clip: the table it is for; deepened: completes an answer"
)
_FAILURE_ONLY = [field for field in FAILURES if field.name not in RESULTS.names]

JOURNAL: Final = pa.schema(
    [
        _ROW_KIND,
        *(field.with_nullable(True) for field in [*RESULTS, *_FAILURE_ONLY, *_OF_CLIPS, *_FACTS]),
    ]
)
"""One object per unit: its rows of all kinds, and what the file of its video says of itself beside each clip. config_id
stands in the path."""

VIDEO_STATES: Final = pa.schema(
    [
        *_VIDEO_KEY,
        _column("video_version", pa.string(), "etag, or size and modification time"),
        _optional("size_bytes", pa.int64(), "size of the video; null where only an older output tells of it"),
        _column("state", pa.string(), "current, superseded, gone or not_listed"),
        _optional("first_seen", pa.timestamp("us", tz="UTC"), "when a run first found it; null: before this was kept"),
        _column("since", pa.timestamp("us", tz="UTC"), "when a run found it in this state"),
        _column("source", pa.string(), "the input that named it then: a prefix, a glob, a manifest, or list"),
        _optional(
            "last_seen", pa.timestamp("us", tz="UTC"), "when a run last found it; in files null where it is current"
        ),
        _optional("started_at", pa.timestamp("us", tz="UTC"), "when it began, by `input.started_at`"),
        *_FACTS,
    ]
)
"""videos/: a row for each change of what is known of a video; the last row of a video_id says how it is. The manifest's
columns follow with the prefix `input_`, as they were then. `duration_seconds` and what follows are null until a decoder
has opened the video and its clips are sealed."""

KEY_COLUMNS: Final = ("video_id", "clip_index", "question_hash")
"""With config_id, what makes a row the only one of its kind. clip_index stands for start and end: the clip policy is
part of config_id, so that one index of one video is one stretch of time."""
