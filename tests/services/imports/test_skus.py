"""SKUs that are derived from what another shop's row was made from."""

import re

import pytest
from hypothesis import given, strategies as st

from vitrina.domain.products import is_sku
from vitrina.ids import digest_in, new_id
from vitrina.services.imports.skus import Origin


@pytest.mark.parametrize(
    ("parts", "sku"),
    [
        (["wool-cap", "Deep Red", "M"], "WOOL-CAP-DEEP-RED-M"),
        (["cap", "8.5", "x_l"], "CAP-8.5-X_L"),
        (["cap", ""], "CAP"),
    ],
)
def test_a_sku_is_derived_from_handle_and_options(parts: list[str], sku: str) -> None:
    assert Origin.of(*parts).sku == sku


@pytest.mark.parametrize(
    ("parts", "beginning"),
    [
        (["lens", "-1.00"], "LENS-1.00-"),
        (["lens", "+1.00"], "LENS-1.00-"),
        (["crème-brûlée", "8.5"], "CREME-BRULEE-8.5-"),
        (["straße", "½ l"], "STRASSE-1-2-L-"),
        (["tee", "S/M"], "TEE-S-M-"),
        (["tee", "S--M"], "TEE-S-M-"),
        (["cap", "--"], "CAP-"),
        (["cap", "红"], "CAP-"),
        (["cap", "\u212a"], "CAP-K-"),
        (["x" * 70, "M"], "X" * 55 + "-"),
    ],
)
def test_what_readable_characters_lose_shows_in_a_digest(parts: list[str], beginning: str) -> None:
    """Signs, accents, other letters, punctuation, repeated hyphens, and what is longer than a SKU."""
    origin = Origin.of(*parts)
    assert re.fullmatch(re.escape(beginning) + "[0-9A-F]{8}", origin.sku)
    assert origin.sku == origin.distinct_sku


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_derived_skus_are_valid_and_those_of_another_origin_can_be_told_apart(one: list[str], other: list[str]) -> None:
    """By the digest of the origin, which the product's id carries, and by the digits of the distinct SKU."""
    first, second = Origin.of(*one), Origin.of(*other)
    assert is_sku(first.sku)
    assert is_sku(first.distinct_sku)
    assert (first == second) == (one == other)
    assert digest_in(new_id(digest=first.digest)) == first.digest
    assert digest_in(new_id()) is None
