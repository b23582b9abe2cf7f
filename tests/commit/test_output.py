"""An output is its storage and its names."""

from __future__ import annotations

import pickle
from pathlib import Path

from framegate.pipelines.commit.layout import FOLDERS
from framegate.pipelines.commit.output import Output
from framegate.schemas.config import OutputConfig


def test_an_output_is_opened_as_its_job_says() -> None:
    config = OutputConfig(uri="s3://index/cameras", storage_options={"anon": True}, single_writer=True)
    output = Output.open(config)
    assert (output.root, output.store.options, output.store.single_writer) == (config.uri, {"anon": True}, True)
    assert pickle.loads(pickle.dumps(output)) == output


def test_a_folder_is_listed_as_a_whole_or_for_one_config_id(tmp_path: Path) -> None:
    output = Output.at(str(tmp_path))
    names = [output.layout.unit(id * 16, "v", clip_indexes=[0], questions=[("h", 1)]) for id in "ab"]
    for uri in names:
        output.store.put_once(uri, b"x")
    assert [info.uri for info in output.list("journal")] == names
    assert [info.uri for info in output.list("journal", "b" * 16)] == names[1:]
    assert [list(output.list(folder)) for folder in FOLDERS if folder != "journal"] == [[]] * (len(FOLDERS) - 1)
