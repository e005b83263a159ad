"""Descriptions converted from HTML."""

import pytest

from vitrina.services.imports.html_text import html_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("Temp < 5 °C\nSecond line", "Temp < 5 °C\nSecond line"),
        ("For sizes S<M see chart", "For sizes S<M see chart"),
        ("S<M and L>XL, x<b and c>d", "S<M and L>XL, x<b and c>d"),
        ("<p>S<M <b>fits</b>, I <3 it</p>", "S<M fits, I <3 it"),
        ('<img alt="S<M"><p title="a > b"">Sloppy</p><a href="x"class="y">link</a>', "Sloppy\n\nlink"),
        ("<o:p>Word</o:p><my-part hidden>own</my-part>", "Wordown"),
        ("a <!-- <p> --> b", "a  b"),
    ],
)
def test_a_less_than_sign_that_begins_no_tag_is_text(html: str, text: str) -> None:
    """The parser takes `<M` for the begin of a tag and would drop what follows; sloppy tags are tags all the same."""
    assert html_text(html) == text


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
