"""Value controls that keep a share of the values: which are kept, and that the others are not there."""

from __future__ import annotations

import torch

from tests.reason.engines.own.asks import make_clip, run_asks
from tests.reason.engines.own.steering import LITE, SMALL, plain, steered, tokens


def test_lite_keeps_the_half_with_the_largest_norms(bench, random_checkpoint):
    engine = bench.engine(random_checkpoint)
    for number, num_frames in ((0, 2), (1, 8)):
        clip = make_clip(number, num_frames=num_frames)
        engine.add(steered(clip, sign=0, control=LITE, num_tokens=30))
        for _ in range(2):
            engine.step()
        slot = number
        controller = engine.runner._controllers.of_rows()[slot]
        request, cache = engine.running[slot], engine.runner.cache
        num_video = request.clip.num_video_tokens
        norms = cache.clip_store.values[-1][cache.clip_slots[slot]].norm(dim=(0, 2))
        assert (len(controller.kept_V), len(controller.hidden_H)) == (num_video - num_video // 2, num_video // 2)
        assert norms[controller.kept_V].min() >= norms[controller.hidden_H].max()
        both = torch.cat([controller.kept_V, controller.hidden_H]).sort().values
        assert both.tolist() == request.clip.video_places.tolist()
        assert controller.added_KVD is None


def test_lite_thinks_as_if_the_others_were_not_there(bench, random_checkpoint):
    """What stands in the cache of the hidden half can be anything, of the kept half it cannot."""

    def write(spoil=None):
        engine, ask = bench.engine(random_checkpoint), steered(make_clip(0, num_frames=8), sign=0, control=LITE)
        engine.add(ask)
        for _ in range(2):  # it pauses where it begins to think
            engine.step()
        if spoil is not None:
            cache = engine.runner.cache
            places = getattr(engine.runner._controllers.of_rows()[0], spoil)
            torch.manual_seed(0)
            for keys, values in zip(cache.clip_store.keys, cache.clip_store.values, strict=True):
                keys[0][..., places] = 5 * torch.randn_like(keys[0][..., places])
                values[0][:, places] = 5 * torch.randn_like(values[0][:, places])
        return tokens(run_asks(engine), ask)

    as_it_is = write()
    assert write("hidden_H") == as_it_is
    assert write("kept_V") != as_it_is
    ask = plain(make_clip(0, num_frames=8))
    whole = tokens(run_asks(bench.engine(random_checkpoint), [ask]), ask)
    assert whole[:1] == as_it_is[:1], "the first answer sees all"
    assert whole[1].entropy != as_it_is[1].entropy


def test_of_an_odd_number_of_tokens_half_is_the_larger_one():
    assert [LITE.num_kept(number) for number in (1, 2, 7, 8)] == [1, 1, 4, 4]
    assert SMALL.num_kept(7) == 7
