"""Transport streams to which streams come after the file was opened, such as sound that begins late."""

from __future__ import annotations

import struct

import pytest

from framegate.pipelines.decode.readers.blocks import RangeFile
from framegate.pipelines.decode.readers.reader import open_reader
from framegate.schemas.config import DecodeConfig
from tests.decode.corpus_films import film
from tests.decode.structured.transport import PACKET_BYTES, packets_of, section

MAP_PID, PICTURE_PID = 0x1000, 0x100
H264, AAC = 0x1B, 0x0F
NOTHING = b"\x47\x1f\xff\x10" + b"\xff" * 184  # a packet of no stream


def with_late_streams(num: int) -> bytes:
    """A film of 20 s; after 10 s its table lists `num` streams of sound as well. Opening looks at the first 7 s, and at
    the last 250 kB for the end."""
    data = film("mpegts", seconds=20.0)
    kinds = [H264, *[AAC] * num]
    streams = b"".join(struct.pack(">BHH", kind, 0xE000 | PICTURE_PID + n, 0xF000) for n, kind in enumerate(kinds))
    table = packets_of(MAP_PID, section(2, 1, struct.pack(">HH", 0xE000 | PICTURE_PID, 0xF000) + streams))
    middle = len(data) // PACKET_BYTES // 2 * PACKET_BYTES
    return data[:middle] + b"".join(table) + 5000 * NOTHING + data[middle:]


@pytest.mark.parametrize("num_late", [1, 40])
def test_a_film_to_which_streams_come_later_is_decoded_to_its_end(num_late: int) -> None:
    with open_reader("pyav", RangeFile.of(with_late_streams(num_late)), DecodeConfig()) as reader:
        assert reader.header.num_streams == 1
        assert reader.header.duration_seconds == pytest.approx(20.0, abs=0.11)
        selection = reader.read([0.0, 12.0, 19.5, 30.0], height=56, width=84)
        assert selection.pts_seconds.tolist() == pytest.approx([0.0, 12.0, 19.5])
        assert selection.has_ended
