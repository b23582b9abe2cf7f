"""The audit sample: a uniform draw that needs no memory, and that a larger rate contains."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.schemas.audit_sample import AuditSample, clip_key

HASHES = [f"{number:016x}" for number in range(4)]
CLIPS = [clip_key(f"{number:016x}", index) for number in range(250) for index in range(10)]


def ranks(sample: AuditSample) -> np.ndarray:
    """(clips, questions)"""
    return np.array([[sample.rank(clip, question) for question in HASHES] for clip in CLIPS])


def test_ranks_are_what_they_were() -> None:
    """Other ones would audit other rows after an update, and break the samples of every archive."""
    sample = AuditSample(rate=0.01)
    assert sample.rank("00000000000000aa/3", HASHES[1]) == 0.17688753937799429
    assert AuditSample(rate=0.01, unit="clip").rank("00000000000000aa/3", HASHES[1]) == 0.30952588592033325
    assert AuditSample(rate=0.01, salt="b").rank("00000000000000aa/3", HASHES[1]) == 0.4513881150277047


def test_ranks_are_uniform_and_rows_of_a_clip_are_drawn_apart() -> None:
    found = ranks(AuditSample(rate=0.1))
    counts, _ = np.histogram(found, bins=20, range=(0, 1))
    chi_square = float(((counts - found.size / 20) ** 2 / (found.size / 20)).sum())
    assert chi_square < 43.8  # 19 degrees of freedom, 0.1 %
    assert abs(np.corrcoef(found[:, 0], found[:, 1])[0, 1]) < 0.07
    assert len(np.unique(found)) == found.size


def test_a_sample_of_clips_has_all_questions_of_a_clip_or_none() -> None:
    found = ranks(AuditSample(rate=0.1, unit="clip"))
    assert (found == found[:, :1]).all()
    assert len(np.unique(found[:, 0])) == len(CLIPS)


@given(low=st.floats(0, 1), high=st.floats(0, 1), salt=st.text(max_size=5))
def test_a_larger_rate_contains_a_smaller_one(low: float, high: float, salt: str) -> None:
    low, high = sorted((low, high))
    small, large = (AuditSample(rate=rate, salt=salt) for rate in (low, high))
    for clip in CLIPS[:20]:
        rank = small.rank_if_in(clip, HASHES[0])
        assert rank is None or rank == large.rank_if_in(clip, HASHES[0])


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 0), (1.0, 80)])
def test_none_and_all(rate: float, expected: int) -> None:
    sample = AuditSample(rate=rate)
    ranked = [sample.rank_if_in(clip, question) for clip in CLIPS[:20] for question in HASHES]
    assert sum(rank is not None for rank in ranked) == expected


def test_another_process_ranks_alike_and_another_salt_does_not() -> None:
    sample = AuditSample(rate=0.5)
    there = pickle.loads(pickle.dumps(sample))
    assert (ranks(there)[:50] == ranks(sample)[:50]).all()
    other = ranks(AuditSample(rate=0.5, salt="x"))
    assert abs(np.corrcoef(other.ravel(), ranks(sample).ravel())[0, 1]) < 0.03
