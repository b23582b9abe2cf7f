"""Attacks by a checkpoint: files elsewhere, headers that lie, settings that run code, numbers and rules that never end.

Each is refused in one sentence before anything is loaded, or what it brings is left out and named.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from framegate.jobs.cli import app
from framegate.pipelines.reason.models import tokenizer_trial
from framegate.pipelines.reason.models.check import check_model
from framegate.pipelines.reason.models.clean_folder import make_clean_folder
from framegate.pipelines.reason.models.fingerprint import fingerprint_model
from framegate.pipelines.reason.models.vision_grid import read_vision_grid
from framegate.schemas.config import ModelConfig
from framegate.schemas.errors import EngineError
from tests.model_folders import CONFIG, TENSORS, make_model_folder, safetensors
from tests.small_checkpoints import load_checkpoint, make_random_checkpoint

Spoil = Callable[[Path], object]
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
TEXTS = ("Is a forklift with a driver and a load in the picture of the dock?", "a" * 40, " " * 40)


def config(**values: Any) -> Spoil:
    return lambda folder: (folder / "config.json").write_text(json.dumps({**CONFIG, **values}))


def vision(**values: Any) -> Spoil:
    return config(vision_config={**CONFIG["vision_config"], **values})


def text(file: str, content: str | bytes) -> Spoil:
    return lambda folder: (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def link(file: str, target: str) -> Spoil:
    """`target` counts from the folder. What it names is in the folder beside."""

    def spoil(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).symlink_to(target)

    return spoil


def in_place_of(file: str, make: Callable[[Path], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        make(folder / file)

    return spoil


def shards(weight_map: Any, one: Any = None, two: Any = None) -> Spoil:
    """Two shards and an index. By default each of the first's tensors is where the index says."""

    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        names = list(TENSORS)
        (folder / ONE).write_bytes(safetensors(one or {names[0]: TENSORS[names[0]]}))
        (folder / TWO).write_bytes(safetensors(two or {name: TENSORS[name] for name in names[1:]}))
        (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))

    return spoil


def header(change: Callable[[dict[str, Any]], object], *, behind: bytes = b"") -> Spoil:
    """The header of the weights as `change` leaves it, and bytes behind the last tensor."""

    def spoil(folder: Path) -> None:
        data = (folder / WEIGHTS).read_bytes()
        length = int.from_bytes(data[:8], "little")
        entries = json.loads(data[8 : 8 + length])
        change(entries)
        written = json.dumps(entries).encode()
        (folder / WEIGHTS).write_bytes(len(written).to_bytes(8, "little") + written + data[8 + length :] + behind)

    return spoil


def tokenizer(change: Callable[[dict[str, Any]], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        document = json.loads((folder / "tokenizer.json").read_text())
        change(document)
        (folder / "tokenizer.json").write_text(json.dumps(document))

    return spoil


def split(pattern: str) -> Spoil:
    rule = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return tokenizer(lambda document: document["pre_tokenizer"]["pretokenizers"].insert(0, rule))


def replace(*pairs: tuple[str, str]) -> Spoil:
    rules = [{"type": "Replace", "pattern": {"String": one}, "content": other} for one, other in pairs]
    return tokenizer(lambda document: document.update(normalizer={"type": "Sequence", "normalizers": rules}))


EMBED, LAYER, BLOCK = TENSORS
RIGHT = {EMBED: ONE, LAYER: TWO, BLOCK: TWO}
DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
OUT = "is a link out of its folder"

FILES = [
    pytest.param(link("config.json", "../beside/config.json"), OUT, id="config-is-a-link-out"),
    pytest.param(link("tokenizer.json", "../beside/tokenizer.json"), OUT, id="tokenizer-is-a-link-out"),
    pytest.param(link(WEIGHTS, "../beside/secret"), OUT, id="weights-are-a-link-out"),
    pytest.param(link(WEIGHTS, "/etc/passwd"), OUT, id="weights-are-a-link-to-passwd"),
    pytest.param(link("generation_config.json", "/proc/self/environ"), OUT, id="settings-are-a-link-into-proc"),
    pytest.param(link("tokenizer_config.json", "/dev/zero"), OUT, id="settings-are-a-link-to-dev-zero"),
    pytest.param(link("vocab.json", "../blobs/secret"), OUT, id="link-to-blobs-outside-of-the-hubs-cache"),
    pytest.param(link(WEIGHTS, WEIGHTS), "cannot be opened", id="a-link-to-itself"),
    pytest.param(link("merges.txt", "nowhere"), "a link to a file that is not there", id="a-link-to-nothing"),
    pytest.param(in_place_of("config.json", os.mkfifo), "is a FIFO", id="config-is-a-fifo"),
    pytest.param(in_place_of("tokenizer.json", os.mkfifo), "is a FIFO", id="tokenizer-is-a-fifo"),
    pytest.param(in_place_of(WEIGHTS, os.mkfifo), "is a FIFO", id="weights-are-a-fifo"),
    pytest.param(in_place_of("more.safetensors", os.mkfifo), "is a FIFO", id="a-second-file-of-weights-is-a-fifo"),
    pytest.param(in_place_of(INDEX, os.mkdir), None, id="the-index-beside-whole-weights-is-a-folder"),
    pytest.param(in_place_of(WEIGHTS, os.mkdir), "is a folder", id="weights-are-a-folder"),
    pytest.param(in_place_of("tokenizer_config.json", os.mkdir), "is a folder", id="settings-are-a-folder"),
]
INDEXES = [
    pytest.param(shards(RIGHT), None, id="two-sound-shards"),
    pytest.param(shards({**RIGHT, EMBED: "../beside/secret"}), "only *.safetensors files", id="index-names-dot-dot"),
    pytest.param(shards({**RIGHT, EMBED: "/etc/passwd"}), "only *.safetensors files", id="index-names-a-path"),
    pytest.param(shards({**RIGHT, EMBED: "../x.safetensors"}), "only *.safetensors files", id="index-goes-up"),
    pytest.param(shards({**RIGHT, EMBED: "pytorch_model.bin"}), "only *.safetensors files", id="index-names-a-pickle"),
    pytest.param(shards({**RIGHT, EMBED: "a\0.safetensors"}), "only *.safetensors files", id="index-names-a-nul"),
    pytest.param(shards({**RIGHT, EMBED: 7}), "only *.safetensors files", id="index-names-a-number"),
    pytest.param(shards({**RIGHT, EMBED: ["x"]}), "only *.safetensors files", id="index-names-a-list"),
    pytest.param(shards([ONE, TWO]), "has no weight_map", id="index-is-a-list"),
    pytest.param(shards({}), "has no weight_map", id="index-is-empty"),
    pytest.param(shards({**RIGHT, EMBED: "gone.safetensors"}), "holds no gone.safetensors", id="index-names-a-gap"),
    pytest.param(shards({**RIGHT, EMBED: TWO}), f"says that {TWO} holds", id="index-swaps-shards"),
    pytest.param(shards({**RIGHT, "more": ONE}), f"says that {ONE} holds the tensor more", id="index-names-a-tensor"),
    pytest.param(shards(RIGHT, TENSORS), "nothing says which is meant", id="a-tensor-stands-in-two-shards"),
    pytest.param(text("other.safetensors", safetensors()), "take one of them away", id="a-second-file-of-weights"),
    pytest.param(text("adapter_config.json", "{}"), "holds an adapter", id="an-adapter-beside-the-weights"),
    pytest.param(text("adapter_model.bin", "x"), "holds an adapter", id="a-pickled-adapter"),
    pytest.param(
        in_place_of(WEIGHTS, lambda path: path.with_name("pytorch_model.bin").write_bytes(b"\x80\x04.")),
        "holds no *.safetensors",
        id="weights-are-a-pickle",
    ),
]
HEADERS = [
    pytest.param(text(WEIGHTS, b""), "it has 0 bytes", id="empty-weights"),
    pytest.param(text(WEIGHTS, b"\xff" * 8 + b"{}"), "its header claims", id="header-of-2^64-bytes"),
    pytest.param(text(WEIGHTS, (17 << 20).to_bytes(8, "little") + b" " * (17 << 20)), "its header claims", id="17-MiB"),
    pytest.param(text(WEIGHTS, (2).to_bytes(8, "little") + b"[]"), "holds no mapping", id="header-is-a-list"),
    pytest.param(text(WEIGHTS, (4).to_bytes(8, "little") + b"\x80\x04.."), "is no", id="header-is-a-pickle"),
    pytest.param(
        text(WEIGHTS, len(DEEP).to_bytes(8, "little") + DEEP.encode()), "levels deep", id="header-is-nested-deeply"
    ),
    pytest.param(
        in_place_of(WEIGHTS, lambda path: path.write_bytes(safetensors()[:-9])),
        "bytes of tensors where its header says",
        id="cut-short",
    ),
    pytest.param(header(lambda _: None, behind=b"more"), "bytes of tensors where", id="bytes-behind-the-last-tensor"),
    pytest.param(header(lambda h: h[BLOCK].update(data_offsets=[0, 128])), "also for", id="tensors-overlap"),
    pytest.param(header(lambda h: h[BLOCK].update(data_offsets=[9999, 10127])), "a gap before", id="a-gap"),
    pytest.param(
        header(lambda h: h[BLOCK].update(data_offsets=[128, 0])), "bytes where dtype", id="offsets-turn-round"
    ),
    pytest.param(header(lambda h: h[BLOCK].update(data_offsets=[-128, 0])), "that are none", id="negative-offsets"),
    pytest.param(header(lambda h: h[BLOCK].update(shape=[8, 9])), "dtype and shape need", id="shape-is-not-its-bytes"),
    pytest.param(header(lambda h: h[BLOCK].update(shape=[2**52] * 8)), "dtype and shape need", id="a-shape-of-2^416"),
    pytest.param(header(lambda h: h[BLOCK].update(shape=[-8, -8])), "that are none", id="negative-shape"),
    pytest.param(header(lambda h: h[BLOCK].update(shape=[True, 64])), "that are none", id="shape-of-a-boolean"),
    pytest.param(header(lambda h: h[BLOCK].update(dtype="O")), "unknown dtype", id="dtype-is-an-object"),
    pytest.param(header(lambda h: h[BLOCK].update(code="x")), "something else than", id="a-fourth-key"),
    pytest.param(header(lambda h: h.update(__metadata__={"a": [1]})), "metadata", id="metadata-is-a-list"),
    pytest.param(
        header(lambda h: h.update({"a\x1b[2J": h.pop(BLOCK)})), "with the name", id="a-tensors-name-is-an-escape"
    ),
]
CONFIGS = [
    pytest.param(text("config.json", "{"), "is no JSON", id="config-is-no-json"),
    pytest.param(text("config.json", "[]"), "holds no mapping", id="config-is-a-list"),
    pytest.param(text("config.json", b"\xff\xfe\x00"), "is no", id="config-is-no-text"),
    pytest.param(text("config.json", DEEP), "levels deep", id="config-is-nested-deeply"),
    pytest.param(text("config.json", "[" * 60 + "]" * 60), "levels deep", id="config-is-60-lists-in-each-other"),
    pytest.param(text("config.json", " " * (5 << 20)), "more than 4 MiB", id="config-of-5-MiB"),
    pytest.param(text("config.json", '{"vocab_size": 1' + "0" * 5000 + "}"), "5001 digits", id="number-of-5001-digits"),
    pytest.param(text("config.json", '{"rms_norm_eps": NaN}'), "holds NaN", id="config-holds-nan"),
    pytest.param(text("config.json", '{"rms_norm_eps": -Infinity}'), "holds -Infinity", id="config-holds-infinity"),
    pytest.param(config(rms_norm_eps=1e300), "rms_norm_eps the value", id="a-float-of-1e300"),
    pytest.param(config(model_type=["qwen3_vl"]), "is of type 'unknown'", id="model-type-is-a-list"),
    pytest.param(config(model_type="llama"), "supported: qwen2_5_vl, qwen3_vl", id="another-family"),
    pytest.param(config(num_hidden_layers=10**9), "num_hidden_layers the value 1000000000", id="a-billion-layers"),
    pytest.param(config(num_hidden_layers=1000), "hold 1 such layers", id="more-layers-than-weights"),
    pytest.param(config(num_hidden_layers="1"), "num_hidden_layers the value '1'", id="layers-are-a-word"),
    pytest.param(config(num_hidden_layers=True), "num_hidden_layers the value True", id="layers-are-a-boolean"),
    pytest.param(config(hidden_size=-8), "hidden_size the value -8", id="negative-hidden-size"),
    pytest.param(config(hidden_size=0), "hidden_size the value 0", id="hidden-size-of-zero"),
    pytest.param(config(hidden_size=2**40), "hidden_size the value", id="hidden-size-of-2^40"),
    pytest.param(config(hidden_size=16), "embed_tokens.weight has the shape", id="hidden-size-is-not-the-weights"),
    pytest.param(config(vocab_size=601), "embed_tokens.weight has the shape", id="vocabulary-is-not-the-weights"),
    pytest.param(config(vocab_size=10**9), "vocab_size the value", id="a-billion-words"),
    pytest.param(config(vision_config=[]), "vision_config the value []", id="vision-is-a-list"),
    pytest.param(config(vision_config=None), "has no 'vision_config'", id="vision-is-null"),
    pytest.param(config(text_config="x"), "text_config the value 'x'", id="text-is-a-word"),
    pytest.param(config(eos_token_id=[1] * 1000), "eos_token_id the value", id="a-thousand-ends"),
    pytest.param(config(video_token_id=601), "beyond its vocab_size", id="video-token-beyond-the-vocabulary"),
    pytest.param(config(rope_scaling={"factor": "x"}), "rope_scaling.factor the value", id="rope-factor-is-a-word"),
    pytest.param(config(hidden_act="os.system"), "hidden_act the value", id="activation-names-a-function"),
    pytest.param(config(layer_types=["x"] * 5000), "layer_types the value", id="five-thousand-types-of-layers"),
    pytest.param(vision(depth=10**9), "vision_config.depth the value", id="a-billion-blocks"),
    pytest.param(vision(depth=7), "says depth 7, and its weights hold 1", id="more-blocks-than-weights"),
    pytest.param(vision(patch_size=0), "vision_config.patch_size the value 0", id="patches-of-no-pixel"),
    pytest.param(vision(patch_size=10**6), "vision_config.patch_size the value", id="patches-of-10^6-pixels"),
    pytest.param(vision(temporal_patch_size=-1), "temporal_patch_size the value -1", id="patches-of-no-time"),
    pytest.param(vision(spatial_merge_size=1.5), "spatial_merge_size the value 1.5", id="a-merge-of-half-a-patch"),
    pytest.param(config(quantization_config={"quant_method": "torchao"}), "asks for the quantization", id="torchao"),
    pytest.param(
        config(quantization_config={"quant_method": {}}), "asks for the quantization", id="method-is-a-mapping"
    ),
    pytest.param(config(quantization_config="evil.Config"), "asks for the quantization", id="quantization-is-a-word"),
    pytest.param(
        config(quantization_config={"quant_method": "awq", "x": "y" * 999}), "quantization_config.x", id="long-words"
    ),
    pytest.param(text("generation_config.json", '{"eos_token_id": ["x", 1]}'), "ends answers at", id="ends-at-a-word"),
    pytest.param(text("generation_config.json", '{"eos_token_id": {}}'), "ends answers at", id="ends-at-a-mapping"),
    pytest.param(text("generation_config.json", "[1]"), "holds no mapping", id="generation-config-is-a-list"),
]
TOKENIZERS = [
    pytest.param(lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json", id="no-tokenizer"),
    pytest.param(text("tokenizer.json", "{"), "cannot be loaded", id="tokenizer-is-no-json"),
    pytest.param(text("tokenizer.json", DEEP), "cannot be loaded", id="tokenizer-is-nested-deeply"),
    pytest.param(
        in_place_of("tokenizer.json", lambda path: (path.touch(), os.truncate(path, 1 << 40))),
        "more than 64 MiB",
        id="tokenizer-of-a-terabyte",
    ),
    pytest.param(split(r"(?:a|aa)+!"), "cannot encode", id="regular-expression-that-tracks-back-for-ever"),
    pytest.param(
        split(r"forklift(?:[a-z ]|[a-z ][a-z ])+~"), "cannot encode", id="an-expression-that-fits-one-question"
    ),
    pytest.param(split("(" * 30_000), "cannot be loaded", id="expression-of-30000-brackets"),
    pytest.param(replace(*[("a", "aaaaaaaa")] * 12), "takes more than", id="normaliser-that-makes-8^12-letters"),
    pytest.param(replace(("a", "aaaa")), "bytes of", id="normaliser-that-makes-more-tokens-than-bytes"),
    pytest.param(
        tokenizer(lambda document: document["model"].update(vocab={**document["model"]["vocab"], "zz": 10**6})),
        "has the token id 1000000",
        id="a-token-beyond-the-vocabulary",
    ),
    pytest.param(
        tokenizer(lambda document: document["model"].update(type="Evil")), "cannot be loaded", id="no-such-model"
    ),
    pytest.param(text("tokenizer_config.json", "7"), "holds no mapping", id="tokenizer-settings-are-a-number"),
    pytest.param(text("tokenizer_config.json", '{"eos_token": ["x"]}'), "eos_token", id="a-special-token-is-a-list"),
    pytest.param(
        text("tokenizer_config.json", json.dumps({"added_tokens_decoder": {"-1": {"content": "x"}}})),
        "added_tokens_decoder.-1",
        id="a-negative-token",
    ),
    pytest.param(
        text("special_tokens_map.json", json.dumps({"pad_token": {"content": "x", "__reduce__": "y"}})),
        "pad_token",
        id="a-special-token-with-more-parts",
    ),
    pytest.param(text("added_tokens.json", '{"x": "y"}'), "its tokens", id="an-added-token-without-a-number"),
]
ARGUMENTS = [
    pytest.param({"load_format": "runai_streamer"}, "nothing else is fetched", id="load-format"),
    pytest.param({"load_format": "pt"}, "nothing else is fetched", id="load-format-pickle"),
    pytest.param({"worker_cls": "os.system"}, "code that vLLM would import", id="worker-class"),
    pytest.param({"worker_extension_cls": "a.B"}, "code that vLLM would import", id="worker-extension"),
    pytest.param({"scheduler_cls": "a.B"}, "code that vLLM would import", id="scheduler-class"),
    pytest.param({"io_processor_plugin": "x"}, "code that vLLM would import", id="plugin"),
    pytest.param({"logging_config": {"()": "os.system"}}, "code that vLLM would import", id="logging-configuration"),
    pytest.param({"compilation_config": {"backend": "a.b"}}, "code that vLLM would import", id="compiler-backend"),
    pytest.param({"kv_transfer_config": {"kv_connector_module_path": "x"}}, "would import", id="connector-module"),
    pytest.param({"trust_remote_code": True}, "no code from a checkpoint is run", id="trust-remote-code"),
    pytest.param({"hf_overrides": {"architectures": ["Evil"]}}, "the job says it as model.name", id="overrides"),
    pytest.param({"download_dir": "/etc"}, "nothing else is fetched", id="download-folder"),
    pytest.param({"hf_token": "hf_canary"}, "no place for secrets", id="a-token"),
    pytest.param({"otlp_traces_endpoint": "http://x"}, "nothing is sent", id="traces-to-a-server"),
    pytest.param(
        {"profiler_config": {"torch_profiler_dir": "/"}}, "nothing is sent or written", id="profiles-to-a-folder"
    ),
    pytest.param({"enable_lora": True}, "merge an adapter", id="adapters"),
    pytest.param({"distributed_executor_backend": "os.system"}, "must be mp or uni", id="executor-is-a-class"),
    pytest.param({"kv_offloading_backend": "lmcache"}, "must be native", id="offloading-plugin"),
    pytest.param({"attention_backend": "evil.module"}, "takes a word", id="backend-is-a-module"),
    pytest.param({"quantization": "../x"}, "takes a word", id="quantization-is-a-path"),
    pytest.param({"max_num_seqs": 10**400}, "a number of 1329 bits", id="a-number-of-400-digits"),
    pytest.param({"gpu_memory_utilization": float("nan")}, "takes a number", id="memory-is-nan"),
    pytest.param({"block_size": {"a": 1}}, "got dict", id="block-size-is-a-mapping"),
    pytest.param({"device_ids": list(range(5000))}, "5000 items", id="five-thousand-devices"),
    pytest.param({"tensor_paralel_size": 2}, "did you mean tensor_parallel_size?", id="an-argument-written-wrong"),
    pytest.param({"what_a_later_vllm_brings": 1}, "there is no argument", id="an-argument-of-a-later-vllm"),
]
CODE = {
    "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForImageTextToText": "evil.Evil"},
    "_attn_implementation": "evil/kernel",
    "attn_implementation": "evil/kernel",
    "experts_implementation": "evil/kernel",
    "custom_pipelines": {"x": {"impl": "evil.Evil"}},
    "kernel_config": {"x": "evil/kernel"},
    "use_kernels": True,
    "transformers_weights": "../beside/secret.safetensors",
    "configuration_files": ["config.4.0.0.json"],
    "num_labels": 10**9,
    "per_layer_config": {"0": {}},
    "trust_remote_code": True,
    "base_model_tp_plan": {"layers.*": "evil"},
}
OPENED: list[str] = []
"""Every file that this process has opened since a test cleared it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound checkpoint, with a folder beside it that nothing may read."""
    beside = tmp_path / "beside"
    make_model_folder(beside)
    (beside / "secret").write_text("canary-of-the-folder-beside")
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "secret").write_text("canary-of-the-folder-beside")
    return make_model_folder(tmp_path / "checkpoint")


@pytest.fixture
def opened() -> list[str]:
    OPENED.clear()
    return OPENED


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        OPENED.append(os.fsdecode(arguments[0]))


sys.addaudithook(_note)


def refusal(folder: Path) -> str | None:
    """The sentence with which a checkpoint is refused, by whatever asks first; None for a sound one."""
    try:
        read_vision_grid(str(folder))
        check_model(str(folder), None, TEXTS)
        fingerprint_model(str(folder))
    except EngineError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("spoil", "words"), [*FILES, *INDEXES, *HEADERS, *CONFIGS])
def test_a_checkpoint_is_refused_in_one_sentence_and_nothing_beside_it_is_opened(
    spoil: Spoil, words: str | None, folder: Path, opened: list[str]
) -> None:
    spoil(folder)
    opened.clear()
    said = refusal(folder)
    assert (said is None) == (words is None), said
    if words is not None and said is not None:
        assert words in said
        assert len(said.splitlines()) == 1
        assert len(said) < 600
        assert "canary" not in said
        assert said.isprintable()
    beside = str(folder.parent / "beside")
    assert [path for path in opened if path.startswith((beside, "/etc/passwd", "/dev/zero"))] == []
    assert not any(path.endswith((".bin", "environ")) for path in opened)


@pytest.mark.parametrize(("spoil", "words"), TOKENIZERS)
def test_a_tokenizer_is_tried_on_the_jobs_texts_within_a_deadline(
    spoil: Spoil, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer_trial, "DEADLINE_SECONDS", 2)
    monkeypatch.setattr(tokenizer_trial, "MEMORY_BYTES", 1 << 30)
    spoil(folder)
    said = refusal(folder)
    assert said is not None
    assert words in said
    assert said.isprintable()
    assert len(said) < 600


@pytest.mark.parametrize(("arguments", "words"), ARGUMENTS)
def test_an_argument_of_vllm_that_is_on_no_list_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ModelConfig(name="dock", engine="vllm", engine_args=arguments)
    said = refused.value.errors()[0]["msg"]
    assert words in said
    assert "canary" not in said


@pytest.mark.parametrize("key", CODE)
@pytest.mark.parametrize("place", ["", "vision_config"])
def test_a_key_that_would_fetch_or_run_code_reaches_no_engine_and_is_named(
    key: str,
    place: str,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (vision if place else config)(**{key: CODE[key]})(folder)
    (folder / "evil.py").write_text("raise SystemExit('code of the checkpoint ran')")
    with caplog.at_level(logging.WARNING):
        assert refusal(folder) is None
    named = f"{place}.{key}" if place else key
    assert [record.getMessage() for record in caplog.records] == [
        f"model '{folder}' names what is not used, and runs without it: {named} of its config.json"
    ]
    clean = make_clean_folder(str(folder))
    assert key not in (clean / "config.json").read_text()
    assert not (clean / "evil.py").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoTokenizer": ["evil.Evil", None]}),
        ("tokenizer_file", "../beside/tokenizer.json"),
        ("vocab_file", "/etc/passwd"),
        ("fast_tokenizer_files", ["tokenizer.4.0.0.json"]),
        ("init_inputs", [1, 2]),
        ("tokenizer_class", "EvilTokenizer"),
        ("__class__", "x"),
    ],
)
def test_a_key_of_the_tokenizer_that_names_code_or_files_is_left_out_and_named(
    key: str,
    value: Any,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (folder / "tokenizer_config.json").write_text(json.dumps({key: value, "eos_token": "<|im_end|>"}))
    with caplog.at_level(logging.WARNING):
        assert refusal(folder) is None
    assert f"{key} of its tokenizer_config.json" in caplog.text
    assert json.loads((make_clean_folder(str(folder)) / "tokenizer_config.json").read_text()) == {
        "eos_token": "<|im_end|>"
    }


@pytest.mark.parametrize("template", ["{% for i in range(10**12) %}{% endfor %}", "{{ ''.__class__.__mro__ }}"])
def test_a_chat_template_is_never_seen_by_an_engine(
    template: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    assert refusal(folder) is None
    clean = make_clean_folder(str(folder))
    assert not (clean / "chat_template.jinja").exists()
    assert (clean / "tokenizer_config.json").read_text() == "{}"


CLI = {
    "link": FILES[2],
    "fifo": FILES[9],
    "pickle": INDEXES[5],
    "header": HEADERS[1],
    "layers": CONFIGS[12],
    "torchao": CONFIGS[36],
    "bomb": TOKENIZERS[4],
    "argument": ARGUMENTS[2],
}


@pytest.mark.parametrize("case", CLI)
def test_probe_plan_and_run_refuse_alike_with_exit_code_2(
    case: str,
    folder: Path,
    tmp_path: Path,
    make_video: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokenizer_trial, "DEADLINE_SECONDS", 2)
    make_video(tmp_path / "film.mp4", seconds=1)
    what, words = CLI[case].values
    model: dict[str, Any] = {"name": str(folder)}
    if case == "argument":
        model |= {"engine": "vllm", "engine_args": what}
    else:
        what(folder)
    job = tmp_path / "job.yaml"
    values = {
        "input": {"videos": str(tmp_path / "film.mp4")},
        "questions": [{"id": "a", "text": "a" * 40, "type": "yes_no"}],
        "model": model,
        "output": {"uri": str(tmp_path / "index")},
    }
    job.write_text(yaml.safe_dump(values))
    told = [
        CliRunner().invoke(app, [*command, str(job)], env={"COLUMNS": "1000"})
        for command in (["plan"], ["run"], ["probe", str(tmp_path / "film.mp4"), "--job"])
    ]
    assert [result.exit_code for result in told] == [2, 2, 2], [result.output for result in told]
    assert words in told[0].stderr
    assert {result.stderr for result in told} == {told[0].stderr}
    assert len(told[0].stderr.strip().splitlines()) == 1


def test_other_bytes_have_another_fingerprint_wherever_a_link_says_they_lie(folder: Path) -> None:
    """Names of the hub's cache are believed of the hub's cache alone."""
    before = fingerprint_model(str(folder))
    snapshot = folder.parent / "models--a--b" / "snapshots" / ("c" * 40)
    shutil.copytree(folder, snapshot)
    blobs = snapshot.parent.parent / "blobs"
    blobs.mkdir()
    claimed = blobs / ("a" * 64)
    (snapshot / WEIGHTS).rename(claimed)
    (snapshot / WEIGHTS).symlink_to(claimed)
    assert refusal(snapshot) is None
    assert fingerprint_model(str(snapshot)) == before
    claimed.write_bytes(safetensors(fill=b"\1"))
    assert fingerprint_model(str(snapshot)) != before


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_random_checkpoint("qwen3_vl", tmp_path_factory.mktemp("small"))


@pytest.fixture
def real(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return shutil.copytree(small, tmp_path / "real")


def test_an_engine_loads_what_is_left_of_a_checkpoint_with_code_in_it(real: Path, tmp_path: Path) -> None:
    plain = load_checkpoint(real)
    ran = tmp_path / "ran"
    (real / "evil.py").write_text(f"open({str(ran)!r}, 'w')")
    settings = json.loads((real / "config.json").read_text())
    settings |= CODE
    settings["text_config"] |= {"_attn_implementation": "evil/kernel", "num_labels": 10**9}
    (real / "config.json").write_text(json.dumps(settings))
    tokens = json.loads((real / "tokenizer_config.json").read_text())
    (real / "tokenizer_config.json").write_text(json.dumps({**tokens, "auto_map": {"AutoTokenizer": ["evil.E", None]}}))
    loaded = load_checkpoint(real)
    assert not ran.exists()
    assert loaded.encode("Did it?") == plain.encode("Did it?")
    assert torch.equal(loaded._model.lm_head.weight, plain._model.lm_head.weight)
    assert loaded._model.config._attn_implementation == "sdpa"


def test_weights_that_lack_a_tensor_are_refused_and_not_drawn_at_random(real: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(real / WEIGHTS)
    tensors.pop(next(name for name in tensors if name.endswith("mlp.up_proj.weight")))
    save_file(tensors, real / WEIGHTS)
    with pytest.raises(EngineError, match=r"lack 1 tensors, among them .*up_proj"):
        load_checkpoint(real)


def test_a_clean_folder_that_somebody_changed_is_made_anew(real: Path) -> None:
    clean = make_clean_folder(str(real))
    (clean / "config.json").write_text("{}")
    (clean / "evil.safetensors").write_bytes(b"")
    assert make_clean_folder(str(real)) == clean
    assert json.loads((clean / "config.json").read_text())["model_type"] == "qwen3_vl"
    assert not (clean / "evil.safetensors").exists()


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with one model: its snapshot, of links to blobs that are named by their content."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / "hub" / "models--org--model"
    snapshot = model / "snapshots" / ("c" * 40)
    for made in (snapshot, model / "blobs", model / "refs"):
        made.mkdir(parents=True)
    (model / "refs" / "main").write_text("c" * 40)
    for path in folder.iterdir():
        name = hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copy(path, model / "blobs" / name)
        (snapshot / path.name).symlink_to(Path("..") / ".." / "blobs" / name)
    return snapshot


def test_a_model_in_the_hubs_cache_is_loaded_by_the_bytes_that_its_names_promise(hub: Path) -> None:
    assert refusal(hub) is None
    check_model("org/model", None, TEXTS)
    assert (make_clean_folder("org/model") / WEIGHTS).resolve() == (hub / WEIGHTS).resolve()
    (hub / WEIGHTS).resolve().write_bytes(safetensors(fill=b"\1"))
    with pytest.raises(EngineError, match=r"is not what the hub's cache says it is"):
        make_clean_folder("org/model")


def test_a_snapshot_that_links_out_of_the_hubs_cache_is_refused(hub: Path, folder: Path) -> None:
    (hub / WEIGHTS).unlink()
    (hub / WEIGHTS).symlink_to(folder / WEIGHTS)
    for ask in (lambda: check_model("org/model", None, TEXTS), lambda: fingerprint_model("org/model")):
        with pytest.raises(EngineError, match=OUT):
            ask()


@pytest.mark.parametrize("revision", ["../../../etc/passwd", "/etc/passwd", "a/../b", "main\0x", "", "a b", "-x"])
def test_a_revision_that_is_a_path_is_refused_before_the_cache_is_looked_at(revision: str, opened: list[str]) -> None:
    opened.clear()
    with pytest.raises(EngineError, match=r"must be a branch, a tag or a commit"):
        check_model("org/model", revision, TEXTS)
    assert opened == []
