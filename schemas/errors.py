"""All errors that are meant for a user, and the reason codes of the failures table.

    FramegateError              one sentence for the user; exit code 1
    ├── ConfigError             the job file or the question bank is wrong; nothing has started
    ├── InputError              the input names no videos, or cannot be read as what it claims to be
    ├── StorageError            a bucket, a folder or an object cannot be listed, read or written
    │   ├── ObjectNotFound      it is not there
    │   ├── CredentialsError    storage does not accept our credentials: ends the run, says nothing of any object
    │   ├── StorageFull         there is no room left to write: ends the run, too
    │   ├── UnsafeAddress       a web address, or where it leads, is none for videos: nothing is asked there
    │   ├── VersionChanged      it is another version than the one that was asked for
    │   └── DamagedUnit         an object of the journal is no unit: it is set aside, and its work is done again
    ├── VideoError              one video cannot be decoded; becomes a row in failures, the run goes on
    │   └── one subclass for each reason code below
    ├── AnotherRun              another run is at work where this one would; exit code 4
    ├── SandboxError            no decoder process can be started or confined here: ends the run, marks no video
    ├── RunStopped              a signal or a deadline came before the run had a plan; nothing of it is committed
    ├── EngineError             a model cannot be loaded, or failed on one clip
    │   ├── EngineTimeout       a step of the engine did not come back: its process ends
    │   └── PromptTooLong       a clip and a question are more than the model reads
    └── QueryError              SQL that is not exactly one SELECT or EXPLAIN, or that DuckDB refuses

Each error takes one message argument, so that Ray can pickle it from worker to driver; but RunStopped, which no worker
raises. The reason code is the class's, not an argument. Reason codes are stable: dashboards and retry rules may rest on
them.

The message of a VideoError is stored in the failures table, as a sentence with a capital and a full stop. Every other
message is printed behind `error: ` and has neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from framegate.schemas.signatures import hide

if TYPE_CHECKING:
    from framegate.schemas.run import Stop


class FramegateError(Exception):
    """Root of all errors that are meant for the user; `str(error)` is one sentence, and holds no signature of a URL."""

    def __init__(self, message: str) -> None:
        super().__init__(hide(message))


class ConfigError(FramegateError):
    """The job file or the question bank is wrong. Raised before any work."""


class InputError(FramegateError):
    """The input names nothing, or a manifest cannot be read as one."""


class StorageError(FramegateError):
    """Storage refused: missing bucket, no permission, unwritable folder, unreadable object."""

    reason: ClassVar[str] = "storage"


class ObjectNotFound(StorageError):
    """Storage answered that there is no such bucket, folder or object."""


class CredentialsError(StorageError):
    """Storage does not accept our credentials: none, wrong or expired. Every request would fail, so the run ends."""


class StorageFull(StorageError):
    """The disk, or the quota on it, is full."""


class UnsafeAddress(StorageError):
    """A web server sends on to another one, or an address belongs to services of the machine itself."""

    reason = "address_refused"


class VersionChanged(StorageError):
    """The object is there, but no longer the version that was asked for."""

    reason = "source_changed"


class DamagedUnit(StorageError):
    """An object of the journal is not what its name says."""


class AnotherRun(FramegateError):
    """Another run is at work on the same output and config_id, and this one is not to run beside it."""


class SandboxError(FramegateError):
    """The process that decoders run in cannot be started on this machine, or cannot be confined."""


class RunStopped(FramegateError):
    """The run was asked to stop before it had a plan."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.sentence)
        self.stop = stop


class EngineError(FramegateError):
    """A model cannot be loaded, or it failed on one clip."""

    reason: ClassVar[str] = "engine_error"


class EngineTimeout(EngineError):
    """A step of the engine did not come back in time. What it had in hand is tried again by another process."""

    reason = "engine_timeout"


class PromptTooLong(EngineError):
    """A prompt, with room for its answer, goes beyond the positions of the model. It is never asked."""

    reason = "too_long"


class FirstAnswerDiffers(EngineError):
    """Asked again, to be thought about after the fact, a question got another first answer than its row has."""

    reason = "first_answer_differs"


class QueryError(FramegateError):
    """The SQL is not exactly one SELECT or EXPLAIN statement, or DuckDB refuses it."""


class VideoError(FramegateError):
    """One video gives no frames. `reason` is the code that the failures table shows."""

    reason: ClassVar[str] = "decode_error"


class EmptyVideo(VideoError):
    reason = "empty"


class NotAVideo(VideoError):
    reason = "not_video"


class Playlist(VideoError):
    reason = "playlist"


class NoVideoStream(VideoError):
    reason = "no_video_stream"


class TruncatedVideo(VideoError):
    reason = "truncated"


class VideoTooLarge(VideoError):
    reason = "too_large"


class UnsupportedCodec(VideoError):
    reason = "unsupported_codec"


class DecodeFailed(VideoError):
    reason = "decode_error"


class DecodeTimeout(VideoError):
    reason = "decode_timeout"


class DecoderCrash(VideoError):
    reason = "decoder_crash"


class MemoryLimit(VideoError):
    reason = "memory_limit"


class SourceChanged(VideoError):
    reason = "source_changed"


class SourceUnreadable(VideoError):
    reason = "storage"


class SourceGone(VideoError):
    reason = "source_gone"


class SourceNotFound(VideoError):
    reason = "not_found"


class UnsafeMember(VideoError):
    reason = "unsafe_member"


class TimesRestart(VideoError):
    reason = "times_restart"


class NameNotUnicode(VideoError):
    reason = "not_unicode"


class ProtocolRefused(VideoError):
    reason = "protocol_refused"


class OutsideRoots(VideoError):
    reason = "outside_roots"


class SecretInUri(VideoError):
    reason = "secret_in_uri"


class AddressRefused(VideoError):
    reason = "address_refused"


_VIDEO_ERRORS: Final[dict[str, type[VideoError]]] = {
    error.reason: error
    for error in (
        EmptyVideo, NotAVideo, Playlist, NoVideoStream, TruncatedVideo, VideoTooLarge, UnsupportedCodec, DecodeFailed,
        DecodeTimeout, DecoderCrash, MemoryLimit, SourceChanged, SourceUnreadable, SourceGone, SourceNotFound,
        UnsafeMember, TimesRestart, NameNotUnicode, ProtocolRefused, OutsideRoots, SecretInUri, AddressRefused,
    )
}  # fmt: skip


def video_error(reason: str, message: str) -> VideoError:
    """The VideoError of a reason code; DecodeFailed for a code that belongs to no VideoError.

    For codes that arrive as text: refusals in a plan (the only source of `source_changed`, `storage`, `not_found`,
    `unsafe_member`, `not_unicode` and those of `source.allowed`), and answers of a decoder process.
    """
    return _VIDEO_ERRORS.get(reason, DecodeFailed)(message)


REASON_MEANINGS: Final[dict[str, str]] = {
    "empty": "the object has no bytes",
    "not_video": "the content is no known video container, or it is a picture in one",
    "playlist": "the content is a playlist that would make a decoder open other files or addresses",
    "no_video_stream": "the container holds no video stream, only sound, subtitles or a cover picture",
    "truncated": "the file ends before its index or before the frames that were asked for",
    "too_large": "the header announces more pixels, frames or streams than the limits allow",
    "unsupported_codec": "no decoder here knows the codec",
    "decode_error": "the decoder gave up on the data",
    "times_restart": "time stamps begin again at a place of a large file that was not looked at when it was opened",
    "decode_timeout": "the decoder did not answer in time, or read the file over and over",
    "decoder_crash": "the decoder's process died",
    "memory_limit": "decoding or answering needs more memory than it may have",
    "source_changed": "the object is not the one that was planned: its version changed",
    "source_gone": "the object was deleted while questions were open; asked when it is there again",
    "not_found": "the input names it, and it was never seen: a wrong name, or deleted before the first run",
    "storage": "the object could not be read",
    "unsafe_member": "the tar member is a link, a device, sparse, or has a name that leaves the archive or is too long",
    "not_unicode": "the name is no Unicode text, so that no row could hold it as it is",
    "protocol_refused": "its protocol is none that `input.protocols` allows; it was not looked up",
    "outside_roots": "the file lies below none of the folders of `input.roots`; it was not opened",
    "secret_in_uri": "its URI holds a password, a token or a signature that no row may have; it was not looked up",
    "address_refused": "the web address, or where its server sends on to, is none that videos are read from",
    "too_long": "clip, question and room for the answer are more than the model reads; never asked",
    "engine_error": "the model failed on this clip and question",
    "first_answer_differs": "to be deepened it was asked again, and its first answer was not the one of its row, which"
    " stays",
    "engine_timeout": "the model did not come back in time, each time that it was tried",
    "actor_crash": "the process that worked on it died, each time that it was tried",
}
"""Every reason code that the failures table can hold, and what it means."""
