"""A real S3 server behind a faulty line: what passes is waited for, and every result is the one of a fair line."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framegate.pipelines.store import Put, Store, join
from framegate.schemas.clip import Video
from framegate.schemas.errors import CredentialsError, ObjectNotFound, StorageError, StorageFull, VersionChanged
from tests import s3_faults as faults
from tests.s3_faults import Fault, S3Faults

NOT_APPLIED = {
    "503": faults.SLOW_DOWN,
    "409": faults.CONFLICT,
    "429": faults.TOO_MANY,
    "502": faults.NO_ANSWER,
    "cut": faults.cut,
}
APPLIED = {
    "applied, 500": faults.applied_then(500, "InternalError"),
    "applied, cut": faults.applied_then_cut,
}
PASSING = NOT_APPLIED | APPLIED
LATE: dict[str, Fault] = {"applied, late": faults.applied_then_late(1.5)}
BODIES = {"cut": faults.body_cut, "short": faults.body_short}
DATA = bytes(range(256)) * 40


def by_name(named: Mapping[str, Fault]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", named.values(), ids=list(named))


@by_name(NOT_APPLIED)
def test_a_write_that_was_turned_away_creates(fault: Fault, faulty: Store, s3_faults: S3Faults, s3_root: str) -> None:
    uri = join(s3_root, "a.bin")
    s3_faults.script(fault, method="PUT", times=2)
    assert faulty.put_once(uri, DATA) == Put(created=True, same=True)
    assert Store().read(uri) == DATA
    assert s3_faults.count("PUT") == 3


@by_name(APPLIED | LATE)
def test_a_write_whose_answer_was_lost_meets_its_own_object(
    fault: Fault, faulty: Store, s3_faults: S3Faults, s3_root: str
) -> None:
    uri = join(s3_root, "a.bin")
    s3_faults.script(fault, method="PUT")
    assert faulty.put_once(uri, DATA) == Put(created=False, same=True)
    assert Store().read(uri) == DATA
    assert s3_faults.count("PUT") == 2


@by_name(PASSING)
def test_another_writers_object_stays_whatever_happens(
    fault: Fault, faulty: Store, s3_faults: S3Faults, s3_root: str
) -> None:
    uri = join(s3_root, "a.bin")
    Store().put_once(uri, DATA[::-1])
    s3_faults.script(fault, method="PUT HEAD GET", times=2)
    assert faulty.put_once(uri, DATA) == Put(created=False, same=False)
    assert Store().read(uri) == DATA[::-1]


@pytest.mark.parametrize("name", ["If-None-Match", None])
def test_a_412_is_the_object_that_is_there_whether_it_names_the_condition_or_not(
    name: str | None, faulty: Store, s3_faults: S3Faults, s3_root: str
) -> None:
    uri = join(s3_root, "a.bin")
    s3_faults.script(faults.named_condition(name), times=9)
    assert faulty.put_once(uri, b"first") == Put(created=True, same=True)
    assert faulty.put_once(uri, b"first") == Put(created=False, same=True)
    assert faulty.put_once(uri, b"other") == Put(created=False, same=False)


def test_an_object_that_goes_between_refusal_and_look_is_created(
    faulty: Store, s3_faults: S3Faults, s3_root: str
) -> None:
    s3_faults.script(faults.refused(412, "PreconditionFailed"), method="PUT")
    assert faulty.put_once(join(s3_root, "a.bin"), DATA) == Put(created=True, same=True)


@by_name(PASSING | LATE)
def test_a_replacement_is_done_once(fault: Fault, faulty: Store, s3_faults: S3Faults, s3_root: str) -> None:
    uri = join(s3_root, "a.bin")
    faulty.put_once(uri, b"old")
    before = faulty.stat(uri)
    s3_faults.script(fault, method="PUT")
    after = faulty.replace(uri, b"new", if_match=before.version)
    assert (Store().read(uri), Store().stat(uri)) == (b"new", after)
    with pytest.raises(VersionChanged):
        faulty.replace(uri, b"newer", if_match=before.version)
    assert Store().read(uri) == b"new"


@by_name(PASSING)
def test_deleting_is_tried_until_all_is_gone(fault: Fault, faulty: Store, s3_faults: S3Faults, s3_root: str) -> None:
    uris = [join(s3_root, f"{n}.bin") for n in range(3)]
    for uri in uris:
        faulty.put_once(uri, DATA)
    s3_faults.script(fault, method="POST", times=2)
    faulty.delete([*uris, join(s3_root, "never-there.bin")])
    assert list(Store().list(s3_root)) == []
    assert s3_faults.count("POST") == 3


@by_name(PASSING)
def test_looking_is_tried_again(fault: Fault, faulty: Store, s3_faults: S3Faults, s3_root: str) -> None:
    uri = join(s3_root, "a.bin")
    faulty.put_once(uri, DATA)
    for look in (
        lambda: faulty.stat(uri).size_bytes == len(DATA),
        lambda: faulty.is_folder(s3_root),
        lambda: [info.uri for info in faulty.list(s3_root)] == [uri],
        lambda: [info.uri for info in faulty.glob(join(s3_root, "*.bin"))] == [uri],
        lambda: list(faulty.open_uploads(s3_root)) == [],
    ):
        s3_faults.script(fault, times=1)
        assert look()
    assert all(rule.times == 0 for rule in s3_faults.rules)


@by_name(BODIES)
def test_a_body_that_is_short_is_asked_for_again(
    fault: Fault, faulty: Store, s3_faults: S3Faults, s3_root: str
) -> None:
    uri = join(s3_root, "a.bin")
    faulty.put_once(uri, DATA)
    info = faulty.stat(uri)
    video = Video(uri=uri, version=info.version, size_bytes=info.size_bytes)
    for read in (
        lambda: faulty.read(uri) == DATA,
        lambda: faulty.read(uri, 100, 300) == DATA[100:300],
        lambda: list(faulty.read_many([info])) == [(uri, DATA)],
        lambda: faulty.open_pinned(video).read(7, 5000) == DATA[7:5000],
    ):
        s3_faults.script(fault, method="GET", times=2)
        assert read()
    assert s3_faults.count("GET") == 12


@by_name({**BODIES, "503": faults.SLOW_DOWN})
def test_what_stays_short_is_said_in_one_sentence_after_the_time_that_was_given(
    fault: Fault, s3_faults: S3Faults, s3_root: str
) -> None:
    uri = join(s3_root, "a.bin")
    Store().put_once(uri, DATA)
    hasty = Store({"endpoint_url": s3_faults.endpoint}, patience_seconds=0.5)
    s3_faults.script(fault, times=10_000)
    started = time.monotonic()
    with pytest.raises(
        StorageError, match=r"^cannot read s3://\S*a\.bin: tried \d+ times in [01] s, the last time: [^\n]*$"
    ):
        hasty.read(uri)
    assert time.monotonic() - started < 3


def test_a_server_that_is_away_for_a_while_is_waited_for(faulty: Store, s3_faults: S3Faults, s3_root: str) -> None:
    s3_faults.script(faults.SLOW_DOWN, times=10_000, seconds=1)
    faulty.put_once(join(s3_root, "a.bin"), DATA)
    assert [data for _, data in faulty.read_many(faulty.list(s3_root))] == [DATA]


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "ExpiredToken"), (403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (403, "RequestTimeTooSkewed"),
     (400, "TokenRefreshRequired"), (403, "RequestExpired"), (403, "ExpiredTokenException"), (400, "InvalidToken")],
)  # fmt: skip
def test_credentials_that_are_not_accepted_end_it_at_once(
    status: int, code: str, faulty: Store, s3_faults: S3Faults, s3_root: str
) -> None:
    uri = join(s3_root, "a.bin")
    s3_faults.script(faults.refused(status, code), times=10_000)
    video = Video(uri=uri, version="0" * 32, size_bytes=10)
    for call in (
        lambda: faulty.read(uri),
        lambda: faulty.stat(uri),
        lambda: faulty.put_once(uri, DATA),
        lambda: faulty.replace(uri, DATA, if_match="0" * 32),
        lambda: faulty.delete([uri]),
        lambda: list(faulty.list(s3_root)),
        lambda: list(faulty.glob(join(s3_root, "*"))),
        lambda: list(faulty.read_many([uri])),
        lambda: faulty.is_folder(s3_root),
        lambda: faulty.open_pinned(video).read(0, 5),
    ):
        with pytest.raises(
            CredentialsError, match=rf"cannot \w+ .*{code}.*(renew them|clock) and run again; everything comm"
        ):
            call()


def test_no_credentials_at_all_are_said_so(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    store = Store({"client_kwargs": {"region_name": "eu-central-1"}})
    with pytest.raises(CredentialsError, match="Unable to locate credentials"):
        store.read(join(s3_root, "a.bin"))


def test_an_object_that_we_may_not_read_says_nothing_of_the_credentials(
    faulty: Store, s3_faults: S3Faults, s3_root: str
) -> None:
    uri = join(s3_root, "a.bin")
    s3_faults.script(faults.DENIED, times=10_000)
    for call in (lambda: faulty.read(uri), lambda: faulty.stat(uri), lambda: faulty.put_once(uri, DATA)):
        with pytest.raises(StorageError, match=r"a\.bin: permission denied") as caught:
            call()
        assert type(caught.value) is StorageError


def test_a_server_without_room_is_full(faulty: Store, s3_faults: S3Faults, s3_root: str) -> None:
    s3_faults.script(faults.refused(507, "XMinioStorageFull"), method="PUT")
    with pytest.raises(StorageFull, match="no room left"):
        faulty.put_once(join(s3_root, "a.bin"), DATA)


def test_what_is_not_there_is_not_waited_for(faulty: Store, s3_faults: S3Faults, s3_root: str) -> None:
    with pytest.raises(ObjectNotFound):
        faulty.replace(join(s3_root, "gone.bin"), DATA, if_match="0" * 32)
    with pytest.raises(ObjectNotFound):
        faulty.read(join(s3_root, "gone.bin"))
    assert s3_faults.count("GET") == 1


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(weather=st.lists(st.sampled_from([*PASSING, "fair"]), max_size=4))
def test_any_bad_weather_gives_what_a_fair_line_gives(weather: list[str], s3_faults: S3Faults, s3_root: str) -> None:
    store = Store({"endpoint_url": s3_faults.endpoint, "config_kwargs": {"read_timeout": 1}}, patience_seconds=30)
    s3_faults.clear()
    uris = [join(s3_root, secrets.token_hex(4), f"{n}.bin") for n in range(3)]
    for name in weather:
        s3_faults.script(PASSING.get(name, lambda request, serve: serve()))
    for number, uri in enumerate(uris):
        assert store.put_once(uri, b"%d" % number).same
    version = store.stat(uris[1]).version
    store.replace(uris[1], b"new", if_match=version)
    store.delete(uris[:1])
    assert list(store.read_present(uris)) == [(uris[0], None), (uris[1], b"new"), (uris[2], b"2")]
