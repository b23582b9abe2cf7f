"""Secrets in URLs: none is stored, shown or logged, and what cannot be read without one is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from framegate.jobs.log import LIBRARY, LogFormat
from framegate.pipelines.source.find import find_input
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import ConfigError, InputError
from framegate.schemas.signatures import hide, holds_password, holds_signature, strip
from framegate.schemas.unanswered import Failure
from framegate.schemas.uris import split_access, with_access
from tests.security.hostile_texts import CANARY, logged, raised, run
from tests.web_server import WebServer

SECRETS = [  # a URL of a manifest, and what a row may have of it
    pytest.param(f"https://h/a.mp4?X-Amz-Algorithm=A&X-Amz-Signature={CANARY}", "https://h/a.mp4", id="s3-version-4"),
    pytest.param(f"https://h/a.mp4?AWSAccessKeyId={CANARY}&Signature={CANARY}&Expires=1", "https://h/a.mp4", id="s3-2"),
    pytest.param(f"https://h/a.mp4?X-Amz-Security-Token={CANARY}", "https://h/a.mp4", id="s3-session-token"),
    pytest.param(f"https://h/a.mp4?X-Goog-Credential=x&X-Goog-Signature={CANARY}", "https://h/a.mp4", id="gcs-4"),
    pytest.param(f"https://h/a.mp4?GoogleAccessId=x&Signature={CANARY}", "https://h/a.mp4", id="gcs-2"),
    pytest.param(f"https://h/a.mp4?sv=2024&se=1&sp=r&sig={CANARY}%3D", "https://h/a.mp4", id="azure-sas"),
    pytest.param(f"https://h/a.mp4?Policy=x&Key-Pair-Id={CANARY}", "https://h/a.mp4", id="cloudfront"),
    pytest.param(f"https://h/a.mp4?token={CANARY}", "https://h/a.mp4", id="token"),
    pytest.param(f"https://h/a.mp4?api_key={CANARY}", "https://h/a.mp4", id="api-key"),
    pytest.param(f"https://h/a.mp4?anything={CANARY}", "https://h/a.mp4", id="a-parameter-that-nobody-knows"),
    pytest.param(f"https://h/a.mp4#access_token={CANARY}", "https://h/a.mp4", id="fragment"),
    pytest.param(f"HTTPS://h/a.mp4?SIG={CANARY}", "HTTPS://h/a.mp4", id="capitals"),
    pytest.param(f"https://h/a.mp4?sig={CANARY}&versionId=v1.2", "https://h/a.mp4?versionId=v1.2", id="version-stays"),
    pytest.param(f"https://h/a.mp4?generation=17&sig={CANARY}", "https://h/a.mp4?generation=17", id="generation-stays"),
    pytest.param(f"https://h/a.mp4?versionId=<{CANARY}>", "https://h/a.mp4", id="version-that-is-none"),
    pytest.param(f" https://h/a.mp4?sig={CANARY} ", "https://h/a.mp4", id="blanks-around"),
]
REFUSED = [
    pytest.param(f"https://u:{CANARY}@h/a.mp4", id="user-and-password"),
    pytest.param(f"https://{CANARY}@h/a.mp4", id="token-before-the-host"),
    pytest.param(f"https://u:x/{CANARY}@h/a.mp4", id="slash-in-the-password"),
    pytest.param(f"s3://key:{CANARY}@b/a.mp4", id="keys-in-s3"),
    pytest.param(f"s3://key:x/{CANARY}+y@b/a.mp4", id="slash-in-the-key"),
    pytest.param(f"simplecache::https://u:{CANARY}@h/a.mp4", id="password-in-a-chain"),
    pytest.param(f"simplecache::https://h/a.mp4?X-Amz-Signature={CANARY}", id="signature-in-a-chain"),
    pytest.param(f"https://h/https://u:{CANARY}@g/a.mp4", id="password-in-an-inner-url"),
    pytest.param(f"s3://b/a.mp4?X-Amz-Signature={CANARY}", id="signature-behind-s3"),
    pytest.param(f"abfs://c@acct/a.mp4?sv=1&sig={CANARY}", id="sas-behind-abfs"),
    pytest.param(f"https://h/a.mp4%3FX-Amz-Signature%3D{CANARY}", id="encoded-question-mark"),
    pytest.param(f"https://h/a.mp4;sig={CANARY}", id="matrix-parameter"),
]
TEXTS = [  # a message, and what is stored and printed of it
    pytest.param(f"cannot read https://h/a?X-Amz-Signature={CANARY}: no", "cannot read https://h/a?...: no", id="url"),
    pytest.param(f"'https://h/a?x=1&token={CANARY}'", "'https://h/a?...'", id="quoted"),
    pytest.param(f"https://u:{CANARY}@h/ is away", "https://***@h/ is away", id="password"),
    pytest.param(f"https://h/a?f=g(x)&sig={CANARY}", "https://h/a?...", id="parenthesis-in-the-query"),
    pytest.param(f"https://h/a?a=b c&sig={CANARY}", "https://h/a?a=b c&sig=...", id="blank-in-the-query"),
    pytest.param(f"GET /a?X-Amz-Signature={CANARY} HTTP/1.1", "GET /a?X-Amz-Signature=... HTTP/1.1", id="no-host"),
    pytest.param(f"https%3A%2F%2Fh%3Fsig%3D{CANARY}%26x", "https%3A%2F%2Fh%3Fsig%3D...%26x", id="encoded"),
    pytest.param(f"https://h/a?odd={CANARY * 4}", "https://h/a?...", id="long-value-of-any-name"),
    pytest.param(f'{{"u":"https:\\/\\/h?a\\u0026sig\\u003d{CANARY}"}}', '{"u":"https:\\/\\/h?..."}', id="json"),
    pytest.param("https://player/?video={uri}&t={seconds}", "https://player/?video={uri}&t={seconds}", id="no-secret"),
]
VALUES = [  # a value of a manifest's other column, and what is stored
    pytest.param(f"https://h/a?v=7&X-Amz-Signature={CANARY}&X-Amz-Date=1", "https://h/a?v=7", id="s3"),
    pytest.param(f"see https://h/a?sig={CANARY}&se=1&sp=r and more", "see https://h/a and more", id="in-a-sentence"),
    pytest.param(f"rtsp://admin:{CANARY}@10.0.0.7/live", "rtsp://10.0.0.7/live", id="camera-password"),
    pytest.param("https://h/watch?v=abcdefghijklmnopqrstuvwxyz", "https://h/watch?v=abcdefghijklmnopqrstuvwxyz",
                 id="no-secret-stays"),
    pytest.param("token=yes", "token=yes", id="no-url-stays"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "name"), SECRETS)
def test_a_row_has_no_signature(tmp_path: Path, url: str, name: str) -> None:
    """Of a server that is not there: the row says so, and not how it was asked. What is asked is the URL as given."""
    assert split_access(url.strip())[0] == name
    with WebServer() as server:
        (tmp_path / "m.csv").write_text(
            f'uri,n\n"{re.sub("(?i)https://h", server.root.replace("http", url.strip()[:4]), url)}",1\n'
        )
        found = find_input(InputConfig(videos=str(tmp_path / "m.csv"), protocols=["file", "http"])).videos
        asked = server.requests[0][1] if server.requests else ""
    (row,) = found.drop_columns(["access"]).to_pylist()
    assert row["video_uri"].partition("://")[2].partition("/")[2] == name.partition("://")[2].partition("/")[2]
    assert CANARY not in str(row)
    assert CANARY in asked or "#" in url or "<" in url


@pytest.mark.parametrize("url", REFUSED)
@pytest.mark.parametrize("place", ["manifest", "list", "alone", "command"])
def test_a_secret_elsewhere_is_refused_and_not_repeated(tmp_path: Path, url: str, place: str) -> None:
    if place == "command":
        result = run("probe", url)
        assert CANARY not in result.output
        return
    (tmp_path / "m.csv").write_text(f'uri\n"{url}"\n')
    if place == "manifest":
        row = find_input(InputConfig(videos=str(tmp_path / "m.csv"))).videos.to_pylist()[0]
        assert row["refusal"]["reason"] == "secret_in_uri"
        assert CANARY not in str(row)
        return
    videos = {"list": (url,), "alone": url}[place]
    said = r"(password or a user|signature or a token|simplecache:// is no kind of storage)"
    with pytest.raises((InputError, ConfigError), match=said) as caught:
        find_input(InputConfig.made(videos=videos))
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(("text", "shown"), TEXTS)
def test_a_message_has_no_signature(text: str, shown: str) -> None:
    assert hide(text) == hide(shown) == shown
    assert Failure(stage="decode", reason="storage", message=text).message == shown
    assert str(InputError(text)) == shown
    for said in (raised(text), logged(text), logged(text, event=LIBRARY), logged(text, format=LogFormat.json)):
        assert CANARY not in said


@pytest.mark.parametrize(("value", "kept"), VALUES)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_value_of_a_manifest_has_no_signature(tmp_path: Path, value: str, kept: str, kind: str) -> None:
    path = tmp_path / f"m.{kind}"
    film = str(tmp_path / "a.mp4")
    if kind == "csv":
        path.write_text(f'uri,source\n{film},"{value}"\n')
    elif kind == "jsonl":
        path.write_text(json.dumps({"uri": film, "source": value}) + "\n")
    else:
        pq.write_table(pa.table({"uri": [film], "source": [value], "deep": [[{"u": value}]]}), path)
    (row,) = find_input(InputConfig(videos=str(path))).videos.to_pylist()
    assert row["input_source"] == kept
    assert CANARY not in str(row)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"https://h/a.mp4?X-Amz-Signature={CANARY}\nhttps://h/b.mp4\n", id="no-head"),
        pytest.param(f'name\nhttps://h/a.mp4?X-Amz-Signature={CANARY},"x\n', id="broken-quotes"),
        pytest.param(f"uri,n\nhttps://h/a.mp4?sig={CANARY},1\nhttps://h/a.mp4?sig={CANARY}2,2\n", id="named-twice"),
        pytest.param(f"uri,uri\nhttps://h/a.mp4?sig={CANARY},1\n", id="two-columns-uri"),
    ],
)
def test_a_manifest_that_cannot_be_read_repeats_no_signature(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    result = run("probe", str(tmp_path / "m.csv"))
    assert CANARY not in result.output
    with pytest.raises(InputError) as caught:
        find_input(InputConfig(videos=str(tmp_path / "m.csv")))
    assert CANARY not in str(caught.value)


def test_a_version_is_asked_for_with_the_query_in_the_order_in_which_it_was_signed() -> None:
    url = f"https://h/a.mp4?b=2&versionId=v1&Signature={CANARY}"
    assert with_access(*split_access(url)) == url
    assert split_access(url) == ("https://h/a.mp4?versionId=v1", f"b=2&versionId=v1&Signature={CANARY}")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("://a:" * 13_000 + "@", id="passwords-without-end"),
        pytest.param("a://@" * 13_000, id="users-without-end"),
        pytest.param("https://h/?" + "&sig=1" * 10_000, id="parameters-without-end"),
        pytest.param("a" * 60_000 + "://x", id="scheme-without-end"),
        pytest.param("?" * 60_000 + "://", id="marks-without-end"),
    ],
)
def test_a_text_made_to_be_slow_is_read_at_once(text: str) -> None:
    import time

    began = time.monotonic()
    for look in (hide, strip, holds_password, holds_signature):
        look(text)
    assert time.monotonic() - began < 5
