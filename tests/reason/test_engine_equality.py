"""What the engine writes equals its oracle, token for token, alone and in any company.

Qwen3-VL: plain `generate`. Qwen2.5-VL: a plain loop over the model, the whole sequence anew for every token, with the
published positions worked out here (transformers lets the text after a video go on inside the video's positions).
"""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from pipelines.reason.prompt import suffix_after_video
from schemas.config import GateConfig
from schemas.qa import Question

NUM_ANSWER, NUM_THINKING = 6, 20
GATE = GateConfig(strategy="always_think", max_answer_tokens=NUM_ANSWER, max_thinking_tokens=NUM_THINKING)
QUESTIONS = (
    Question(id="q0", text="Did the red crate come first?", type="yes_no"),
    Question(
        id="q1", text="Where is the parcel now, and how did it come there?", type="choice", options=("a", "b", "c")
    ),
    Question(id="q2", text="When?", type="span"),
)


@cache
def plain_model(folder: Path):
    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()


def published_positions(token_ids: list[int], video_token_id: int, grid: tuple[int, int, int], step: int) -> list:
    """Qwen2.5-VL by its paper, one token after the other: [time, height, width] each."""
    rows, columns = grid[1] // 2, grid[2] // 2
    positions: list[list[int]] = []
    start = num_seen = 0
    for token_id in token_ids:
        if token_id == video_token_id:
            when, where = divmod(num_seen, rows * columns)
            positions.append([start + when * step, start + where // columns, start + where % columns])
            num_seen += 1
            continue
        if num_seen:
            start, num_seen = max(max(position) for position in positions) + 1, 0
        positions.append([start] * 3)
        start += 1
    return positions


@torch.inference_mode()
def write_by_loop(folder: Path, token_ids: list[int], patches, video_token_id: int, num_tokens: int) -> list[int]:
    model = plain_model(folder)
    written: list[int] = []
    for _ in range(num_tokens):
        # 2 frames at 2 fps make one second, and the small checkpoint has 2 positions a second.
        positions = published_positions(token_ids + written, video_token_id, patches.grid_thw, step=2)
        logits = model(
            input_ids=torch.tensor([token_ids + written]),
            position_ids=torch.tensor(positions).T[:, None],
            pixel_values_videos=patches.pixels_ND,
            video_grid_thw=torch.tensor([patches.grid_thw]),
        ).logits
        written.append(int(logits[0, -1].argmax()))
        if written[-1] == model.generation_config.eos_token_id:
            break
    return written


def write_by_generate(folder: Path, token_ids: list[int], patches, video_token_id: int, num_tokens: int) -> list[int]:
    ids = torch.tensor([token_ids])
    written = plain_model(folder).generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=(ids == video_token_id).int() * 2,
        pixel_values_videos=patches.pixels_ND,
        video_grid_thw=torch.tensor([patches.grid_thw]),
        max_new_tokens=num_tokens,
        do_sample=False,
    )
    return written[0, len(token_ids) :].tolist()


def ask_oracle(bench, folder: Path, request, question: Question, num_tokens: int) -> list[int]:
    checkpoint = bench.load(folder)
    prefix = bench.make_prefix(checkpoint, frames=request.frames, clip_start_seconds=request.clip_start_seconds)
    token_ids = prefix.token_ids + checkpoint.encode(suffix_after_video(question))
    write = write_by_loop if plain_model(folder).config.model_type == "qwen2_5_vl" else write_by_generate
    return write(folder, token_ids, prefix.patches, checkpoint.video_token_id, num_tokens)


def free_tokens(token_ids: list[int]) -> list[int]:
    """What the model wrote before its thinking was closed by force."""
    return token_ids[: NUM_ANSWER + NUM_THINKING]


def test_a_question_alone_is_answered_as_by_the_oracle(bench, random_checkpoint):
    request = bench.make_request(0, QUESTIONS[:1], num_frames=5)
    outcome = bench.run(bench.engine(random_checkpoint, GATE), [request])
    expected = ask_oracle(bench, random_checkpoint, request, QUESTIONS[0], NUM_ANSWER + NUM_THINKING)
    assert free_tokens(outcome.token_ids["clip-0", "q0"]) == expected


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_questions_in_any_company_are_answered_as_by_the_oracle(bench, random_checkpoint, seed):
    chance = random.Random(seed)
    requests = [
        bench.make_request(
            number,
            tuple(chance.sample(QUESTIONS, chance.randint(1, 3))),
            num_frames=chance.choice([2, 3, 4, 7, 8]),
            size=chance.choice([(64, 64), (64, 96), (32, 32)]),
        )
        for number in range(4)
    ]
    engine = bench.engine(random_checkpoint, GATE, num_slots=chance.choice([2, 3, 5]))
    late = requests[2:]
    for request in requests[:2]:
        engine.add(request)
    for _ in range(chance.randint(1, 9)):  # nothing has finished by then: 26 tokens are due
        assert engine.step() == []
    outcome = bench.run(engine, late)
    for request in requests:
        for question in request.questions:
            expected = ask_oracle(bench, random_checkpoint, request, question, NUM_ANSWER + NUM_THINKING)
            assert free_tokens(outcome.token_ids[request.id, question.id]) == expected, (request.id, question.id)


def test_the_first_confidence_is_that_of_the_raw_logits(bench, taught_checkpoint):
    """Measured by one plain pass over prompt and answer, for the tokens in the box."""
    request = bench.make_request(0, (bench.sure,))
    outcome = bench.run(bench.engine(taught_checkpoint, GateConfig()), [request])
    checkpoint = bench.load(taught_checkpoint)
    prefix = bench.make_prefix(checkpoint, frames=request.frames, clip_start_seconds=request.clip_start_seconds)
    prompt = prefix.token_ids + checkpoint.encode(suffix_after_video(bench.sure))
    written = outcome.token_ids["clip-0", "sure"]
    pieces = [checkpoint.pieces[token_id] for token_id in written]
    start, end = len(b"\\boxed{"), len(b"\\boxed{yes")
    assert b"".join(pieces)[start:end] == b"yes"
    ends = [sum(map(len, pieces[: index + 1])) for index in range(len(pieces))]
    in_box = [index for index, piece in enumerate(pieces) if ends[index] > start and ends[index] - len(piece) < end]
    text = torch.arange(len(prompt) - len(prefix.token_ids) + len(written)) + prefix.next_position
    with torch.inference_mode():
        logits = plain_model(taught_checkpoint)(
            input_ids=torch.tensor([prompt + written]),
            position_ids=torch.cat([prefix.positions_3P, text.expand(3, -1)], dim=1)[:, None],
            pixel_values_videos=prefix.patches.pixels_ND,
            video_grid_thw=torch.tensor([prefix.patches.grid_thw]),
        ).logits[0]
    logprobs = logits.log_softmax(dim=-1)
    chosen = torch.stack([logprobs[len(prompt) + index - 1, written[index]] for index in in_box])
    assert outcome.answers["clip-0", "sure"].confidence_first == pytest.approx(float(chosen.mean().exp()), rel=1e-4)
