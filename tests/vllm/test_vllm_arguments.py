"""Our lists of arguments against vLLM's own, and errors that people will meet when they write a job."""

from __future__ import annotations

from dataclasses import fields

import pytest
from vllm.engine.arg_utils import EngineArgs

from framegate.schemas.config.engine_args import ENGINE_ARGS_OF_ANSWERS, ENGINE_ARGS_OF_THE_MACHINE, REFUSED
from framegate.schemas.errors import EngineError


def test_every_name_that_we_list_is_one_of_vllms():
    known = {field.name for field in fields(EngineArgs)}
    assert set(REFUSED) - known == set()
    assert (ENGINE_ARGS_OF_ANSWERS | ENGINE_ARGS_OF_THE_MACHINE) - known == set()


@pytest.mark.parametrize(
    ("engine_args", "words"),
    [
        ({"max_nun_seqs": 4}, "no argument 'max_nun_seqs'; did you mean max_num_seqs?"),
        ({"seed": 7}, "'seed' cannot be set here: tokens are the most probable"),
        ({"max_num_seqs": "many"}, "max_num_seqs"),
        ({"max_model_len": 100_000_000}, "max_model_len"),
        ({"quantization": "magic"}, "magic"),
    ],
)
def test_a_wrong_argument_is_said_in_one_sentence(load_model, engine_args, words):
    with pytest.raises(EngineError) as caught:
        load_model("dock", **engine_args)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_newer_model_runner_is_refused(load_model, monkeypatch):
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "1")
    with pytest.raises(EngineError, match="VLLM_USE_V2_MODEL_RUNNER"):
        load_model("dock", max_num_seqs=3)


def test_a_model_that_is_not_there_is_said_as_by_the_other_engine(load_model):
    with pytest.raises(EngineError, match="'/nowhere' is not a folder"):
        load_model("/nowhere")
