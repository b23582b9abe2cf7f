"""Tests that encode leave no priority behind that starves the rest of the machine."""

from __future__ import annotations

import os
import sys

import pytest

from tests.decode.corpus_films import film

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no scheduling policies to read")


@pytest.fixture
def av1_film() -> bytes:
    return film(codec="libsvtav1", height=80, width=112)  # of a size of its own: films are kept


def test_who_encoded_is_scheduled_as_usual(av1_film: bytes) -> None:
    assert av1_film
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
