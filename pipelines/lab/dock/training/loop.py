"""The training loop of the dock model: resumable, bfloat16 autocast, fixed seeds.

Clips grow longer while training goes on. The learning rate warms up, stays level, and falls to zero in the last part.
Matrices inside the blocks learn by Muon, everything else by AdamW.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast

from framegate.pipelines.lab.dock.training.frame_library import FrameLibrary
from framegate.pipelines.lab.dock.training.lessons import ROLE_WEIGHTS, Batch, Lessons, Role, collate
from framegate.pipelines.lab.dock.training.vision import look
from framegate.pipelines.lab.dock.world.scene import MAX_CRATES, MIN_CRATES
from framegate.pipelines.reason.engines.own.packed import can_pack


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a training run depends on; the same recipe on the same machine and threads gives the same weights."""

    num_steps: int = 1400
    batch_tokens: int = 8192
    matrix_rate: float = 0.01
    other_rate: float = 2e-3
    vision_factor: float = 0.2  # of both rates, inside the vision tower
    num_warmup_steps: int = 60
    share_of_decay: float = 0.4
    share_of_growth: float = 0.3  # by this share of the steps clips have grown to MAX_CRATES
    first_max_crates: int = 5
    library_clips: int = 240
    batches_per_pool: int = 16
    seed: int = 1

    def rate(self, step: int) -> float:
        """The learning rate of `step` as a factor of its peak: up, level, and down to zero in straight lines."""
        decay_start = self.num_steps * (1 - self.share_of_decay)
        fall = (self.num_steps - step) / (self.num_steps - decay_start) if step > decay_start else 1.0
        return min(1.0, (step + 1) / self.num_warmup_steps) * fall

    def max_crates(self, step: int) -> int:
        """The longest clips of `step`."""
        grown = min(1.0, step / (self.num_steps * self.share_of_growth))
        return self.first_max_crates + round(grown * (MAX_CRATES - self.first_max_crates))


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One step as the log shows it. `accuracy` and `loss_by_role` hold the roles that occurred."""

    step: int
    loss: float
    gradient_norm: float
    max_crates: int
    seconds: float
    accuracy: dict[Role, float]
    loss_by_role: dict[Role, float]


def train(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    *,
    state_file: Path,
    on_step: Callable[[StepRecord], None],
    save_every: int = 240,
) -> None:
    """Train `model` in place, saving to `state_file` about every `save_every` steps and at the end.

    Where the file is there already, the run goes on from it as if it had not been broken off. The file must be of the
    same recipe; a ValueError says which values differ.
    """
    library = FrameLibrary(num_clips=recipe.library_clips, seed=recipe.seed)
    optimizers = _make_optimizers(model, recipe)
    step = _load_state(state_file, model, optimizers, recipe) if state_file.exists() else 0
    saved_at = step
    video_token = int(model.config.video_token_id)
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
        for examples in pool:
            if step == recipe.num_steps:
                break
            started = time.perf_counter()
            for optimizer, peak in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = peak * recipe.rate(step)
            batch = collate(examples)
            loss, losses, hits = _weighted_loss(model, batch, library.patches, video_token)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer, _ in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            roles = _wanted_roles(batch)
            on_step(
                StepRecord(
                    step=step,
                    loss=loss.item(),
                    gradient_norm=norm.item(),
                    max_crates=recipe.max_crates(step),
                    seconds=time.perf_counter() - started,
                    accuracy={role: hits[roles == role].float().mean().item() for role in Role if role in roles},
                    loss_by_role={role: losses[roles == role].mean().item() for role in Role if role in roles},
                )
            )
            step += 1
        if step - saved_at >= save_every or step == recipe.num_steps:
            _save_state(state_file, model, optimizers, recipe, step)
            saved_at = step


def _weighted_loss(
    model: Any, batch: Batch, patches_PND: torch.Tensor, video_token: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The weighted mean loss, and the losses and hits of the single wanted tokens for the log."""
    text_model = model.model.language_model
    seen = batch.tokens_BT == video_token
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=can_pack()):  # many times slower without such kernels
        video, levels = look(model.model.visual, patches_PND[batch.pairs])
        embedded = text_model.embed_tokens(batch.tokens_BT).masked_scatter(seen[..., None], video.float())
        hidden = text_model(
            inputs_embeds=embedded,
            position_ids=batch.positions_BT,
            attention_mask=batch.visible_B1TT,
            visual_pos_masks=seen,
            deepstack_visual_embeds=levels,
            use_cache=False,
        ).last_hidden_state
        wanted = batch.roles_BT[:, 1:] != Role.GIVEN
        logits = model.lm_head(hidden[:, :-1][wanted]).float()
    targets = batch.tokens_BT[:, 1:][wanted]
    losses = cross_entropy(logits, targets, reduction="none")
    weights = torch.tensor([ROLE_WEIGHTS[role] for role in Role])[_wanted_roles(batch)]
    return (losses * weights).sum() / weights.sum(), losses.detach(), logits.argmax(-1) == targets


def _wanted_roles(batch: Batch) -> torch.Tensor:
    roles = batch.roles_BT[:, 1:]
    return roles[roles != Role.GIVEN]


Optimizers = list[tuple[torch.optim.Optimizer, float]]  # with their peak learning rates


def _make_optimizers(model: Any, recipe: Recipe) -> Optimizers:
    """Muon for the matrices inside blocks, AdamW for the rest; the vision tower learns more slowly in both.

    At the full rate the tower's tokens grew to a norm of 415 within 250 steps, some fifty times that of a word: what
    attention adds to such a token (its second, above all) is lost in the next normalisation.
    """
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim == 2 and any(part in name for part in ("layers.", "blocks.", "merger"))
        groups.setdefault((is_matrix, "visual." in name), []).append(parameter)
    optimizers: Optimizers = []
    for (is_matrix, is_vision), parameters in groups.items():
        factor = recipe.vision_factor if is_vision else 1.0
        if is_matrix:
            rate = recipe.matrix_rate * factor
            optimizer = torch.optim.Muon(
                parameters, lr=rate, momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
            )
        else:
            rate = recipe.other_rate * factor
            optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
        optimizers.append((optimizer, rate))
    return optimizers


def _load_state(state_file: Path, model: Any, optimizers: Optimizers, recipe: Recipe) -> int:
    state = torch.load(state_file, weights_only=True)
    differing = [name for name, value in vars(recipe).items() if state["recipe"].get(name) != value]
    if differing:
        raise ValueError(f"{state_file} is of another recipe ({', '.join(differing)} differ); give another state file")
    model.load_state_dict(state["model"])
    for (optimizer, _), saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return state["step"]


def _save_state(state_file: Path, model: Any, optimizers: Optimizers, recipe: Recipe, step: int) -> None:
    state_file.parent.mkdir(parents=True, exist_ok=True)
    partial = state_file.with_suffix(".partial")
    saved = [optimizer.state_dict() for optimizer, _ in optimizers]
    torch.save({"model": model.state_dict(), "optimizers": saved, "recipe": dict(vars(recipe)), "step": step}, partial)
    partial.replace(state_file)
