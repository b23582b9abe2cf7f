"""The bytes that each token of a vocabulary writes."""

from __future__ import annotations

import pytest

from framegate.pipelines.reason.models.vocabulary import token_pieces
from framegate.schemas.errors import EngineError


def test_a_tokenizer_that_is_not_byte_level_is_refused():
    with pytest.raises(EngineError, match="not byte-level BPE"):
        token_pieces({"▁the": 0}, {}, num_ids=1)


def test_ids_that_no_token_has_write_nothing():
    assert token_pieces({"a": 0}, {2: "<think>"}, num_ids=4) == [b"a", b"", b"<think>", b""]
