"""Which addresses a web request may go to: never one that a machine's own services listen on for it alone.

A manifest may come from somebody else. So may the answer of a name server, and the address that a web server sends on
to. The metadata service of a cloud gives credentials to whoever asks from inside.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any, Final

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from framegate.schemas.errors import UnsafeAddress

MAX_REDIRECTS: Final = 5
_METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"))
)
_OLD_FORM: Final = re.compile(r"[0-9][0-9a-fx.]*", re.IGNORECASE)
"""IPv4 as C libraries take it, too: 2852039166, 0xA9FEA9FE, 0251.0376.0251.0376 and 169.254.43518 are one address."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class GuardedResolver(ThreadedResolver):
    """Looks names up, and refuses what they lead to where that is no address for videos (`why_refused`)."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        for one in found:
            why = why_refused(one["host"])
            # A name with a dot in it belongs to somebody, who may point it at any address.
            if why is None and "." in host.rstrip(".") and _is_loopback(one["host"]):
                why = "an address of this machine itself"
            if why is not None:
                raise UnsafeAddress(f"the name {host} leads to {one['host']}, {why}, and nothing is asked there")
        return found


def check_address(url: URL) -> None:
    """Raises UnsafeAddress where the host of a URL is written as an address that is refused."""
    host = url.host or ""
    why = why_refused(host)
    if why is not None:
        raise UnsafeAddress(f"{host} is {why}, and nothing is asked there")


def follow(url: URL, location: str) -> URL:
    """Where a redirect leads. Raises UnsafeAddress unless that is the same server: the same host and port, by the same
    protocol or from http to https."""
    try:
        there = url.join(URL(location, encoded=True))
        port, own_port = there.port, url.port
    except ValueError:
        raise UnsafeAddress("the server sends on to what is no address, which is not followed") from None
    is_same = (there.scheme, port) == (url.scheme, own_port)
    is_upgrade = (url.scheme, own_port, there.scheme, port) == ("http", 80, "https", 443)
    if there.host != url.host or not (is_same or is_upgrade) or there.raw_user is not None:
        raise UnsafeAddress(
            f"the server sends on to another place ({there.scheme}://{there.host or ''}), which is not followed; name"
            " the address that the video has there"
        )
    return there


def why_refused(host: str) -> str | None:
    """Why an address is none for videos; None where it may be asked, and for what is no address."""
    address = _parse(host)
    if address is None:
        return None
    if address in _METADATA:
        return "the address of a cloud's metadata service"
    if address.is_link_local:
        return "a link-local address"
    if address.is_unspecified or address.is_multicast:
        return "no address of one machine"
    return None


def _is_loopback(host: str) -> bool:
    address = _parse(host)
    return address is not None and address.is_loopback


def _parse(host: str) -> _Address | None:
    """The address that a text is; of one that holds an IPv4 address, that one."""
    try:
        address: Any = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        if not _OLD_FORM.fullmatch(host):
            return None
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
