"""How often answers are right, where people have labelled some: of the rows of all nights under the config_id.

A night has few labels of its own. Without any label nothing is read but the list of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from framegate.pipelines.certify.audit_rows import find_audit_rows
from framegate.pipelines.commit.labels import read_labels
from framegate.pipelines.commit.output import Output
from framegate.pipelines.results.views import open_views
from framegate.schemas.config import OutputConfig

if TYPE_CHECKING:
    from framegate.pipelines.certify.right_share import RightShare


@dataclass(frozen=True, kw_only=True)
class Truth:
    """`num_labels`: of rows that count today; questions without any are listed, too, where another one has some."""

    questions: tuple[RightShare, ...] = ()
    num_labels: int = 0


def find_truth(output: Output, config: OutputConfig, config_id: str | None) -> Truth:
    """Raises VersionChanged or ObjectNotFound where a file changed meanwhile, StorageError."""
    labels = {} if config_id is None else read_labels(output, config_id)
    if not labels:
        return Truth()
    from framegate.pipelines.certify.right_share import find_right_shares  # SciPy, which other reports need not load

    with open_views(config.uri, config.storage_options, with_clips=False, config_id=config_id) as views:
        found = find_audit_rows(views)
    if found is None:  # of all rows that have labels there are newer versions
        return Truth()
    shares = find_right_shares(found, labels)
    num_labels = sum(each.num_labels for each in shares)
    return Truth(questions=tuple(shares) if num_labels else (), num_labels=num_labels)
