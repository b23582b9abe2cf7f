"""Claim 3, with labels: error at most alpha; precision and recall of a yes/no question at least what is asked for.

Each is a mean loss over the archive, with what the gate answers at a threshold t:

    error       E = [the answer is wrong]                                     mean of E at most alpha
    precision   V = [answer yes] x (target - [truth yes])                     mean of V at most 0
    recall      V = [truth yes] x (target - [answer yes])                     mean of V at most 0

Where the labels are a uniform sample (`rates` is None), error is tested by the exact bound of `share.py`: that is the
way to choose a threshold. Where rows were labelled at rates that differ, such as for claim 2 or by `neyman.py`, a row's
loss becomes

    Z = low + (loss - low) [it has a label] / rate,         low: the smallest loss that it can have, known without label

which has the same mean, and at most the value low + (high - low) / LOWEST_RATE. It is tested by betting: given the
rows, labels are drawn independently, or so many of each stratum. Then E[product of factors] is at most the product of
E[factors], since each factor falls where its own row gets a label (negative association, Joag-Dev and Proschan 1983);
over the draw of rows, `wealth.py` has the proof. None of these falls as t grows: `fixed_sequence.py`, from 1 down.

Precision and recall can also be tested row by row, in the order of the draw (`rank`). Then a row without a label counts
as the worst that it may be, and the promise holds whenever one stops to label. Precision needs no label of a row that
neither answer says yes to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from framegate.pipelines.calibrate.audited import Bools, Floats, Ints, as_bools, as_confidence, as_floats
from framegate.pipelines.calibrate.fixed_sequence import Descent, descend, descend_in_order, down_to_first_failure
from framegate.pipelines.calibrate.share import check_levels, most_events
from framegate.schemas.errors import InputError

LOWEST_RATE: Final = 0.25
"""Fixed before any draw: how much may be staked depends on it. At 0.1 one wrong row counts for ten, and fewer exit."""


@dataclass(frozen=True, kw_only=True)
class LabelledCertificate:
    """What labels say of the lowest threshold at which a figure is as asked for.

    figure: `error`, `precision` or `recall`. target: what was asked for. method: `exact` or `betting`.
    threshold: rows with this confidence or more may exit; None where none may, or where thinking always is not shown to
        be good enough: `passes_at_top` tells the two apart.
    num_rows, num_labelled: rows of the sample, and those with a label.
    """

    figure: str
    target: float
    delta: float
    method: str
    threshold: float | None
    passes_at_top: bool
    num_rows: int
    num_labelled: int


def certify_error(
    confidence: npt.ArrayLike,
    wrong_first: npt.ArrayLike,
    wrong_second: npt.ArrayLike,
    *,
    alpha: float,
    delta: float,
    rates: npt.ArrayLike | None = None,
    population: int | None = None,
) -> LabelledCertificate:
    """The lowest threshold at which the gate's answers are wrong on at most a share alpha of the archive.

    wrong_first, wrong_second: 1 or 0, both NaN where a row has no label. rates: with what probability each row of the
    sample was to get a label; None: rows with a label are a uniform sample of the archive by themselves.
    """
    check_levels(alpha, delta)
    confidences = as_confidence(confidence)
    firsts = _as_marks(wrong_first, confidences.size, "wrong_first")
    seconds = _as_marks(wrong_second, confidences.size, "wrong_second")
    has_label = ~(np.isnan(firsts) | np.isnan(seconds))
    if rates is None:
        found = _exact_descent(
            confidences[has_label], seconds[has_label], firsts[has_label],
            alpha=alpha, delta=delta, population=population,
        )  # fmt: skip
    else:
        weights = _weights(rates, has_label)
        thinking = np.where(has_label, seconds, 0.0) * weights
        exiting = np.where(has_label, firsts, 0.0) * weights
        found = descend(confidences, thinking, exiting, bound=alpha, largest=1 / LOWEST_RATE, delta=delta)
    return _certificate("error", alpha, delta, found, has_label, "exact" if rates is None else "betting")


def certify_precision(
    confidence: npt.ArrayLike,
    yes_first: npt.ArrayLike,
    yes_second: npt.ArrayLike,
    truth: npt.ArrayLike,
    *,
    precision: float,
    delta: float,
    rates: npt.ArrayLike | None = None,
    rank: npt.ArrayLike | None = None,
    population: int | None = None,
) -> LabelledCertificate:
    """The lowest threshold at which, of the rows that the gate answers with yes, at least so many are yes.

    yes_first, yes_second: whether each answer is yes; an answer that cannot be read is not. truth: 1, 0, or NaN where a
    row has no label. rates: as in `certify_error`. rank: the order of the draw, in place of rates; rows without a label
    count as the worst then, and the promise holds however many there are when one looks; population: rows that they
    were drawn from.
    """
    rows = _yes_no(confidence, yes_first, yes_second, truth, rates, rank, population, target=precision, delta=delta)
    thinking, exiting = (np.where(yes, precision - 1 + rows.no, 0.0) for yes in (rows.seconds, rows.firsts))
    found = _descend(rows, thinking, exiting, largest=precision - 1 + 1 / rows.lowest_rate, delta=delta)
    return _certificate("precision", precision, delta, found, rows.is_labelled, "betting")


def certify_recall(
    confidence: npt.ArrayLike,
    yes_first: npt.ArrayLike,
    yes_second: npt.ArrayLike,
    truth: npt.ArrayLike,
    *,
    recall: float,
    delta: float,
    rates: npt.ArrayLike | None = None,
    rank: npt.ArrayLike | None = None,
    population: int | None = None,
) -> LabelledCertificate:
    """The lowest threshold at which, of the rows that are yes, the gate answers at least so many with yes.

    See `certify_precision`.
    """
    rows = _yes_no(confidence, yes_first, yes_second, truth, rates, rank, population, target=recall, delta=delta)
    said_yes, said_no = recall - 1 + (1 - recall) * rows.no, recall * rows.yes
    thinking, exiting = (np.where(yes, said_yes, said_no) for yes in (rows.seconds, rows.firsts))
    found = _descend(rows, thinking, exiting, largest=max(recall, 1 - recall) / rows.lowest_rate, delta=delta)
    return _certificate("recall", recall, delta, found, rows.is_labelled, "betting")


@dataclass(frozen=True, kw_only=True)
class _YesNo:
    """Rows of a yes/no question: without rates and ranks only those with a label.

    yes, no: the weight of a row where the truth is this, 0 where it is the other one. Of a row without a label both are
    0 with rates, since labels stand for it, and 1 in the order of ranks, where the worse of them counts.
    population: None also where rows have no order.
    """

    confidence: Floats
    firsts: Bools
    seconds: Bools
    yes: Floats
    no: Floats
    lowest_rate: float
    is_labelled: Bools
    is_in_order: bool
    population: int | None


def _yes_no(
    confidence: npt.ArrayLike,
    yes_first: npt.ArrayLike,
    yes_second: npt.ArrayLike,
    truth: npt.ArrayLike,
    rates: npt.ArrayLike | None,
    rank: npt.ArrayLike | None,
    population: int | None,
    *,
    target: float,
    delta: float,
) -> _YesNo:
    check_levels(target, delta)
    confidences = as_confidence(confidence)
    firsts = as_bools(yes_first, confidences.size, "yes_first")
    seconds = as_bools(yes_second, confidences.size, "yes_second")
    truths = _as_marks(truth, confidences.size, "truth")
    has_label = ~np.isnan(truths)
    if rates is not None and rank is not None:
        raise InputError("give the rates of labels or the order of the draw, not both")
    if population is not None and confidences.size > population:
        raise InputError(
            f"{confidences.size} rows were sampled of an archive of {population}; a sample has each row once"
        )
    kept, weights = _kept(has_label, rates, None if rank is None else as_floats(rank, confidences.size, "rank"))
    unknown = 0.0 if rank is None else 1.0
    return _YesNo(
        confidence=confidences[kept],
        firsts=firsts[kept],
        seconds=seconds[kept],
        yes=np.where(has_label, truths * weights, unknown)[kept],
        no=np.where(has_label, (1 - truths) * weights, unknown)[kept],
        lowest_rate=1.0 if rates is None else LOWEST_RATE,
        is_labelled=has_label,
        is_in_order=rank is not None,
        population=population,
    )


def _kept(has_label: Bools, rates: npt.ArrayLike | None, ranks: Floats | None) -> tuple[Ints, Floats]:
    """Places of the rows that a test looks at, in order, and the weight of each row's label. In the order of ranks none
    behind the last label could help."""
    if ranks is not None:
        order = np.argsort(ranks, kind="stable")
        labelled = np.flatnonzero(has_label[order])
        return order[: int(labelled[-1]) + 1 if labelled.size else 0], np.ones(has_label.size)
    if rates is not None:
        return np.arange(has_label.size), _weights(rates, has_label)
    return np.flatnonzero(has_label), np.ones(has_label.size)


def _descend(rows: _YesNo, thinking: Floats, exiting: Floats, *, largest: float, delta: float) -> Descent:
    """Tests of a mean of at most 0."""
    if not rows.is_in_order:
        return descend(rows.confidence, thinking, exiting, bound=0.0, largest=largest, delta=delta)
    return descend_in_order(
        rows.confidence, thinking, exiting, bound=0.0, largest=largest, delta=delta, population=rows.population
    )


def _exact_descent(
    confidence: Floats, thinking: Floats, exiting: Floats, *, alpha: float, delta: float, population: int | None
) -> Descent:
    """As `fixed_sequence.descend`, by the exact bound of a share: passing is +inf, failing -inf."""
    allowed = most_events(confidence.size, alpha, delta, population=population)
    steps = np.unique(confidence[~np.isnan(confidence)])[::-1]
    changes = exiting - thinking
    order = np.argsort(-confidence, kind="stable")  # NaN comes last
    sums = np.concatenate([[0.0], np.cumsum(changes[order])])
    ends = np.searchsorted(-confidence[order][: int((~np.isnan(confidence)).sum())], -steps, side="right")
    wrong = thinking.sum() + np.concatenate([[0.0], sums[ends]])
    return down_to_first_failure(confidence, steps, np.where(wrong <= allowed, np.inf, -np.inf), delta=delta)


def _weights(rates: npt.ArrayLike, has_label: Bools) -> Floats:
    chances = as_floats(rates, has_label.size, "rates")
    if (wrong := chances[~((chances >= LOWEST_RATE) & (chances <= 1))]).size:
        raise InputError(f"a row's rate of labels is {wrong[0]:g}; it lies between {LOWEST_RATE} and 1")
    return 1 / chances


def _as_marks(values: npt.ArrayLike, num_rows: int, name: str) -> Floats:
    marks = as_floats(values, num_rows, name)
    if (wrong := marks[~(np.isnan(marks) | np.isin(marks, (0, 1)))]).size:
        raise InputError(f"{name} is {wrong[0]:g} in a row; it is 1, 0, or missing (NaN)")
    return marks


def _certificate(
    figure: str, target: float, delta: float, found: Descent, has_label: Bools, method: str
) -> LabelledCertificate:
    return LabelledCertificate(
        figure=figure,
        target=target,
        delta=delta,
        method=method,
        threshold=found.threshold,
        passes_at_top=found.passes_at_top,
        num_rows=has_label.size,
        num_labelled=int(has_label.sum()),
    )
