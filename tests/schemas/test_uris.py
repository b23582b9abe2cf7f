"""URIs: the query of a web address is apart from its name, and no other URI has one."""

from __future__ import annotations

import pytest

from framegate.schemas.uris import holds_password, protocol_of, public, split_access


@pytest.mark.parametrize(
    ("uri", "name", "access"),
    [
        ("https://h/a.mp4?X-Amz-Signature=1&b=2", "https://h/a.mp4", "X-Amz-Signature=1&b=2"),
        ("HTTPS://h/a.mp4?x", "HTTPS://h/a.mp4", "x"),
        ("http://h/a.mp4?", "http://h/a.mp4", ""),
        ("http://h/a.mp4#t=10", "http://h/a.mp4", ""),
        ("http://h/a.tar?s=1#m.mp4", "http://h/a.tar#m.mp4", "s=1"),
        ("http://h/a.tar#m?.mp4", "http://h/a.tar#m?.mp4", ""),
        ("http://h/a.mp4?u=http://x/?y", "http://h/a.mp4", "u=http://x/?y"),
        ("s3://b/what?.mp4", "s3://b/what?.mp4", ""),
        ("/a/what?.mp4#1", "/a/what?.mp4#1", ""),
    ],
)
def test_the_query_of_a_web_address_is_no_part_of_its_name(uri: str, name: str, access: str) -> None:
    assert split_access(uri) == (name, access)
    assert public(uri) == name


@pytest.mark.parametrize(
    ("uri", "protocol"),
    [("/a/cam::1.mp4", "file"), ("cam::1.mp4", "file"), ("S3://b/a", "s3"), ("abfs://c@a/x", "abfs"), ("a:b", "file")],
)
def test_a_protocol_ends_in_a_colon_and_two_slashes(uri: str, protocol: str) -> None:
    assert protocol_of(uri) == protocol


@pytest.mark.parametrize(
    ("uri", "holds"),
    [
        ("https://token@h/a.mp4", True),
        ("https://u:p@h/a.mp4", True),
        ("s3://key:secret@b/a.mp4", True),
        ("abfs://container@account/a.mp4", False),
        ("https://h/a@b.mp4", False),
        ("https://h/a.mp4?x=u:p@h", False),
        ("/a/u:p@h.mp4", False),
    ],
)
def test_what_stands_before_a_host_is_a_secret(uri: str, holds: bool) -> None:
    assert holds_password(uri) == holds
