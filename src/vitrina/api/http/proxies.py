"""The client behind proxies: their headers are believed only as far as the proxies are trusted."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp import web

_REMEMBERED: Final = 4_096


class ProxyHeaders:
    """Reads `X-Forwarded-For` and `X-Forwarded-Proto`, which anyone can send, from proxies in `networks` alone."""

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)
        self._normal = lru_cache(_REMEMBERED)(_normal)
        self._trusted = lru_cache(_REMEMBERED)(self._is_trusted)

    def address(self, request: web.Request) -> str:
        """Return the client's address: the right-most hop that is not a trusted proxy."""
        peer = request.remote or ""
        if not self._networks:
            return peer
        address = self._normal(peer) or peer
        for hop in reversed(",".join(request.headers.getall("X-Forwarded-For", ())).split(",")):
            before = self._normal(hop.strip())
            if before is None or not self._trusted(address):
                break
            address = before
        return address

    def is_https(self, request: web.Request) -> bool:
        """Say whether the client used TLS to a trusted proxy; this process itself serves no TLS."""
        return (
            bool(self._networks)
            and request.headers.get("X-Forwarded-Proto", "").lower() == "https"
            and self._trusted(self._normal(request.remote or "") or "")
        )

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _normal(text: str) -> str | None:
    """Return an address in its canonical form, without a port; None if `text` is not an address."""
    host, _, port = text.rpartition(":")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif port.isdigit() and host.count(".") == 3:  # noqa: PLR2004 - an IPv4 address with a port
        text = host
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)
