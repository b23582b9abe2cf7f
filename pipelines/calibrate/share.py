"""Exact one-sided bounds of a share, from a uniform sample of rows.

k of n sampled rows have a property. How large may its share p among all N rows be? With X the number that a sample
shows, the upper bound U is the largest p that the sample does not contradict:

    U(k, n; delta) = max {p : P(X <= k | p) > delta}

where X is binomial (rows drawn independently, or N unknown: Clopper and Pearson 1934) or hypergeometric (n different
rows of N, and p a multiple of 1/N). Proof: let K be the largest k with P(X <= k | p) <= delta. U(X) < p implies
X <= K, and that has probability at most delta. Nothing is approximated.

The hypergeometric is taken wherever N is known, not only where n is a large part of it: it is what is true then, and
the binomial bound can fail a little more often than delta on small archives (N = 116, n = 3, delta = 0.1: 0.1008).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from framegate.schemas.errors import InputError

MAX_EXACT_ROWS: Final = 10**8
"""Above so many rows the binomial stands in: logarithms of factorials have 6 digits left behind the point, and a sample
that is no large part of them tells no difference."""


_ROUNDING: Final = 1 + 1e-9
"""A chance of just delta, as 1 in 20 is, may come out a hair above it."""


def check_levels(epsilon: float, delta: float) -> None:
    """Raises InputError unless both lie strictly between 0 and 1."""
    for name, value in (("epsilon", epsilon), ("delta", delta)):
        if not 0 < value < 1:
            raise InputError(f"{name} is {value}; it lies between 0 and 1, such as 0.01 for 1 %")


def upper_bound(num_events: int, num_rows: int, delta: float, *, population: int | None = None) -> float:
    """The share that is exceeded with probability at most delta. 1 where no row was sampled."""
    _check_counts(num_events, num_rows, population)
    if population is None or population > MAX_EXACT_ROWS:
        if num_events == num_rows:
            return 1.0
        return float(special.betaincinv(num_events + 1, num_rows - num_events, 1 - delta))
    low, high = num_events, population - (num_rows - num_events)
    while low < high:  # the largest K with P(X <= k | K) > delta; it falls as K grows
        middle = (low + high + 1) // 2
        if _chances(num_events, population, middle, num_rows)[-1] > delta * _ROUNDING:
            low = middle
        else:
            high = middle - 1
    return low / population if population else 0.0


def lower_bound(num_events: int, num_rows: int, delta: float, *, population: int | None = None) -> float:
    """The share that is fallen short of with probability at most delta: 1 minus the upper bound of all others."""
    return 1 - upper_bound(num_rows - num_events, num_rows, delta, population=population)


def most_events(num_rows: int, epsilon: float, delta: float, *, population: int | None = None) -> int:
    """The largest k with U(k, n; delta) <= epsilon, at most n; -1 where even k = 0 is too few rows.

    U(k) <= epsilon says that every share above epsilon is contradicted, and the smallest of them is the last to be: so
    one distribution function is asked, not one bound for each k.
    """
    check_levels(epsilon, delta)
    _check_counts(0, num_rows, population)
    most = min(num_rows, int(epsilon * num_rows) + 1)
    if population is None or population > MAX_EXACT_ROWS:
        chances = special.bdtr(np.arange(most + 1, dtype=np.float64), num_rows, epsilon)
    else:
        smallest = int(np.floor(epsilon * population)) + 1
        if smallest > population:
            return num_rows
        chances = _chances(most, population, smallest, num_rows)
    return int(np.searchsorted(chances, delta * _ROUNDING, side="right")) - 1


def rows_needed(num_events: int, epsilon: float, delta: float, *, population: int | None = None) -> int:
    """The smallest n for which k events among n rows still give U(k, n; delta) <= epsilon.

    Raises InputError where a population is named and not even all of it would do.
    """
    check_levels(epsilon, delta)
    low, high = num_events, max(16, 2 * num_events)  # low is too few: all of its rows are events
    while population is None or high < population:
        if most_events(high, epsilon, delta, population=population) >= num_events:
            break
        low, high = high, 2 * high
    if population is not None and high >= population:
        high = population
        if num_events > epsilon * population:
            raise InputError(
                f"{num_events} of {population} rows are more than {epsilon:g} of them, however many are read"
            )
    while high - low > 1:
        middle = (low + high) // 2
        if most_events(middle, epsilon, delta, population=population) >= num_events:
            high = middle
        else:
            low = middle
    return high


def _chances(most: int, population: int, num_events: int, num_rows: int) -> npt.NDArray[np.float64]:
    """P(at most i events in so many different rows) for i from 0 to `most`, where the population has `num_events`.

    Binomial coefficients by gammaln, which is infinite where one is 0: scipy.stats takes 40 times as long.
    """
    found, others = np.arange(most + 1, dtype=np.float64), population - num_events
    logs = _log_choose(num_events, found) + _log_choose(others, num_rows - found)
    return np.cumsum(np.exp(logs - _log_choose(population, np.float64(num_rows))))


def _log_choose(total: int, chosen: npt.NDArray[np.float64] | np.float64) -> npt.NDArray[np.float64]:
    return special.gammaln(total + 1) - special.gammaln(chosen + 1) - special.gammaln(total - chosen + 1)


def _check_counts(num_events: int, num_rows: int, population: int | None) -> None:
    if not 0 <= num_events <= num_rows:
        raise InputError(f"{num_events} of {num_rows} rows: a count lies between 0 and the number of rows")
    if population is not None and num_rows > population:
        raise InputError(f"{num_rows} rows were sampled of an archive of {population}; a sample has each row once")
