"""Train the dock model from nothing: one loop, resumable, bfloat16 autocast, fixed seeds.

Clips grow from short to long while training goes on; the learning rate warms up, stays, and falls to zero over the
last part. Matrices inside the blocks learn by Muon, everything else by AdamW.
Knows nothing of engines and of evaluation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import PreTrainedTokenizerFast, Qwen3VLForConditionalGeneration
from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb_vision

from pipelines.dock.lessons import Example, FrameLibrary, Lessons
from pipelines.dock.world import MAX_CRATES, MIN_CRATES


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a training run depends on; the same recipe on the same machine gives the same weights."""

    num_steps: int = 6000
    batch_tokens: int = 12288
    matrix_rate: float = 0.01
    other_rate: float = 2e-3
    num_warmup_steps: int = 60
    share_of_decay: float = 0.4
    share_of_growth: float = 0.4  # by this share of the steps clips have grown to MAX_CRATES
    first_max_crates: int = 5
    library_clips: int = 240
    seed: int = 1
    batches_per_pool: int = 16

    def rate(self, step: int) -> float:
        """The learning rate of `step` as a factor of its peak."""
        decay_start = self.num_steps * (1 - self.share_of_decay)
        fall = (self.num_steps - step) / (self.num_steps - decay_start) if step > decay_start else 1.0
        return min(1.0, (step + 1) / self.num_warmup_steps) * fall

    def max_crates(self, step: int) -> int:
        grown = min(1.0, step / (self.num_steps * self.share_of_growth))
        return self.first_max_crates + round(grown * (MAX_CRATES - self.first_max_crates))


def look(visual: torch.nn.Module, patches: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The vision tower over P frame pairs of 4 patches each, as one batch; equals `visual.forward` pair by pair.

    The tower's own forward attends to every frame pair in a loop, which costs more than the attention itself here.
    Returns the video tokens (P, hidden) and the deepstack features, one (P, hidden) per level.
    """
    num_pairs, num_patches, _ = patches.shape
    side = math.isqrt(num_patches)
    rows = torch.arange(side).repeat_interleave(side)
    columns = torch.arange(side).repeat(side)
    table = math.isqrt(visual.pos_embed.weight.shape[0])
    corners = (rows * (table - 1) // (side - 1)) * table + columns * (table - 1) // (side - 1)
    hidden = visual.patch_embed(patches.reshape(num_pairs * num_patches, -1)).view(num_pairs, num_patches, -1)
    hidden = hidden + visual.pos_embed.weight[corners]
    cos, sin = visual.rotary_pos_emb(hidden, torch.stack([rows, columns], dim=-1))
    features = []
    for layer, block in enumerate(visual.blocks):
        attention = block.attn
        query, key, value = (
            attention.qkv(block.norm1(hidden)).view(num_pairs, num_patches, 3, attention.num_heads, -1).unbind(2)
        )
        query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
        mixed = scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        hidden = hidden + attention.proj(mixed.transpose(1, 2).flatten(2))
        hidden = hidden + block.mlp(block.norm2(hidden))
        if layer in visual.deepstack_visual_indexes:
            merger = visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(layer)]
            features.append(merger(hidden.flatten(0, 1)))
    return visual.merger(hidden.flatten(0, 1)), features


def weighted_loss(
    model: Qwen3VLForConditionalGeneration, batch: list[Example], patches: torch.Tensor, video_token: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The mean loss over weighted tokens; also losses, hits and weights of the single tokens, for the log."""
    length = max(len(example.tokens) for example in batch)
    tokens = torch.zeros(len(batch), length, dtype=torch.long)
    weights = torch.zeros(len(batch), length)
    owners = torch.full((len(batch), length), -1)
    positions = torch.zeros(len(batch), length, dtype=torch.long)
    for row, example in enumerate(batch):
        end = len(example.tokens)
        tokens[row, :end] = torch.tensor(example.tokens)
        weights[row, :end] = torch.tensor(example.weights)
        owners[row, :end] = torch.tensor(example.owners)
        positions[row, :end] = torch.tensor(example.positions)
    seen = tokens == video_token
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    visible = causal & ((owners[:, None, :] == 0) | (owners[:, None, :] == owners[:, :, None]))
    text_model = model.model.language_model
    with torch.autocast("cpu", dtype=torch.bfloat16):
        video, features = look(model.model.visual, patches[[pair for example in batch for pair in example.pairs]])
        embedded = text_model.embed_tokens(tokens).masked_scatter(seen[..., None], video.float())
        hidden = text_model(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask=visible[:, None],
            visual_pos_masks=seen,
            deepstack_visual_embeds=features,
            use_cache=False,
        ).last_hidden_state
        wanted = weights[:, 1:] > 0
        logits = model.lm_head(hidden[:, :-1][wanted])
    targets = tokens[:, 1:][wanted]
    losses = cross_entropy(logits.float(), targets, reduction="none")
    token_weights = weights[:, 1:][wanted]
    loss = (losses * token_weights).sum() / token_weights.sum()
    return loss, losses.detach(), (logits.argmax(-1) == targets).detach(), token_weights


def make_optimizers(model: torch.nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        inside = parameter.ndim == 2 and ("layers." in name or "blocks." in name or "merger" in name)
        (matrices if inside else others).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=recipe.matrix_rate, momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=recipe.other_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train(
    model: Qwen3VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    *,
    state_file: Path | None,
    on_step: Callable[[dict[str, float]], None],
    save_every: int = 250,
) -> None:
    """Train `model` in place. With a `state_file` the run goes on where an earlier one of the same recipe stopped."""
    library = FrameLibrary(num_clips=recipe.library_clips, seed=recipe.seed)
    optimizers = make_optimizers(model, recipe)
    step = 0
    if state_file is not None and state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step = state["step"]
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    peaks = [[recipe.matrix_rate], [recipe.other_rate]] if step else peaks
    model.train()
    while step < recipe.num_steps:
        # A pool's stream is seeded by its first step, so that a resumed run draws what an unbroken one would.
        lessons = Lessons(tokenizer, library, seed=recipe.seed * 1_000_003 + step)
        pool = lessons.batches(
            min_crates=MIN_CRATES,
            max_crates=recipe.max_crates(step),
            max_tokens=recipe.batch_tokens,
            num_batches=recipe.batches_per_pool,
        )
        for batch in pool:
            started = time.perf_counter()
            factor = recipe.rate(step)
            for optimizer, rates in zip(optimizers, peaks, strict=True):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
            loss, losses, hits, weights = weighted_loss(model, batch, library.patches, lessons.video_token)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            record = {"step": step, "loss": loss.item(), "norm": norm.item(), "max_crates": recipe.max_crates(step)}
            for name, weight in (("first_perception", 4.0), ("first_multi", 0.7), ("second", 2.0), ("thought", 1.0)):
                chosen = weights == weight
                if chosen.any():
                    record[name] = hits[chosen].float().mean().item()
                    record[name + "_loss"] = losses[chosen].mean().item()
            record["seconds"] = time.perf_counter() - started
            record["examples"] = len(batch)
            on_step(record)
            step += 1
            if step >= recipe.num_steps:
                break
        if state_file is not None and (step // recipe.batches_per_pool) % max(1, save_every // recipe.batches_per_pool) == 0:
            _save_state(state_file, model, optimizers, step)
    if state_file is not None:
        _save_state(state_file, model, optimizers, step)


def _save_state(state_file: Path, model: torch.nn.Module, optimizers: list[torch.optim.Optimizer], step: int) -> None:
    partial = state_file.with_suffix(".partial")
    torch.save(
        {"model": model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers], "step": step},
        partial,
    )
    partial.replace(state_file)
