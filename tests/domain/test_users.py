"""Roles and e-mail addresses."""

import re
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from vitrina.domain.users import (
    ACCOUNT_MANAGERS,
    EVERY_ROLE,
    PRODUCT_MANAGERS,
    Role,
    canonical_email,
    clean_account_name,
    clean_email,
    wire_address,
)


def test_each_role_includes_the_rights_of_the_lower_ones() -> None:
    """Only super_admins manage accounts; admins manage products too (R1, R2)."""
    assert {Role.SUPER_ADMIN} == ACCOUNT_MANAGERS
    assert {Role.SUPER_ADMIN, Role.ADMIN} == PRODUCT_MANAGERS
    assert {Role.SUPER_ADMIN, Role.ADMIN, Role.USER} == EVERY_ROLE


@pytest.mark.parametrize(
    "email", ["a@example.com", "first.last+tag@sub.example.co", "uni@müller.example", "o'neil@example.com"]
)
def test_an_address_is_trimmed_and_keeps_its_case(email: str) -> None:
    assert clean_email(f"\u00a0{email}\n") == email
    assert clean_email(email.title()) == email.title()


@pytest.mark.parametrize(
    "email",
    ["", " ", "a", "@example.com", "a@", "a@b", "a@@example.com", "a@example..com", "a b@example.com",
     "a@example.com\r\nBcc: b@example.com", "a@example.com,b@example.com", "Ana <a@example.com>", "a\0@example.com",
     "x" * 65 + "@example.com", "a@" + "x" * 64 + ".com", "a@" + ".".join(["x" * 60] * 5), "a@10.0.0.10"],
)  # fmt: skip
def test_invalid_addresses_are_refused(email: str) -> None:
    """Characters that could end a mail header are among them."""
    with pytest.raises(ValueError, match=r"e-mail|254|before the @|domain"):
        clean_email(email)


@pytest.mark.parametrize(
    ("email", "advice"),
    [
        ("ana@example.com.", "ends with a dot: leave it out"),
        ("ana@example.com。", "ends with a dot: leave it out"),
        ("ana@example..com", "IDNA 2008 does not allow: Empty Label"),
        ("ana@-x.example", "IDNA 2008 does not allow: Label must not start or end with a hyphen"),
        ("ana@a_b.example", "U+005F"),
        ("ana@😀.example", "U+1F600"),
        ("ana@xn--a.example", "IDNA 2008 does not allow"),
        ("ana@ex\u00adample.org", "invisible character"),
        ("ana@ex\u200dample.org", "Joiner U+200D not allowed"),
        ("ana@" + "x" * 64 + ".example", "Label too long"),
        ("ana@" + ".".join(["ü"] * 80), "Domain too long"),
        ("x" * 60 + "@" + ".".join(["ü"] * 25), "more than 254"),
        ("ana@localhost", "no full domain after the @, such as example.com"),
        ("josé@example.com", "other characters than ASCII before the @"),
        ("a..b@example.com", "single dots"),
        (".a@example.com", "single dots"),
        ("=?utf-8?q?a=0aBcc=3av=40evil.example?=@example.com", "encoded word"),
    ],
)
def test_a_refusal_says_what_to_change(email: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)) as caught:
        clean_email(email)
    assert email.partition("@")[2] not in str(caught.value).removesuffix("such as ana@example.com")


@pytest.mark.parametrize(
    ("email", "canonical"),
    [
        ("Ana@EXAMPLE.com", "ana@example.com"),
        ("ana@faß.example", "ana@xn--fa-hia.example"),
        ("ana@XN--FA-HIA.example", "ana@xn--fa-hia.example"),
        ("ana@FAẞ.example", "ana@xn--fa-hia.example"),
        ("ana@fass.example", "ana@fass.example"),
        ("ana@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example", "ana@xn--mgba3gch31f060k.example"),
        ("ana@\u0646\u0627\u0645\u0647\u0627\u06cc.example", "ana@xn--mgba3gch31f.example"),
        ("ana@\uff45xample.org", "ana@example.org"),
        ("ana@example。org", "ana@example.org"),
        ("ana@bu\u0308cher.example", "ana@xn--bcher-kva.example"),
        ("Ana@Not_a_domain", "ana@not_a_domain"),
        ("josé@example.com", "josé@example.com"),
    ],
)
def test_one_domain_is_one_account_however_it_is_spelt(email: str, canonical: str) -> None:
    """By IDNA 2008: in Unicode, composed or not, or as `xn--…`; what older releases accepted is compared as a text."""
    assert canonical_email(email) == canonical


@given(st.text(max_size=40), st.text(alphabet="aß.-_xn@\u200d\u0301é。\uff101", max_size=40))
def test_any_text_has_a_canonical_form_and_a_good_address_is_sent_in_ascii(local: str, domain: str) -> None:
    """Sign-in takes any text."""
    email = f"{local}@{domain}"
    assert canonical_email(canonical_email(email)) == canonical_email(email)
    with suppress(ValueError):
        assert canonical_email(wire_address(clean_email(email))) == canonical_email(email.strip())
        assert wire_address(email.strip()).isascii()


@pytest.mark.parametrize("name", ["=?utf-8?q?Ana?=", "Ana =?x?b?eA==?= Lopez", "=??="])
def test_a_name_with_an_encoded_word_is_refused(name: str) -> None:
    """A mail program would show something else than the name that others see over HTTP."""
    with pytest.raises(ValueError, match="encoded word"):
        clean_account_name(name)
    assert clean_account_name(" What = ? ") == "What = ?"
