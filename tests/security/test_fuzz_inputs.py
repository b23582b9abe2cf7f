"""Generated jobs, question banks and manifests: a value or one sentence, whatever comes in (see `fuzzing`)."""

from __future__ import annotations

import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from framegate.pipelines.source.find import find_videos
from framegate.pipelines.source.found import to_videos
from framegate.pipelines.store import Store
from framegate.pipelines.store import store as store_module
from framegate.schemas.config import InputConfig
from framegate.schemas.errors import REASON_MEANINGS, ConfigError, InputError
from framegate.schemas.job import Job, parse_job, parse_questions
from framegate.schemas.plain_yaml import _LOADER, parse_yaml
from framegate.schemas.uris import holds_password
from tests.security.fuzzing import fuzzed

CANARY = "k4n4ry-5ec2e7"
JOB = f"""\
input: {{videos: films, storage_options: {{secret: {CANARY}}}}}
questions:
- {{id: red, text: Is it red?, type: yes_no, threshold: 0.5}}
- {{id: door, text: "Is it open?", type: choice, options: ["open", "closed"]}}
model: {{name: dock}}
gate: {{strategy: gated, threshold: 0.9}}
output:
  uri: index
  partition_by: [camera]
"""
PIECES = [
    "a", "b: ", "c: 1", "- ", "? ", ": ", "{", "}", "[", "]", ", ", "\n", "\n  ", "\n    ", "'", '"', "#x", "&a ", "*a",
    "&b ", "*b", "!!str ", "!!int ", "!!python/object:os.system ", "!x ", "<<: ", "---", "...", "%YAML 1.1\n", "|\n",
    ">-\n",
    "0x1f", "0o7", "1e999", ".inf", ".nan", "-.inf", "1_000", "1:30", "2026-99-99", "2026-01-01", "2026-01-01 99:00:00",
    "yes", "no", "~", "null", "=", "\t", "\\", '"\\0"', '"\\ud800"', "\x85", "\u2028", "9" * 70, CANARY,
    "[" * 40, "*a, " * 20, "secret: ", "uri: ", "id: ", "text: ", "options: ",
]  # fmt: skip
documents = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.builds(
        lambda start, end, pieces: JOB[:start] + "".join(pieces) + JOB[max(start, end) :],
        st.integers(0, len(JOB)),
        st.integers(0, len(JOB)),
        st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=4),
    ),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["yes_no", "choice", CANARY]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=12,
)
questions = st.lists(
    st.fixed_dictionaries(
        {"id": st.one_of(values, st.text(min_size=1, max_size=4)), "text": st.one_of(values, st.text(min_size=1))},
        optional={"type": scalars, "options": values, "think": scalars, "threshold": scalars, "x": values},
    ),
    max_size=4,
)
uris = st.lists(
    st.sampled_from(
        ["http", "https", "s3", "file", "local", "ftp", "memory", "zip", "simplecache", "arrow_hdfs", "github", "HTTP",
         "://", "::", ":", "/", "//", "..", ".", "~", " ", "\u200b", "\ufeff", "@", f"me:{CANARY}@", f"{CANARY}@", "#",
         "?",
         "films", "good.mp4", "outside", "link.mp4", "a.tar", ".tar#m.mp4", "169.254.169.254", "127.0.0.1:9", "[::1]",
         "etc/passwd", "/etc/passwd", "/proc/self/environ", "*", "{0..3}", "%2e%2e", "\\", "ü", "\n", "\0", "x" * 300]
    ),
    min_size=1,
    max_size=8,
).map("".join)  # fmt: skip


class _Reference(_LOADER):
    """PyYAML's own reading, but that a bare `=` is a text to it: no constructor of its own takes that."""


_Reference.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


@given(documents)
@example("=")
@example("{=: =}")
@example("a: 010")
@example("a: 1:30")
@example("a: {<<: {b: 1}, <<: {c: 2}}")
@example("a: 2026-99-99")
@example("a: !!timestamp x")
@example("a: !!int ")
@example("? [a]\n: b")
@example("&a [*a]")
@fuzzed(300)
def test_any_yaml_is_its_value_or_one_sentence(text: str) -> None:
    try:
        found = parse_yaml(text, "the job file")
    except ConfigError as error:
        check_sentence(error)
        return
    assert found == yaml.load(text, Loader=_Reference)
    assert is_plain(found)


@given(documents)
@fuzzed(200)
def test_any_document_is_a_job_or_one_sentence_without_a_secret(text: str) -> None:
    try:
        job = parse_job(parse_yaml(text, "the job file"), folder="/nowhere")
    except ConfigError as error:
        check_sentence(error)
        return
    assert isinstance(job, Job)
    assert CANARY not in str(job.config.input.storage_options)


@given(values)
@fuzzed(150)
def test_any_options_of_storage_are_refused_or_hold_no_secret(options: Any) -> None:
    parts = {"input": {"videos": "s3://b/v", "storage_options": options}, "questions": [{"id": "r", "text": "?"}],
             "model": {"name": "dock"}, "output": {"uri": "s3://b/x", "storage_options": options}}  # fmt: skip
    try:
        job = parse_job(parts)
    except ConfigError as error:
        check_sentence(error, has_no_secret=True)
        return
    assert CANARY not in str(job.config)


@given(questions)
@fuzzed(200)
def test_any_question_bank_is_one_or_one_sentence(bank: list[Any]) -> None:
    try:
        found = parse_questions(bank)
    except ConfigError as error:
        check_sentence(error)
        return
    assert len({question.id for question in found}) == len(found) == len(bank)


@given(lines=st.lists(uris, min_size=1, max_size=4, unique=True))
@example(lines=["http.tar#m.mp4://me:" + CANARY + "@"])
@example(lines=[f"https://me:{CANARY}/x@h/a.mp4"])
@example(lines=["\ufeffhttp://127.0.0.1:9/a"])
@example(lines=["s3://a"])
@fuzzed(150)
def test_any_line_of_a_manifest_is_a_row_and_no_client_hears_of_it(lines: list[str], places: Path) -> None:
    asked, backend = list[str](), store_module.Store._backend
    manifest = str(places / "list.parquet")
    pa.parquet.write_table(pa.table({"uri": lines}), manifest)

    def watch(store: Store, uri: str) -> object:
        asked.append(uri)
        return backend(store, uri)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module.Store, "_backend", watch)
        try:
            config = InputConfig(videos=manifest, protocols=("file",), roots=(str(places / "films"),))
            found = list(to_videos(find_videos(config)))
        except InputError as error:
            check_sentence(error)
            return
    inside = str(places / "films")
    for uri in asked:
        real = Store.real_path(uri)
        assert real is not None, uri
        assert real == inside or real.startswith(inside + "/") or uri in ("/", manifest), uri
    for video in found:
        assert not (holds_password(video.uri) and CANARY in video.uri.partition("@")[0]), video.uri
        assert CANARY not in str(video.refusal)
        assert video.refusal is None or video.refusal.reason in REASON_MEANINGS
        if video.refusal is None:
            assert Path(Store.real_path(video.uri) or "").read_bytes() == b"film"


@given(data=st.binary(max_size=200), name=st.sampled_from(["l.csv", "l.tsv", "l.jsonl", "l.parquet"]))
@example(data=b"uri,t\na,9999-12-31T23:59:59-23:59\n", name="l.csv")
@fuzzed(200)
def test_any_bytes_are_a_manifest_or_one_sentence(data: bytes, name: str, places: Path) -> None:
    head = {"l.csv": b"uri,x\n", "l.tsv": b"uri\tx\n", "l.jsonl": b'{"uri": "a", "x": '}.get(name, b"PAR1")
    for start in (b"", head):
        (places / name).write_bytes(start + data)
        try:
            found = find_videos(InputConfig(videos=str(places / name), protocols=("file",)))
        except InputError as error:
            check_sentence(error)
        else:
            assert found.num_rows > 0


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("places")
    (folder / "films").mkdir()
    (folder / "outside").mkdir()
    (folder / "films" / "good.mp4").write_bytes(b"film")
    (folder / "outside" / "good.mp4").write_text(CANARY)
    (folder / "films" / "link.mp4").symlink_to(folder / "outside" / "good.mp4")
    (folder / "films" / "outside").symlink_to(folder / "outside")
    return folder


def check_sentence(error: Exception, *, has_no_secret: bool = False) -> None:
    said = str(error)
    assert not (has_no_secret and CANARY in said)
    assert said
    assert len(said) < 2_000
    assert "\n" not in said
    assert "Traceback" not in said


def is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int | date | datetime)
