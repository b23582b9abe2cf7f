"""Courses in a logits processor of vLLM's V1 model runner: it feeds them, and forces what they force.

For each row it keeps the ask's course and, from the raw logits of every step, what the next token will be and how
probable it is over the full vocabulary. A step's token is fed only when vLLM has written it down: rows whose prompt
was read in part have logits, too, and their token is thrown away, so that a number to draw by is kept until then; rows
that were preempted come back with what they had written. A row that is over gets the end of its turn forced, for
drivers that hear of it too late to stop the request themselves.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import LogitsProcessor, process_dict_updates
from vllm.v1.sample.logits_processor.interface import BatchUpdate

from framegate.pipelines.reason.engines.drawing import Draw, draw_token
from framegate.pipelines.reason.engines.vllm.driver_state import DriverState
from framegate.pipelines.reason.engines.vllm.sequence import NO_TOKEN, Row, RunningAsk, TokenTable, begin_packed
from framegate.pipelines.reason.engines.vllm.tokens import load_tokens

EXTRA_ARG = "framegate"
"""The entry of SamplingParams.extra_args: `key`, and the packed `course` where the worker must make its own."""


class CourseProcessor(LogitsProcessor):
    """One per worker. Requests without our entry in their extra_args are left alone."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self._model_config = vllm_config.model_config
        self._is_ahead = vllm_config.scheduler_config.async_scheduling
        self._rows: dict[int, Row] = {}
        self._unfinished: dict[str, Row] = {}  # in the batch or, preempted, outside of it
        self._measured: tuple[list[Row], torch.Tensor] | None = None
        self._tokens: TokenTable | None = None
        self._driver = DriverState.find()
        if self._driver is not None:
            self._tokens = self._driver.tokens
            self._driver.batch = self

    def __len__(self) -> int:
        return len(self._rows)

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Before each forward pass. What the last one wrote is taken first: rows move only after."""
        self.take_new_tokens()
        process_dict_updates(self._rows, batch_update, self._enter)

    def take_new_tokens(self) -> list[Row]:
        """Feed the courses with the tokens of the last step that counted; the rows that got one."""
        if self._measured is None:
            return []
        rows, measured_2B = self._measured
        self._measured = None
        ids, logprobs = measured_2B.tolist()
        taken: list[Row] = []
        for row, token_id, logprob in zip(rows, ids, logprobs, strict=True):
            row.chosen = (int(token_id), logprob)
            if row.take(self._token_table):
                taken.append(row)
                if row.is_over:
                    self._unfinished.pop(row.key, None)
        return taken

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """(batch, vocabulary) float32 logits, masked in place for the rows that are forced."""
        if not self._rows:
            return logits
        places = sorted(self._rows)
        rows = [self._rows[place] for place in places]
        forced = {
            place: token_id
            for place, row in zip(places, rows, strict=True)
            if (token_id := self._forced(row)) is not None or (token_id := _drawn(row, logits[place])) is not None
        }
        self._measured = rows, _measure(logits, places, forced, with_ids=self._is_ahead)
        if forced:
            forced_places = torch.tensor(list(forced), device=logits.device)
            forced_ids = torch.tensor(list(forced.values()), device=logits.device)
            logits[forced_places] = float("-inf")
            logits[forced_places, forced_ids] = 0.0
        return logits

    def _enter(self, params: SamplingParams, prompt_ids: list[int] | None, output_ids: list[int]) -> Row | None:
        """The row of a request that enters the batch: its old one if it was here before."""
        entry = (params.extra_args or {}).get(EXTRA_ARG)
        if entry is None:
            return None
        key: str = entry["key"]
        row = self._unfinished.get(key)
        if row is not None:
            row.output_ids = output_ids
            return row
        # What has written before and is not remembered was over when it was preempted.
        row = Row(key=key, running=None if output_ids else self._begin(entry), output_ids=output_ids)
        if row.running is not None:
            self._unfinished[key] = row
        return row

    def _begin(self, entry: Mapping[str, Any]) -> RunningAsk | None:
        if self._driver is not None:
            return self._driver.running.get(entry["key"])
        return begin_packed(entry["course"])

    def _forced(self, row: Row) -> int | None:
        if row.running is None or row.is_over:
            return min(self._token_table.end_ids)
        return row.running.forced_id

    @property
    def _token_table(self) -> TokenTable:
        if self._tokens is None:
            config = self._model_config
            num_ids = config.hf_config.get_text_config().vocab_size
            _, self._tokens = load_tokens(config.tokenizer, config.tokenizer_revision, num_ids=num_ids)
        return self._tokens


def _drawn(row: Row, logits_V: torch.Tensor) -> int | None:
    """The token that a row's sampling draws; None where it takes the most probable one."""
    if row.running is None or (number := row.running.next_number()) is None:
        return None
    sampling = row.running.sampling
    return int(draw_token(logits_V.float(), Draw(0, sampling.temperature, sampling.top_p, number)))


def _measure(logits: torch.Tensor, places: Sequence[int], forced: Mapping[int, int], *, with_ids: bool) -> torch.Tensor:
    """(2, rows): each row's next token, forced or the likeliest, and its log-probability over the full vocabulary.

    The token is needed only `with_ids`, where vLLM writes it down later than we feed it; finding it costs more than
    all the rest. log_softmax because it is what vLLM reports from, so that whoever follows from outside reads the same,
    and because it takes half the time of logsumexp on a CPU (0.22 of 0.43 ms for 32 rows of 16,384).
    Stays on the device: whoever reads it waits, and by then the step's tokens have been waited for anyhow. Token ids
    are whole numbers below 2^24 in any vocabulary, so that float32 holds them.
    """
    if len(places) != len(logits):
        logits = logits[torch.tensor(places, device=logits.device)]
    logprobs_BV = logits.log_softmax(dim=-1)
    logprobs_B = logprobs_BV.amax(dim=-1)
    ids_B = logits.argmax(dim=-1).float() if with_ids else torch.full_like(logprobs_B, NO_TOKEN)
    for index, place in enumerate(places if forced else ()):
        if place in forced:
            logprobs_B[index] = logprobs_BV[index, forced[place]]
            ids_B[index] = forced[place]
    return torch.stack([ids_B, logprobs_B])
