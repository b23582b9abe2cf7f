"""Which rows are compared, which answers are right, and what it costs: by hand, over a real output."""

from __future__ import annotations

from pathlib import Path

import pytest

from framegate.pipelines.calibrate.paired import sign_flip
from framegate.pipelines.commit.output import Output
from framegate.pipelines.compare.build import compare_sources
from framegate.pipelines.compare.figures import Comparison
from framegate.pipelines.compare.told import labels_of_rows
from framegate.schemas.errors import ConfigError, InputError
from tests.certify.archive import put_rows
from tests.compare.outputs import FILMS, FIRST, SECOND, label, put_answers, put_failure, source
from tests.mornings import BLACK

PLACES = [(film, clip) for film in range(4) for clip in range(2)]


def compare(folder: Path, **options: object) -> Comparison:
    sources = [source(folder, FIRST, "one", 3.6), source(folder, SECOND, "two", 3.6)]
    return compare_sources(sources, None, **options)  # type: ignore[arg-type]


def test_figures_by_hand(tmp_path: Path) -> None:
    """Of 8 rows the first job has 2 right, the second 6; it thinks about all, and takes twice as long."""
    put_answers(tmp_path, FIRST, {place: "yes" if place[0] == 0 else "no" for place in PLACES})
    more = {"thinking": True, "num_thinking_tokens": 60, "engine_seconds": 1.0, "strategy": "always_think"}
    put_answers(tmp_path, SECOND, {place: "no" if place[0] == 3 else "yes" for place in PLACES}, **more)
    label(tmp_path, *PLACES)
    found = compare(tmp_path)
    one, two = found.jobs
    assert (one.strategy, two.strategy) == ("gated", "always_think")
    assert (one.num_right, one.accuracy, two.num_right, two.accuracy) == (2, 0.25, 6, 0.75)
    assert (one.prompt_tokens, one.video_tokens, one.written_tokens, one.think_share) == (100, 80, 4, 0)
    assert (two.written_tokens, two.think_share, two.seconds) == (64, 1, 1.0)
    assert (one.cost, two.cost, one.currency) == (pytest.approx(0.5), pytest.approx(1.0), "EUR")  # 3.6 / 3600 * 1000
    assert one.low is not None and one.high is not None and 0 <= one.low < 0.25 < one.high  # noqa: PT018
    [pair] = found.differences
    assert (pair.difference, pair.num_more, pair.num_fewer) == (0.5, 4, 0)
    assert pair.p_rows == pytest.approx(2 / 16)
    assert pair.p_videos == pair.p_holm == sign_flip([0, 2, 2, 0]) == 0.5
    assert pair.verdict == "no difference shown"
    assert (found.num_labels, found.num_rows, found.num_left_out, found.num_unknown, found.num_videos) == (
        8,
        8,
        0,
        0,
        4,
    )
    assert (found.axis, one.is_on_front, two.is_on_front) == ("cost", True, True)
    [question] = found.questions
    assert (question.question_id, question.num_rows, question.accuracies) == ("black_seen", 8, (0.25, 0.75))


def test_what_is_no_answer_is_wrong_and_told(tmp_path: Path) -> None:
    """The second job: one row unparsed, one deferred though its first answer is right, one failed, one not asked."""
    put_answers(tmp_path, FIRST, dict.fromkeys(PLACES, "yes"))
    rest = {place: None if place == (0, 0) else "yes" for place in PLACES if place not in ((1, 0), (2, 0), (3, 1))}
    put_answers(tmp_path, SECOND, rest)
    deferred = FILMS[1].row(0, BLACK, "yes", gate_reason="deferred")
    put_rows(Output.at(str(tmp_path / "index")), [deferred], number=1, config_id=SECOND)
    put_failure(tmp_path, SECOND, 2, clip_index=0, question_hash=BLACK.hash, stage="reason")
    label(tmp_path, *PLACES)
    found = compare(tmp_path)
    one, two = found.jobs
    assert (found.num_rows, found.num_left_out, one.num_missing, two.num_missing) == (7, 1, 0, 1)
    assert (one.num_right, two.num_right) == (7, 4)
    assert (two.num_unparsed, two.num_deferred, two.num_failed) == (1, 1, 1)
    assert (one.num_unparsed, one.num_deferred, one.num_failed) == (0, 0, 0)


@pytest.mark.parametrize(("clip_index", "num_failed"), [(None, 2), (1, 1), (0, 2)])
def test_a_video_that_breaks_off_has_failed_from_there_on(
    tmp_path: Path, clip_index: int | None, num_failed: int
) -> None:
    put_answers(tmp_path, FIRST, dict.fromkeys(PLACES, "yes"))
    put_answers(tmp_path, SECOND, {place: "yes" for place in PLACES if place[0] != 3})
    put_failure(tmp_path, SECOND, 3, clip_index=clip_index)
    label(tmp_path, *PLACES)
    two = compare(tmp_path).jobs[1]
    assert (two.num_failed, two.num_missing) == (num_failed, 2 - num_failed)


def test_labels_of_rows_that_are_not_there_are_counted_and_the_latest_label_counts(tmp_path: Path) -> None:
    put_answers(tmp_path, FIRST, dict.fromkeys(PLACES, "yes"))
    put_answers(tmp_path, SECOND, dict.fromkeys(PLACES, "no"))
    label(tmp_path, (0, 0), (1, 0), (1, 7))
    label(tmp_path, (0, 0), config_id=SECOND, answer="no", hours=1)
    found = compare(tmp_path)
    assert (found.num_rows, found.num_labels, found.num_unknown) == (2, 3, 1)
    assert [job.num_right for job in found.jobs] == [1, 1]


def test_other_clips_are_refused(tmp_path: Path) -> None:
    put_answers(tmp_path, FIRST, dict.fromkeys(PLACES, "yes"))
    put_answers(tmp_path, SECOND, dict.fromkeys(PLACES, "yes"), end_seconds=7.0)
    label(tmp_path, (0, 0))
    with pytest.raises(
        ConfigError, match=r"one and two cut other clips: clip 0 of s3://cams/0.mp4 is 0 to .* same clips"
    ):
        compare(tmp_path)


def test_nothing_to_compare_is_a_sentence(tmp_path: Path) -> None:
    put_answers(tmp_path, FIRST, {(0, 0): "yes"})
    put_answers(tmp_path, SECOND, {(1, 0): "yes"})
    one, two = source(tmp_path, FIRST, "one"), source(tmp_path, SECOND, "two")
    with pytest.raises(ConfigError, match="there is 1 set of answers to compare, and two are needed"):
        compare_sources([one], None)
    with pytest.raises(ConfigError, match=f"one and again have the same answers: both are config_id {FIRST}"):
        compare_sources([one, source(tmp_path, FIRST, "again")], None)
    with pytest.raises(ConfigError, match="no row of these answers has a label; give labels with framegate label"):
        compare_sources([one, two], None)
    with pytest.raises(ConfigError, match="the file of labels has none"):
        compare_sources([one, two], labels_of_rows([{"label": ""}]))
    priced = [source(tmp_path, FIRST, "one", 1.0), source(tmp_path, SECOND, "two", 1.0, "USD")]
    with pytest.raises(ConfigError, match=r"cost.currency differs: one in EUR and two in USD"):
        compare_sources(priced, None)
    label(tmp_path, (0, 0))
    with pytest.raises(ConfigError, match=r"no labelled row was answered by all of them.*1 labels.*one 1, two 0"):
        compare_sources([one, two], None)


def test_cost_is_an_axis_only_where_all_have_a_price(tmp_path: Path) -> None:
    for config_id in (FIRST, SECOND):
        put_answers(tmp_path, config_id, {(0, 0): "yes"})
    label(tmp_path, (0, 0))
    sources = [source(tmp_path, FIRST, "one", 1.0), source(tmp_path, SECOND, "two")]
    assert compare_sources(sources, None).axis == "seconds"
    with pytest.raises(ConfigError, match=r"--against cost: two has no price; set cost.gpu_hour"):
        compare_sources(sources, None, axis="cost")
    found = compare_sources(sources, None)
    assert found.jobs[0].low is None, "one video has no interval"
    assert found.differences[0].low is None


def exported(film: int, clip: int, said: str, **values: object) -> dict[str, object]:
    return {"video_uri": FILMS[film].uri, "clip_index": clip, "question_id": "black_seen", "label": said, **values}


def test_a_file_names_rows_as_a_person_does_or_as_they_were_exported(tmp_path: Path) -> None:
    put_answers(tmp_path, FIRST, dict.fromkeys(PLACES, "yes"))
    put_answers(tmp_path, SECOND, dict.fromkeys(PLACES, "no"))
    sources = [source(tmp_path, FIRST, "one"), source(tmp_path, SECOND, "two")]
    keyed = {"video_id": FILMS[1].video_id, "question_hash": BLACK.hash, "clip_index": "1", "label": "no"}
    found = compare_sources(sources, labels_of_rows([exported(0, 0, "Yes."), keyed, exported(0, 1, "")]))
    assert (found.num_rows, [job.num_right for job in found.jobs]) == (2, [1, 1])
    with pytest.raises(InputError, match="1 labels are wrong: row 1: 'perhaps' is no answer of type yes_no"):
        compare_sources(sources, labels_of_rows([exported(0, 0, "perhaps")]))
    with pytest.raises(InputError, match=r"row 1 was labelled at 5 to 99 s, and clip 0 .* the clips are others"):
        compare_sources(sources, labels_of_rows([exported(0, 0, "yes", start_seconds="5", end_seconds="99")]))
    with pytest.raises(InputError, match="row 1 needs clip_index, a whole number"):
        labels_of_rows([{"video_uri": "x", "question_id": "q", "clip_index": "one", "label": "yes"}])
    with pytest.raises(InputError, match="row 2 says 'no' where row 1 says 'yes'"):
        labels_of_rows([exported(0, 0, "yes"), exported(0, 0, "no")])
