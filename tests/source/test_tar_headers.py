"""Headers of a tar archive: every member is found with its bytes, by few requests, whatever wrote or damaged it."""

from __future__ import annotations

import random
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.source.members import index_members
from tests.source.tars import FORMATS, by_name, content, index, make_info, make_tar, reasons

_NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"], exclude_characters="\\./"),
    min_size=1,
    max_size=250,
)


@settings(max_examples=100)
@given(st.sampled_from(list(FORMATS.values())), st.dictionaries(_NAMES, st.binary(max_size=1500), max_size=8))
def test_every_member_is_found_with_its_bytes(format: int, files: dict[str, bytes]) -> None:
    files = {f"f/{name}.mp4": data for name, data in files.items()}
    try:
        data = make_tar(*files.items(), format=format)
    except ValueError:  # a name too long for ustar
        return
    found = by_name(index(data).members)
    assert {name: content(data, member) for name, member in found.items()} == files
    assert all(member.refusal is None for member in found.values())


def test_a_big_shard_is_indexed_by_few_requests_and_few_bytes() -> None:
    """1,000 small members one after the other; large ones by a jump from header to header."""

    def requests(size_bytes: int) -> list[int]:
        header = make_info("v.mp4", size=size_bytes)
        headers = {n * (512 + size_bytes): make_info(f"{n}.mp4", size=header.size).tobuf() for n in range(1000)}
        fetched = []

        def read(start: int, end: int) -> bytes:
            fetched.append(end - start)
            data = bytearray(end - start)
            for n in range(start // (512 + size_bytes), min(1000, -(-end // (512 + size_bytes)))):
                at = n * (512 + size_bytes)
                if start <= at and at + 512 <= end:
                    data[at - start : at - start + 512] = headers[at]
            return bytes(data)

        assert len(index_members(read, 1000 * (512 + size_bytes) + 1024).members) == 1000
        return fetched

    assert len(requests(20 * 512)) <= 20
    jumps = requests(10_000 * 512)
    assert len(jumps) <= 1001
    assert sum(jumps) < 20_000_000  # of 5 GB


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_huge_extended_header_is_not_read(format: int) -> None:
    data = make_tar(("n" * 3_000_000 + ".mp4", b"x"), ("a.mp4", b"y"), format=format)
    fetched = []

    def read(start: int, end: int) -> bytes:
        fetched.append(end - start)
        return data[start:end]

    found = index_members(read, len(data))
    assert [member.refusal and member.refusal.reason for member in found.members] == [None, "unsafe_member"]
    assert found.members[0].name == "a.mp4"
    assert sum(fetched) < 1_000_000


def test_sparse_members_are_refused_and_what_follows_is_found() -> None:
    old = make_info("old.mp4", type=tarfile.GNUTYPE_SPARSE)
    header = bytearray(old.tobuf(tarfile.GNU_FORMAT))
    header[482] = 1  # its map goes on in one block more
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    more = bytes(512)
    new = make_info(
        "new.mp4", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s.mp4"}
    )
    rest = make_tar(new, ("a.mp4", b"fine"))
    data = bytes(header) + more + rest
    assert reasons(data) == {"old.mp4": "unsafe_member", "s.mp4": "unsafe_member", "a.mp4": None}
    assert content(data, by_name(index(data).members)["a.mp4"]) == b"fine"


def test_an_old_archive_without_magic_is_read() -> None:
    header = bytearray(make_info("old.mp4", size=3).tobuf(tarfile.USTAR_FORMAT))
    header[257:265] = bytes(8)
    header[156:157] = b"\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data = bytes(header) + b"abc".ljust(512, b"\0")
    [member] = index(data).members
    assert (member.name, content(data, member)) == ("old.mp4", b"abc")


def test_sizes_beyond_eight_gigabytes_are_read() -> None:
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        head = make_info("big.mp4", size=20 << 30).tobuf(format)

        def read(start: int, end: int, head: bytes = head) -> bytes:
            return (head + bytes(max(0, end - len(head))))[start:end]

        [member] = index_members(read, len(head) + (20 << 30)).members
        assert (member.size_bytes, member.refusal) == (20 << 30, None)


def test_a_shard_that_breaks_off_gives_what_is_whole() -> None:
    whole = make_tar(("a.mp4", b"a" * 700), ("b.mp4", b"b" * 700), ("c.mp4", b"c" * 700))
    second = by_name(index(whole).members)["b.mp4"].offset_bytes
    cut = index(whole[: second + 300])
    assert {m.name: m.refusal and m.refusal.reason for m in cut.members} == {"a.mp4": None, "b.mp4": "truncated"}
    assert cut.refusal is None
    assert by_name(cut.members)["b.mp4"].size_bytes == 300

    within_header = index(whole[: second - 100])
    assert [m.name for m in within_header.members] == ["a.mp4"]
    assert within_header.refusal is not None
    assert within_header.refusal.reason == "truncated"

    garbled = index(whole[: second - 512] + b"\xff" * 512 + whole[second:])
    assert [m.name for m in garbled.members] == ["a.mp4"]
    assert garbled.refusal is not None
    assert "holds no tar header at byte 1,536" in garbled.refusal.message


def test_a_negative_size_ends_the_index_instead_of_going_in_circles() -> None:
    header = bytearray(make_info("a.mp4", size=0).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1024 in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    found = index(make_tar(("v.mp4", b"v"))[:1024] + bytes(header) + bytes(4096))
    assert [member.name for member in found.members] == ["v.mp4"]
    assert found.refusal is not None
    assert "negative size" in found.refusal.message


@pytest.mark.parametrize(
    "record", [b"99 path=a\n", b"0 path=a\n", b"x path=a\n", b"9 size=-\n", b"19 size=9999999999999\n"]
)
def test_wrong_pax_records_harm_nothing(record: bytes) -> None:
    extended = make_info("././@PaxHeader", type=tarfile.XHDTYPE, size=len(record)).tobuf(tarfile.USTAR_FORMAT)
    data = make_tar(("v.mp4", b"v"))[:1024] + extended + record.ljust(512, b"\0") + make_tar(("w.mp4", b"w"))
    found = index(data)
    assert [member.name for member in found.members] == ["v.mp4"]
    assert found.refusal is not None
    assert "pax" in found.refusal.message


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_no_archive_however_garbled_raises_or_names_bytes_that_are_not_there(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(
        make_tar(
            ("a.mp4", b"a" * 600),
            ("é" * 120 + ".mp4", b"b"),
            ("a.json", b"{}"),
            format=chance.choice([*FORMATS.values()][1:]),
        )
    )
    for _ in range(chance.randint(1, 8)):
        start = chance.randrange(len(data) - 600)
        if chance.random() < 0.3:
            del data[start : start + chance.randint(1, 600)]
        else:
            data[start] = chance.randrange(256)
    for block in range(0, len(data) - 511, 512):  # most garbled headers would be refused by their sums alone
        if data[block + 257 : block + 262] == b"ustar":
            data[block + 148 : block + 156] = b" " * 8
            data[block + 148 : block + 156] = b"%06o\0 " % sum(data[block : block + 512])
    found = index(bytes(data))
    assert len({member.name for member in found.members}) == len(found.members)
    for member in found.members:
        assert 0 <= member.offset_bytes <= member.offset_bytes + member.size_bytes <= len(data)
        member.name.encode()
