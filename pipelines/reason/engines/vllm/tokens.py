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


def load_tokens(where: str, name: str, *, num_ids: int) -> tuple[TextEncoder, TokenTable]:
    """What turns text into ids, and the table of all ids below `num_ids`.

    `where` is the clean folder of the model `name`. Raises EngineError in one sentence.
    """
    transformers.logging.disable_progress_bar()
    source: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **source)
    except Exception as error:  # whatever a library raises for a setting that it does not know
        said = _first_line(error).replace(where, name)
        raise EngineError(f"the tokenizer of '{name}' cannot be loaded: {said}") from error
    pieces = token_pieces(
        tokenizer.get_vocab(),
        {token_id: token.content for token_id, token in tokenizer.added_tokens_decoder.items()},
        num_ids=num_ids,
    )
    endings = {tokenizer.convert_tokens_to_ids(ending) for ending in _TURN_ENDINGS}
    ends = endings | _declared_ends(where)
    table = TokenTable(pieces=pieces, end_ids=frozenset(token_id for token_id in ends if token_id is not None))
    return TextEncoder(tokenizer), table


def _declared_ends(where: str) -> set[int | None]:
    try:
        declared = GenerationConfig.from_pretrained(where, local_files_only=True).eos_token_id
    except OSError:  # a checkpoint may come without one; the two endings above are in every tokenizer of the families
        return set()
    return set(declared) if isinstance(declared, list) else {declared}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
