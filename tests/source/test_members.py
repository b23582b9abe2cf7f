"""Members of a tar shard: every one is a video, a side file, refused with a reason, or counted as passed over."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.pipelines.source import members as members_module
from framegate.pipelines.source.members import LEFT_OUT, MAX_SIDE_BYTES, ShardIndex, ShardMember, index_members

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}

Entry = tuple[str, bytes] | tarfile.TarInfo


def make_tar(*entries: Entry, format: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of files as (name, bytes), and of other members as they are."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
    return file.getvalue()


def make_info(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def index(data: bytes) -> ShardIndex:
    return index_members(lambda start, end: data[start:end], len(data))


def content(data: bytes, member: ShardMember) -> bytes:
    return data[member.offset_bytes : member.offset_bytes + member.size_bytes]


def by_name(found: Iterable[ShardMember]) -> dict[str, ShardMember]:
    return {member.name: member for member in found}


def reasons(data: bytes) -> dict[str, str | None]:
    return {member.name: member.refusal and member.refusal.reason for member in index(data).members}


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


def test_side_files_describe_every_video_of_their_key() -> None:
    data = make_tar(
        ("d/a.json", b'{"x": 1}'),
        ("d/a.left.mp4", b"left"),
        ("d/a.right.mp4", b"right"),
        ("d/a.Meta-1.json", b"{}"),
        ("d/b.txt", b"caf\xe9"),
        ("d/b.mp4", b"b"),
        ("c.mp4", b"c"),
        ("lonely.txt", b"of nothing"),
    )
    found = index(data)
    assert {member.name: dict(member.texts) for member in found.members} == {
        "d/a.left.mp4": {"json": '{"x": 1}', "meta_1_json": "{}"},
        "d/a.right.mp4": {"json": '{"x": 1}', "meta_1_json": "{}"},
        "d/b.mp4": {"txt": "caf\ufffd"},
        "c.mp4": {},
    }
    assert found.num_ignored == {"without_video": 1}


def test_a_side_file_that_is_too_large_is_named_in_the_row() -> None:
    fits, too_large = b"x" * MAX_SIDE_BYTES, b"x" * (MAX_SIDE_BYTES + 1)
    [a, b] = index(make_tar(("a.txt", fits), ("a.mp4", b""), ("b.mp4", b""), ("b.txt", too_large))).members
    assert a.texts == {"txt": fits.decode()}
    assert b.texts == {LEFT_OUT: "txt (65,537 bytes)"}


def test_side_files_are_bounded_in_columns_and_in_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members_module, "MAX_SIDE_COLUMNS", 2)
    [a] = index(make_tar(("a.mp4", b""), *((f"a.{n}.txt", b"text") for n in range(4)))).members
    assert a.texts == {"0_txt": "text", "1_txt": "text", LEFT_OUT: "2.txt (4 bytes), 3.txt (4 bytes)"}
    monkeypatch.setattr(members_module, "MAX_SIDE_TOTAL_BYTES", 6)
    [a, b] = index(make_tar(("a.mp4", b""), ("b.mp4", b""), ("a.txt", b"text"), ("b.txt", b"text"))).members
    assert a.texts == {"txt": "text"}
    assert b.texts == {LEFT_OUT: "txt (4 bytes)"}


def test_what_is_clearly_no_video_is_counted_and_what_may_be_one_is_not() -> None:
    data = make_tar(
        ("a.mp4", b""), ("a.cls", b"1"), ("a.jpg", b"j"), ("b.jpg", b"j"), ("x.pickle", b"p"), ("b.unheard-of", b""),
        ("json", b""), ("._a.mp4", b""), (".git/a.mp4", b""), make_info("folder", type=tarfile.DIRTYPE),
        ("folder/v", b""),
    )  # fmt: skip
    found = index(data)
    assert {member.name for member in found.members} == {"a.mp4", "b.unheard-of", "json", "folder/v"}
    assert found.num_ignored == {"cls": 1, "jpg": 2, "pickle": 1, "hidden": 2}


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_what_is_no_plain_file_or_has_an_unsafe_name_is_refused(format: int) -> None:
    others = {
        "link.mp4": make_info("link.mp4", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "hard.mp4": make_info("hard.mp4", type=tarfile.LNKTYPE, linkname="fine.mp4"),
        "pipe.mp4": make_info("pipe.mp4", type=tarfile.FIFOTYPE),
        "char.mp4": make_info("char.mp4", type=tarfile.CHRTYPE),
        "block.mp4": make_info("block.mp4", type=tarfile.BLKTYPE),
        "volume": make_info("volume", type=b"V"),
        "/absolute.mp4": make_info("/absolute.mp4"),
        "../up.mp4": make_info("../up.mp4"),
        "a/../../up.mp4": make_info("a/../../up.mp4"),
        "back\\slash.mp4": make_info("back\\slash.mp4"),
        "new\ufffdline.mp4": make_info("new\nline.mp4"),
        "escape\ufffd[31m.mp4": make_info("escape\x1b[31m.mp4"),
    }
    found = reasons(make_tar(("fine.mp4", b"fine"), *others.values(), ("last.mp4", b"last"), format=format))
    assert found == {"fine.mp4": None, "last.mp4": None, **dict.fromkeys(others, "unsafe_member")}


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_that_is_too_long_is_refused_and_shown_cut(format: int) -> None:
    fits, too_long = "d/" + "n" * 1018 + ".mp4", "n" * 1021 + ".mp4"
    found = reasons(make_tar((fits, b""), (too_long, b""), ("a.mp4", b""), format=format))
    assert found == {fits: None, "n" * 200 + "…": "unsafe_member", "a.mp4": None}


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


def test_a_leading_dot_slash_is_no_part_of_a_name() -> None:
    assert set(reasons(make_tar(("./a.mp4", b""), ("././d/./b.mp4", b"")))) == {"a.mp4", "d/./b.mp4"}


def test_of_members_with_one_name_the_last_one_counts() -> None:
    """As where it is extracted; `tar -r` and `tar -u` add a newer file behind the older one."""
    data = make_tar(("a.mp4", b"old"), ("a.txt", b"old"), ("b.mp4", b"b"), ("a.mp4", b"new"), ("a.txt", b"new"))
    found = index(data)
    assert {member.name: content(data, member) for member in found.members} == {"a.mp4": b"new", "b.mp4": b"b"}
    assert by_name(found.members)["a.mp4"].texts == {"txt": "new"}
    assert found.num_ignored == {"superseded": 1}


def test_refused_members_keep_apart_from_each_other_and_from_videos() -> None:
    link = make_info("a.mp4", type=tarfile.SYMTYPE, linkname="b")
    found = index(make_tar(link, ("a.mp4", b"video"), link, make_info("n" * 2000), make_info("n" * 1500))).members
    assert len({member.name for member in found}) == len(found) == 5
    assert by_name(found)["a.mp4"].refusal is None


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


@pytest.mark.parametrize(
    ("data", "reason", "sentence"),
    [
        (b"", "empty", "0 bytes"),
        (b"\x1f\x8b\x08" + bytes(2000), "not_video", "compressed with gzip"),
        (b"\x28\xb5\x2f\xfd" + bytes(2000), "not_video", "compressed with zstd"),
        (b"\0\0\0\x18ftypmp42" + bytes(2000), "not_video", "no tar archive"),
        (b"short", "not_video", "no tar archive"),
        (bytes(10_240), "not_video", "no member that could be a video (0 others)"),
        (make_tar(("a.jpg", b"j"), ("a.json", b"{}")), "not_video", "no member that could be a video (2 others)"),
    ],
)
def test_a_shard_that_gives_nothing_is_a_row_that_says_why(data: bytes, reason: str, sentence: str) -> None:
    found = index(data)
    assert found.members == ()
    assert found.refusal is not None
    assert found.refusal.reason == reason
    assert sentence in found.refusal.message


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


def test_members_beyond_the_cap_are_said_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members_module, "MAX_MEMBERS", 3)
    assert index(make_tar(*((f"{n}.mp4", b"") for n in range(3)))).refusal is None
    found = index(make_tar(*((f"{n}.mp4", b"") for n in range(4))))
    assert len(found.members) == 3
    assert found.refusal is not None
    assert found.refusal.reason == "too_large"


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
