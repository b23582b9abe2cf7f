"""The table of the evaluation: accuracy, think rate, cost and calibration of each strategy. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from framegate.pipelines.lab.dock.world.asking import Kind

NUM_CONFIDENCE_BINS = 15  # of equal width, as in Guo et al. 2017, "On Calibration of Modern Neural Networks"
SWAP_BINS = ((0, 2), (3, 5), (6, 8), (9, 11), (12, 14), (15, 20))


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One answer compared with the truth. `first_right` is None where the first box could not be read."""

    strategy: str
    kind: Kind
    num_swaps: int
    right: bool
    first_right: bool | None
    confidence_first: float | None
    thinking: bool
    num_generated_tokens: int


@dataclass(frozen=True, kw_only=True)
class Score:
    """One row of the table. Shares in 0..1; `first_accuracy` counts an unread first box as wrong."""

    strategy: str
    kind: Kind | Literal["all"]
    num_questions: int
    accuracy: float
    first_accuracy: float
    think_rate: float
    mean_generated_tokens: float
    ece: float | None

    def as_row(self) -> dict[str, object]:
        return asdict(self)


def score(strategy: str, kind: Kind | Literal["all"], answers: Sequence[Scored]) -> Score:
    """One row over `answers`, of which there must be at least one."""
    count = len(answers)
    return Score(
        strategy=strategy,
        kind=kind,
        num_questions=count,
        accuracy=sum(answer.right for answer in answers) / count,
        first_accuracy=sum(answer.first_right is True for answer in answers) / count,
        think_rate=sum(answer.thinking for answer in answers) / count,
        mean_generated_tokens=sum(answer.num_generated_tokens for answer in answers) / count,
        ece=expected_calibration_error(answers),
    )


def score_table(answers: Iterable[Scored]) -> list[Score]:
    """Rows for each strategy: perception, multi_step, all."""
    answers = list(answers)
    rows = []
    for strategy in dict.fromkeys(answer.strategy for answer in answers):
        own = [answer for answer in answers if answer.strategy == strategy]
        for kind in ("perception", "multi_step"):
            if of_kind := [answer for answer in own if answer.kind == kind]:
                rows.append(score(strategy, kind, of_kind))
        rows.append(score(strategy, "all", own))
    return rows


def score_by_swaps(answers: Iterable[Scored]) -> list[tuple[tuple[int, int], Score]]:
    """Multi-step questions of each strategy by the number of swaps in the clip."""
    answers = [answer for answer in answers if answer.kind == "multi_step"]
    rows = []
    for strategy in dict.fromkeys(answer.strategy for answer in answers):
        for low, high in SWAP_BINS:
            own = [a for a in answers if a.strategy == strategy and low <= a.num_swaps <= high]
            if own:
                rows.append(((low, high), score(strategy, "multi_step", own)))
    return rows


def expected_calibration_error(answers: Iterable[Scored]) -> float | None:
    """How far the first confidence is from the share of right first answers, averaged over confidence bins.

    ECE = sum over bins of |bin| / n * |accuracy(bin) - mean confidence(bin)|. None where nothing was measured.
    """
    bins: dict[int, list[tuple[float, bool]]] = {}
    for answer in answers:
        if answer.confidence_first is not None:
            place = min(int(answer.confidence_first * NUM_CONFIDENCE_BINS), NUM_CONFIDENCE_BINS - 1)
            bins.setdefault(place, []).append((answer.confidence_first, answer.first_right is True))
    count = sum(len(members) for members in bins.values())
    if count == 0:
        return None
    gaps = (abs(sum(c for c, _ in members) - sum(right for _, right in members)) for members in bins.values())
    return sum(gaps) / count
