"""Attacks on a Ray that a run starts: to look, listen and talk from outside of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from framegate.pipelines.driver.private_ray import give_token_back, make_private_folder, take_new_token
from framegate.schemas.errors import FramegateError
from tests.watched_run import Watched

# What a control store says to whom, while a run works.
SHOWN = [
    pytest.param("no token", "refused", id="ask-without-a-token"),
    pytest.param("wrong token", "refused", id="ask-with-a-made-up-token"),
    pytest.param("token of another cluster", "refused", id="ask-with-the-token-of-the-users-other-cluster"),
    pytest.param("own token", "open", id="its-own-token-opens-it"),
]


@pytest.mark.parametrize(("who", "answer"), SHOWN)
def test_a_run_s_ray_answers_to_its_own_token_alone(who: str, answer: str, watched_run: Watched) -> None:
    assert watched_run.answers[who] == answer


def test_nothing_listens_beyond_loopback(watched_run: Watched) -> None:
    """All of its processes, in an environment that has Ray listen everywhere."""
    assert len({listener.pid for listener in watched_run.listening}) >= 3, "the store, the raylet and a worker listen"
    assert not [listener for listener in watched_run.listening if not listener.is_loopback]


def test_what_looks_at_sockets_would_see_one_that_listens_everywhere() -> None:
    from tests.sockets import listeners

    with socket.socket() as everywhere, socket.socket(socket.AF_INET6) as six:
        for each, address in ((everywhere, "0.0.0.0"), (six, "::")):
            each.bind((address, 0))
            each.listen()
        ports = {everywhere.getsockname()[1], six.getsockname()[1]}
        seen = {listener.port: listener.is_loopback for listener in listeners([os.getpid()])}
    assert {port: seen[port] for port in ports} == dict.fromkeys(ports, False)


def test_no_dashboard_and_no_agent_of_ray_runs(watched_run: Watched) -> None:
    own = [command for command in watched_run.commands if "raylet/raylet" not in command]
    for name in ("dashboard.py", "ray/dashboard", "runtime_env/agent/main.py", "monitor.py --logs"):
        assert not [command for command in own if name in command], name
    assert any("gcs_server" in command for command in own)


def test_the_folder_is_the_owner_s_alone(watched_run: Watched) -> None:
    """The run has a umask of 0, and Ray opens the folders that it makes."""
    assert watched_run.modes == {"private": 0o700, "owner": os.getuid()}
    assert watched_run.private in watched_run.session.parents


def test_another_user_of_the_machine_gets_nothing(watched_run: Watched) -> None:
    if watched_run.stranger_got is None:
        pytest.skip("this user cannot become another one")
    assert watched_run.stranger_got == []


def test_the_token_is_new_and_in_no_file_of_the_user(watched_run: Watched) -> None:
    assert len(watched_run.own_token) == 64
    assert watched_run.own_token != watched_run.secrets.token_elsewhere
    assert not (watched_run.folder / "home" / ".ray").exists()


def test_each_ray_has_another_token_and_the_user_s_own_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setattr("framegate.pipelines.driver.private_ray._before", {})
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("framegate.pipelines.driver.private_ray._read_anew", lambda: None)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/run/secrets/other")
    tokens = []
    for _ in range(2):
        take_new_token()
        tokens.append(os.environ["RAY_AUTH_TOKEN"])
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert "RAY_AUTH_TOKEN_PATH" not in os.environ
        give_token_back()
    assert tokens[0] != tokens[1]
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/other"
    assert not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} & os.environ.keys()


def test_a_folder_that_somebody_prepared_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's usual name is there already, a link to elsewhere; so is its note of a cluster."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ray").symlink_to(tmp_path / "elsewhere")
    old = os.umask(0)
    try:
        folders = [make_private_folder() for _ in range(2)]
    finally:
        os.umask(old)
    assert len(set(folders)) == 2
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_no_room_for_the_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file"))
    with pytest.raises(FramegateError, match=r"no folder for Ray can be made below .*; set RAY_TMPDIR"):
        make_private_folder()
