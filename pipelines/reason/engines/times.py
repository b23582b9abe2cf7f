"""What an engine did with its time, for benchmarks. Seconds are wall time of the thread that drives the engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class EngineTimes:
    """Sums since the engine was built.

    vision_seconds    frames to the vision tower's output, preprocessing included
    prefill_seconds   clips' prefixes and questions' suffixes through the language model
    answer_seconds    steps of one token each, the share of rows that do not think (yet)
    think_seconds     the same for rows that think
    num_steps         such steps; `num_step_rows` sums their rows, `num_step_keys` the tokens whose keys they read at
                      least, a clip's prefix once, `num_step_row_keys` the same with a prefix once for each of its rows,
                      `num_step_thinkers` the rows that think
    num_prefill_tokens, num_patches   what went through the language model in prefills, and through the vision tower
    num_video_steps   temporal steps of clips that were prefilled, and `num_reused_video_steps` those of them that took
                      the features of an equal step and did not go through the vision tower
    """

    vision_seconds: float = 0.0
    prefill_seconds: float = 0.0
    answer_seconds: float = 0.0
    think_seconds: float = 0.0
    num_steps: int = 0
    num_step_rows: int = 0
    num_step_thinkers: int = 0
    num_step_keys: int = 0
    num_step_row_keys: int = 0
    num_prefill_tokens: int = 0
    num_patches: int = 0
    num_video_steps: int = 0
    num_reused_video_steps: int = 0
