"""A Qwen-VL checkpoint, loaded from a folder or by hub name, and the three things that the engine does with it.

Real `from_pretrained`: safetensors only, no code from the checkpoint is run. Knows nothing of sequences, slots' owners
or the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoTokenizer, DynamicCache

from pipelines.reason.engines import attention
from pipelines.reason.engines.families import find_family
from pipelines.reason.engines.folders import model_folder
from pipelines.reason.engines.grid import read_vision_grid
from pipelines.reason.engines.preprocess import VideoPatches
from pipelines.reason.engines.slots import LayerKV, SlotView
from pipelines.reason.engines.vocabulary import token_pieces
from schemas.errors import EngineError

_TURN_ENDINGS = ("<|im_end|>", "<|endoftext|>")


class Checkpoint:
    """Model, tokenizer and family of one checkpoint, ready on one device in one dtype."""

    def __init__(self, name: str, *, revision: str | None, dtype: str, device: str) -> None:
        self.grid = read_vision_grid(name, revision)
        self.device = torch.device(device)
        attention.register()
        transformers.logging.disable_progress_bar()
        where = str(model_folder(name) or name)
        source: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
        try:
            model = AutoModelForImageTextToText.from_pretrained(
                where,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                attn_implementation=attention.NAME,
                **source,
            )
            self.tokenizer = AutoTokenizer.from_pretrained(where, **source)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise EngineError(f"model '{name}' cannot be loaded: {_first_line(error)}") from error
        self._model = cast(Any, model).to(self.device).eval()
        config = self._model.config
        self.family = find_family(config.model_type, name)
        self.positions_per_second = float(getattr(config.vision_config, "tokens_per_second", 1))
        self.video_token_id: int = config.video_token_id
        self.end_ids = self._find_end_ids()
        self.pieces = token_pieces(
            self.tokenizer.get_vocab(),
            {token_id: token.content for token_id, token in self.tokenizer.added_tokens_decoder.items()},
            num_ids=config.get_text_config().vocab_size,
        )

    def encode(self, text: str) -> list[int]:
        """The token ids of a text in which special tokens stand by their names."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    @torch.inference_mode()
    def prefill_prefix(
        self, token_ids: Sequence[int], positions_3P: torch.Tensor, patches: VideoPatches
    ) -> list[LayerKV]:
        """Run a clip's prefix, video included; the keys and values of every layer."""
        cache = DynamicCache(config=self._model.config.get_text_config())
        self._model.model(
            input_ids=torch.tensor([token_ids], device=self.device),
            position_ids=positions_3P[:, None].to(self.device),
            pixel_values_videos=patches.pixels_ND,
            video_grid_thw=torch.tensor([patches.grid_thw], device=self.device),
            past_key_values=cache,
            use_cache=True,
        )
        return [(layer.keys, layer.values) for layer in cast(Any, cache).layers]

    @torch.inference_mode()
    def run_text(
        self, token_ids_BT: torch.Tensor, positions_BT: torch.Tensor, last_B: torch.Tensor, view: SlotView
    ) -> torch.Tensor:
        """Add text to open slots: float32 logits (B, vocabulary) after token last_B[i] of each row."""
        language_model = self._model.model.language_model
        hidden_BTD = language_model(
            inputs_embeds=language_model.embed_tokens(token_ids_BT),
            position_ids=positions_BT.expand(3, -1, -1),
            attention_mask=view.mask,
            past_key_values=view,
            use_cache=False,
        ).last_hidden_state
        rows = torch.arange(len(last_B), device=self.device)
        return self._model.lm_head(hidden_BTD[rows, last_B]).float()

    def _find_end_ids(self) -> frozenset[int]:
        declared = self._model.generation_config.eos_token_id
        ids = set(declared if isinstance(declared, list) else [declared])
        ids |= {self.tokenizer.convert_tokens_to_ids(ending) for ending in _TURN_ENDINGS}
        return frozenset(token_id for token_id in ids if token_id is not None)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
