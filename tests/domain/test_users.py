"""Roles and e-mail addresses."""

import pytest

from vitrina.domain.users import ACCOUNT_MANAGERS, EVERY_ROLE, PRODUCT_MANAGERS, Role, clean_email


def test_each_role_includes_the_rights_of_the_lower_ones() -> None:
    """Only super_admins manage accounts; admins manage products too (R1, R2)."""
    assert {Role.SUPER_ADMIN} == ACCOUNT_MANAGERS
    assert {Role.SUPER_ADMIN, Role.ADMIN} == PRODUCT_MANAGERS
    assert {Role.SUPER_ADMIN, Role.ADMIN, Role.USER} == EVERY_ROLE


@pytest.mark.parametrize(
    "email", ["a@example.com", "first.last+tag@sub.example.co", "ünï@müller.example", "o'neil@example.com"]
)
def test_an_address_is_trimmed_and_keeps_its_case(email: str) -> None:
    assert clean_email(f"\u00a0{email}\n") == email
    assert clean_email(email.title()) == email.title()


@pytest.mark.parametrize(
    "email",
    ["", " ", "a", "@example.com", "a@", "a@b", "a@@example.com", "a@example..com", "a b@example.com",
     "a@example.com\r\nBcc: b@example.com", "a@example.com,b@example.com", "Ana <a@example.com>", "a\0@example.com",
     "x" * 65 + "@example.com", "a@" + "x" * 64 + ".com", "a@" + ".".join(["x" * 60] * 5)],
)  # fmt: skip
def test_invalid_addresses_are_refused(email: str) -> None:
    """Characters that could end a mail header are among them."""
    with pytest.raises(ValueError, match=r"e-mail|254"):
        clean_email(email)
