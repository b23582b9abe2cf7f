"""Archives whose truth is known: the confidence of each first answer, and which of its two answers is right.

    rising          disagreement rises as confidence falls: 0.5 (1 - c)^1.5
    plateau 0.2 %   of rows with a confidence above 0.8, 0.2 % differ whatever their confidence; below it rises
    plateau 1 %     the same with 1 %: what is promised lies right at the edge
    overconfident   six rows in ten have a confidence of 1, and 2.5 % of those differ: no threshold tells them apart
    drift           rows of a video go together, and the second half of the videos differs three times as often

Where two answers differ the second one is right in 75 %, the first one in 15 %. Where they agree, 98.5 % are right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
ROWS_OF_A_VIDEO: Final = 50


@dataclass(frozen=True, kw_only=True)
class World:
    """All rows of an archive, in the order in which they came. Arrays have the shape (rows,).

    first_right, second_right: None where nobody knows, as of recorded rows.
    """

    name: str
    confidence: Floats
    differs: Bools
    first_right: Bools | None = None
    second_right: Bools | None = None

    @property
    def num_rows(self) -> int:
        return self.confidence.size


def make_world(name: str, num_rows: int, seed: int) -> World:
    """Raises KeyError on a name that is not in WORLDS."""
    random = np.random.default_rng([seed, num_rows, sorted(WORLDS).index(name)])
    confidence, chance = WORLDS[name](num_rows, random)
    differs = random.random(num_rows) < chance
    draw = random.random(num_rows)
    agreed_right = draw < 0.985
    return World(
        name=name,
        confidence=confidence,
        differs=differs,
        first_right=np.where(differs, (draw >= 0.75) & (draw < 0.9), agreed_right),
        second_right=np.where(differs, draw < 0.75, agreed_right),
    )


def _rising(num_rows: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    confidence = random.beta(4, 0.7, num_rows)
    return confidence, 0.5 * (1 - confidence) ** 1.5


def _plateau(share: float) -> Callable[[int, np.random.Generator], tuple[Floats, Floats]]:
    def make(num_rows: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        confidence = random.beta(4, 0.7, num_rows)
        return confidence, share + np.maximum(0.8 - confidence, 0) * 0.6

    return make


def _overconfident(num_rows: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    confidence = np.where(random.random(num_rows) < 0.6, 1.0, random.beta(6, 1, num_rows))
    return confidence, np.where(confidence == 1, 0.025, 0.03 + 0.2 * (1 - confidence))


def _drift(num_rows: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    num_videos = -(-num_rows // ROWS_OF_A_VIDEO)
    hardness = np.repeat(random.gamma(0.5, 2.0, num_videos), ROWS_OF_A_VIDEO)[:num_rows]
    confidence = random.beta(4, 0.7, num_rows)
    later = np.arange(num_rows) >= num_rows // 2
    return confidence, np.minimum(0.3 * (1 - confidence) ** 1.5 * hardness * np.where(later, 1.5, 0.5), 1.0)


WORLDS: Final[dict[str, Callable[[int, np.random.Generator], tuple[Floats, Floats]]]] = {
    "rising": _rising,
    "plateau 0.2 %": _plateau(0.002),
    "plateau 1 %": _plateau(0.01),
    "overconfident": _overconfident,
    "drift": _drift,
}
