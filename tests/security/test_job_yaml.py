"""Attacks by the text of a job or of a question file, and by what is no file: each is one sentence."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framegate.schemas.job import load_job, parse_job
from framegate.schemas.plain_yaml import MAX_BYTES, parse_yaml
from tests.security.job_attacks import CANARY, JOB, LAUGHS, MERGED_LAUGHS, PLAIN, refused, run_command

TEXTS: list[Any] = [
    pytest.param(LAUGHS, "stands for more than 200,000 keys and values", id="billion-laughs"),
    pytest.param(MERGED_LAUGHS, "stands for more than 200,000 keys and values", id="billion-laughs-in-mappings"),
    pytest.param(PLAIN + "x: &x {y: &y {z: [*x]}}", "refers to what it is a part of (*x)", id="self-reference-deep"),
    pytest.param("&a [*a]", "refers to what it is a part of (*a)", id="self-reference-of-a-list"),
    pytest.param("&a {<<: *a, b: 1}", "refers to what it is a part of (*a)", id="self-reference-by-merge"),
    pytest.param("a: *nobody", "no &nobody is above it", id="alias-of-nothing"),
    pytest.param("[" * 100_000, "nested deeper than 32 levels", id="deep-flow-lists"),
    pytest.param("{a: " * 5_000, "nested deeper than 32 levels", id="deep-flow-mappings"),
    pytest.param("- " * 5_000, "nested deeper than 32 levels", id="deep-block-lists"),
    pytest.param(
        "a: &a [[[[[[[[[[[[x]]]]]]]]]]]]\nb: &b [[[[[[[[[[[[*a]]]]]]]]]]]]\nc: [[[[[[[[[[[[*b]]]]]]]]]]]]",
        "nested deeper than 32 levels",
        id="deep-by-aliases",
    ),
    pytest.param("[" + "0," * 250_000 + "]", "more than 200,000 keys and values", id="a-quarter-million-values"),
    pytest.param(PLAIN + "model: {name: other}\n", "has the key 'model' a second time", id="key-twice"),
    pytest.param(
        PLAIN.replace("uri: index", "uri: index\n  uri: elsewhere"),
        "has the key 'uri' a second time",
        id="inner-key-twice",
    ),
    pytest.param(
        PLAIN.replace("uri: index", "uri: index\n  'uri': elsewhere"),
        "has the key 'uri' a second time",
        id="key-twice-with-quotes",
    ),
    pytest.param(
        PLAIN.replace("uri: index", 'uri: index\n  "\\x75ri": elsewhere'),
        "has the key 'uri' a second time",
        id="key-twice-by-an-escape",
    ),
    pytest.param("a: {b: [{c: 1, c: 2}]}", "has the key 'c' a second time", id="key-twice-far-inside"),
    pytest.param("seed: " + "9" * 5_000, "has a number of 5,000 characters", id="integer-of-5000-digits"),
    pytest.param("seed: 0x" + "f" * 60, "a whole number of more than 64 bits", id="hexadecimal-integer"),
    pytest.param("seed: 0b" + "1" * 62 + "1111", "has a number of 68 characters", id="binary-integer"),
    pytest.param("seed: " + "1:" * 20 + "1", "1:30 is 90, in base 60", id="sexagesimal-integer"),
    pytest.param("seed: 99999999999999999999", "a whole number of more than 64 bits", id="integer-of-67-bits"),
    pytest.param("cost: .inf", "has a number that is not finite", id="infinity"),
    pytest.param("cost: -.INF", "has a number that is not finite", id="minus-infinity"),
    pytest.param("cost: .nan", "has a number that is not finite", id="nan"),
    pytest.param("cost: 1.0e+999", "has a number that is not finite", id="a-float-that-overflows"),
    pytest.param("day: 2026-99-99", "has a timestamp that is none", id="a-date-that-is-none"),
    pytest.param("day: 2026-01-01 99:00:00", "has a timestamp that is none", id="a-time-that-is-none"),
    pytest.param("day: !!int words", "has a int that is none", id="a-tag-that-does-not-fit"),
    pytest.param("day: !!timestamp words", "has a timestamp that is none", id="a-timestamp-tag-that-does-not-fit"),
    pytest.param("a: !!python/object/apply:os.system [id]", "has the tag !!python/object/apply", id="python-apply"),
    pytest.param("a: !!python/name:os.system", "has the tag !!python/name:os.system", id="python-name"),
    pytest.param("a: !!python/module:os", "has the tag !!python/module:os", id="python-module"),
    pytest.param("a: !!python/tuple [1]", "has the tag !!python/tuple", id="python-tuple"),
    pytest.param("a: !!binary aGk=", "has the tag !!binary", id="binary"),
    pytest.param("a: !!set {b}", "has the tag !!set", id="set"),
    pytest.param("a: !include /etc/passwd", "has the tag !include", id="include"),
    pytest.param("a: !env HOME", "has the tag !env", id="environment-tag"),
    pytest.param("%TAG ! tag:evil,2026:\n---\na: !x y", "has the tag tag:evil,2026:x", id="tag-directive"),
    pytest.param("? [a, b]\n: c", "has a list or a mapping for a key", id="list-for-a-key"),
    pytest.param("? {a: b}\n: c", "has a list or a mapping for a key", id="mapping-for-a-key"),
    pytest.param("1: a", "has a key that is no text", id="number-for-a-key"),
    pytest.param("yes: a", "has a key that is no text", id="yes-for-a-key"),
    pytest.param("~: a", "has a key that is no text", id="null-for-a-key"),
    pytest.param(PLAIN + "---\n" + PLAIN, "holds a second document", id="two-documents"),
    pytest.param("--- a\n--- b\n--- c", "holds a second document", id="three-documents"),
    pytest.param("\0" + PLAIN, "holds a NUL character in line 1", id="nul"),
    pytest.param(PLAIN.replace("index", '"in\\0dex"'), "holds a NUL character", id="nul-by-an-escape"),
    pytest.param("a: \x1b]0;owned\x07", "is no valid YAML", id="escape-sequence"),
    pytest.param(
        PLAIN.replace("index", '"\\ud800"'), ("is no valid YAML", "half of a character"), id="half-a-character"
    ),
    pytest.param("", "must be a mapping", id="empty"),
    pytest.param("just words", "must be a mapping", id="words"),
    pytest.param("[1, 2]", "must be a mapping", id="a-list"),
    pytest.param("{", "is no valid YAML", id="half-a-mapping"),
    pytest.param("a: 'b", "is no valid YAML", id="open-quote"),
    pytest.param("\ta: b", "is no valid YAML", id="tab"),
    pytest.param("a: b: c", "is no valid YAML", id="two-colons"),
    pytest.param("<<: 7", "is no valid YAML", id="merge-of-a-number"),
    pytest.param("a: {<<: [1, 2]}", "is no valid YAML", id="merge-of-a-list-of-numbers"),
    pytest.param(
        PLAIN.replace("uri: index", "<<: {uri: a}\n  <<: {uri: b}"), "has the key '<<' a second time", id="merge-twice"
    ),
    pytest.param("&a {<<: [{b: *a}]}", "refers to what it is a part of (*a)", id="self-reference-in-a-merged-list"),
    pytest.param(
        "a0: &a0 {k: v}\n" + "\n".join(f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: 1}}" for n in range(1, 200)),
        "nested deeper than 32 levels",
        id="deep-by-merges",
    ),
    pytest.param(
        "a0: &a0 {k: v}\n" + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)),
        "stands for more than 200,000 keys and values",
        id="billion-laughs-by-merges",
    ),
    pytest.param(PLAIN + "clips: {seconds: 010}", "010 is 8, in base 8", id="octal-number"),
    pytest.param(PLAIN + "clips: {seconds: -0_17}", "010 is 8, in base 8", id="octal-number-with-an-underscore"),
    pytest.param(PLAIN + "clips: {seconds: 1:30}", "1:30 is 90, in base 60", id="sexagesimal-number"),
    pytest.param(PLAIN + "clips: {seconds: 1:30.5}", "1:30 is 90, in base 60", id="sexagesimal-float"),
    pytest.param(PLAIN + "run: {timezone: 16:30}", "1:30 is 90, in base 60", id="a-time-of-day-that-is-a-number"),
    pytest.param("a: !!omap [b: c]", "has the tag !!omap", id="omap"),
    pytest.param("a: !<tag:yaml.org,2002:python/object/new:os.system> [id]", "has the tag !!python", id="verbatim-tag"),
    pytest.param("a: &x b\n*x : 1\nb: 2", "has the key 'b' a second time", id="key-twice-by-an-alias"),
    pytest.param("? " + "k" * 100_000 + "\n: 1\n" + PLAIN, "is not a known key", id="key-of-100000-characters"),
    pytest.param("%YAML 2.0\n---\na: 1", "is no valid YAML", id="another-version-of-yaml"),
    pytest.param(
        '{"input": {"videos": "a", "videos": "b"}}', "has the key 'videos' a second time", id="json-key-twice"
    ),
    pytest.param('{"a": ' * 200 + "1" + "}" * 200, "nested deeper than 32 levels", id="json-deep"),
]
DATA: list[Any] = [
    pytest.param(PLAIN.encode("utf-16"), "is written in UTF-16", id="utf-16"),
    pytest.param(PLAIN.encode("utf-16-le"), "holds a NUL character in line 1", id="utf-16-without-a-mark"),
    pytest.param(PLAIN.encode() + "# caf\xe9".encode("latin-1"), "is not written in UTF-8 (byte 0xe9", id="latin-1"),
    pytest.param(PLAIN.encode("utf-32"), "is written in UTF-16 or UTF-32", id="utf-32"),
    pytest.param(PLAIN.encode() + b"# \xff\xfe", "is not written in UTF-8 (byte 0xff", id="invalid-utf-8"),
    pytest.param(b"# \xed\xa0\x80\n" + PLAIN.encode(), "is not written in UTF-8", id="surrogate-in-utf-8"),
    pytest.param(b"# " + b"x" * MAX_BYTES, "has more than 4,194,304 bytes", id="more-than-4-mib"),
    pytest.param(b"\x80" * 100, "is not written in UTF-8", id="no-text"),
]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes | str], object]:
    def read(data: bytes | str) -> object:
        path = tmp_path / "job.yaml"
        path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
        return load_job(path)

    return read


@pytest.mark.parametrize(("text", "said"), TEXTS)
def test_yaml_that_is_an_attack_is_one_sentence(text: str, said: str, load: Callable[[str], object]) -> None:
    refused(lambda: load(text), said)


@pytest.mark.parametrize(("data", "said"), DATA)
def test_bytes_that_are_no_yaml_are_one_sentence(data: bytes, said: str, load: Callable[[bytes], object]) -> None:
    refused(lambda: load(data), said)


@pytest.mark.parametrize(("text", "said"), TEXTS[:12])
def test_a_question_file_is_read_within_the_same_limits(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "questions.yaml").write_text(text)
    sentence = refused(lambda: parse_job({**JOB, "questions": "questions.yaml"}, folder=tmp_path), said)
    assert "the question file" in sentence


def test_a_byte_order_mark_comments_and_plain_anchors_are_no_attack(load: Callable[[bytes], Any]) -> None:
    shared = "s: &s {endpoint_url: 'http://127.0.0.1:9000'}\n"
    text = PLAIN.replace("videos: films", "videos: s3://b/v\n  storage_options: &s {endpoint_url: 'http://h:9000'}")
    text = text.replace("uri: index", "uri: s3://b/x\n  storage_options: *s")
    job = load(b"\xef\xbb\xbf# a comment\n" + text.encode())
    assert job.config.output.storage_options == job.config.input.storage_options == {"endpoint_url": "http://h:9000"}
    refused(lambda: load(shared.encode() + PLAIN.encode()), "s is not a known key")


PLACES: list[Any] = [
    pytest.param(lambda folder: "/dev/zero", "is a device", id="dev-zero"),
    pytest.param(lambda folder: "/dev/stdin", ("is a", "must be a mapping", "cannot be read"), id="dev-stdin"),
    pytest.param(lambda folder: str(folder), "is a folder", id="folder"),
    pytest.param(lambda folder: _pipe(folder / "pipe"), "is a pipe", id="fifo"),
    pytest.param(lambda folder: _link(folder / "link", "/dev/zero"), "is a device", id="link-to-dev-zero"),
    pytest.param(
        lambda folder: _link(folder / "circle", str(folder / "circle")), "cannot be read", id="circle-of-links"
    ),
    pytest.param(lambda folder: "a\0b.yaml", "cannot be read", id="nul-in-the-name"),
    pytest.param(lambda folder: str(folder / "none.yaml"), "does not exist", id="missing"),
    pytest.param(lambda folder: str(folder / ("x" * 300)), "cannot be read", id="name-too-long"),
    pytest.param(lambda folder: "/proc/self/environ", ("NUL character", "must"), id="environment-of-the-process"),
]


@pytest.mark.parametrize("kind", ["job", "questions", "prompt"])
@pytest.mark.parametrize(("place", "said"), PLACES)
def test_what_is_no_file_is_refused_at_once(
    kind: str, place: Callable[[Path], str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AN_ENVIRONMENT_VARIABLE", CANARY)
    path = place(tmp_path)
    if kind == "job":
        sentence = refused(lambda: load_job(path), said)
    elif kind == "questions":
        sentence = refused(lambda: parse_job({**JOB, "questions": path}, folder=tmp_path), said)
    else:
        if path == "/dev/stdin":
            pytest.skip("pytest's own standard input is an empty file here, which is a prompt")
        sentence = refused(lambda: parse_job({**JOB, "prompt": {"system_file": path}}, folder=tmp_path), said)
    assert CANARY not in sentence


def test_bombs_take_neither_memory_nor_time(tmp_path: Path) -> None:
    """In a process that may have 512 MiB."""
    for number, text in enumerate((LAUGHS, MERGED_LAUGHS, "[" * 1_000_000, "[" + "0," * 1_000_000 + "]")):
        (tmp_path / f"{number}.yaml").write_text(text)
    code = f"""
        import resource
        from framegate.schemas.errors import ConfigError
        from framegate.schemas.job import load_job
        resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
        for number in range(4):
            try:
                load_job({str(tmp_path)!r} + f"/{{number}}.yaml")
            except ConfigError:
                print("refused")
    """
    assert resource.RLIMIT_AS
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["refused"] * 4, done.stderr


@pytest.mark.parametrize(
    "text", [LAUGHS, "[" * 100_000, PLAIN + "model: {name: x}\n", "seed: " + "9" * 5000, "day: 2026-99-99", "\0"]
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_job_that_is_an_attack_ends_a_command_with_exit_code_2(command: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(text)
    result = run_command(command, str(tmp_path / "job.yaml"))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: the job file")
    assert len(result.stderr.strip().splitlines()) == 1


def test_yaml_errors_repeat_no_line_of_the_file() -> None:
    sentence = refused(lambda: parse_yaml(f"a: {{secret: {CANARY}\nb: ]", "the job file"), "is no valid YAML")
    assert CANARY not in sentence
    assert "line " in sentence


def _pipe(path: Path) -> str:
    os.mkfifo(path)
    return str(path)


def _link(path: Path, target: str) -> str:
    path.symlink_to(target)
    return str(path)
