"""`frames.prune`: what a job may say, and what is refused before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from framegate.schemas.config import FramesConfig, RunConfig, clip_policy
from framegate.schemas.errors import ConfigError
from framegate.schemas.job import load_job

CHANGE = {"method": "change", "threshold": 0.1}
EVS = {"method": "evs", "rate": 0.5}


def make_config(
    *,
    engine: str = "transformers",
    clips: dict[str, Any] | None = None,
    gate: dict[str, Any] | None = None,
    **frames: Any,
) -> RunConfig:
    return RunConfig.model_validate(
        {
            "input": {"videos": "videos/"},
            "questions": "questions.yaml",
            "model": {"name": "org/model", "engine": engine},
            "output": {"uri": "out/"},
            "frames": frames,
            "clips": clips or {},
            "gate": gate or {},
        }
    )


def test_the_key_is_in_the_config_id_only_where_it_is_set():
    assert "prune" not in FramesConfig().document()
    for prune in (CHANGE, EVS):
        assert make_config(prune=prune).frames.document() == FramesConfig().document() | {"prune": prune}


def test_clips_are_the_same_whatever_of_them_a_model_is_given():
    """Their rows have pictures and the embedding of all tokens, and need not be written anew."""
    assert clip_policy(make_config(prune=CHANGE)) == clip_policy(make_config())


@pytest.mark.parametrize(
    ("frames", "clips", "most"),
    [
        ({}, {}, 0.933),  # 30 s at 2 fps: 60 frames, 30 steps
        ({"fps": 4}, {}, 0.937),  # 64 frames at most
        ({"fps": 1.5}, {"seconds": 5}, 0.5),  # 7.5 frames
        ({"policy": "uniform", "max_frames": 10}, {"seconds": 5}, 0.6),
        ({}, {"whole_video": True}, 0.937),
        ({}, {"seconds": 2}, 0),
        ({"max_frames": 1}, {}, 0),
    ],
)
def test_a_rate_that_leaves_less_than_two_steps_is_refused(frames: dict, clips: dict, most: float):
    for rate in (most, 0.0):
        config = make_config(**frames, clips=clips, prune={"method": "evs", "rate": rate})
        assert config.frames.prune.rate == rate
    with pytest.raises(ValidationError, match=rf"must stay: at most {most:g}\b"):
        make_config(**frames, clips=clips, prune={"method": "evs", "rate": most + 0.002})


@pytest.mark.parametrize("prune", [CHANGE, EVS, {"method": "evs", "rate": 0}])
def test_vllm_does_not_prune(prune: dict[str, Any]):
    said = rf"frames.prune is set \(method: {prune['method']}\), and vLLM .* leave it out, or say engine: transformers"
    with pytest.raises(ValidationError, match=said):
        make_config(engine="vllm", prune=prune)


@pytest.mark.parametrize(
    ("prune", "said"),
    [
        ("{method: chnge, threshold: 0.1}", "frames.prune.method: input should be 'change' or 'evs', got 'chnge'"),
        ("{threshold: 0.1}", "frames.prune.method is missing"),
        ("evs", "frames.prune must be a mapping, got a str"),
        ("{method: change}", "frames.prune.threshold is missing"),
        ("{method: change, threshold: 3}", "frames.prune.threshold: input should be less than or equal to 2, got 3"),
        ("{method: change, threshold: -0.1}", "frames.prune.threshold: input should be greater than or equal to 0"),
        ("{method: evs, rate: 1}", "frames.prune.rate: input should be less than 1, got 1"),
        ("{method: evs, threshold: 0.1}", "frames.prune.threshold is not a known key; did you mean"),
        ("{method: evs, rate: 0.99}", "at most 0.933"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(tmp_path: Path, prune: str, said: str):
    (tmp_path / "questions.yaml").write_text("- {id: a, text: Is it day?, type: yes_no}\n")
    file = tmp_path / "job.yaml"
    file.write_text(
        "input: {videos: v/}\nquestions: questions.yaml\nmodel: {name: org/model}\noutput: {uri: out/}\n"
        f"frames: {{prune: {prune}}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_job(file)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


GATED = {"strategy": "gated", "audit": {"rate": 0.1}}


PROMISE = {"promise": {"certificate": "latest"}}


@pytest.mark.parametrize(
    "prune", [CHANGE | {"audit_thresholds": [0.3, 0.02]} | PROMISE, EVS | {"audit_rates": [0.75]} | PROMISE]
)
def test_what_is_audited_changes_no_config_id(prune: dict[str, Any]):
    plain = {name: value for name, value in prune.items() if not name.startswith(("audit", "promise"))}
    audited, without = make_config(prune=prune, gate=GATED), make_config(prune=plain, gate=GATED)
    assert audited.frames.document() == without.frames.document()
    assert audited.frames.prune.audit_levels == tuple(
        prune["audit_thresholds" if "threshold" in prune else "audit_rates"]
    )


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({}, "frames.prune.audit_thresholds is about rows of the audit sample, and gate.audit is not set"),
        ({"strategy": "direct", "audit": {"rate": 0.1}}, "and gate.strategy: direct draws none"),
    ],
)
def test_levels_to_audit_without_an_audit_are_refused(gate: dict[str, Any], said: str):
    with pytest.raises(ValidationError, match=said):
        make_config(prune=CHANGE | {"audit_thresholds": [0.3]}, gate=gate)


def test_a_rate_to_audit_leaves_two_steps_as_well():
    with pytest.raises(ValidationError, match=r"frames.prune.audit_rates has 0.95, and of the longest clip's"):
        make_config(prune=EVS | {"audit_rates": [0.5, 0.95]}, gate=GATED)


@pytest.mark.parametrize(
    ("named", "said"),
    [([0.1, 0.1], "each one is named once"), ([0.0], "greater than 0"), ([3], "less than or equal to 2")],
)
def test_levels_to_audit_are_above_0_and_each_is_named_once(named: list[float], said: str):
    with pytest.raises(ValidationError, match=said):
        make_config(prune=CHANGE | {"audit_thresholds": named}, gate=GATED)


def test_a_promise_names_a_calibration():
    with pytest.raises(ValidationError, match="'new' is neither `latest` nor the id of a calibration"):
        make_config(prune=CHANGE | {"promise": {"certificate": "new"}})
