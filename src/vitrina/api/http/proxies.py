"""The client behind proxies: their headers are believed only as far as the proxies are trusted."""

import re
from collections.abc import Iterable, Iterator
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
        address, protocol = self._node(request.remote) if request.remote else "", ""
        if self._trusted(address):
            for node, asked_by in _hops(request.headers):
                address, protocol = self._node(node) if node else address, asked_by
                if not self._trusted(address):
                    break
        return address, protocol

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _hops(headers: CIMultiDictProxy[str]) -> Iterator[tuple[str, str]]:
    """Yield the address of each hop and the protocol that it was asked by, the nearest first.

    An address is empty where the proxies state a protocol alone. Of a megabyte of `Forwarded`, which a client can send,
    the caller reads only what trusted proxies have added at its end.
    """
    if "X-Forwarded-For" not in headers and "Forwarded" in headers:
        for line in reversed(headers.getall("Forwarded")):
            yield from (_pairs(element) for element in reversed(_ELEMENT.findall(line)) if element.strip())
        return
    nodes, protocols = _items(headers, "X-Forwarded-For") or [""], _items(headers, "X-Forwarded-Proto")
    if len(nodes) != len(protocols):
        protocols = [protocols[0] if protocols else ""] * len(nodes)
    yield from zip(reversed(nodes), reversed(protocols), strict=True)


def _pairs(element: str) -> tuple[str, str]:
    """Return the node and the protocol of an element of `Forwarded`."""
    pairs = {name.lower(): re.sub(r"\\(.)", r"\1", value.strip('"')) for name, value in _PAIR.findall(element)}
    return pairs.get("for", _UNKNOWN), pairs.get("proto", "")


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
