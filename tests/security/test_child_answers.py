"""Attacks by a decoder's process on its parent: numbers that lie, and reading without end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from framegate.pipelines.decode.sandbox import served
from framegate.schemas.errors import DecoderCrash, DecodeTimeout, VideoError
from tests.decode.sandbox.sources import MATROSKA, Bytes
from tests.security.scripted_child import OPENED, opened, scripted

DAY = 86_400.0

HEADERS = [
    pytest.param({"duration_seconds": 31 * DAY + 1}, "duration_seconds", id="a-film-longer-than-the-limit"),
    pytest.param({"duration_seconds": 1e308}, "duration_seconds", id="a-film-of-10-to-the-308-seconds"),
    pytest.param({"duration_seconds": float("inf")}, "duration_seconds", id="a-film-without-end"),
    pytest.param({"duration_seconds": float("nan")}, "duration_seconds", id="a-film-of-no-number-of-seconds"),
    pytest.param({"duration_seconds": -1}, "duration_seconds", id="a-film-of-negative-length"),
    pytest.param({"duration_seconds": "9"}, "duration_seconds", id="a-length-that-is-a-text"),
    pytest.param({"num_streams": 65}, "num_streams", id="more-streams-than-the-limit"),
    pytest.param({"num_streams": -1}, "num_streams", id="a-negative-number-of-streams"),
    pytest.param({"display_height": 1 << 21}, "display_height", id="a-frame-of-two-million-lines"),
    pytest.param({"display_width": 0}, "display_width", id="a-frame-without-width"),
    pytest.param({"display_width": True}, "display_width", id="a-width-that-is-true"),
    pytest.param({"fps": float("inf")}, "fps", id="infinitely-many-frames-a-second"),
    pytest.param({"rotation": 45}, "rotation", id="half-a-quarter-turn"),
    pytest.param({"rotation": -90}, "rotation", id="a-negative-turn"),
    pytest.param({"created_seconds": 1e18}, "created_seconds", id="made-in-a-year-that-no-calendar-has"),
    pytest.param({"container": "elf"}, "container", id="a-container-that-nobody-reads"),
    pytest.param({"codec": "h264\x1b[2J"}, "codec", id="a-codec-that-clears-the-terminal"),
    pytest.param({"codec": "=cmd()"}, "codec", id="a-codec-that-is-a-formula"),
    pytest.param({"codec": "x" * 65}, "codec", id="a-codec-of-a-long-name"),
    pytest.param({"codec": ""}, "codec", id="a-codec-without-a-name"),
    pytest.param({"gaps": [[0, 1e12]]}, "before", id="a-gap-of-thirty-thousand-years"),
    pytest.param({"gaps": [[k, k + 1] for k in range(1001)]}, "gaps", id="a-thousand-gaps-and-one"),
    pytest.param({"is_cut_short": 1}, "is_cut_short", id="a-truth-that-is-a-number"),
    pytest.param({"surplus": 1}, "fields of a header", id="a-field-that-no-header-has"),
]

ERRORS = [
    pytest.param("source_gone", id="says-that-the-object-is-deleted"),
    pytest.param("source_changed", id="says-that-the-object-has-changed"),
    pytest.param("storage", id="says-that-storage-is-broken"),
    pytest.param("not_found", id="says-that-the-object-never-was"),
    pytest.param("unsafe_member", id="says-that-the-member-is-unsafe"),
    pytest.param("decoder_crash", id="says-that-it-has-crashed"),
    pytest.param("decode_timeout", id="says-that-it-was-too-slow"),
    pytest.param("a reason of its own", id="makes-up-a-reason"),
]

_PUT = "os.pwrite(told['frames'], struct.pack('<d', {seconds}), 4096)\n"
_FRAME = {"kind": "frames", "num_frames": 1, "has_ended": False, "is_letterboxed": False}
READS = [
    pytest.param({**_FRAME, "num_frames": 2}, "0.0", "num_frames", id="more-frames-than-were-asked-for"),
    pytest.param({**_FRAME, "num_frames": 1 << 62}, "0.0", "num_frames", id="frames-beyond-all-memory"),
    pytest.param({**_FRAME, "num_frames": -1}, "0.0", "num_frames", id="a-negative-number-of-frames"),
    pytest.param({**_FRAME, "num_frames": 0.5}, "0.0", "num_frames", id="half-a-frame"),
    pytest.param(_FRAME, "float('nan')", "do not ascend", id="a-frame-at-no-time"),
    pytest.param(_FRAME, "float('inf')", "do not ascend", id="a-frame-at-the-end-of-time"),
    pytest.param(_FRAME, "1e300", "no times of a video", id="a-frame-after-10-to-the-300-seconds"),
    pytest.param(_FRAME, "-1e12", "no times of a video", id="a-frame-long-before-the-film"),
    pytest.param({**_FRAME, "has_ended": None}, "0.0", "has_ended", id="an-end-that-is-neither-true-nor-false"),
    pytest.param({"kind": "ready"}, "0.0", "no answer", id="begins-anew-in-the-middle"),
    pytest.param({"kind": "refused", "message": "x"}, "0.0", "no answer", id="refuses-the-job-in-the-middle"),
    pytest.param({"kind": "fetch", "start": 0, "end": 1 << 60}, "0.0", "end", id="wants-more-bytes-than-there-are"),
    pytest.param({"kind": "fetch", "start": -5, "end": 2}, "0.0", "start", id="wants-bytes-before-the-file"),
]

_HEAR = "hear()\nfirst = {'kind': 'fetch', 'start': 0, 'end': %s}\nwhile True:\n    say(first)\n    hear()\n"
ENDLESS = [
    pytest.param(_HEAR % "min(told['limits']['max_streams'] << 14, 1 << 20)", {}, "asked for more than",
                 id="reads-the-file-over-and-over"),
    pytest.param(_HEAR % "1", {}, "asked for more than", id="reads-one-byte-over-and-over"),
    pytest.param(_HEAR % "0", {}, "asked for more than", id="reads-nothing-over-and-over"),
    pytest.param("while True:\n    os.write(2, b'x' * 4096)", {"open_seconds": 0.3}, "open_seconds",
                 id="writes-to-its-terminal-without-end"),
    pytest.param("connection.sendall(b'\\xff')\ntime.sleep(3600)", {"open_seconds": 0.3}, "open_seconds",
                 id="stops-in-the-middle-of-a-message"),
    pytest.param("hear()\nsay({'kind': 'fetch', 'start': 0, 'end': 1 << 20})\ntime.sleep(3600)", {"open_seconds": 0.3},
                 "open_seconds", id="asks-for-bytes-and-never-takes-them"),
]  # fmt: skip


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if small files had less to spare, so that little is read until there is enough."""
    monkeypatch.setattr(served, "SPARE_BYTES", 1 << 20)


@pytest.mark.parametrize(("header", "words"), HEADERS)
def test_a_header_beyond_the_limits_of_the_parent_is_a_crash(header: dict[str, Any], words: str) -> None:
    with scripted(opened(**header)) as sandbox, pytest.raises(DecoderCrash, match=f"cannot be right .*{words}"):
        sandbox.open("pyav", Bytes())


@pytest.mark.parametrize("reason", ERRORS)
def test_a_reason_that_a_decoder_cannot_know_is_a_crash(reason: str) -> None:
    error = {"kind": "error", "reason": reason, "message": "It is so."}
    with scripted(error) as sandbox, pytest.raises(DecoderCrash, match="a reason that no decoder can know"):
        sandbox.open("pyav", Bytes())


def test_control_characters_of_a_message_are_no_more() -> None:
    error = {"kind": "error", "reason": "decode_error", "message": "broken\x1b]0;title\x07\r\n\u202eat once"}
    with scripted(error) as sandbox, pytest.raises(VideoError) as caught:
        sandbox.open("pyav", Bytes())
    assert str(caught.value) == "broken ]0;title    at once"


@pytest.mark.parametrize(("answer", "seconds", "words"), READS)
def test_an_answer_to_a_read_that_lies_is_a_crash(answer: dict[str, Any], seconds: str, words: str) -> None:
    put = _PUT.format(seconds=seconds)
    then = f"hear()\nsay({OPENED!r})\nhear()\n{put}say({answer!r})\ntime.sleep(3600)"
    with scripted(then=then) as sandbox, sandbox.open("pyav", Bytes()) as reader:
        with pytest.raises(DecoderCrash, match=words):
            reader.read([1.0], height=4, width=6)
        assert sandbox.pid is None


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize(("then", "limits", "words"), ENDLESS)
def test_reading_and_talking_without_end_are_ended(then: str, limits: dict[str, Any], words: str) -> None:
    source = Bytes(MATROSKA + bytes(1 << 20))
    with scripted(then=then, **limits) as sandbox, pytest.raises(DecodeTimeout, match=words):
        sandbox.open("pyav", source)
    assert source.bytes_read <= 8 * source.size_bytes + (1 << 20)


def test_slow_storage_is_no_way_to_keep_the_parent_for_ever() -> None:
    class Slow(Bytes):
        def read(self, start: int, end: int) -> bytes:
            time.sleep(0.1)
            return super().read(start, end)

    began = time.monotonic()
    words = r"from storage took more than 0\.5 seconds \(decode\.video_seconds\)"
    with scripted(then=_HEAR % "4", video_seconds=0.5) as sandbox, pytest.raises(DecodeTimeout, match=words):
        sandbox.open("pyav", Slow())
    assert time.monotonic() - began < 10


@pytest.mark.usefixtures("small_limits")
def test_each_request_of_the_parent_may_read_anew() -> None:
    """What a plan needs is not cut: clips that overlap read the same bytes again and again."""
    read = "hear()\nfor _ in range(5):\n    say({'kind': 'fetch', 'start': 0, 'end': 1 << 20})\n    hear()\n"
    answers = "".join(f"{read}say({answer!r})\n" for answer in (OPENED, *[{**_FRAME, "num_frames": 0}] * 4))
    source = Bytes(MATROSKA + bytes(1 << 20))
    end = "hear()\nsay({'kind': 'closed'})\nhear()"
    with scripted(then=f"{answers}{end}") as sandbox, sandbox.open("pyav", source) as reader:
        for _ in range(4):
            assert len(reader.read([1.0], height=4, width=6).frames_THWC) == 0
    assert source.bytes_read == 5 * 5 << 20
