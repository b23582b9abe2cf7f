"""One vLLM engine in this process, with our logits processor inside: requests in, tokens fed to their courses.

On one device, driver and worker share the process and the courses themselves. Where workers run in processes of their
own (tensor or pipeline parallel), each has its own copy of a course, and the driver follows by replaying the tokens
with vLLM's raw log-probabilities.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch

from framegate.pipelines.reason.engines.vllm.arguments import check_arguments, complete_arguments
from framegate.pipelines.reason.engines.vllm.driver_state import DriverState
from framegate.pipelines.reason.engines.vllm.loading import build_llm, count_key_value_bytes, import_vllm
from framegate.pipelines.reason.engines.vllm.sequence import Encoded, RunningAsk, begin, pack_course
from framegate.pipelines.reason.models.clean_folder import make_clean_folder
from framegate.pipelines.reason.models.clip_prefix import PromptFormat
from framegate.pipelines.reason.models.families import find_family
from framegate.pipelines.reason.models.vision_grid import read_vision_grid
from framegate.pipelines.reason.strategies.protocol import Course, Sampling
from framegate.schemas.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class Step:
    """Keys of requests: `advanced` got a token, `ended` were given up by vLLM before their courses were over."""

    advanced: list[str]
    ended: list[str]


class VllmModel:
    """A checkpoint in vLLM. Building it loads the weights; `close` gives the memory back.

    vLLM keeps its process groups in global variables: there is one model per process, and building the next one closes
    the one before.
    """

    _living: ClassVar[weakref.ReferenceType[VllmModel] | None] = None

    def __init__(
        self,
        name: str,
        *,
        revision: str | None,
        dtype: str,
        context_tokens: int,
        clip_tokens: int,
        engine_args: Mapping[str, Any],
    ) -> None:
        """Raises EngineError in one sentence for arguments or a model that vLLM cannot run."""
        self.grid = read_vision_grid(name, revision)
        import_vllm()
        from transformers import AutoConfig
        from vllm.engine.arg_utils import EngineArgs
        from vllm.platforms import current_platform
        from vllm.v1.engine.core_client import InprocClient

        from framegate.pipelines.reason.engines.vllm.tokens import load_tokens

        check_arguments(engine_args, [field.name for field in fields(EngineArgs) if not field.name.startswith("_")])
        where = str(make_clean_folder(name, revision))
        config = AutoConfig.from_pretrained(where, trust_remote_code=False, local_files_only=True)
        text = config.get_text_config()
        self.dtype: torch.dtype = getattr(torch, dtype)
        encode, self.tokens = load_tokens(where, name, num_ids=text.vocab_size)
        self.format = PromptFormat(
            family=find_family(config.model_type, name),
            grid=self.grid,
            positions_per_second=float(getattr(config.vision_config, "tokens_per_second", 1)),
            video_token_id=config.video_token_id,
            encode=encode,
        )
        arguments = complete_arguments(
            engine_args,
            is_cpu=current_platform.is_cpu(),
            context_tokens=context_tokens,
            max_context_tokens=text.max_position_embeddings,
            clip_tokens=clip_tokens,
            key_value_bytes=count_key_value_bytes(text, self.dtype.itemsize),
            free_bytes=os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        )
        if VllmModel._living is not None and (previous := VllmModel._living()) is not None:
            with suppress(Exception):  # it may have died; nothing of it is needed any more
                previous.close()
        self._state = DriverState(self.tokens)
        with self._state.published():
            self._llm: Any = build_llm(
                where,
                name=name,
                dtype=dtype,
                arguments=arguments,
                # vLLM looks at a model class in a process of its own, where torchvision may be of no use.
                architectures=(config.architectures or []) if current_platform.is_cpu() else [],
            )
        VllmModel._living = weakref.ref(self)
        scheduler = self._llm.vllm_config.scheduler_config
        self.max_num_sequences: int = scheduler.max_num_seqs
        self.max_context_tokens: int = self._llm.model_config.max_model_len
        # Where VLLM_ENABLE_V1_MULTIPROCESSING asks for it, the core is a process of its own, which steps by itself.
        self._is_core_here = isinstance(self._llm.engine_core, InprocClient)
        self._internal_ids: dict[str, str] = {}

    @property
    def is_shared(self) -> bool:
        """Whether the worker is in this process and feeds the driver's own courses."""
        return self._state.batch is not None

    def start(
        self,
        key: str,
        prompt: Any,
        make_course: Callable[[], Course],
        encoded: Encoded,
        *,
        max_tokens: int,
        sampling: Sampling | None = None,
    ) -> RunningAsk:
        """Hand a request over. Raises what `make_course` raises, and for what vLLM does not take."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        from framegate.pipelines.reason.engines.vllm.processor import EXTRA_ARG

        entry: dict[str, Any] = {"key": key}
        if not self.is_shared:
            entry["course"] = pack_course(make_course, encoded, max_tokens, sampling)
        params = SamplingParams(
            temperature=0.0,  # what is drawn, our processor draws
            max_tokens=max_tokens + 1,  # the end of the turn that is forced when a course is over
            # The course decides when it is over. Out there, the end that is forced then ends the request.
            ignore_eos=True,
            stop_token_ids=None if self.is_shared else sorted(self.tokens.end_ids),
            logprobs=None if self.is_shared else 0,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY if self.is_shared else RequestOutputKind.DELTA,
            extra_args={EXTRA_ARG: entry},
            skip_clone=True,
        )
        running = self._state.running[key] = begin(make_course, encoded, max_tokens, sampling)
        try:
            self._internal_ids[key] = self._llm.add_request(key, prompt, params)
        except Exception:
            del self._state.running[key]
            raise
        return running

    def stop(self, keys: Sequence[str]) -> None:
        """Forget these requests. What is finished writes not one more token where one process holds all."""
        self._llm.abort_request([self._internal_ids.pop(key) for key in keys], internal=True)
        for key in keys:
            del self._state.running[key]

    def step(self) -> Step:
        """One forward pass over what has been started and not stopped; call it while there is something."""
        if self._llm is None:
            raise EngineError("this vLLM engine is closed; only the newest one of a process can run")
        outputs = self._llm.step()
        if self._state.batch is not None:
            advanced = [row.key for row in self._state.batch.take_new_tokens()]
        else:
            advanced = [output.request_id for output in outputs if self._replay(output)]
        running = self._state.running
        ended = [
            output.request_id
            for output in outputs
            if output.finished and (one := running.get(output.request_id)) is not None and not one.is_over
        ]
        return Step(advanced=advanced, ended=ended)

    def clear(self) -> None:
        """Call when nothing runs any more: a worker lets go of a request, frames included, with the step after it."""
        if self._is_core_here:
            self._llm.step()

    def close(self) -> None:
        """Stop the workers and give memory back; nothing can be asked afterwards. A second call does nothing."""
        llm, self._llm = self._llm, None
        if llm is None:
            return
        self._state.batch = None
        try:
            llm.engine_core.shutdown()
        finally:
            del llm
            gc.collect()  # model and runner hold each other; the next model needs the memory now
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _replay(self, output: Any) -> bool:
        """Feed a course whose worker is elsewhere with what vLLM reports. True where there was something."""
        running = self._state.running.get(output.request_id)
        completion = output.outputs[0]
        if running is None or not completion.token_ids:
            return False
        for token_id, logprobs in zip(completion.token_ids, completion.logprobs, strict=True):
            if not running.is_over:
                running.feed(self.tokens.make_token(token_id, logprobs[token_id].logprob))
        return True
