"""Files as archives hold them, and files made to hurt, each under a name that ends in `.mp4`, whatever it is."""

from __future__ import annotations

from tests.decode.corpus_bad import CUT, DAMAGED, NO_VIDEO, TOO_LARGE
from tests.decode.corpus_good import CONTAINERS, SHAPES, TIMES

CASES = [*CONTAINERS, *SHAPES, *TIMES, *CUT, *DAMAGED, *TOO_LARGE, *NO_VIDEO]
