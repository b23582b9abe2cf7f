"""Attacks by a manifest, and by web servers that it names: rows with a reason, and nothing is asked unless allowed."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

from framegate.pipelines import flow
from framegate.pipelines.commit.partition import NULL, partitions
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.source.find import find_videos
from framegate.pipelines.source.found import to_videos
from framegate.pipelines.store import Store
from framegate.pipelines.store import store as store_module
from framegate.schemas.clip import Video
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import (
    REASON_MEANINGS,
    ConfigError,
    InputError,
    ObjectNotFound,
    StorageError,
    UnsafeAddress,
    video_error,
)
from framegate.schemas.job import load_job, parse_job
from framegate.schemas.retries import RETRY_AFTER
from framegate.schemas.uris import public, split_access
from tests.web_server import WebServer

CANARY = "k4n4ry-5ec2e7"

LINES: list[Any] = [
    pytest.param(line, uri, reason, id=name)
    for name, line, uri, reason in [
        ("http", "http://127.0.0.1:9/a.mp4", None, "protocol_refused"),
        ("https", "https://host/a.mp4", None, "protocol_refused"),
        ("https-with-a-signature", f"https://host/a.mp4?sig={CANARY}", "https://host/a.mp4", "protocol_refused"),
        ("metadata-service", "http://169.254.169.254/latest/meta-data", None, "protocol_refused"),
        ("http-in-capitals", "HTTP://127.0.0.1:9/a.mp4", None, "protocol_refused"),
        ("space-before-http", " http://127.0.0.1:9/b.mp4", "http://127.0.0.1:9/b.mp4", "protocol_refused"),
        ("zero-width-before-http", "\u200bhttp://127.0.0.1:9/a.mp4", None, "protocol_refused"),
        ("ftp", "ftp://host/a.mp4", None, "protocol_refused"),
        ("sftp", "sftp://host/a.mp4", None, "protocol_refused"),
        ("ssh", "ssh://host/a.mp4", None, "protocol_refused"),
        ("smb", "smb://host/share/a.mp4", None, "protocol_refused"),
        ("memory", "memory://a.mp4", None, "protocol_refused"),
        ("data", "data://text/plain;base64,AAAA", None, "protocol_refused"),
        ("github", "github://owner:repo/a.mp4", None, "protocol_refused"),
        ("git", "git://path:main/a.mp4", None, "protocol_refused"),
        ("hf", "hf://datasets/x/a.mp4", None, "protocol_refused"),
        ("reference", "reference://a.mp4", None, "protocol_refused"),
        ("dask", "dask://a.mp4", None, "protocol_refused"),
        ("arrow-hdfs", "arrow_hdfs://namenode/a.mp4", None, "protocol_refused"),
        ("hdfs", "hdfs://namenode/a.mp4", None, "protocol_refused"),
        ("webhdfs", "webhdfs://namenode:9870/a.mp4", None, "protocol_refused"),
        ("jupyter", "jupyter://host/a.mp4", None, "protocol_refused"),
        ("dbfs", "dbfs://host/a.mp4", None, "protocol_refused"),
        ("libarchive", "libarchive://a.mp4::file:///tmp/a.7z", None, "protocol_refused"),
        ("zip-over-http", "zip://a.mp4::http://127.0.0.1:9/a.zip", None, "protocol_refused"),
        ("simplecache-over-http", "simplecache::http://127.0.0.1:9/a.mp4", None, "protocol_refused"),
        ("filecache-over-s3", "filecache::s3://bucket/a.mp4", None, "protocol_refused"),
        ("blockcache-over-file", "blockcache::file:///etc/passwd", None, "protocol_refused"),
        ("chain-of-three", "simplecache::zip://a.mp4::https://host/a.zip", None, "protocol_refused"),
        ("tar-over-file", "tar://a.mp4::file:///tmp/a.tar", None, "protocol_refused"),
        ("dir-over-http", "dir://a.mp4::http://host/", None, "protocol_refused"),
        ("javascript", "javascript://%0aalert(1)", None, "protocol_refused"),
        ("gopher", "gopher://127.0.0.1:6379/_FLUSHALL", None, "protocol_refused"),
        ("dict", "dict://127.0.0.1:11211/stats", None, "protocol_refused"),
        ("ffmpeg-concat", "concat://a.mp4|b.mp4", None, "protocol_refused"),
        ("s3-with-a-password", f"s3://me:{CANARY}@bucket/a.mp4", "s3://***@bucket/a.mp4", "secret_in_uri"),
        ("https-with-a-token", f"https://{CANARY}@host/a.mp4", "https://***@host/a.mp4", "secret_in_uri"),
        ("password-with-a-slash", f"https://me:{CANARY}/x@host/a.mp4", "https://***@host/a.mp4", "secret_in_uri"),
        ("password-with-an-at", f"ftp://me:{CANARY}@{CANARY}@host/a.mp4", "ftp://***@host/a.mp4", "secret_in_uri"),
        ("password-and-a-signature", f"https://me:{CANARY}@h/a?s={CANARY}", "https://***@h/a", "secret_in_uri"),
        ("space-before-a-password", f" s3://me:{CANARY}@b/a.mp4", "s3://***@b/a.mp4", "secret_in_uri"),
        ("missing", "nothing.mp4", "{folder}/nothing.mp4", "not_found"),
        ("folder", "films", "{folder}/films", "not_found"),
        ("device", "/dev/zero", "/dev/zero", "not_found"),
        ("pipe", "pipe.mp4", "{folder}/pipe.mp4", "not_found"),
        ("glob", "*.mp4", "{folder}/*.mp4", "not_found"),
        ("home", "~/.ssh/id_rsa", "{folder}/~/.ssh/id_rsa", "not_found"),
        ("variable", "$HOME/a.mp4", "{folder}/$HOME/a.mp4", "not_found"),
    ]
]
ROOTS: list[Any] = [
    pytest.param(line, is_inside, id=name)
    for name, line, is_inside in [
        ("inside", "films/good.mp4", True),
        ("inside-by-a-link", "films/inside-link.mp4", True),
        ("inside-as-file-uri", "file://{folder}/films/good.mp4", True),
        ("inside-with-dots", "films/../films/good.mp4", True),
        ("root-by-a-link", "films-link/good.mp4", True),
        ("etc-passwd", "/etc/passwd", False),
        ("etc-passwd-as-file-uri", "file:///etc/passwd", False),
        ("etc-passwd-as-local-uri", "local:///etc/passwd", False),
        ("etc-passwd-with-dots", "films/../../../../../../../../etc/passwd", False),
        ("etc-passwd-with-slashes", "////etc//passwd", False),
        ("environment", "/proc/self/environ", False),
        ("descriptor", "/proc/self/fd/0", False),
        ("link-out", "films/link-out.mp4", False),
        ("linked-folder-out", "films/folder-out/secret.mp4", False),
        ("link-to-a-link-out", "films/link-to-link.mp4", False),
        ("a-folder-with-the-same-beginning", "films-secret/secret.mp4", False),
        ("shard-out", "outside/secret.tar", False),
        ("member-of-a-shard-out", "outside/secret.tar#a.mp4", False),
        ("nul", "films/good.mp4\0", False),
    ]
]
REDIRECTS: list[Any] = [
    pytest.param(target, said, id=name)
    for name, target, said in [
        ("other-host", "http://evil.example/a.mp4", "another place (http://evil.example)"),
        ("other-port", "{other}/a.mp4", "another place (http://127.0.0.1)"),
        ("other-name-of-this-host", "http://localhost:{port}/a.mp4", "another place (http://localhost)"),
        ("metadata-service", "http://169.254.169.254/latest/meta-data", "another place (http://169.254.169.254)"),
        ("link-local-ipv6", "http://[fe80::1]/a.mp4", "another place"),
        ("file", "file:///etc/passwd", "another place (file://)"),
        ("ftp", "ftp://127.0.0.1:{port}/a.mp4", "another place (ftp://127.0.0.1)"),
        ("https-on-the-same-port", "https://127.0.0.1:{port}/a.mp4", "another place (https://127.0.0.1)"),
        ("two-slashes", "//evil.example/a.mp4", "another place (http://evil.example)"),
        ("user-before-the-host", "http://me:" + CANARY + "@127.0.0.1:{port}/a.mp4", "another place (http://127.0.0.1)"),
        ("host-as-user", "http://127.0.0.1:{port}@evil.example/a.mp4", "another place (http://evil.example)"),
        ("no-port", "http://127.0.0.1:99999999/a.mp4", "no address"),
        ("by-way-of-itself", "/b.mp4", "another place (http://evil.example)"),
    ]
]
ADDRESSES: list[Any] = [
    pytest.param(host, said, id=name)
    for name, host, said in [
        ("metadata", "169.254.169.254", "a cloud's metadata service"),
        ("metadata-ipv6", "[fd00:ec2::254]", "a cloud's metadata service"),
        ("metadata-mapped", "[::ffff:169.254.169.254]", "a cloud's metadata service"),
        ("metadata-nat64", "[64:ff9b::a9fe:a9fe]", "a cloud's metadata service"),
        ("metadata-6to4", "[2002:a9fe:a9fe::]", "a cloud's metadata service"),
        ("metadata-alibaba", "100.100.100.200", "a cloud's metadata service"),
        ("metadata-azure", "168.63.129.16", "a cloud's metadata service"),
        ("metadata-decimal", "2852039166", "a cloud's metadata service"),
        ("metadata-hexadecimal", "0xA9FEA9FE", "a cloud's metadata service"),
        ("metadata-octal", "0251.0376.0251.0376", "a cloud's metadata service"),
        ("metadata-short", "169.254.43518", "a cloud's metadata service"),
        ("link-local", "169.254.1.1", "a link-local address"),
        ("link-local-ipv6", "[fe80::1]", "a link-local address"),
        ("every-address", "0.0.0.0", "no address of one machine"),
        ("every-address-ipv6", "[::]", "no address of one machine"),
        ("multicast", "224.0.0.1", "no address of one machine"),
        ("name-that-leads-to-metadata", "rebind-169.example", "leads to 169.254.169.254"),
        ("name-that-leads-here", "rebind-127.example", "leads to 127.0.0.1"),
        ("name-with-a-dot-at-its-end", "rebind-127.example.", "leads to 127.0.0.1"),
    ]
]
TABLES: list[Any] = [
    pytest.param(name, data, said, id=id)
    for id, name, data, said in [
        ("twin-columns", "l.csv", b"uri,camera,camera \na,1,2\n", "differ only in white space"),
        ("twin-columns-zero-width", "l.csv", "uri,camera,cam\u200bera\na,1,2\n".encode(), "\\u200b"),
        ("twin-columns-of-two-forms", "l.csv", "uri,caf\u00e9,cafe\u0301\na,1,2\n".encode(), "e\\u0301"),
        ("twin-of-uri", "l.jsonl", '{"uri": "a", "uri\u200b": "b"}'.encode(), "\\u200b"),
        ("twin-columns-parquet", "l.parquet", {"uri": ["a"], "x": [1], "x\u00a0": [2]}, "\\xa0"),
        ("key-twice", "l.jsonl", b'{"uri": "a", "uri": "b"}', "the column 'uri' twice"),
        ("deep-json", "l.jsonl", b'{"uri": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no JSON object"),
        ("integer-of-5000-digits", "l.jsonl", b'{"uri": "a", "x": ' + b"9" * 5_000 + b"}", "no JSON object"),
        ("nan", "l.jsonl", b'{"uri": "a", "x": NaN}', "NaN is no number of JSON"),
        ("half-a-character", "l.jsonl", b'{"uri": "a\\ud800"}', "half of a surrogate pair"),
        ("nul", "l.csv", b"uri\na\0b\n", "NUL characters"),
        ("utf-16", "l.csv", "uri\na\n".encode("utf-16"), "is written in UTF-16"),
        ("latin-1", "l.csv", b"uri\n\xe9\n", "not written in UTF-8"),
        ("no-parquet", "l.parquet", b"PAR1" + b"\xff" * 100 + b"PAR1", "cannot be read as parquet"),
        ("empty-parquet", "l.parquet", b"", "cannot be read as parquet"),
        ("numbers-for-names", "l.parquet", {"uri": [1, 2]}, "has no uri in row 1"),
        ("bytes-for-names", "l.parquet", {"uri": [b"a"]}, "has no uri in row 1"),
        ("null-for-a-name", "l.parquet", {"uri": ["a", None]}, "has no uri in row 2"),
        ("name-of-blanks", "l.csv", b"uri,x\n   ,1\n", "has no uri in row 1"),
        ("no-column-uri", "l.csv", b"url\na\n", "has no column `uri`"),
        ("name-twice-by-its-query", "l.csv", f"uri\nhttps://h/a?{CANARY}\nhttps://h/a?2\n".encode(), "twice (row 2)"),
        ("password-twice", "l.csv", f"uri\ns3://a:{CANARY}@b/c\ns3://a:{CANARY}@b/c\n".encode(), "s3://***@b/c twice"),
        ("open-quote", "l.csv", b'uri\n"a\n', "cannot be read as csv"),
        ("empty", "l.csv", b"", "it is empty"),
    ]
]
VALUES: list[Any] = [
    pytest.param(value, id=name)
    for name, value in [
        ("null-of-ours", "__null__"),
        ("null-of-hive", "__HIVE_DEFAULT_PARTITION__"),
        ("null-of-ours-and-more", "__null__x"),
        ("null-of-ours-with-its-digest", "__null__~2d1ae1b7e5f3"),
        ("dots", ".."),
        ("slash", "a/b"),
        ("backslash", "a\\b"),
        ("equals", "camera=north"),
        ("encoded-slash", "a%2Fb"),
        ("long", "x" * 5_000),
        ("control", "a\nb\x1b[2J"),
    ]
]


@pytest.fixture
def films(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """Films within and without a root, and links between them."""
    (tmp_path / "films").mkdir()
    make_video(tmp_path / "films" / "good.mp4", seconds=2)
    for folder in ("outside", "films-secret"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "secret.mp4").write_text(CANARY)
    (tmp_path / "outside" / "secret.tar").write_text(CANARY)
    (tmp_path / "films" / "inside-link.mp4").symlink_to(tmp_path / "films" / "good.mp4")
    (tmp_path / "films" / "link-out.mp4").symlink_to(tmp_path / "outside" / "secret.mp4")
    (tmp_path / "films" / "link-to-link.mp4").symlink_to(tmp_path / "films" / "link-out.mp4")
    (tmp_path / "films" / "folder-out").symlink_to(tmp_path / "outside")
    (tmp_path / "films-link").symlink_to(tmp_path / "films")
    os.mkfifo(tmp_path / "pipe.mp4")
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """URIs for which a client was made."""
    made, backend = list[str](), store_module.Store._backend

    def watch(store: Store, uri: str) -> object:
        made.append(uri)
        return backend(store, uri)

    monkeypatch.setattr(store_module.Store, "_backend", watch)
    return made


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer({"/a.mp4": b"film", "/c.mp4": b"film"}) as running:
        yield running


@pytest.mark.parametrize(("line", "uri", "reason"), LINES)
def test_a_line_that_leads_elsewhere_is_a_row_and_is_not_looked_up(
    line: str, uri: str | None, reason: str, films: Path, asked: list[str]
) -> None:
    bad, good = find(films, line, "films/good.mp4")
    wanted = line if uri is None else uri.format(folder=films)
    assert (bad.uri, bad.refusal and bad.refusal.reason) == (wanted, reason)
    assert (good.uri, good.refusal) == (f"{films}/films/good.mp4", None)
    assert all("://" not in one for one in asked), asked
    assert CANARY not in f"{bad}{bad.refusal}"
    assert video_error(reason, "").reason == reason or reason == "not_found"


@pytest.mark.parametrize("reason", ["protocol_refused", "outside_roots", "secret_in_uri", "address_refused"])
def test_each_reason_has_a_meaning_and_its_own_error(reason: str) -> None:
    assert reason in REASON_MEANINGS
    assert RETRY_AFTER[reason] is None
    assert video_error(reason, "x").reason == reason


@pytest.mark.parametrize(("line", "is_inside"), ROOTS)
def test_a_local_file_lies_below_a_root_wherever_links_lead(
    line: str, is_inside: bool, films: Path, asked: list[str]
) -> None:
    asked_before = len(asked)
    if "\0" in line:
        pa.parquet.write_table(pa.table({"uri": [line]}), films / "list.parquet")
        [found] = to_videos(find_videos(InputConfig(videos=str(films / "list.parquet"), roots=(str(films / "films"),))))
    else:
        [found] = find(films, line.format(folder=films), roots=(str(films / "films"),))
    reason = found.refusal and found.refusal.reason
    assert reason == (None if is_inside else "outside_roots")
    if not is_inside:
        assert [one for one in asked[asked_before:] if not one.endswith(("list.csv", "list.parquet"))] == []
        assert found.size_bytes == 0


def test_what_a_listed_folder_links_to_is_judged_by_roots_as_well(films: Path) -> None:
    config = InputConfig(videos=str(films / "films"), roots=(str(films / "films"),))
    found = {Path(video.uri).name: video.refusal and video.refusal.reason for video in to_videos(find_videos(config))}
    assert found == {
        "good.mp4": None,
        "inside-link.mp4": None,
        "link-out.mp4": "outside_roots",
        "link-to-link.mp4": "outside_roots",
        "secret.mp4": "outside_roots",
        "secret.tar": "outside_roots",
    }
    with pytest.raises(InputError, match="lies below none of the folders"):
        find_videos(InputConfig(videos="/etc/passwd", roots=(str(films / "films"),)))


def test_relative_roots_count_from_the_job_file(films: Path) -> None:
    job = {
        "input": {"videos": "list.csv", "roots": ["films"]},
        "questions": [{"id": "red", "text": "Is it red?"}],
        "model": {"name": "dock"},
        "output": {"uri": "index"},
    }
    (films / "list.csv").write_text("uri\nfilms/good.mp4\noutside/secret.mp4\n")
    (films / "job.yaml").write_text(yaml.safe_dump(job))
    config = load_job(films / "job.yaml").config.input
    assert config.roots == (f"{films}/films",)
    assert [video.refusal and video.refusal.reason for video in to_videos(find_videos(config))] == [
        None,
        "outside_roots",
    ]


@pytest.mark.parametrize(
    ("protocols", "videos", "said"),
    [
        (["ftps"], "v", "input.protocols"),
        ([], "v", "input.protocols"),
        (["s3"], "v", "protocols allows s3"),
        (["file"], "https://h/a.mp4", "protocols allows file"),
        (["file"], ["a.mp4", "s3://b/c.mp4"], "protocols allows file"),
        (None, "github://o:r/a.mp4", "github:// is no kind of storage that is read"),
        (None, ["arrow_hdfs://n/a.mp4"], "arrow_hdfs:// is no kind of storage that is read"),
        (None, "simplecache::s3://b/a", "simplecache:// is no kind of storage that is read"),
        (None, " https://h/a.mp4", "https:// is no kind of storage that is read"),
    ],
    ids=str,
)
def test_what_the_job_itself_names_is_refused_before_any_work(protocols: Any, videos: Any, said: str) -> None:
    parts = {"videos": videos} | ({} if protocols is None else {"protocols": protocols})
    with pytest.raises(ConfigError) as caught:
        parse_job({"input": parts, "questions": [{"id": "r", "text": "?"}], "model": {"name": "dock"},
                   "output": {"uri": "index"}})  # fmt: skip
    assert said in str(caught.value)


def test_web_addresses_of_a_manifest_are_read_where_they_are_asked_for(server: WebServer, films: Path) -> None:
    line = f"{server.root}/a.mp4"
    [refused] = find(films, line)
    assert refused.refusal is not None
    assert refused.refusal.reason == "protocol_refused"
    assert server.requests == []
    [read] = find(films, line, protocols=("http",))
    assert (read.refusal, read.size_bytes) == (None, 4)
    [other] = find(films, line, protocols=("https", "file"))
    assert other.refusal is not None
    assert other.refusal.reason == "protocol_refused"


def test_a_manifest_on_a_web_server_may_name_what_lies_beside_it_and_no_more(server: WebServer) -> None:
    server.files["/lists/l.csv"] = f"uri\nb.mp4\n{server.root}/a.mp4\nhttp://127.0.0.1:9/x.mp4\n".encode()
    server.files["/lists/b.mp4"] = b"film"
    found = to_videos(find_videos(InputConfig(videos=f"{server.root}/lists/l.csv")))
    assert {video.uri.rpartition("/")[2]: video.refusal and video.refusal.reason for video in found} == {
        "b.mp4": None,
        "a.mp4": "protocol_refused",
        "x.mp4": "protocol_refused",
    }
    assert {target for _, target, _ in server.requests} == {"/lists/l.csv", "/lists/b.mp4"}


@pytest.mark.parametrize(("target", "said"), REDIRECTS)
def test_a_redirect_to_another_place_is_a_row_and_is_not_followed(
    target: str, said: str, server: WebServer, films: Path
) -> None:
    port = server.root.rpartition(":")[2]
    with WebServer({"/a.mp4": CANARY.encode()}) as other:
        server.redirects["/a.mp4"] = target.format(other=other.root, port=port)
        server.redirects["/b.mp4"] = "http://evil.example/a.mp4"
        bad, good = find(films, f"{server.root}/a.mp4", f"{server.root}/c.mp4", protocols=("http",))
        assert (bad.refusal and bad.refusal.reason, good.refusal) == ("address_refused", None)
        assert bad.refusal is not None
        assert said in bad.refusal.message
        assert CANARY not in bad.refusal.message
        assert other.requests == []
        with pytest.raises(UnsafeAddress, match="not followed"):
            Store(patience_seconds=0.2).read(f"{server.root}/a.mp4")


def test_a_server_that_redirects_after_the_plan_gives_no_other_bytes(server: WebServer, films: Path) -> None:
    [video] = find(films, f"{server.root}/a.mp4", protocols=("http",))
    server.redirects["/a.mp4"] = "http://169.254.169.254/latest"
    with Store().open_pinned(video) as pinned, pytest.raises(UnsafeAddress) as caught:
        pinned.read(0, 4)
    assert caught.value.reason == "address_refused"


def test_a_redirect_on_the_same_server_is_followed(server: WebServer) -> None:
    server.redirects["/moved.mp4"] = "/a.mp4"
    server.redirects["/far.mp4"] = f"{server.root}/moved.mp4"
    assert Store().read(f"{server.root}/far.mp4") == b"film"


@pytest.mark.parametrize(("host", "said"), ADDRESSES)
def test_no_address_of_the_machines_own_services_is_asked(
    host: str, said: str, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    look_up, connected = socket.getaddrinfo, list[object]()

    def resolve(name: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        shown = name.decode() if isinstance(name, bytes) else str(name)
        if shown.startswith("rebind-"):
            name = "169.254.169.254" if "169" in shown else "127.0.0.1"
        return look_up(name, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: connected.append(address))
    began = time.monotonic()
    [found] = find(films, f"http://{host}/a.mp4?{CANARY}", protocols=("http",))
    assert found.refusal is not None
    assert (found.refusal.reason, said in found.refusal.message) == ("address_refused", True), found.refusal
    assert CANARY not in found.refusal.message
    assert connected == []
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("name", "data", "said"), TABLES)
def test_a_manifest_that_is_no_table_is_one_sentence(name: str, data: Any, said: str, tmp_path: Path) -> None:
    if isinstance(data, dict):
        pa.parquet.write_table(pa.table(data), tmp_path / name)
    else:
        (tmp_path / name).write_bytes(data)
    began = time.monotonic()
    with pytest.raises(InputError) as caught:
        find_videos(InputConfig(videos=str(tmp_path / name)))
    sentence = str(caught.value)
    assert said in sentence
    assert sentence.isprintable()
    assert CANARY not in sentence
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ["pipe", "device", "link-to-a-device", "folder"])
def test_a_manifest_that_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "/dev/stdin")
    began = time.monotonic()
    with pytest.raises((ObjectNotFound, StorageError, InputError)):
        find_videos(InputConfig(videos=str(path)))
    assert time.monotonic() - began < 5


def test_columns_that_are_nested_without_end_stay_texts_or_are_refused(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text('{"uri": "a", "x": ' + "[" * 60 + "]" * 60 + "}")
    found = find_videos(InputConfig(videos=str(tmp_path / "l.jsonl")))
    assert found.schema.field("input_x").type == pa.string()
    deep: pa.Array = pa.array([1])
    for _ in range(40):
        deep = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), deep)
    pa.parquet.write_table(pa.table({"uri": ["a"], "x": deep}), tmp_path / "l.parquet")
    with pytest.raises(InputError, match="nested deeper than 32 levels"):
        find_videos(InputConfig(videos=str(tmp_path / "l.parquet")))


def test_a_time_beyond_the_calendar_is_a_text_or_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("uri,t\na,9999-12-31T23:59:59-23:59\n")
    found = find_videos(InputConfig(videos=str(tmp_path / "l.csv")))
    assert found.schema.field("input_t").type == pa.string()


def test_a_parquet_file_of_billions_of_equal_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framegate.pipelines.source.manifest.MAX_ROWS", 999)
    pa.parquet.write_table(pa.table({"uri": ["a.mp4"] * 1000}), tmp_path / "l.parquet")
    with pytest.raises(InputError, match=r"it has 1,000 rows, and 999 is the most"):
        find_videos(InputConfig(videos=str(tmp_path / "l.parquet")))


@pytest.mark.parametrize("value", VALUES)
def test_a_value_has_a_folder_of_its_own_and_none_is_that_of_null(value: str) -> None:
    rows = pa.table({"input_camera": pa.array([value, None, "north"])})
    names, numbers = partitions(rows, ("camera",))
    folders = [names[number] for number in numbers]
    assert folders[1:] == [f"camera={NULL}", "camera=north"]
    assert folders[0] not in folders[1:]
    assert folders[0].count("/") == 0
    assert folders[0].removeprefix("camera=") not in (NULL, "__HIVE_DEFAULT_PARTITION__")
    assert len(folders[0]) < 200
    assert folders[0].isprintable()


def test_an_adversary_cannot_name_the_folder_of_another_value() -> None:
    rows = pa.table({"input_camera": pa.array(["__null__", None])})
    [mine, _], numbers = partitions(rows, ("camera",))
    mine = partitions(rows, ("camera",))[0][numbers[0]].removeprefix("camera=")
    again = pa.table({"input_camera": pa.array(["__null__", mine, None])})
    names, numbers = partitions(again, ("camera",))
    assert len({names[number] for number in numbers}) == 3


def test_a_run_over_a_hostile_manifest_goes_on_and_writes_no_secret(films: Path, model_folder: Path) -> None:
    refused = ("protocol_refused", "secret_in_uri")
    lines = list({split_access(line)[0]: line for line, _, reason in (case.values for case in LINES)
                  if reason in refused}.values())  # fmt: skip
    quoted = [f'"{line}"' for line in lines]
    (films / "list.csv").write_text("\n".join(["uri", "films/good.mp4", "outside/secret.mp4", *quoted]) + "\n")
    job = parse_job(
        {
            "input": {"videos": "list.csv", "roots": ["films"]},
            "clips": {"seconds": 2},
            "frames": {"fps": 1, "max_frames": 2},
            "questions": [{"id": "anyone", "text": "Is anyone there", "type": "yes_no"}],
            "model": {"name": str(model_folder)},
            "output": {"uri": "index"},
        },
        folder=films,
    )
    summary = flow.run(job, engine_factory=ScriptedEngine, in_process=True)
    assert (summary.is_complete, summary.is_stopped) == (True, False)
    assert (summary.num_videos_answered, summary.num_videos_failed) == (1, len({*map(public, lines)}) + 1)
    files = [path for path in (films / "index").rglob("*") if path.is_file()]
    tables = [pa.parquet.read_table(path) for path in files if "failures" in str(path) and path.suffix == ".parquet"]
    reasons = [reason for table in tables for reason in table.column("reason").to_pylist()]
    assert set(reasons) == {"protocol_refused", "secret_in_uri", "outside_roots"}
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    again = flow.run(job, engine_factory=ScriptedEngine, in_process=True)
    assert again.num_videos_skipped == again.num_videos_planned  # what is refused is not tried every night
    assert (again.counts.num_answers, again.counts.num_failures) == (0, 0)


def find(folder: Path, *lines: str, **parts: Any) -> list[Video]:
    """What a manifest with these lines leads to, in their order."""
    pa.parquet.write_table(pa.table({"uri": list(lines)}), folder / "list.parquet")
    found = to_videos(find_videos(InputConfig(videos=str(folder / "list.parquet"), **parts)))
    good = {f"{folder}/films/good.mp4"} | {line for line in lines if line.endswith("/c.mp4")}
    return sorted(found, key=lambda video: len(lines) > 1 and video.uri in good)
