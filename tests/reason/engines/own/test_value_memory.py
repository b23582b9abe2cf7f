"""Memory of value controls: as told, bounded by the budget, and gone with its row."""

from __future__ import annotations

from framegate.pipelines.reason.engines.own.value_control import (
    count_bytes,
)
from framegate.pipelines.reason.strategies.protocol import ValueControl
from tests.reason.engines.own.asks import make_clip, run_asks
from tests.reason.engines.own.faulty_checkpoint import OUT_OF_MEMORY, FaultyCheckpoint, raise_at
from tests.reason.engines.own.steering import LARGE, LITE, ids, plain, steered


def test_memory_is_as_told_and_goes_with_the_row(bench, random_checkpoint):
    engine, clip = bench.engine(random_checkpoint), make_clip(0, num_frames=8)
    for control in (LARGE, ValueControl(rate=0.3, keep=0.5), LITE):
        ask = steered(clip, sign=1, control=control)
        engine.add(ask)
        for _ in range(3):
            engine.step()
        (controller,) = engine.runner._controllers.of_rows().values()
        added = 0 if controller.added_KVD is None else controller.added_KVD.nbytes
        (request,) = engine.running
        shape = engine._checkpoint.kv_shape
        assert request.control_bytes == count_bytes(control, request.clip.num_video_tokens, shape) == added
        del controller, request
        run_asks(engine)
        assert not engine.runner._controllers._of_row
    engine.add(plain(clip))
    for _ in range(2):
        engine.step()
    assert [request.control_bytes for request in engine.running] == [0]


def test_a_budget_bounds_what_is_added_too(bench, random_checkpoints):
    counting = FaultyCheckpoint(random_checkpoints["qwen3_vl"])
    clips = [make_clip(number, num_frames=8, size=(96, 96)) for number in range(4)]
    rows: list[int] = []
    counting.after_rows = rows.append
    expected = run_asks(bench.engine(counting), mine := [steered(clip, sign=1, control=LARGE) for clip in clips])
    assert max(rows) == 4
    engine = bench.engine(counting)
    run_asks(engine, [plain(clip) for clip in clips])
    cache = engine.runner.cache
    stores = sum(
        tensor.nbytes for store in (cache.clip_store, cache.row_store) for tensor in (*store.keys, *store.values)
    )
    num_video_tokens = expected[mine[0]].num_video_tokens
    each = count_bytes(LARGE, num_video_tokens, counting.kv_shape)
    assert each == 4 * num_video_tokens * counting.kv_shape.num_heads * counting.kv_shape.head_size
    rows.clear()
    bounded = run_asks(bench.engine(counting, memory_bytes=stores + 2 * each), mine)
    assert max(rows) == 2
    assert [ids(bounded, ask) for ask in mine] == [ids(expected, ask) for ask in mine]
    others = [plain(make_clip(number, num_frames=8, size=(96, 96))) for number in range(4)]
    small = run_asks(bench.engine(counting, memory_bytes=stores + each - 1), [mine[0], *others])
    assert small[mine[0]].failure_reason == "memory_limit"
    assert [small[ask].failure_reason for ask in others] == [None] * 4


def test_a_row_that_begins_anew_has_nothing_added(bench, random_checkpoints):
    faulty = FaultyCheckpoint(random_checkpoints["qwen3_vl"])
    asks = [steered(make_clip(0), sign=sign, control=LARGE) for sign in (-1, 1)]
    expected = run_asks(bench.engine(faulty), asks)
    faulty.after_rows = raise_at(6, OUT_OF_MEMORY)
    outcome = run_asks(bench.engine(faulty), asks)
    assert [ids(outcome, ask) for ask in asks] == [ids(expected, ask) for ask in asks]
