"""Secrets around a run (environment, credentials, signatures, files) are found nowhere in what it leaves or shows.

`tests/watched_run.py` is the run: films that fail, a report, queries and an audit, on a real Ray and a real S3.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.watched_run import COMMANDS, DONE, REFUSED, Secrets, Watched

SECRETS = [
    pytest.param(lambda found: found.secrets.environment, id="a-password-in-the-environment"),
    pytest.param(lambda found: found.secrets.aws, id="the-secret-key-of-storage"),
    pytest.param(lambda found: found.secrets.referred, id="a-secret-key-that-a-job-refers-to"),
    pytest.param(lambda found: found.secrets.wrong, id="a-wrong-secret-key-that-a-job-refers-to"),
    pytest.param(lambda found: found.secrets.signature, id="the-signature-of-a-web-address"),
    pytest.param(lambda found: found.secrets.contents, id="what-a-video-file-says-of-itself"),
    pytest.param(lambda found: found.secrets.other_file, id="another-file-that-a-video-points-to"),
    pytest.param(lambda found: found.secrets.token_elsewhere, id="the-token-of-another-ray"),
    pytest.param(lambda found: found.own_token, id="the-token-of-its-own-ray"),
]
PLACES: dict[str, Callable[[Watched], Iterator[tuple[str, bytes]]]] = {
    "objects-of-the-output": lambda found: _objects(found.objects),
    "screen-and-log": lambda found: iter([("stdout", found.stdout.encode()), ("stderr", found.stderr.encode())]),
    "report-and-json": lambda found: _files(found.folder, "*.html", "*.json"),
    "ray-session-folder": lambda found: _files(found.private, "**/*"),
    "process-list": lambda found: ((line[:60], line.encode()) for line in found.commands),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("secret_of", SECRETS)
def test_a_secret_is_found_nowhere(secret_of: Callable[[Watched], str], place: str, watched_run: Watched) -> None:
    secret = secret_of(watched_run)
    num_looked_at, found = 0, []
    for name, data in PLACES[place](watched_run):
        num_looked_at += 1
        found += [name for form in forms(secret) if form in data]
    assert num_looked_at
    assert not found


def test_the_run_did_all_that_could_have_told(watched_run: Watched) -> None:
    codes = [watched_run.codes[number] for number in range(len(COMMANDS))]
    assert codes == ["0"] * len(DONE) + ["2"] * len(REFUSED), watched_run.stderr[-3000:]
    assert watched_run.num_failures
    assert any("/results/" in path for path in watched_run.objects)
    failures = _rows(watched_run, "failures")
    assert {"text.mp4", "points.mp4", "secret.txt", "missing.mp4"} <= {_name(row["video_uri"]) for row in failures}
    answered = [row["video_uri"] for row in _rows(watched_run, "results")]
    assert {"s3", "http"} <= {uri.partition(":")[0] for uri in answered}


def test_each_secret_was_where_the_run_had_to_do_with_it(watched_run: Watched) -> None:
    """The secret keys opened storage, the signature opened the web server, and the film's file says its secret."""
    assert any(watched_run.secrets.signature in target for _, target, _ in watched_run.seen_by_web)
    assert (watched_run.folder / "secret.txt").read_text() == watched_run.secrets.other_file
    assert watched_run.secrets.signature.encode() in (watched_run.folder / "videos.csv").read_bytes()
    assert len(watched_run.own_token) == 64
    for server in "01":  # the key of either opened it to a run, which wrote answers there
        assert any(path.startswith(f"{server}/") and "/results/" in path for path in watched_run.objects)


def test_a_secret_that_a_job_refers_to_is_told_of_and_not_told(watched_run: Watched) -> None:
    """A wrong one was shown to storage, which refused it, and one that is not there is told by its name."""
    said = watched_run.stderr.partition(f"-- {REFUSED[2]}")[2]
    errors = [line for line in said.splitlines() if "error" in line]
    assert len(errors) == len(REFUSED[2:])
    *denied, unset = errors
    assert all("storage does not accept the credentials" in error for error in denied), denied
    assert "the environment variable NO_SECRET, which is not set" in unset


@pytest.mark.parametrize(
    "hide",
    [
        pytest.param(lambda text: text.encode(), id="as-it-is"),
        pytest.param(lambda text: b"x" + text.encode().hex().encode(), id="in-hex"),
        pytest.param(lambda text: base64.b64encode(b"a" + text.encode()), id="in-base64"),
        pytest.param(lambda text: base64.b64encode(b"ab" + text.encode() + b"z"), id="in-base64-elsewhere"),
    ],
)
def test_what_looks_would_find_it(hide: Callable[[str], bytes]) -> None:
    canaries = Secrets()
    table, file = pa.table({"message": [hide(canaries.aws).decode()]}), io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"note": hide(canaries.signature)}), file, compression="zstd")
    [(_, data)] = _objects({"results/a.parquet": file.getvalue()})
    for secret in (canaries.aws, canaries.signature):
        assert any(form in data for form in forms(secret))
    assert not any(form in data for form in forms(canaries.environment))


def forms(secret: str) -> set[bytes]:
    """How it may stand in a text or in a file: as it is, in hex, in base64 at any place."""
    plain = secret.encode()
    shifted = [base64.b64encode(b"\0" * shift + plain)[4 if shift else 0 : -4] for shift in range(3)]
    return {plain, plain.hex().encode(), quote(secret).encode(), *shifted}


def _objects(objects: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Their names and what they hold; of Parquet, which is compressed, every value and what its schema says."""
    for name, data in objects.items():
        yield name, name.encode() + data + (_values(data) if data.startswith(b"PAR1") else b"")


def _values(data: bytes) -> bytes:
    table = pq.read_table(io.BytesIO(data))
    return repr((table.schema.metadata, table.to_pylist())).encode()


def _files(folder: Path, *patterns: str) -> Iterator[tuple[str, bytes]]:
    for pattern in patterns:
        for path in folder.glob(pattern):
            if path.is_file() and not path.is_symlink():
                yield str(path), str(path).encode() + path.read_bytes()


def _rows(found: Watched, table: str) -> list[dict]:
    tables = [data for path, data in found.objects.items() if f"/{table}/" in path and path.endswith(".parquet")]
    return [row for data in tables for row in pq.read_table(io.BytesIO(data)).to_pylist()]


def _name(uri: str) -> str:
    return uri.rpartition("/")[2].partition("?")[0]
