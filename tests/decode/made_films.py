"""Some five hundred small films: containers, codecs, reordered frames, rates, orientations, and what time stamps do.

Each is made by FFmpeg's command line, of frames that show their own number, and says what a reader must see of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.decode.container_edits import EIGHT, with_matrix
from tests.decode.ffmpeg_command import remux
from tests.decode.oracle import HEIGHT, WIDTH, Seen, ffmpeg, one_after_another, raw_frames, see

NUM_FRAMES = 40
QUIET_HEVC = "log-level=none:pools=none:frame-threads=1"
ENCODERS: dict[str, list[str]] = {
    "h264": ["-c:v", "libx264", "-preset", "veryfast", "-threads", "1"],
    "hevc": ["-c:v", "libx265", "-preset", "ultrafast"],
    "mpeg4": ["-c:v", "mpeg4", "-q:v", "3"],
    "mpeg2": ["-c:v", "mpeg2video", "-q:v", "3"],
    "mpeg1": ["-c:v", "mpeg1video", "-q:v", "3"],
    "vp8": ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "400k", "-auto-alt-ref", "0"],
    "vp9": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "400k"],
    "av1": ["-c:v", "libsvtav1", "-preset", "12", "-crf", "30", "-svtav1-params", "lp=1"],
    "theora": ["-c:v", "libtheora", "-q:v", "8"],
    "mjpeg": ["-c:v", "mjpeg", "-q:v", "3"],
    "flv1": ["-c:v", "flv1", "-q:v", "3"],
    "ffv1": ["-c:v", "ffv1"],
}
# Container: its file ending, FFmpeg's muxer, and the codecs in it.
CONTAINERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mp4": ("mp4", ("h264", "hevc", "mpeg4", "vp9", "av1")),
    "mov": ("mov", ("h264", "mjpeg")),
    "mkv": ("matroska", ("h264", "hevc", "mpeg4", "mpeg2", "av1", "ffv1")),
    "webm": ("webm", ("vp8", "vp9")),
    "ts": ("mpegts", ("h264", "hevc", "mpeg2")),
    "mpg": ("mpeg", ("mpeg1", "mpeg2")),
    "flv": ("flv", ("h264", "flv1")),
    "avi": ("avi", ("h264", "mpeg4", "mjpeg")),
    "ogv": ("ogg", ("theora",)),
    "mxf": ("mxf", ("mpeg2",)),
}
REORDERS = ("h264", "hevc", "mpeg4", "mpeg2", "mpeg1")
COUNTS_FRAMES = ("mpeg1", "mpeg2", "avi", "mxf", "ogv")  # codecs and containers of constant rate
SOUND = {"flv": "aac", "mpg": "mp2", "webm": "libopus", "ogv": "flac", "avi": "mp2"}
# Where the command line does not read films behind one another as they lie there.
ONE_BY_ONE = ("mp4", "mov", "mkv", "webm", "flv", "ogv", "mxf")


@dataclass(frozen=True, kw_only=True)
class Film:
    """One made film.

    expressions  `setpts` of each part: FFmpeg's expression for a frame's time
    offsets      what is added to the time stamps of each part, in seconds
    orientation  how a player turns the picture: a name of EIGHT
    sound        seconds by which sound begins before the picture; None: no sound
    """

    container: str
    codec: str
    b_frames: int = 0
    rate: str = "25"
    kind: str = "plain"
    expressions: tuple[str, ...] = ("",)
    offsets: tuple[float, ...] = (0.0,)
    sound: float | None = None
    orientation: str = "upright"
    options: tuple[str, ...] = ()
    num_frames: int = NUM_FRAMES

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.codec}-{self.container}-b{self.b_frames}-{self.rate.replace('/', '_')}"

    @property
    def step_seconds(self) -> float:
        over, _, under = self.rate.partition("/")
        return int(under or 1) / int(over)

    def write(self, folder: Path) -> tuple[bytes, Seen]:
        """The file's bytes, and what must be seen of it."""
        parts = [self._write_part(folder, number) for number in range(len(self.offsets))]
        data = b"".join(part.read_bytes() for part in parts)
        has_sound = self.sound is not None
        if len(parts) > 1 and self.container in ONE_BY_ONE:
            films = [see(str(part), has_sound=has_sound, orientation=self.orientation) for part in parts]
            return data, one_after_another(films, step_seconds=self.step_seconds)
        whole = folder / f"whole.{self.container}"
        whole.write_bytes(data)
        return data, see(str(whole), has_sound=has_sound, orientation=self.orientation)

    def _write_part(self, folder: Path, number: int) -> Path:
        path = folder / f"part{number}.{self.container}"
        size = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", self.rate]
        inputs = [*size, "-i", "pipe:0"]
        mapped = ["-map", "0:v"]
        if self.sound is not None:
            length = self.sound + self.num_frames * self.step_seconds + 0.5
            inputs += ["-f", "lavfi", "-i", f"sine=330:duration={length}"]
            mapped += ["-map", "1:a", "-c:a", SOUND.get(self.container, "aac")]
        shift = ["-output_ts_offset", str(self.offsets[number])] if self.offsets[number] else []
        container = "mp4" if self.orientation != "upright" and self.container == "mkv" else self.container
        ffmpeg(
            *inputs, *mapped, *self._encoding(number), *shift, *self.options,
            "-f", CONTAINERS[container][0], str(path),
            given=raw_frames(self.num_frames, first=self.num_frames * number % 200),
        )  # fmt: skip
        if self.orientation != "upright":
            data = with_matrix(path.read_bytes(), EIGHT[self.orientation][0])
            path.write_bytes(data if container == self.container else remux(data, CONTAINERS[self.container][0]))
        return path

    def _encoding(self, number: int) -> list[str]:
        expression = self.expressions[number % len(self.expressions)]
        if self.sound is not None:
            expression = f"PTS+{self.sound}/TB"
        timing = ["-vf", f"setpts='{expression}'", "-fps_mode", "vfr"] if expression else ["-fps_mode", "passthrough"]
        if self.codec in COUNTS_FRAMES or self.container in COUNTS_FRAMES:
            timing = []
        reordering = ["-bf", str(self.b_frames)] if self.codec in REORDERS else []
        if self.codec == "hevc":
            reordering = ["-x265-params", f"{QUIET_HEVC}:bframes={self.b_frames}:keyint=12"]
        pixels = "yuvj420p" if self.codec == "mjpeg" else "yuv420p"
        return [*ENCODERS[self.codec], *reordering, "-g", "12", "-pix_fmt", pixels, *timing]


def films() -> list[Film]:
    """All of them, by kinds."""
    found = [
        *_plain(),
        *_variable(),
        *_joined(),
        *_shifted(),
        *_restarted(),
        *_late(),
        *_gaps(),
        *_edited(),
        *_turned(),
    ]
    assert len({film.name for film in found}) == len(found)
    return found


def _each(containers: tuple[str, ...] = tuple(CONTAINERS)) -> Iterator[tuple[str, str, int]]:
    for container in containers:
        for codec in CONTAINERS[container][1]:
            yield from ((container, codec, number) for number in ((0, 1, 3) if codec in REORDERS else (0,)))


def _plain() -> Iterator[Film]:
    for container, codec, b_frames in _each():
        for rate in ("25", "30000/1001"):
            yield Film(container=container, codec=codec, b_frames=b_frames, rate=rate)
    for flags, kind in (("+faststart", "faststart"), ("+frag_keyframe+empty_moov", "fragmented")):
        for b_frames in (0, 2):
            yield Film(container="mp4", codec="h264", b_frames=b_frames, kind=kind, options=("-movflags", flags))


def _variable() -> Iterator[Film]:
    """Frames of 0.04, 0.08 and 0.4 s."""
    steps = "(N*0.04+floor(N/5)*0.04+floor(N/11)*0.36)/TB"
    for container, codec, b_frames in _each(("mp4", "mov", "mkv", "webm", "ts", "flv")):
        if codec not in COUNTS_FRAMES and b_frames != 1:
            yield Film(container=container, codec=codec, b_frames=b_frames, kind="variable", expressions=(steps,))


def _joined() -> Iterator[Film]:
    """Two and three films behind one another."""
    for container, codec, b_frames in _each(("ts", "mpg", "flv", "mkv", "webm", "avi", "ogv", "mp4", "mxf")):
        for num in (2, 3):
            if b_frames != 1:
                yield Film(
                    container=container, codec=codec, b_frames=b_frames, kind=f"joined{num}", offsets=(0.0,) * num
                )


def _shifted() -> Iterator[Film]:
    """Stamps that begin late, or wrap around at 33 bits (95,443.7 s) in the middle of the film."""
    for offset, kind in ((500.0, "at500"), (50_000.0, "at50000"), (95_442.0, "wraps")):
        for container, codec, b_frames in _each(("ts", "mpg")):
            if b_frames != 1:
                yield Film(container=container, codec=codec, b_frames=b_frames, kind=kind, offsets=(offset,))


def _restarted() -> Iterator[Film]:
    """A recorder that began again: from 0, from a smaller time, from a larger one."""
    for offsets, kind in (
        ((50_000.0, 0.0), "reboot"),
        ((0.0, 50_000.0), "leap"),
        ((100.0, 7.0, 300.0), "thrice"),
        ((95_000.0, 3.0), "end"),
    ):
        for container, codec, b_frames in _each(("ts", "mpg")):
            if b_frames != 1:
                yield Film(container=container, codec=codec, b_frames=b_frames, kind=kind, offsets=offsets)


def _late() -> Iterator[Film]:
    """Sound that begins before the picture."""
    for seconds in (3.0, 0.5):
        for container, codec, b_frames in _each(("mp4", "mov", "mkv", "webm", "ts", "flv")):
            if codec in ("h264", "hevc", "vp9") and b_frames != 1:
                yield Film(container=container, codec=codec, b_frames=b_frames, kind=f"late{seconds:g}", sound=seconds)


def _gaps() -> Iterator[Film]:
    """A second with pictures, some seconds without, and pictures again."""
    for seconds in (5, 40):
        jump = f"(N*0.04+gte(N,20)*{seconds})/TB"
        for container, codec, b_frames in _each(("mp4", "mkv", "webm", "flv")):
            if codec in ("h264", "vp9", "vp8") and b_frames != 1:
                yield Film(
                    container=container, codec=codec, b_frames=b_frames, kind=f"gap{seconds}", expressions=(jump,)
                )
    for seconds in (5.0, 40.0):
        for codec in ("h264", "hevc", "mpeg2"):
            yield Film(container="ts", codec=codec, b_frames=2, kind=f"gap{seconds:g}", offsets=(0.0, seconds + 1.6))


def _edited() -> Iterator[Film]:
    """Edit lists: a delay of the picture, and stamps that begin below 0."""
    for container in ("mp4", "mov"):
        for b_frames in (0, 2):
            for offset, kind in ((0.7, "delayed"), (-0.4, "below")):
                yield Film(
                    container=container, codec="h264", b_frames=b_frames, kind=kind, offsets=(offset,),
                    options=("-avoid_negative_ts", "disabled"),
                )  # fmt: skip


def _turned() -> Iterator[Film]:
    """Each orientation but the upright one: whole, of a late beginning, and of two films behind one another."""
    for orientation in list(EIGHT)[1:]:
        for container, codec, b_frames in _each(("mp4", "mov", "mkv")):
            if b_frames != 1 and codec not in ("mpeg2", "ffv1"):
                yield Film(
                    container=container, codec=codec, b_frames=b_frames, kind=orientation, orientation=orientation
                )
        for container in ("mp4", "mkv"):
            yield Film(
                container=container, codec="h264", b_frames=2, kind=f"joined-{orientation}", orientation=orientation,
                offsets=(0.0, 0.0),
            )  # fmt: skip
        yield Film(
            container="mp4", codec="h264", b_frames=2, kind=f"delayed-{orientation}", orientation=orientation,
            offsets=(0.7,), options=("-avoid_negative_ts", "disabled"),
        )  # fmt: skip
