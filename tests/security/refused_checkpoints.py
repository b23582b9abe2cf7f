"""Checkpoints that are refused, each with words of its sentence: files elsewhere, headers that lie, settings that run
code, numbers and rules that never end."""

from __future__ import annotations

import json
import os

import pytest

from tests.model_folders import TENSORS, safetensors
from tests.security.checkpoint_edits import (
    INDEX,
    ONE,
    TWO,
    WEIGHTS,
    config,
    header,
    in_place_of,
    link,
    replace,
    shards,
    split,
    text,
    tokenizer,
    vision,
)

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
