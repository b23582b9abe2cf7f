"""A checkpoint's tokenizer as both sides of vLLM need it: text to ids for the driver, ids to bytes for courses."""

from __future__ import annotations

from typing import Any

import transformers
from transformers import AutoTokenizer, GenerationConfig

from framegate.pipelines.reason.engines.vllm.sequence import TokenTable
from framegate.pipelines.reason.models.text_encoder import TextEncoder
from framegate.pipelines.reason.models.vocabulary import token_pieces
from framegate.schemas.errors import EngineError

_TURN_ENDINGS = ("<|im_end|>", "<|endoftext|>")


def load_tokens(where: str, revision: str | None, *, num_ids: int) -> tuple[TextEncoder, TokenTable]:
    """What turns text into ids, and the table of all ids below `num_ids`.

    Raises EngineError in one sentence.
    """
    transformers.logging.disable_progress_bar()
    source: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **source)
    except (OSError, ValueError) as error:
        raise EngineError(f"the tokenizer of '{where}' cannot be loaded: {_first_line(error)}") from error
    pieces = token_pieces(
        tokenizer.get_vocab(),
        {token_id: token.content for token_id, token in tokenizer.added_tokens_decoder.items()},
        num_ids=num_ids,
    )
    endings = {tokenizer.convert_tokens_to_ids(ending) for ending in _TURN_ENDINGS}
    ends = endings | _declared_ends(where, source)
    table = TokenTable(pieces=pieces, end_ids=frozenset(token_id for token_id in ends if token_id is not None))
    return TextEncoder(tokenizer), table


def _declared_ends(where: str, source: dict[str, Any]) -> set[int | None]:
    try:
        declared = GenerationConfig.from_pretrained(where, revision=source["revision"]).eos_token_id
    except OSError:  # a checkpoint may come without one; the two endings above are in every tokenizer of the families
        return set()
    return set(declared) if isinstance(declared, list) else {declared}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
