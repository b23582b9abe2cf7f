"""The films are what they say: length, rate, key frames, sound, a number in every picture; made whole or not at all."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from framegate.pipelines.lab.bench.decode.films import (
    FILMS,
    GRID_COLUMNS,
    GRID_ROWS,
    NUMBER_BITS,
    Film,
    films_with_key_frames,
    make_film,
)

TINY = Film(
    name="tiny", height=72, width=128, seconds=4, bits_per_second=200_000, scene_seconds=2, fps=15, gop_seconds=1
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / TINY.file_name
    make_film(TINY, path)
    return path


def number_of(frame: av.VideoFrame) -> int:
    cells = frame.to_ndarray(format="gray")[-(frame.height // GRID_ROWS) :]
    bits = np.array_split(cells, GRID_COLUMNS, axis=1)[:NUMBER_BITS]
    return sum(1 << place for place, bit in enumerate(bits) if bit.mean() > 127)


def test_each_frame_shows_its_number_and_scenes_come_again(tiny: Path) -> None:
    with av.open(tiny) as container:
        frames = list(container.decode(video=0))
    assert [number_of(frame) for frame in frames] == [*range(30), *range(30)]
    assert [float(frame.time) for frame in frames] == pytest.approx([number / 15 for number in range(60)])


def test_key_frames_come_as_often_as_asked_and_sound_lasts_as_long_as_pictures(tiny: Path) -> None:
    with av.open(tiny) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        keys = [packet.pts * packet.time_base for packet in container.demux(video) if packet.is_keyframe]
        assert keys == [0, 1, 2, 3]
        assert (video.average_rate, video.codec.name, audio.codec.name) == (15, "h264", "aac")
        assert float(video.duration * video.time_base) == pytest.approx(4)
        assert float(audio.duration * audio.time_base) == pytest.approx(4, abs=0.1)


def test_a_film_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_film(TINY, tmp_path / "film.mp4", on_seconds=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("gop_seconds", [1, 4, 7, 60])
def test_films_and_scenes_are_whole_groups_of_pictures(gop_seconds: int) -> None:
    for film, usual in zip(films_with_key_frames(gop_seconds), FILMS, strict=True):
        assert film.seconds % gop_seconds == film.scene_seconds % gop_seconds == 0
        assert film.scene_seconds <= film.seconds
        assert film.seconds == pytest.approx(usual.seconds, abs=gop_seconds)
