"""Training the dock model: examples as the engine will see them, and a run that can be broken off."""

import dataclasses

import pytest
import torch

from framegate.pipelines.lab.dock.training.checkpoint import build_model
from framegate.pipelines.lab.dock.training.corpus import dock_tokenizer
from framegate.pipelines.lab.dock.training.frame_library import FrameLibrary
from framegate.pipelines.lab.dock.training.lessons import QUESTIONS_PER_CLIP, Example, Lessons, Role, collate
from framegate.pipelines.lab.dock.training.loop import Recipe, train
from framegate.pipelines.lab.dock.training.vision import look

TINY = Recipe(num_steps=4, batch_tokens=700, library_clips=6, batches_per_pool=2, num_warmup_steps=1)


@pytest.fixture(scope="module")
def tokenizer():
    return dock_tokenizer()


@pytest.fixture(scope="module")
def library():
    return FrameLibrary(num_clips=6, seed=3)


@pytest.fixture(autouse=True)
def is_quick(monkeypatch):
    """Muon makes each update orthogonal by products in bf16: 20 of the 25 s that a step takes on a processor without
    such kernels. What is tested here does not depend on it."""
    monkeypatch.setattr(torch.optim._muon, "_zeropower_via_newtonschulz", lambda update, *_: update / update.norm())


@pytest.fixture
def model(tokenizer):
    return build_model(tokenizer, seed=1)


def cut(example: Example, owner: int) -> Example:
    """The example with one of its questions alone."""
    kept = [i for i, who in enumerate(example.owners) if who in (0, owner)]
    lists = {name: [getattr(example, name)[i] for i in kept] for name in ("tokens", "roles", "owners", "positions")}
    return dataclasses.replace(example, **lists)


def logits_of(model, example, library):
    batch = collate([example])
    seen = batch.tokens_BT == model.config.video_token_id
    text_model = model.model.language_model
    video, levels = look(model.model.visual, library.patches[batch.pairs])
    hidden = text_model(
        inputs_embeds=text_model.embed_tokens(batch.tokens_BT).masked_scatter(seen[..., None], video),
        position_ids=batch.positions_BT,
        attention_mask=batch.visible_B1TT,
        visual_pos_masks=seen,
        deepstack_visual_embeds=levels,
    ).last_hidden_state
    return model.lm_head(hidden)[0]


@torch.inference_mode()
def test_a_question_among_others_is_seen_as_if_it_were_alone(model, tokenizer, library):
    example = Lessons(tokenizer, library, seed=1).draw(min_crates=3, max_crates=6)
    together = logits_of(model, example, library)
    for owner in range(1, QUESTIONS_PER_CLIP + 1):
        alone = cut(example, owner)
        rows = [i for i, who in enumerate(example.owners) if who in (0, owner)]
        torch.testing.assert_close(together[rows], logits_of(model, alone, library), atol=2e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_text_around_the_clip_is_what_the_model_itself_would_position(model, tokenizer, library):
    example = cut(Lessons(tokenizer, library, seed=2).draw(min_crates=3, max_crates=6), 1)
    tokens = torch.tensor([example.tokens])
    whole = model(
        input_ids=tokens,
        mm_token_type_ids=(tokens == model.config.video_token_id).int() * 2,
        pixel_values_videos=library.patches[example.pairs].flatten(0, 1),
        video_grid_thw=torch.tensor([[len(example.pairs), 2, 2]]),
    ).logits[0]
    torch.testing.assert_close(logits_of(model, example, library), whole, atol=2e-4, rtol=1e-4)


def test_first_answers_and_thoughts_carry_their_roles(tokenizer, library):
    example = Lessons(tokenizer, library, seed=4).draw(min_crates=4, max_crates=4)
    text = {
        role: tokenizer.decode([t for t, r in zip(example.tokens, example.roles, strict=True) if r == role])
        for role in Role
    }
    assert text[Role.THOUGHT].count("\n") >= 8  # two multi-step questions over four crates
    assert "boxed" in text[Role.FRAMEWORK]
    assert "boxed" not in text[Role.THOUGHT] + text[Role.SECOND]


def test_a_wrong_first_answer_is_shown_but_never_learnt(tokenizer, library):
    lessons = Lessons(tokenizer, library, seed=6)
    learnt_first = 0
    for _ in range(20):
        example = lessons.draw(min_crates=3, max_crates=6)
        for owner in range(1, QUESTIONS_PER_CLIP + 1):
            own = [i for i, who in enumerate(example.owners) if who == owner]
            roles = [example.roles[i] for i in own]
            text = tokenizer.decode([example.tokens[i] for i in own])
            first, *later = [part.split("}")[0] for part in text.split("boxed{")[1:]]
            if Role.FIRST_PERCEPTION in roles or Role.FIRST_MULTI_STEP in roles:
                learnt_first += 1
                assert not later or later == [first]
            else:
                assert later
                assert later != [first]
    assert 0.4 < learnt_first / (20 * QUESTIONS_PER_CLIP) < 0.9


def run(model, tokenizer, state_file, recipe=TINY):
    records = []
    train(model, tokenizer, recipe, state_file=state_file, on_step=records.append, save_every=2)
    return records


def test_a_resumed_run_goes_on_as_an_unbroken_one(model, tokenizer, tmp_path):
    unbroken = run(model, tokenizer, tmp_path / "unbroken.pt")

    class Killed(Exception):
        pass

    def die_at(record):
        if record.step == 3:
            raise Killed

    with pytest.raises(Killed):
        train(
            build_model(tokenizer, seed=1),
            tokenizer,
            TINY,
            state_file=tmp_path / "broken.pt",
            on_step=die_at,
            save_every=2,
        )
    resumed_model = build_model(tokenizer, seed=99)  # its own weights must not matter
    resumed = run(resumed_model, tokenizer, tmp_path / "broken.pt")
    assert 0 < len(resumed) < len(unbroken)
    assert [record.loss for record in resumed] == [record.loss for record in unbroken[-len(resumed) :]]
    for name, value in model.state_dict().items():
        assert torch.equal(value, resumed_model.state_dict()[name]), name


def test_a_state_of_another_recipe_is_refused(model, tokenizer, tmp_path):
    run(model, tokenizer, tmp_path / "state.pt")
    with pytest.raises(ValueError, match="num_steps"):
        run(model, tokenizer, tmp_path / "state.pt", dataclasses.replace(TINY, num_steps=6))


def test_the_schedules_have_their_shape():
    recipe = Recipe(num_steps=100, num_warmup_steps=10, share_of_decay=0.4, share_of_growth=0.3)
    assert [round(recipe.rate(step), 2) for step in (0, 9, 50, 80, 99)] == [0.1, 1.0, 1.0, 0.5, 0.03]
    assert [recipe.max_crates(step) for step in (0, 10, 30, 99)] == [5, 10, 20, 20]
