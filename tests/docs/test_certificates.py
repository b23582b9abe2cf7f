"""The page on certificates: its tables are what the code computes."""

from __future__ import annotations

import numpy as np
from scipy import stats

from framegate.pipelines.calibrate.labelled import certify_precision, certify_recall
from framegate.pipelines.calibrate.looks import delta_of_look
from framegate.pipelines.calibrate.mean_change import LEVELS, STEPS, change_intervals, delta_of_night, levels_of
from framegate.pipelines.calibrate.share import rows_needed
from framegate.pipelines.calibrate.wealth import FRACTIONS, log_wealth_of_counts, passes
from tests.docs.pages import PAGES, rows, section

PAGE = PAGES["docs/certificates.md"]


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


def test_rows_that_claim_1_needs() -> None:
    table = [row for row in rows(section(PAGE, "Claim 1: agreement, without labels")) if row[0].endswith("%")]
    assert [row[0] for row in table] == ["1 %", "0.5 %"]
    for row in table:
        epsilon = float(row[0].removesuffix(" %")) / 100
        assert [number(cell) for cell in row[1:]] == [rows_needed(k, epsilon, 0.05) for k in (0, 1, 2, 3, 5)]


def test_yes_answers_that_precision_needs() -> None:
    table = [row for row in rows(section(PAGE, "Claim 3: error, precision and recall, with labels")) if "%" in row[0]]
    assert [row[0] for row in table] == ["90 %", "95 %", "99 %"]
    for row in table:
        target = float(row[0].removesuffix(" %")) / 100
        for wrong, cell in zip((0, 1, 2, 3, 5), row[1:], strict=True):
            for num_rows, is_enough in ((number(cell) - 1, False), (number(cell), True)):
                truth = np.r_[np.zeros(wrong), np.ones(num_rows - wrong)]
                said = np.ones(num_rows, np.bool_)
                for certify, name in ((certify_precision, "precision"), (certify_recall, "recall")):
                    arrays = (said, said, truth) if name == "precision" else (truth == 1, truth == 1, np.ones(num_rows))
                    found = certify(
                        np.full(num_rows, 0.9), *arrays, **{name: target}, delta=0.05, rank=np.arange(num_rows)
                    )
                    assert (found.threshold is not None) is is_enough, (name, target, wrong)


def test_rows_that_looks_need() -> None:
    table = rows(section(PAGE, "Looking again"))
    assert [row[0] for row in table] == ["0", "1", "3", "5", "10"]
    for row in table:
        k, cells = int(row[0]), [number(cell) for cell in row[1:]]
        levels = [0.05, *(delta_of_look(0.05, look) for look in (1, 2, 3, 10, 30, 365))]
        assert cells[:-1] == [rows_needed(k, 0.01, level) for level in levels]
        around = np.array([cells[-1] - 1.0, cells[-1]])
        wealths = log_wealth_of_counts(np.full(2, float(k)), around, bound=0.01)
        assert [passes(float(wealth), 0.05) for wealth in wealths] == [False, True]


def test_what_else_it_says_in_numbers() -> None:
    assert len(FRACTIONS) == 12
    assert "over twelve fractions" in PAGE.replace("\n", " ")
    assert rows_needed(0, 0.01, 0.05) == 299
    assert "299 at least for ε = 1 %" in PAGE
    assert rows_needed(0, 0.02, 0.05) == 149
    assert "149 at\nleast for ε = 2 %, 299 for 1 %" in PAGES["docs/gate.md"]


def shares(mean: float, num_videos: int) -> np.ndarray:
    """How many videos have which share: all or nothing at the ends, else widely spread (Beta of 4 x mean)."""
    if mean in (0, 1):
        return levels_of(np.full(num_videos, float(mean)))
    edges = (np.arange(LEVELS + 1) - 0.5) / STEPS
    return np.diff(stats.beta.cdf(np.clip(edges, 0, 1), 4 * mean, 4 * (1 - mean))) * num_videos


def test_videos_that_an_alarm_of_drift_needs() -> None:
    """Of five questions at ten cameras in the thirtieth night: `answer` has some five classes of each."""
    delta = delta_of_night(0.01, 30) / 6 / (5 * 5 * 11 * 2)
    table = rows(section(PAGES["docs/gate.md"], "Drift").replace("\n  |", "\n|"))[-3:]
    assert [row[0].split(",")[0] for row in table] == ["0 % becomes 100 %", "30 % becomes 60 %", "30 % becomes 50 %"]
    for row, (before, now) in zip(table, ((0, 1), (0.3, 0.6), (0.3, 0.5)), strict=True):
        for cell, num_nights in zip(row[1:], (1, 3), strict=True):
            enough, fewer = number(cell), 0.6 * number(cell)
            least = [
                change_intervals(
                    shares(before, round(10 * size))[None],
                    shares(now, round(num_nights * size))[None],
                    np.array([delta]),
                )[0][0]
                for size in (enough, fewer)
            ]
            assert least[0] > 0.05 > least[1], row
