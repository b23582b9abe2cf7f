"""Links that open a video at a second, where a browser can follow one."""

from __future__ import annotations

from urllib.parse import quote

from framegate.schemas.uris import protocol_of


def link_to(uri: str, seconds: float, template: str | None) -> str | None:
    """The link, or None where a browser could not follow it: objects in a bucket, members of tar shards.

    `template` is the job's `report.link`: {uri} and {seconds} in it are replaced. Without one, a web address and an
    absolute path of this machine are links themselves, with the second as a media fragment (`#t=12.5`).
    """
    at = f"{max(0.0, seconds):.3f}".rstrip("0").rstrip(".")
    if template is not None:
        return template.replace("{uri}", quote(uri, safe="")).replace("{seconds}", at)
    if "#" in uri:
        return None
    protocol = protocol_of(uri)
    if protocol in ("http", "https"):
        return f"{uri}#t={at}"
    path = uri.removeprefix("file://").removeprefix("local://")
    return f"file://{quote(path)}#t={at}" if protocol in ("file", "local") and path.startswith("/") else None
