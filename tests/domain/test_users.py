"""Roles, and what an e-mail address looks like."""

import pytest

from vitrina.domain.users import ACCOUNT_MANAGERS, EVERY_ROLE, PRODUCT_MANAGERS, Role, clean_email


def test_each_role_may_what_those_below_it_may() -> None:
    """Accounts: super_admin alone; products: admins too (R1, R2)."""
    assert {Role.SUPER_ADMIN} == ACCOUNT_MANAGERS
    assert {Role.SUPER_ADMIN, Role.ADMIN} == PRODUCT_MANAGERS
    assert {Role.SUPER_ADMIN, Role.ADMIN, Role.USER} == EVERY_ROLE


@pytest.mark.parametrize(
    "email", ["a@example.com", "first.last+tag@sub.example.co", "ünï@müller.example", "o'neil@example.com"]
)
def test_an_address_is_trimmed_and_else_kept(email: str) -> None:
    """Its case too."""
    assert clean_email(f"\u00a0{email}\n") == email
    assert clean_email(email.title()) == email.title()


@pytest.mark.parametrize(
    "email",
    ["", " ", "a", "@example.com", "a@", "a@b", "a@@example.com", "a@example..com", "a b@example.com",
     "a@example.com\r\nBcc: b@example.com", "a@example.com,b@example.com", "Ana <a@example.com>", "a\0@example.com",
     "x" * 65 + "@example.com", "a@" + "x" * 64 + ".com", "a@" + ".".join(["x" * 60] * 5)],
)  # fmt: skip
def test_what_is_no_address_is_refused(email: str) -> None:
    """Nothing that could end a mail's header passes."""
    with pytest.raises(ValueError, match=r"e-mail|254"):
        clean_email(email)
