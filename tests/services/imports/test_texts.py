"""Derived SKUs, and descriptions converted from HTML."""

import pytest
from hypothesis import given, strategies as st

from vitrina.domain.products import is_sku
from vitrina.services.imports.html_text import html_text
from vitrina.services.imports.shopify import derived_sku


@pytest.mark.parametrize(
    ("parts", "sku"),
    [
        (["wool-cap", "Deep Red", "M"], "WOOL-CAP-DEEP-RED-M"),
        (["crème-brûlée", "8.5"], "CREME-BRULEE-8.5"),
        (["straße", "½ l"], "STRASSE-1-2-L"),
        (["cap", "", "--"], "CAP"),
    ],
)
def test_a_sku_is_derived_from_handle_and_options(parts: list[str], sku: str) -> None:
    assert derived_sku(parts) == sku


def test_a_digest_distinguishes_parts_that_ascii_or_the_length_cannot() -> None:
    red, blue = derived_sku(["cap", "红"]), derived_sku(["cap", "蓝"])
    assert red != blue
    assert red.startswith("CAP-")
    assert len(red) == 12
    long = [derived_sku(["x" * 70, size]) for size in "ML"]
    assert len(set(long)) == 2
    assert [len(sku) for sku in long] == [64, 64]


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_derived_sku_is_valid_and_deterministic(parts: list[str]) -> None:
    assert is_sku(derived_sku(parts))
    assert derived_sku(parts) == derived_sku(parts)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        (" Plain &amp; simple\nin two lines ", "Plain & simple\nin two lines"),
        ("<p>One  <b>bold</b>\nword.</p>\n\n<p>Two</p>", "One bold word.\n\nTwo"),
        ("a<br>b<br/> <br>c<div>d</div>", "a\nb\n\nc\nd"),
        ("<ul><li>Oak</li><li>Ash</li></ul>", "- Oak\n- Ash"),
        ("<style>p {}</style><script>x()</script>Seen</script>", "Seen"),
        ("<table><tr><td>1</td><td>2</td></tr></table>", "1 2"),
        ("1 &lt; 2 \0", "1 < 2"),
    ],
)
def test_html_becomes_the_text_that_a_reader_sees(html: str, text: str) -> None:
    assert html_text(html) == text


def test_line_breaks_may_be_kept() -> None:
    """WooCommerce shows them as paragraphs."""
    assert html_text("One\r\n<b>two</b>\n\n\n\nthree", keep_breaks=True) == "One\ntwo\n\nthree"
