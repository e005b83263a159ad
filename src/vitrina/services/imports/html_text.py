"""Converts descriptions that other shops store as HTML to plain text."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Final

_PARAGRAPHS: Final = frozenset("blockquote dl figure h1 h2 h3 h4 h5 h6 ol p pre section table ul".split())
_BLOCKS: Final = _PARAGRAPHS | frozenset("address article br dd div dt footer header hr li tr".split())
_INVISIBLE: Final = frozenset({"script", "style"})
_NAMES: Final = """
abbr acronym address area article aside audio base bdi bdo big blockquote body br button canvas caption center cite code
col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset figcaption figure font footer form
frame frameset h[1-6] head header hgroup hr html iframe img input ins kbd label legend li link main map mark marquee
math menu meta meter nav nobr noframes noscript object ol optgroup option output param picture pre progress rp rt ruby
samp script search section select slot small source span strike strong style sub summary sup svg table tbody td template
textarea tfoot th thead time title tr track tt ul var video wbr path g rect circle line [a-z]+[:-][a-z0-9:-]+
"""
"""HTML's elements of two letters or more, some of SVG, and names with a colon or hyphen, which other programs add."""
_NO_TAG: Final = re.compile(
    rf"""<(?=/?[a-z])(?!
        /?(?:{"|".join(_NAMES.split())}|[abipqsu](?=\s*/?>|\s[^<>]*=))  # `a<b and c>d` has no bold text.
        (?=[\s/>]) (?: (?:[^<>"']++|"[^"]*"|'[^']*')*+ | [^<>]* ) >
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""A less-than sign before a letter that begins no tag, as in `S<M`; the parser would drop the text after it."""
_LINE: Final = "\0"
_BLOCK: Final = "\1"
_PARAGRAPH: Final = "\2"
"""Mark breaks while insignificant white space is collapsed; these characters are removed from the text itself."""


class _Text(HTMLParser):
    """Collects the text and marks where blocks begin and end."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.has_tags = False
        self._invisible = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - its signature
        self.has_tags = True
        self._invisible += tag in _INVISIBLE
        self._break(tag)
        if tag == "li":
            self.parts.append("- ")
        elif tag in {"td", "th"}:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self.has_tags = True
        self._invisible = max(0, self._invisible - (tag in _INVISIBLE))
        if tag != "br":
            self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._invisible:
            self.parts.append(re.sub(r"[\0-\2]", "", data))

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.parts.append(_LINE if tag == "br" else _PARAGRAPH if tag in _PARAGRAPHS else _BLOCK)


def html_text(html: str, *, keep_breaks: bool = False) -> str:
    """Return the text of `html`: no tags, entities decoded, a line per block, an empty line between paragraphs.

    White space is collapsed to one space as in a browser; `keep_breaks` keeps line breaks, for shops that show them.
    In text without tags only the entities are decoded.
    """
    parser = _Text()
    parser.feed(_NO_TAG.sub("&lt;", html))
    parser.close()
    text = "".join(parser.parts)
    if not parser.has_tags:
        return text.strip()
    if keep_breaks:
        text = text.replace("\r\n", "\n").replace("\n", _LINE)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" *[\0-\2][\0-\2 ]*", _line_breaks, text).strip()


def decode_entities(text: str) -> str:
    """Return a text that is no HTML with its entities decoded, where a shop has stored `Salt &amp; Pepper`.

    Only with their semicolon: a browser would also make `Plug&section` to `Plug§ion`.
    """
    return re.sub(r"&#?[0-9A-Za-z]+;", lambda entity: unescape(entity[0]), text)


def _line_breaks(breaks: re.Match[str]) -> str:
    return "\n\n" if _PARAGRAPH in breaks[0] or breaks[0].count(_LINE) > 1 else "\n"
