"""Run by test_preprocess.py in a process of its own, with torchvision on its path: what Hugging Face's processors make.

Reads a pickle of cases from standard input, writes a pickle of results to standard output. torchvision's build from
PyPI does not load beside a CPU build of torch unless the operators that it describes at import have a schema.
"""

from __future__ import annotations

import pickle
import sys

import torch

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def main() -> None:
    from transformers import AutoTokenizer, Qwen2VLImageProcessor, Qwen3VLProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import smart_resize as resize_2_5
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
    from transformers.video_utils import VideoMetadata

    asked = pickle.load(sys.stdin.buffer)
    cut = {}
    for name, case in asked["cut"].items():
        frames = torch.from_numpy(case["frames_THWC"]).permute(0, 3, 1, 2)
        processor_class = {"qwen2_5_vl": Qwen2VLVideoProcessor, "qwen3_vl": Qwen3VLVideoProcessor}[case["family"]]
        # The newer processor counts the pixels of all frames together.
        times = len(frames) + len(frames) % 2 if case["family"] == "qwen3_vl" else 1
        size = {"shortest_edge": case["min_pixels"] * times, "longest_edge": case["max_pixels"] * times}
        processor = processor_class(size=size, do_sample_frames=False, cap_pixels_per_frame=False)
        made = processor(videos=[frames], return_tensors="pt")
        cut[name] = (made["pixel_values_videos"].numpy(), made["video_grid_thw"][0].tolist())

    sizes = [resize_2_5(*size, factor=28, min_pixels=3136, max_pixels=602112) for size in asked["sizes"]]

    prompt = asked["prompt"]
    frames = torch.from_numpy(prompt["frames_THWC"]).permute(0, 3, 1, 2)
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=AutoTokenizer.from_pretrained(prompt["tokenizer"]),
        video_processor=Qwen3VLVideoProcessor(
            size={"shortest_edge": 1024, "longest_edge": 10**6}, do_sample_frames=False, cap_pixels_per_frame=False
        ),
    )
    metadata = VideoMetadata(
        total_num_frames=len(frames), fps=prompt["fps"], frames_indices=list(range(len(frames))), duration=None
    )
    text = prompt["before"] + "<|video_pad|>"
    made = processor(text=[text], videos=[frames], video_metadata=[metadata], return_tensors="pt")
    pickle.dump({"cut": cut, "sizes": sizes, "prompt": made["input_ids"][0].tolist()}, sys.stdout.buffer)


main()
