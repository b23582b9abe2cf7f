"""A Qwen-VL checkpoint, loaded from a folder or by hub name, and what the engine does with it: lay out a clip, see a
video, run a clip's prefix, run rows.

Loaded by `from_pretrained` from a folder of ours, which holds what of the checkpoint is used: safetensors, settings and
the tokenizer (`models.clean_folder`). No code of the checkpoint is run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
import transformers
from transformers import AutoModelForImageTextToText, AutoTokenizer

from framegate.pipelines.reason.asking.prompt import PromptText
from framegate.pipelines.reason.engines.own.device import keep_freed_memory
from framegate.pipelines.reason.engines.own.kv_cache import KeyValueShape
from framegate.pipelines.reason.engines.own.packed import pack_linears, quick_dtype
from framegate.pipelines.reason.engines.own.prefill import TextPass
from framegate.pipelines.reason.engines.own.seen_steps import SeenSteps, VideoFeatures
from framegate.pipelines.reason.engines.own.text_model import Deepstack, TextModel
from framegate.pipelines.reason.engines.own.vision_tower import quicken_tower
from framegate.pipelines.reason.models.clean_folder import make_clean_folder
from framegate.pipelines.reason.models.clip_prefix import (
    ClipPrefix,
    PrefixLength,
    PromptFormat,
    build_prefix,
    measure_prefix,
)
from framegate.pipelines.reason.models.families import find_family
from framegate.pipelines.reason.models.preprocess import ScaledVideo, cut_steps
from framegate.pipelines.reason.models.text_encoder import TextEncoder
from framegate.pipelines.reason.models.vision_grid import read_vision_grid
from framegate.pipelines.reason.models.vocabulary import token_pieces
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config import FramesConfig
from framegate.schemas.errors import EngineError

_log = logging.getLogger(__name__)
_FIXED_PASS_PATCHES = 512  # of a pass of the vision tower where all have one size
_MOST_PASS_PATCHES = 32_768  # elsewhere
_TURN_ENDINGS = ("<|im_end|>", "<|endoftext|>")


class Checkpoint:
    """Model, tokenizer and family of one checkpoint, ready on one device in one dtype."""

    def __init__(self, name: str, *, revision: str | None, dtype: str, device: str) -> None:
        grid = read_vision_grid(name, revision)
        self.device = torch.device(device)
        transformers.logging.disable_progress_bar()
        where = str(make_clean_folder(name, revision))
        source: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
        try:
            loader: Any = AutoModelForImageTextToText
            model, loading = loader.from_pretrained(
                where,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                attn_implementation="sdpa",
                output_loading_info=True,
                **source,
            )
            self.tokenizer = AutoTokenizer.from_pretrained(where, **source)
            self._encoder = TextEncoder(self.tokenizer)
        except EngineError:
            raise
        except Exception as error:  # whatever a library raises for a setting that it does not know
            said = _first_line(error).replace(where, name)
            raise EngineError(f"model '{name}' cannot be loaded: {said}") from error
        if missing := sorted(loading["missing_keys"]):  # they would be drawn at random
            raise EngineError(f"the weights of model '{name}' lack {len(missing)} tensors, among them {missing[0]}")
        if self.device.type == "cpu" and dtype == "bfloat16" and quick_dtype() != dtype:
            _log.warning("this processor has no kernels for bfloat16: model.dtype: float32 is several times as fast")
        loaded = cast(Any, model).to(self.device).eval()
        quicken_tower(loaded.model.visual)
        try:
            self._text_model = TextModel(loaded.model.language_model)
        except EngineError as error:
            raise EngineError(f"model '{name}' cannot be run: {error}") from error
        pack_linears(self._text_model)
        pack_linears(loaded)
        if self.device.type == "cpu":
            keep_freed_memory()  # not before: what loading has freed is given back
        elif self.device.type == "cuda":
            torch.cuda.empty_cache()  # fused weights do not fit where their parts lay: several GiB of a 7B
        self._model = loaded
        config = loaded.config
        text = config.get_text_config()
        self.max_positions: int = text.max_position_embeddings
        self.kv_shape = KeyValueShape(
            num_layers=self._text_model.num_layers,
            num_heads=self._text_model.num_kv_heads,
            head_size=self._text_model.head_size,
            dtype=getattr(torch, dtype),
        )
        self.prompt_format = PromptFormat(
            family=find_family(config.model_type, name),
            grid=grid,
            positions_per_second=float(getattr(config.vision_config, "tokens_per_second", 1)),
            video_token_id=config.video_token_id,
            encode=self.encode,
        )
        self.end_ids = self._find_end_ids()
        self.pieces = token_pieces(
            self.tokenizer.get_vocab(),
            {token_id: token.content for token_id, token in self.tokenizer.added_tokens_decoder.items()},
            num_ids=text.vocab_size,
        )

    def encode(self, text: str | PromptText) -> list[int]:
        """The token ids of a text. Special tokens are written in it by their names, but in what a person wrote."""
        return self._encoder(text)

    def measure(
        self, frames: FrameBatch, clip_start_seconds: float, *, system_prompt: str, limits: FramesConfig
    ) -> PrefixLength:
        """How long the prefix is that `lay_out` gives. Raises ValueError, EngineError."""
        return measure_prefix(
            frames, clip_start_seconds, system_prompt=system_prompt, prompt_format=self.prompt_format, limits=limits
        )

    def lay_out(
        self, frames: FrameBatch, clip_start_seconds: float, *, system_prompt: str, limits: FramesConfig
    ) -> ClipPrefix:
        """A clip's prefix, its video scaled. Raises ValueError, EngineError."""
        return build_prefix(
            frames,
            clip_start_seconds,
            system_prompt=system_prompt,
            prompt_format=self.prompt_format,
            limits=limits,
            device=self.device,
        )

    @torch.inference_mode()
    def see(self, videos: Sequence[ScaledVideo], seen: SeenSteps | None = None) -> list[VideoFeatures]:
        """Run the vision tower over what is new of some clips: its output for each. Without `seen` all is new."""
        return (seen or SeenSteps()).see(videos, self._run_tower)

    def _run_tower(self, steps_SFHWC: np.ndarray) -> tuple[torch.Tensor, ...]:
        """As `seen_steps.RunTower`.

        A matrix product of another size may add up in another order, and then a step would differ in its last bits by
        what it is run with. On the CPU and in float32 all passes have one size: a step has the same features in each.
        """
        grid = self.prompt_format.grid
        num_steps, _, height, width, _ = steps_SFHWC.shape
        rows, columns = height // grid.patch, width // grid.patch
        is_fixed = self.device.type == "cpu" or self.kv_shape.dtype == torch.float32
        each = max(1, (_FIXED_PASS_PATCHES if is_fixed else _MOST_PASS_PATCHES) // (rows * columns))
        passes: list[list[torch.Tensor]] = []
        for start in range(0, num_steps, each):
            part = steps_SFHWC[start : start + each]
            missing = each - len(part) if is_fixed else 0
            if missing:
                part = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
            pixels_ND = cut_steps(part, family=self.prompt_format.family, grid=grid, device=self.device)
            grid_13 = torch.tensor([[len(part), rows, columns]], device=self.device)
            seen = self._model.model.get_video_features(pixels_ND, grid_13, return_dict=True)
            levels = [seen.pooler_output, *(getattr(seen, "deepstack_features", None) or ())]
            passes.append([level[0].unflatten(0, (len(part), -1))[: len(part) - missing] for level in levels])
        return tuple(torch.cat(level) for level in zip(*passes, strict=True))

    @torch.inference_mode()
    def prefill_prefixes(
        self, prefixes: Sequence[ClipPrefix], features: Sequence[VideoFeatures], prefix_pass: TextPass
    ) -> None:
        """Run some clips' prefixes, one packed behind the other; the pass keeps their keys and values."""
        token_ids_N = torch.tensor([token_id for prefix in prefixes for token_id in prefix.token_ids])
        places_V = (token_ids_N == self.prompt_format.video_token_id).nonzero()[:, 0].to(self.device)
        embedded_ND = self._text_model.embed(token_ids_N.to(self.device))
        features_VD = torch.cat([video.features_VD for video in features])
        embedded_ND.index_copy_(0, places_V, features_VD.to(embedded_ND.dtype))
        levels = zip(*(video.deepstack_LVD for video in features), strict=True)
        deepstack = Deepstack(places_V=places_V, levels_LVD=[torch.cat(level) for level in levels])
        positions_3N = torch.cat([prefix.positions_3P for prefix in prefixes], dim=1)
        self._text_model(embedded_ND, positions_3N.to(self.device), prefix_pass, deepstack)

    @torch.inference_mode()
    def run_rows(
        self, tokens_2N: torch.Tensor, rows_pass: TextPass, last_B: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Add packed text, token ids and positions, to running rows: logits (B, vocabulary).

        They belong to the tokens at places `last_B`, or to every token.
        """
        hidden_ND = self._text_model(self._text_model.embed(tokens_2N[0]), tokens_2N[1].expand(3, -1), rows_pass)
        return self._model.lm_head(hidden_ND if last_B is None else hidden_ND[last_B])

    def finish_rows(self, attended_BA: torch.Tensor, hidden_BD: torch.Tensor) -> torch.Tensor:
        """Logits (B, vocabulary) from the last layer's attention on. Can be differentiated by `attended_BA`."""
        return self._model.lm_head(self._text_model.finish(attended_BA, hidden_BD))

    def _find_end_ids(self) -> frozenset[int]:
        declared = self._model.generation_config.eos_token_id
        ids = set(declared if isinstance(declared, list) else [declared])
        ids |= {self.tokenizer.convert_tokens_to_ids(ending) for ending in _TURN_ENDINGS}
        return frozenset(token_id for token_id in ids if token_id is not None)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
