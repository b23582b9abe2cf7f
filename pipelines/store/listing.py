"""How the videos of an input are listed, and what a listing passed over: nothing is left out in silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Listing:
    """Filled while objects are listed. Without one, a folder that cannot be read is an error, and links to folders are
    not followed.

    leave_out        the URI of a folder that is not looked into, such as the output of the job that asks
    follow_links     go into linked folders whose target is listed nowhere else
    has_left_out     there was such a folder
    num_own          objects that whoever asks has left out itself
    num_hidden       names that start with a dot; a folder counts once, whatever is in it
    links            links to folders that were not followed: unwanted, or their target is listed anyway
    followed         links to folders that were followed
    num_dangling     links that lead to nothing
    num_special      pipes, sockets and devices
    unreadable       folders (with a slash at the end) and files that may not be looked at, with the reason
    """

    leave_out: str | None = None
    follow_links: bool = False
    has_left_out: bool = False
    num_own: int = 0
    num_hidden: int = 0
    links: set[str] = field(default_factory=set)
    followed: set[str] = field(default_factory=set)
    num_dangling: int = 0
    num_special: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)

    def of_pattern(self) -> Listing:
        """One to list what a pattern matches: what is hidden, dangling or special matches none, and is not counted."""
        return Listing(leave_out=self.leave_out, follow_links=self.follow_links)

    def add_pattern(self, listing: Listing, matches: Callable[[str], object]) -> None:
        """Takes over what a listing for a pattern met: of files that may not be looked at, those that match."""
        self.has_left_out |= listing.has_left_out
        self.links |= listing.links
        self.followed |= listing.followed
        self.unreadable |= {
            name: why for name, why in listing.unreadable.items() if name.endswith("/") or matches(name)
        }

    def leaves_out(self, path: str, top: str, left_out: str) -> bool:
        """Whether an object's path is in the folder that is left out, which lies below the `top` of what is listed."""
        is_out = left_out.startswith(top) and left_out != top and path.startswith(left_out)
        self.has_left_out |= is_out
        return is_out
