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
        ("10.0.0.1", ("203.0.113.9, garbage",), "unknown"),
        ("10.0.0.1", ("203.0.113.9, unknown",), "unknown"),
        ("10.0.0.1", ("203.0.113.9, ,10.9.9.9,,",), "203.0.113.9"),
        ("10.0.0.1", ("203.0.113.9,", "", ","), "203.0.113.9"),
        ("10.0.0.1", ("", " , "), "10.0.0.1"),
        ("10.0.0.1", ("fe80::1%eth0",), "fe80::1"),
        ("10.0.0.1", ("[fe80::1%25eth0]:80",), "fe80::1"),
        ("10.0.0.1", ("203.0.113.9, 10.9.9.9:4711",), "203.0.113.9"),
        ("10.0.0.1", ("203.0.113.9, [fd00::7%2]:4711",), "203.0.113.9"),
        ("10.0.0.1", ("203.0.113.9:99999999",), "unknown"),
        ("10.0.0.1", ("garbage, 203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("203.0.113.9:4711",), "203.0.113.9"),
        ("10.0.0.1", ("[2001:db8::1]:4711",), "2001:db8::1"),
        ("10.0.0.1", ("2001:DB8:0::1",), "2001:db8::1"),
        ("::ffff:10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("fd00::1", ("203.0.113.9",), "203.0.113.9"),
        ("fd00::1%eth0", ("203.0.113.9",), "203.0.113.9"),
    ],
)
def test_the_client_is_the_rightmost_untrusted_hop(peer: str, forwarded: tuple[str, ...], address: str) -> None:
    """The client may have forged all hops to the left of it."""
    assert _address(peer, *forwarded) == address


@pytest.mark.parametrize(
    ("lines", "address", "https"),
    [
        (["for=203.0.113.9"], "203.0.113.9", False),
        (["for=203.0.113.9;proto=https;by=10.0.0.1"], "203.0.113.9", True),
        (["For=203.0.113.9 ; PROTO=HTTPS"], "203.0.113.9", True),
        (['proto=https;for="203.0.113.9:4711"'], "203.0.113.9", True),
        (['for="[2001:db8:cafe::17]:4711"'], "2001:db8:cafe::17", False),
        (['for="[2001:DB8::17]"'], "2001:db8::17", False),
        (['for="[fe80::17%eth0]:_port"'], "fe80::17", False),
        (['for="203.0.113.9:_secret"'], "203.0.113.9", False),
        (["for=1.2.3.4;proto=http, for=203.0.113.9;proto=https, for=10.9.9.9;proto=http"], "203.0.113.9", True),
        (["for=1.2.3.4", "for=203.0.113.9;proto=https,,", "", "for=10.9.9.9, "], "203.0.113.9", True),
        (["for=203.0.113.9, for=_hidden"], "_hidden", False),
        (['for=203.0.113.9, for="_SEVKISEK:80"'], "_SEVKISEK", False),
        (["for=203.0.113.9, for=unknown;proto=https"], "unknown", True),
        (["for=203.0.113.9, proto=https"], "unknown", True),
        (["for=203.0.113.9, nonsense"], "unknown", False),
        ([r'for="20\3.0.113.9";host="a,b;for=1.2.3.4\""'], "203.0.113.9", False),
        (['for="203.0.113.9', "for=203.0.113.8"], "203.0.113.8", False),
        (['for="203.0.113.9, for=203.0.113.8'], "203.0.113.8", False),
        (['for="203.0.113.9, for="[2001:db8::8]"'], "2001:db8::8", False),
    ],
)
def test_forwarded_names_the_client_and_its_protocol(lines: list[str], address: str, https: bool) -> None:  # noqa: FBT001
    """RFC 7239: quoted strings, ports, IPv6 addresses in brackets, obfuscated identifiers and unknown clients."""
    request = make_mocked_request("GET", "/", headers=CIMultiDict(("Forwarded", line) for line in lines))
    proxies, request = ProxyHeaders(INSIDE), request.clone(remote="10.0.0.1")
    assert (proxies.address(request), proxies.is_https(request)) == (address, https)
    assert ProxyHeaders([]).address(request) == "10.0.0.1"


def test_forwarded_does_not_overrule_x_forwarded_for() -> None:
    """A proxy that writes one of them may pass on the other as the client sent it; most write X-Forwarded-For."""
    headers = {"Forwarded": "for=1.2.3.4;proto=https", "X-Forwarded-For": "203.0.113.9"}
    request = make_mocked_request("GET", "/", headers=headers).clone(remote="10.0.0.1")
    assert ProxyHeaders(INSIDE).address(request) == "203.0.113.9"
    assert not ProxyHeaders(INSIDE).is_https(request)


@pytest.mark.parametrize(
    ("hops", "protocols", "https"),
    [
        (["203.0.113.9"], ["https"], True),
        (["203.0.113.9, 10.9.9.9"], ["https, http"], True),
        (["203.0.113.9, 10.9.9.9"], ["http, https"], False),
        (["1.2.3.4, 203.0.113.9, 10.9.9.9"], ["http, https", "http"], True),
        (["1.2.3.4, 203.0.113.9"], ["http, https"], True),
        (["203.0.113.9"], ["https, http"], True),
        (["1.2.3.4, 203.0.113.9"], ["https"], True),
        (["1.2.3.4, 203.0.113.9"], ["http"], False),
        (["203.0.113.9,"], [",https,"], True),
        ([], ["https, http"], True),
        (["203.0.113.9"], [], False),
    ],
)
def test_the_protocol_beside_the_client_counts(hops: list[str], protocols: list[str], https: bool) -> None:  # noqa: FBT001
    """The first counts where the lists differ in length."""
    lines = [("X-Forwarded-For", line) for line in hops] + [("X-Forwarded-Proto", line) for line in protocols]
    request = make_mocked_request("GET", "/", headers=CIMultiDict(lines)).clone(remote="10.0.0.1")
    assert ProxyHeaders(INSIDE).is_https(request) is https


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
