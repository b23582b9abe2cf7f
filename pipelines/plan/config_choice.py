"""Under which config_id a job's rows are filed: its own, one that it adopts, or, over an archive of others, none yet.

A config_id follows from all that can change an answer. So a new decoder, a new release or a typing mistake can begin a
new one, under which every video is asked anew. That never happens unsaid: the first time, a person says which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from framegate.pipelines.commit.output import Output
from framegate.pipelines.commit.records import read_adoption, read_config
from framegate.pipelines.plan.previous_ids import OLDER_VERSION
from framegate.schemas.config import config_id, differences
from framegate.schemas.errors import ConfigError

MAX_TOLD: Final = 6  # differing keys in a sentence
MAX_VALUE_CHARS: Final = 40


@dataclass(frozen=True, kw_only=True)
class ConfigChoice:
    """What was chosen.

    config_id   rows are filed under it
    own_id      the one that follows from the job; another where one was adopted
    document    what own_id stands for
    is_adopted  own_id is filed under another, from now on or since an earlier run
    notices     sentences for the user: that own_id would be new in an output that has others, or is adopted from now on
    is_new      own_id would be new in an output that has others
    """

    config_id: str
    own_id: str
    document: Mapping[str, Any]
    notices: tuple[str, ...] = ()
    is_new: bool = False

    @property
    def is_adopted(self) -> bool:
        return self.config_id != self.own_id

    def accepted(self, accept_new: bool) -> ConfigChoice:
        """The choice that a run follows. Raises ConfigError where it is new, and nobody has accepted that."""
        if self.is_new and not accept_new:
            raise ConfigError("; ".join(self.notices))
        return self


def choose_config(
    output: Output, document: Mapping[str, Any], *, adopt: str | None, older: Callable[[], str]
) -> ConfigChoice:
    """Changes nothing. `adopt` is what the job says; `older` works out the id that an older release gave this job.

    Raises ConfigError where `adopt` cannot be followed, StorageError.
    """
    own = config_id(document)
    known = {info.uri.rpartition("/")[2].removesuffix(".yaml") for info in output.list("configs")}
    adopted = None if own in known else read_adoption(output, own)
    if adopted is not None and adopt not in (None, adopted):
        raise ConfigError(
            f"adopt: {adopt} differs from what an earlier run of this configuration has adopted in {output.root},"
            f" {adopted}; take adopt out of the job, or say that id"
        )
    if adopted is not None:
        return ConfigChoice(config_id=adopted, own_id=own, document=document)
    if adopt is not None and adopt != own:
        return _adopt(output, own, document, adopt, known)
    if own in known or not known:
        return ConfigChoice(config_id=own, own_id=own, document=document)
    documents = {id: read_config(output, id) for id in sorted(known)}
    if any(each.get("schema_version") == OLDER_VERSION for each in documents.values()) and (id := older()) in known:
        notice = f"answers go on under config_id {id}, as an older release called this configuration ({own} now)"
        return ConfigChoice(config_id=id, own_id=own, document=document, notices=(notice,))
    told = _tell_new(output, own, document, documents)
    return ConfigChoice(config_id=own, own_id=own, document=document, notices=(told,), is_new=True)


def _adopt(output: Output, own: str, document: Mapping[str, Any], adopt: str, known: set[str]) -> ConfigChoice:
    if own in known:
        raise ConfigError(
            f"adopt: {adopt} comes too late: rows of this configuration are filed under its own config_id {own} in"
            f" {output.root} already; take adopt out of the job"
        )
    if adopt not in known:
        raise ConfigError(f"adopt: {output.root} has no config_id {adopt}; it has {', '.join(sorted(known)) or 'none'}")
    notice = (
        f"answers of config_id {own} are filed under {adopt} from now on, as the job says (adopt), although"
        f" {_tell_differences(read_config(output, adopt), document)}"
    )
    return ConfigChoice(config_id=adopt, own_id=own, document=document, notices=(notice,))


def _tell_new(output: Output, own: str, document: Mapping[str, Any], documents: Mapping[str, Mapping[str, Any]]) -> str:
    """What a new config_id means, and in what it differs from the nearest one of those that are there."""
    nearest = min(documents, key=lambda id: (len(differences(documents[id], document)), id))
    return (
        f"this job begins config_id {own}, which is new in {output.root}, and asks every video anew: from {nearest},"
        f" the nearest of {len(documents):,} there, {_tell_differences(documents[nearest], document)}; set the job"
        f" back, accept it by --accept-new-config, or say adopt: {nearest} in the job to go on under that one"
    )


def _tell_differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    found = differences(there, here)
    told = [f"{key} ({_short(old)} there, {_short(new)} here)" for key, (old, new) in found.items()]
    more = f" and {len(told) - MAX_TOLD} more" if len(told) > MAX_TOLD else ""
    return f"it differs in {', '.join(told[:MAX_TOLD])}{more}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else " ".join(yaml.safe_dump(value, default_flow_style=True).split())
    text = text.removesuffix(" ...")
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}…"
