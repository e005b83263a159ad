"""The address of a client comes from trusted proxies only."""

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from vitrina.api.http.proxies import ProxyHeaders

INSIDE = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def _address(peer: str, *forwarded: str, trusted: bool = True) -> str:
    headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])
    request = make_mocked_request("GET", "/", headers=headers).clone(remote=peer)
    return ProxyHeaders(INSIDE if trusted else []).address(request)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.7", ("203.0.113.9",), "198.51.100.7"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.2.3.4, 203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.2.3.4", "203.0.113.9, 10.9.9.9"), "203.0.113.9"),
        ("10.0.0.1", ("10.1.1.1, 10.2.2.2",), "10.1.1.1"),
        ("10.0.0.1", ("203.0.113.9, garbage",), "10.0.0.1"),
        ("10.0.0.1", ("garbage, 203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("203.0.113.9:4711",), "203.0.113.9"),
        ("10.0.0.1", ("[2001:db8::1]:4711",), "2001:db8::1"),
        ("10.0.0.1", ("2001:DB8:0::1",), "2001:db8::1"),
        ("::ffff:10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("fd00::1", ("203.0.113.9",), "203.0.113.9"),
    ],
)
def test_the_client_is_the_rightmost_untrusted_hop(peer: str, forwarded: tuple[str, ...], address: str) -> None:
    """The client may have forged all hops to the left of it."""
    assert _address(peer, *forwarded) == address


def test_without_trusted_proxies_the_header_is_not_read() -> None:
    """Any client can send it."""
    assert _address("10.0.0.1", "203.0.113.9", trusted=False) == "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "proto", "trusted", "https"),
    [
        ("10.0.0.1", "https", True, True),
        ("10.0.0.1", "HTTPS", True, True),
        ("10.0.0.1", "http", True, False),
        ("198.51.100.7", "https", True, False),
        ("10.0.0.1", "https", False, False),
    ],
)
def test_only_a_trusted_proxy_can_report_tls(peer: str, proto: str, trusted: bool, https: bool) -> None:  # noqa: FBT001
    """RFC 6797 forbids HSTS over plain HTTP."""
    request = make_mocked_request("GET", "/", headers={"X-Forwarded-Proto": proto}).clone(remote=peer)
    assert ProxyHeaders(INSIDE if trusted else []).is_https(request) is https


def test_a_connection_without_an_address_has_none() -> None:
    """A Unix socket has no address."""
    assert _address("", "203.0.113.9") == ""
