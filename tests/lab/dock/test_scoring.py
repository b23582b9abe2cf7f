"""The table's arithmetic, by hand."""

import pytest

from framegate.pipelines.lab.dock.scoring import Scored, expected_calibration_error, score, score_by_swaps, score_table


def make(**changes):
    values = {
        "strategy": "gated",
        "kind": "perception",
        "num_swaps": 4,
        "right": True,
        "first_right": True,
        "confidence_first": 0.9,
        "thinking": False,
        "num_generated_tokens": 4,
    }
    return Scored(**(values | changes))


def test_a_row_counts_what_it_says():
    answers = [make(), make(right=False, first_right=False, thinking=True, num_generated_tokens=40)]
    row = score("gated", "perception", answers)
    assert (row.accuracy, row.first_accuracy, row.think_rate, row.mean_generated_tokens) == (0.5, 0.5, 0.5, 22.0)


def test_a_first_box_that_cannot_be_read_is_wrong():
    assert score("gated", "all", [make(first_right=None)]).first_accuracy == 0.0


def test_calibration_error_by_hand():
    # One bin of two at 0.9 with one right: |0.5 - 0.9|; one bin of one at 0.5, right: |1 - 0.5|.
    answers = [make(), make(first_right=False), make(confidence_first=0.5)]
    assert expected_calibration_error(answers) == pytest.approx(2 / 3 * 0.4 + 1 / 3 * 0.5)


def test_full_confidence_falls_into_the_last_bin_and_none_is_left_out():
    assert expected_calibration_error([make(confidence_first=1.0), make(confidence_first=None)]) == 0.0
    assert expected_calibration_error([make(confidence_first=None)]) is None


def test_the_table_has_a_row_for_each_strategy_and_kind():
    answers = [make(), make(kind="multi_step"), make(strategy="direct")]
    rows = [(row.strategy, row.kind, row.num_questions) for row in score_table(answers)]
    assert rows == [
        ("gated", "perception", 1),
        ("gated", "multi_step", 1),
        ("gated", "all", 2),
        ("direct", "perception", 1),
        ("direct", "all", 1),
    ]


def test_swaps_are_binned_for_multi_step_questions_alone():
    answers = [make(), make(kind="multi_step", num_swaps=3), make(kind="multi_step", num_swaps=20)]
    assert [(bin, row.num_questions) for bin, row in score_by_swaps(answers)] == [((3, 5), 1), ((15, 20), 1)]
