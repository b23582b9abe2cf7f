"""Cuts, fades and dissolves in a row of thumbnails: the places where one scene ends and another begins.

Pure functions over pixels. `infra/log.md` has the comparison with PySceneDetect.

    change(i, lag)   mean absolute difference of thumbnails i and i - lag over pixels and Y, Cb, Cr, of 0 to 1
    cut              one change at once: far above the motion around it, and the picture before does not come back
    dissolve, fade   one change over a second between two quiet seconds
"""

from __future__ import annotations

import numpy as np

# All in thumbnails, 8 of which are a second.
NEIGHBOURS = 8  # on either side of a cut: the motion that the cut must exceed
FLASH = 2  # a picture that is back after at most so many: a flash of light, not a cut
HALF = 4  # a dissolve is compared from so far before its middle to so far behind it
QUIET = 8  # before and after a dissolve, the picture hardly changes over so many
SHORTEST = 8  # of two cuts closer than this, the clearer one counts: the steps of a fast fade are one cut
APART = 12  # the same for dissolves, and for a dissolve beside a cut
CONTEXT = 30  # thumbnails further away do not matter for a cut: APART + SHORTEST + NEIGHBOURS + 2

MOTION_RATIO = 2.0  # how far a cut must stand out from the changes around it
QUIET_RATIO = 2.0  # and a dissolve from those on either side
RETURN_RATIO = 0.5  # a picture is back if it differs from the old one by less than this much of the change


def find_cuts(thumbnails_THWC: np.ndarray, threshold: float) -> np.ndarray:
    """Which thumbnails, uint8 RGB, begin a scene (bool, (T,)): the first after a cut, the middle of a dissolve.

    `threshold` is the least `change` that counts, over one thumbnail for a cut and over a second for a dissolve; black
    to white is 1/3. Thumbnails further away than CONTEXT have no say.
    """
    pixels = _to_ycbcr(thumbnails_THWC)
    is_cut = _clearest(_hard_cuts(pixels, threshold), within=SHORTEST)
    is_dissolve = _clearest(_dissolves(pixels, threshold), within=APART)
    for i in np.flatnonzero(is_dissolve):
        is_dissolve[i] = not is_cut[max(0, i - APART) : i + APART + 1].any()
    return is_cut | is_dissolve


def _hard_cuts(pixels_THWC: np.ndarray, threshold: float) -> np.ndarray:
    """The change at each thumbnail where it is a cut, else 0."""
    num = len(pixels_THWC)
    change = _change(pixels_THWC, lag=1)
    over = {lag: _change(pixels_THWC, lag=lag) for lag in range(2, FLASH + 2)}
    clearness = np.zeros(num)
    for i in np.flatnonzero(change >= threshold):
        sides = change[max(1, i - NEIGHBOURS) : i], change[i + 1 : i + 1 + NEIGHBOURS]
        if change[i] < MOTION_RATIO * max((side.mean() for side in sides if len(side)), default=0.0):
            continue
        # Does a later picture look like the one before, or an earlier one like this? Then a flash begins or ends here.
        returns = [over[lag][i + lag - 1] for lag in over if i + lag - 1 < num]
        returns += [over[lag][i] for lag in over if i >= lag]
        if min(returns, default=np.inf) >= RETURN_RATIO * change[i]:
            clearness[i] = change[i]
    return clearness


def _dissolves(pixels_THWC: np.ndarray, threshold: float) -> np.ndarray:
    """By how much the change around each thumbnail exceeds the motion beside it, where it is a dissolve; else 0."""
    num = len(pixels_THWC)
    clearness = np.zeros(num)
    middles = np.arange(HALF + QUIET, num - HALF - QUIET)
    if len(middles):
        quiet = _change(pixels_THWC, lag=QUIET)
        change = _change(pixels_THWC, lag=2 * HALF)[middles + HALF]
        motion = np.maximum(quiet[middles - HALF], quiet[middles + HALF + QUIET])
        is_clear = (change >= threshold) & (change >= QUIET_RATIO * motion)
        clearness[middles] = np.where(is_clear, change - motion, 0.0)
    return clearness


def _clearest(clearness: np.ndarray, *, within: int) -> np.ndarray:
    """Which values above 0 are the largest within so many thumbnails on either side; the first of equals."""
    is_clearest = np.zeros(len(clearness), dtype=bool)
    for i in np.flatnonzero(clearness):
        start = max(0, i - within)
        is_clearest[i] = start + clearness[start : i + within + 1].argmax() == i
    return is_clearest


def _change(pixels_THWC: np.ndarray, *, lag: int) -> np.ndarray:
    change = np.zeros(len(pixels_THWC))
    if len(pixels_THWC) > lag:
        change[lag:] = np.abs(pixels_THWC[lag:] - pixels_THWC[:-lag]).mean(axis=(1, 2, 3)) / 255
    return change


def _to_ycbcr(thumbnails_THWC: np.ndarray) -> np.ndarray:
    """Full-range ITU-R BT.601, without the offset of Cb and Cr; float32."""
    matrix = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=np.float32
    )
    return thumbnails_THWC.astype(np.float32) @ matrix.T
