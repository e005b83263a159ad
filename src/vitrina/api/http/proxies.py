"""The client behind proxies: their headers are believed only as far as the proxies are trusted."""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp import web
from multidict import CIMultiDictProxy

_REMEMBERED: Final = 4_096
_UNKNOWN: Final = "unknown"
"""A client that its proxy does not know, or does not name (RFC 7239 section 6.2)."""
_OBFUSCATED: Final = re.compile(r"_[\w.-]{1,63}", re.ASCII)
_PORT: Final = re.compile(r":(?:[0-9]{1,5}|_[\w.-]+)\Z", re.ASCII)
_ELEMENT: Final = re.compile(r'(?:[^",]++|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z))++')
_PAIR: Final = re.compile(
    r"""(?<![\w!#$%&'*+.^`|~-])([\w!#$%&'*+.^`|~-]++)=("(?:[^"\\]|\\.)*+"|[^\s";]*+)\s*+(?=;|\Z)""", re.ASCII
)
"""Elements of `Forwarded`, and the pairs of a name and a token or quoted string in one (RFC 7239 section 4)."""


class ProxyHeaders:
    """Reads from proxies in `networks`, and no one else, which client they serve and how.

    They say so in `X-Forwarded-For` and `X-Forwarded-Proto`, or in `Forwarded` (RFC 7239) where there is no
    `X-Forwarded-For`: most proxies write that one, and pass on a `Forwarded` that the client has made up.
    """

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)
        self._node = lru_cache(_REMEMBERED)(_node)
        self._trusted = lru_cache(_REMEMBERED)(self._is_trusted)

    def address(self, request: web.Request) -> str:
        """Return the client's address: the right-most hop that is not a trusted proxy.

        It is `unknown`, or an obfuscated identifier, if the proxies say no more.
        """
        return self._client(request)[0] if self._networks else request.remote or ""

    def is_https(self, request: web.Request) -> bool:
        """Return whether the client used TLS to a trusted proxy; this process itself serves no TLS.

        Of several protocols, that beside the client's own address counts, and the first if they are not as many.
        """
        return bool(self._networks) and self._client(request)[1].lower() == "https"

    def _client(self, request: web.Request) -> tuple[str, str]:
        """Return the client's address and its protocol, which is empty if no trusted proxy states it."""
        address = self._node(request.remote or "") if request.remote else ""
        if not self._trusted(address):
            return address, ""
        hops, protocols = _forwarded(request.headers)
        number = len(hops)
        while number and self._trusted(address):
            number -= 1
            address = self._node(hops[number])
        if not protocols:
            return address, ""
        return address, protocols[number if len(protocols) == len(hops) else 0]

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _forwarded(headers: CIMultiDictProxy[str]) -> tuple[list[str], list[str]]:
    """Return the addresses of all hops, the client's first, and the protocols that each was asked by."""
    if "X-Forwarded-For" in headers or "Forwarded" not in headers:
        return _items(headers, "X-Forwarded-For"), _items(headers, "X-Forwarded-Proto")
    elements: list[dict[str, str]] = []
    for line in headers.getall("Forwarded"):
        for element in _ELEMENT.findall(line):
            if element.strip():
                pairs = _PAIR.findall(element)
                elements.append({name.lower(): re.sub(r"\\(.)", r"\1", value.strip('"')) for name, value in pairs})
    return [each.get("for", _UNKNOWN) for each in elements], [each.get("proto", "") for each in elements]


def _items(headers: CIMultiDictProxy[str], name: str) -> list[str]:
    """Return the items of a list header, whichever its lines; empty ones do not count (RFC 9110 section 5.6.1)."""
    return [item for part in ",".join(headers.getall(name, ())).split(",") if (item := part.strip())]


def _node(text: str) -> str:
    """Return the canonical address of a hop without its port and zone, an obfuscated identifier, or `unknown`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # An IPv6 address has two or more.
        text = _PORT.sub("", text)
    if _OBFUSCATED.fullmatch(text):
        return text
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return _UNKNOWN
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)
