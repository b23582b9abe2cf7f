"""Pictures under the names and brands of films: each is one failure, and never a clip."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from framegate.pipelines.decode.policy import Policy
from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.pipelines.decode.stage import DecodeStage
from framegate.pipelines.store import Store
from framegate.schemas.clip import Video
from framegate.schemas.config import ClipsConfig, FramesConfig
from framegate.schemas.errors import VideoError
from framegate.schemas.unit import DecodedUnit, PlannedVideo


def picture(kind: str, *, num_frames: int = 1, height: int = 64, width: int = 96) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (num_frames, height, width, 3), np.uint8)
    first, *others = map(Image.fromarray, noise)
    data = io.BytesIO()
    more = {"save_all": True, "append_images": others} if others else {}
    first.save(data, kind, **more)
    return data.getvalue()


def branded(data: bytes, first: bytes, *others: bytes) -> bytes:
    """The same file under other brands; its places stay where they are."""
    size = int.from_bytes(data[:4], "big")
    names = (first + bytes(4) + b"".join(others) + b"isom" * size)[: size - 8]
    assert data[4:8] == b"ftyp"
    return data[:8] + names + data[size:]


def box(kind: bytes, *inside: bytes) -> bytes:
    data = b"".join(inside)
    return (len(data) + 8).to_bytes(4, "big") + kind + data


def heic(first: bytes, *others: bytes) -> bytes:
    """The boxes of a HEIC picture around nothing."""
    handler = box(b"hdlr", bytes(8), b"pict", bytes(13))
    return box(b"ftyp", first, bytes(4), *others) + box(b"meta", bytes(4), handler) + box(b"mdat", bytes(64))


AVIF, AVIF_SEQUENCE = picture("AVIF"), picture("AVIF", num_frames=3)
PICTURES = [
    pytest.param(AVIF, id="avif-as-it-is"),
    pytest.param(branded(AVIF, b"isom", b"avif", b"mif1"), id="avif-as-isom-compatible-with-avif"),
    pytest.param(branded(AVIF, b"isom", b"iso2", b"mp41"), id="avif-as-isom-alone"),
    pytest.param(branded(AVIF, b"mp42", b"mp41"), id="avif-as-mp42"),
    pytest.param(branded(AVIF, b"qt  ", b"qt  "), id="avif-as-quicktime"),
    pytest.param(box(b"free", bytes(16)) + AVIF, id="avif-behind-a-free-box"),
    pytest.param(AVIF[int.from_bytes(AVIF[:4], "big") :], id="avif-without-brands"),
    pytest.param(AVIF_SEQUENCE, id="moving-avif-as-it-is"),
    pytest.param(branded(AVIF_SEQUENCE, b"isom", b"iso8", b"avis"), id="moving-avif-as-isom"),
    pytest.param(branded(AVIF_SEQUENCE, b"mp42", b"mp41"), id="moving-avif-as-mp42-alone"),
    pytest.param(heic(b"heic", b"mif1"), id="heic-as-it-is"),
    pytest.param(heic(b"isom", b"heic"), id="heic-as-isom-compatible-with-heic"),
    pytest.param(heic(b"mp42", b"isom"), id="heic-without-a-brand-of-pictures"),
    pytest.param(heic(b"miaf", b"mif1"), id="heic-as-miaf"),
    pytest.param(heic(b"crx ", b"isom"), id="camera-raw"),
    pytest.param(picture("JPEG"), id="jpeg"),
    pytest.param(picture("PNG"), id="png"),
    pytest.param(picture("PNG", num_frames=3), id="moving-png"),
    pytest.param(picture("GIF"), id="gif"),
    pytest.param(picture("GIF", num_frames=3), id="moving-gif"),
    pytest.param(picture("WEBP"), id="webp"),
    pytest.param(picture("WEBP", num_frames=3), id="moving-webp"),
    pytest.param(picture("TIFF"), id="tiff"),
    pytest.param(picture("BMP"), id="bmp"),
    pytest.param(picture("JPEG2000"), id="jpeg-2000"),
    pytest.param(picture("ICO"), id="icon"),
]


@pytest.fixture(scope="module")
def decode(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], list[DecodedUnit]]:
    """What the decode stage makes of a file that is called film.mp4."""
    path = tmp_path_factory.mktemp("pictures") / "film.mp4"
    stage = DecodeStage(
        policy=Policy(frames=FramesConfig(max_frames=2), clips=ClipsConfig(seconds=2)), storage_options={}
    )

    def decode(data: bytes) -> list[DecodedUnit]:
        path.write_bytes(data)
        info = Store().stat(str(path))
        video = Video(uri=str(path), version=info.version, size_bytes=info.size_bytes)
        return list(stage.decode(PlannedVideo(video=video, question_hashes=("0" * 16,), done={})))

    return decode


@pytest.mark.parametrize("data", PICTURES)
def test_a_picture_is_one_failure_and_no_clip(decode: Callable[[bytes], list[DecodedUnit]], data: bytes) -> None:
    (unit,) = decode(data)
    assert unit.clips == ()
    assert unit.failure is not None
    assert unit.failure.reason == "not_video"


def movie_boxes(data: bytes) -> dict[bytes, bytes]:
    boxes, at = {}, 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        boxes[data[at + 4 : at + 8]] = data[at : at + size]
        at += size
    return boxes


@pytest.mark.parametrize(
    "hide",
    [
        pytest.param(lambda picture, film: picture + film[b"moov"], id="picture-before-the-index-of-a-film"),
        pytest.param(lambda picture, film: film[b"moov"] + picture, id="picture-behind-the-index-of-a-film"),
        pytest.param(
            lambda picture, film: picture + 70 * box(b"free") + film[b"moov"], id="picture-far-before-an-index"
        ),
    ],
)
def test_a_picture_beside_a_film_is_not_taken_for_it(
    make_video: Callable[..., Path], tmp_path: Path, hide: Callable[..., bytes]
) -> None:
    """The film here has no frames where its index says: what is decoded could only be the picture, which is larger."""
    film = movie_boxes(make_video(tmp_path / "film.mp4", seconds=1).read_bytes())
    shown = branded(picture("AVIF", height=720, width=1280), b"isom", b"iso2", b"mp41")
    with pytest.raises(VideoError) as caught:
        open_reader("pyav", RangeFile.of(hide(shown, film)))
    assert caught.value.reason in ("decode_error", "truncated", "not_video")


def test_a_picture_behind_more_boxes_than_are_looked_at_is_no_film_either() -> None:
    size = int.from_bytes(AVIF[:4], "big")
    shown = branded(AVIF, b"isom", b"iso2", b"mp41")
    with pytest.raises(VideoError) as caught:
        open_reader("pyav", RangeFile.of(shown[:size] + 100 * box(b"free") + shown[size:]))
    assert caught.value.reason == "no_video_stream"


def test_a_film_that_is_compatible_with_pictures_is_a_film(make_video: Callable[..., Path], tmp_path: Path) -> None:
    data = make_video(tmp_path / "film.mp4", seconds=1).read_bytes()
    for film in (branded(data, b"isom", b"mif1", b"heic"), data + heic(b"isom", b"isom")[24:]):
        with open_reader("pyav", RangeFile.of(film)) as reader:
            assert reader.header.codec == "h264"
            assert len(reader.read([0.0], height=28, width=28).frames_THWC) == 1
