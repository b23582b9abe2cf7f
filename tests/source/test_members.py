"""Members of a tar shard: every one is a video, a side file, refused with a reason, or counted as passed over."""

from __future__ import annotations

import tarfile

import pytest

from framegate.pipelines.source import members as members_module
from framegate.pipelines.source import side_files as side_files_module
from framegate.pipelines.source.side_files import LEFT_OUT, MAX_SIDE_BYTES
from tests.source.tars import FORMATS, by_name, content, index, make_info, make_tar, reasons


def test_side_files_describe_the_videos_of_their_name() -> None:
    data = make_tar(
        ("d/a.json", b'{"x": 1}'),
        ("d/a.left.mp4", b"left"),
        ("d/a.right.mp4", b"right"),
        ("d/a.Meta-1.json", b"{}"),
        ("d/b.Meta-1.json", b"{}"),
        ("d/b.txt", b"caf\xe9"),
        ("d/b.mp4", b"b"),
        ("c.mp4", b"c"),
        ("lonely.txt", b"of nothing"),
    )
    found = index(data)
    assert {member.name: dict(member.texts) for member in found.members} == {
        "d/a.left.mp4": {"json": '{"x": 1}'},
        "d/a.right.mp4": {"json": '{"x": 1}'},
        "d/b.mp4": {"meta_1_json": "{}", "txt": "caf\ufffd"},
        "c.mp4": {},
    }
    assert found.num_ignored == {"without_video": 2}  # a.Meta-1.json may be that of a video in another shard


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        ("cam_0.5.mp4 cam_0.7.json", {"cam_0.5.mp4": {}}),
        ("cam_0.5.mp4 cam_0.7.mp4 cam_0.7.json", {"cam_0.5.mp4": {}, "cam_0.7.mp4": {"json"}}),
        ("cam_0.mp4 cam_0.7.json", {"cam_0.mp4": {}}),
        ("cam_0.5.mp4 cam_0.json", {"cam_0.5.mp4": {}}),
        ("2026.11.29.mp4 2026.11.30.txt 2026.11.29.txt", {"2026.11.29.mp4": {"txt"}}),
        ("front.left.mp4 front.right.json", {"front.left.mp4": {}}),
        ("v1.2.mp4 v1.3.mp4 v1.2.meta.json", {"v1.2.mp4": {"meta_json"}, "v1.3.mp4": {}}),
        ("a.mp4 a.mkv a.mp4.json", {"a.mp4": {"mp4_json"}, "a.mkv": {}}),
        ("a.mp4 a.left.mp4 a.json", {"a.mp4": {"json"}, "a.left.mp4": {}}),
        ("a.mp4 a.0.json a.1.json", {"a.mp4": {"0_json", "1_json"}}),
        ("x.y/a.mp4 x.z/a.json x.json", {"x.y/a.mp4": {}}),
        ("clip clip.json clip.txt", {"clip": {"json", "txt"}}),
        (".5/a.mp4 b.5.mp4 b.5.JSON", {"b.5.mp4": {"json"}}),
    ],
)
def test_no_video_is_given_the_side_file_of_another_one(names: str, texts: dict[str, set[str]]) -> None:
    found = index(make_tar(*((name, b"{}") for name in names.split())))
    assert {member.name: set(member.texts) for member in found.members} == {
        name: set(columns) for name, columns in texts.items()
    }


def test_a_refused_video_keeps_its_side_file_to_itself() -> None:
    link = make_info("a.left.mp4", type=tarfile.SYMTYPE, linkname="b")
    found = by_name(index(make_tar(("a.mp4", b"a"), link, ("a.left.json", b"{}"))).members)
    assert {name: dict(member.texts) for name, member in found.items()} == {"a.mp4": {}, "a.left.mp4": {}}


def test_a_side_file_that_is_too_large_is_named_in_the_row() -> None:
    fits, too_large = b"x" * MAX_SIDE_BYTES, b"x" * (MAX_SIDE_BYTES + 1)
    [a, b] = index(make_tar(("a.txt", fits), ("a.mp4", b""), ("b.mp4", b""), ("b.txt", too_large))).members
    assert a.texts == {"txt": fits.decode()}
    assert b.texts == {LEFT_OUT: "txt (65,537 bytes)"}


def test_side_files_are_bounded_in_columns_and_in_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_files_module, "MAX_SIDE_COLUMNS", 2)
    [a] = index(make_tar(("a.mp4", b""), *((f"a.{n}.txt", b"text") for n in range(4)))).members
    assert a.texts == {"0_txt": "text", "1_txt": "text", LEFT_OUT: "2.txt (4 bytes), 3.txt (4 bytes)"}
    monkeypatch.setattr(side_files_module, "MAX_SIDE_TOTAL_BYTES", 6)
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


def test_members_beyond_the_cap_are_said_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members_module, "MAX_MEMBERS", 3)
    assert index(make_tar(*((f"{n}.mp4", b"") for n in range(3)))).refusal is None
    found = index(make_tar(*((f"{n}.mp4", b"") for n in range(4))))
    assert len(found.members) == 3
    assert found.refusal is not None
    assert found.refusal.reason == "too_large"
