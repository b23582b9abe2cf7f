"""A board in an actor: every worker sees what others told, and goes on alone where the actor is lost."""

from __future__ import annotations

import time

import pytest
import ray

from framegate.pipelines.decode.scan_sharing import LocalCutsBoard, Scanned, Taken, Window
from framegate.pipelines.driver.board import BoardOnRay

pytestmark = pytest.mark.usefixtures("ray_cluster")
FOUND = Scanned(window=Window((1.5, 7.0), 60.0, False))


@ray.remote(num_cpus=0)
def tell(board: BoardOnRay, number: int) -> Taken:
    taken = board.take("film", [number])
    board.tell("film", number, FOUND)
    return taken


def test_what_one_worker_tells_another_one_knows() -> None:
    board = BoardOnRay(LocalCutsBoard)
    assert ray.get(tell.remote(board, 3), timeout=60) == Taken({}, 3)
    assert board.take("film", [3, 4]) == Taken({3: FOUND}, 4)
    assert ray.get(tell.remote(board, 4), timeout=60) == Taken({}, None), "the driver has it in hand"
    board.end()
    board.end()


def test_where_the_actor_is_lost_each_goes_on_alone() -> None:
    board = BoardOnRay(LocalCutsBoard)
    board.tell("film", 1, FOUND)
    board.end()
    time.sleep(0.2)
    assert board.take("film", [1]) == Taken({}, 1)
    board.tell("film", 1, FOUND)
    assert board.take("film", [1]) == Taken({1: FOUND}, None)
