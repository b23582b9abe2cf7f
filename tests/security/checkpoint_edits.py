"""Changes to a sound checkpoint, and the sentence with which it is refused then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from framegate.pipelines.reason.models.check import check_model
from framegate.pipelines.reason.models.fingerprint import fingerprint_model
from framegate.pipelines.reason.models.vision_grid import read_vision_grid
from framegate.schemas.errors import EngineError
from tests.model_folders import CONFIG, TENSORS, safetensors

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


def refusal(folder: Path) -> str | None:
    """The sentence with which a checkpoint is refused, by whatever asks first; None for a sound one."""
    try:
        read_vision_grid(str(folder))
        check_model(str(folder), None, TEXTS)
        fingerprint_model(str(folder))
    except EngineError as error:
        return str(error)
    return None
