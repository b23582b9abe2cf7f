"""entropy_switch: where entropy rises and falls, which way it is steered, and that all else is the gate's."""

from __future__ import annotations

import pickle
from dataclasses import asdict, replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.pipelines.reason.asking.prompt import FORCED_CLOSING
from framegate.pipelines.reason.engines.build import check_engine
from framegate.pipelines.reason.engines.scripted import ScriptedEngine
from framegate.pipelines.reason.questions import ClipRequest, QuestionRunner
from framegate.pipelines.reason.strategies.build import make_deepened, make_strategy
from framegate.pipelines.reason.strategies.deepened import Deepened
from framegate.pipelines.reason.strategies.entropy_switch import EntropySwitch, SteeredThought, Steering
from framegate.pipelines.reason.strategies.entropy_trace import EntropyTrace
from framegate.pipelines.reason.strategies.gated import Gated
from framegate.pipelines.reason.strategies.protocol import ClipFrames, Token, ValueControl
from framegate.schemas.clip import FrameBatch
from framegate.schemas.config.entropy import EntropyConfig, EntropyMode
from framegate.schemas.config.gate import STRATEGY_NAMES, EntropySwitchConfig, GatedConfig
from framegate.schemas.deepening import GivenAnswer, Thresholds
from framegate.schemas.errors import ConfigError
from framegate.schemas.gate_reason import GATED_STRATEGIES
from framegate.schemas.qa import Answer, Question

QUESTION = Question(id="q", text="Did it?", type="yes_no")
FRAMES = FrameBatch(frames_THWC=np.zeros((1, 2, 2, 3), np.uint8), pts_seconds=np.zeros(1), duration_seconds=1.0)
CLIP = ClipFrames(id="clip", frames=FRAMES, start_seconds=0.0)
BUDGETS = {"threshold": 0.9, "max_answer_tokens": 6, "max_thinking_tokens": 8}
RISE_AND_FALL = [1.0, 2.0, 3.0, 2.0, 1.0, 2.5, 9.0]


def make(**entropy) -> EntropySwitch:
    strategy = make_strategy(EntropySwitchConfig(**BUDGETS, entropy=EntropyConfig(**entropy)))
    assert isinstance(strategy, EntropySwitch)
    return strategy


def traced(entropies, *, smoothing: float = 0.0, patience: int = 2) -> EntropyTrace:
    trace = EntropyTrace(smoothing=smoothing, patience=patience)
    for entropy in entropies:
        trace.add(entropy)
    return trace


def test_the_average_the_peak_and_when_it_is_passed():
    found = []
    trace = EntropyTrace(smoothing=0.5, patience=2)
    for entropy in (2.0, 4.0, 2.0, 0.5, 8.0):
        trace.add(entropy)
        found.append((trace.average, trace.peak_token, trace.is_rising, trace.is_past_peak))
    assert found == [
        (2.0, 0, True, False),
        (3.0, 1, True, False),
        (2.5, 1, False, False),
        (1.5, 1, False, True),
        (4.75, 1, True, True),  # higher than the peak, and too late
    ]
    assert trace.num_tokens == 5


def test_of_equal_averages_the_first_is_the_peak():
    assert traced([1.0, 1.0, 1.0]).peak_token == 0
    assert traced([1.0, 1.0, 1.0]).is_past_peak


@given(st.lists(st.floats(0, 12), min_size=1, max_size=40), st.floats(0, 0.99), st.integers(1, 50))
def test_before_it_is_passed_the_peak_is_the_highest_average(entropies, smoothing, patience):
    averages, trace = [], EntropyTrace(smoothing=smoothing, patience=patience)
    for entropy in entropies:
        if trace.is_past_peak:
            break
        trace.add(entropy)
        averages.append(trace.average)
    assert trace.peak_token == int(np.argmax(averages))
    assert trace.is_past_peak == (len(averages) - 1 - trace.peak_token >= patience)
    assert min(entropies) <= trace.average <= max(entropies) or np.isclose(trace.average, entropies[0])


@pytest.mark.parametrize(
    ("mode", "signs"),
    [
        # The average rises to the third token, falls for two, is passed; rises after that in vain.
        ("switch", [1, 1, 1, -1, -1, -1, -1]),
        ("minimise", [-1] * 7),
        ("maximise", [1] * 7),
        ("off", [0] * 7),
    ],
)
def test_the_sign_changes_at_the_peak(mode, signs):
    steering = Steering(mode=mode, rate=0.1, every=1, smoothing=0.0, patience=2, lite=False)
    assert steering.sign(traced([])) == 0
    assert [steering.sign(traced(RISE_AND_FALL[:end])) for end in range(1, 8)] == signs


def test_before_the_peak_is_passed_the_sign_is_the_direction_of_the_average():
    steering = Steering(mode="switch", rate=0.1, every=1, smoothing=0.0, patience=5, lite=False)
    assert [steering.sign(traced(RISE_AND_FALL[:end], patience=5)) for end in range(1, 8)] == [1, 1, 1, -1, -1, 1, 1]


def test_a_step_is_taken_after_each_so_many_tokens():
    steering = Steering(mode="minimise", rate=0.1, every=3, smoothing=0.9, patience=2, lite=False)
    assert [steering.sign(traced([1.0] * number)) for number in range(8)] == [0, 0, 0, -1, 0, 0, -1, 0]


@pytest.mark.parametrize(
    ("entropy", "expected"),
    [
        ({}, ValueControl(rate=0.01)),
        ({"rate": 0.5, "lite": True}, ValueControl(rate=0.5, keep=0.5)),
        ({"mode": "off"}, None),
        ({"rate": 0}, None),
        ({"mode": "off", "lite": True}, ValueControl(rate=0.0, keep=0.5)),
    ],
)
def test_what_is_asked_of_the_engine(entropy, expected):
    (ask,) = make(**entropy).begin(CLIP, QUESTION)
    assert (ask.value_control, ask.needs_distribution) == (expected, True)
    (plain,) = make_strategy(GatedConfig(**BUDGETS)).begin(CLIP, QUESTION)
    assert (ask.suffix, ask.budget, ask.frames, ask.sampling) == (plain.suffix, plain.budget, None, plain.sampling)
    (never,) = make(**entropy).begin(CLIP, replace(QUESTION, think="never"))
    assert (never.value_control, never.needs_distribution) == (None, False)


def test_tokens_of_the_thought_are_traced_and_forced_ones_are_not():
    (ask,) = make(every=1, mode="maximise").begin(CLIP, QUESTION)
    course = pickle.loads(pickle.dumps(ask.make_course))()
    assert isinstance(course, SteeredThought)
    course.start({FORCED_CLOSING: [7, 8]})
    signs = []

    def write(text: str, entropy: float | None, token_id: int = 1) -> None:
        signs.append(course.entropy_sign)
        course.append(Token(token_id, text.encode(), -1.0, entropy=entropy))

    for text in ("\\boxed{", "yes", "}"):
        write(text, 3.0)
    assert (course.trace.num_tokens, course.is_thinking) == (0, True)
    for number in range(8):
        write(" hm", float(number))
    assert (course.trace.num_tokens, list(course.forced)) == (8, [7, 8])
    for text in ("</think>", "\\boxed{"):
        course.forced.popleft()
        write(text, None)
    assert course.trace.num_tokens == 8
    for text in ("no", "}"):
        write(text, 0.5)
    assert course.is_over
    assert (course.trace.num_tokens, course.trace.peak_token) == (10, 7)
    assert signs == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1]


def test_it_is_a_gate_of_its_own_name_and_config_id():
    strategy, gated = make(), make_strategy(GatedConfig(**BUDGETS))
    assert strategy.name == "entropy_switch"
    assert strategy.document() == {
        **gated.document(),
        "strategy": "entropy_switch",
        "entropy": {"mode": "switch", "rate": 0.01, "every": 4, "smoothing": 0.9, "patience": 16, "lite": False},
    }
    assert strategy.budgets(QUESTION) == gated.budgets(QUESTION)
    assert pickle.loads(pickle.dumps(strategy)) == strategy
    changed = [make(**change) for change in ({"mode": "off"}, {"rate": 0.02}, {"every": 5}, {"smoothing": 0.8})]
    changed += [make(patience=17), make(lite=True)]
    assert len({str(one.document()) for one in (strategy, *changed)}) == 7
    assert strategy.name in GATED_STRATEGIES
    assert set(GATED_STRATEGIES) < set(STRATEGY_NAMES)
    assert set(asdict(strategy.steering)) == set(EntropyConfig.model_fields)


def test_vllm_cannot_run_it_and_says_what_can():
    check_engine("transformers", make())
    with pytest.raises(
        ConfigError,
        match=r"^the strategy entropy_switch needs the distribution of each token \(distribution\), a change of"
        r" values in the cache \(value_cache\), which the engine vllm does not offer; use engine: transformers$",
    ):
        check_engine("vllm", make(mode="off"))


def test_off_is_a_mode_however_yaml_reads_it():
    assert EntropyConfig(mode=False).mode == "off"
    assert set(get_args(EntropyMode)) == {"switch", "minimise", "maximise", "off"}
    with pytest.raises(ValueError, match="'switch', 'minimise', 'maximise' or 'off'"):
        EntropyConfig(mode=True)


def answers_of(strategy, script, questions=(QUESTION,), **request) -> list[Answer]:
    runner = QuestionRunner(ScriptedEngine(script), strategy)
    runner.add(ClipRequest(id="c", frames=FRAMES, clip_start_seconds=0.0, questions=tuple(questions), **request))
    finished = []
    while runner.num_unfinished:
        finished += runner.step()
    assert all(one.answer is not None for one in finished), [one.failure_message for one in finished]
    return [one.answer for one in finished]


def unsure(ask):
    words = [("\\boxed{", -0.1, 0.3), ("yes", -0.5, 0.6), ("}", -0.1, 0.1)]
    return [*words, (" hm", -1.0, 2.0), (" oh", -1.0, 4.0), ("\\boxed{", -1.0, 1.0), ("no}", -0.1, 0.5)]


def sure(ask):
    return [(text, -0.001, 0.0) for text in ("\\boxed{", "yes", "}")]


def test_answers_are_the_gates_with_a_trace():
    strategy, gated = make(smoothing=0.5), make_strategy(GatedConfig(**BUDGETS))
    (answer,), (expected,) = answers_of(strategy, unsure), answers_of(gated, unsure)
    averages = [2.0, 3.0, 2.0, 1.25]
    assert (answer.entropy_peak_token, answer.entropy_final) == (1, averages[-1])
    assert replace(answer, entropy_peak_token=None, entropy_final=None) == expected
    assert (expected.answer, expected.verdict.reason) == ("no", "unsure")
    assert answers_of(strategy, sure) == answers_of(gated, sure)
    never = replace(QUESTION, think="never")
    assert answers_of(strategy, unsure, [never]) == answers_of(gated, unsure, [never])


def test_it_thinks_to_the_end_of_the_turn():
    (answer,) = answers_of(make(), lambda ask: unsure(ask)[:5])
    assert (answer.finish_reason, answer.entropy_peak_token) == ("ended", 1)


def test_deferred_rows_are_deepened_as_the_job_thinks():
    strategy = make(smoothing=0.5)
    (first,) = answers_of(replace(strategy, defers=True), unsure)
    assert (first.verdict.reason, first.entropy_peak_token, first.entropy_final) == ("deferred", None, None)
    deepened = make_deepened(strategy, Thresholds(default=0.9))
    assert isinstance(deepened, EntropySwitch)
    assert isinstance(deepened, Deepened)
    assert (deepened.name, deepened.needs, deepened.document()) == (strategy.name, strategy.needs, strategy.document())
    given = {QUESTION.hash: GivenAnswer(token_ids=first.first_token_ids, answer_first="yes", confidence=0.6)}
    (answer,), (expected,) = answers_of(deepened, unsure, given=given), answers_of(strategy, unsure)
    assert (answer.answer, answer.entropy_peak_token, answer.entropy_final) == ("no", 1, 1.25)
    assert replace(answer, verdict=expected.verdict, confidence_first=expected.confidence_first) == expected
    plain = make_deepened(Gated(**BUDGETS), Thresholds(default=0.9, of_question={"h": 0.5}))
    assert type(plain) is Deepened
    assert (plain.threshold, plain.by_question) == (0.9, (("h", 0.5),))
