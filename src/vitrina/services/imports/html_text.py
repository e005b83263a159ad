"""The text of a description that other shops keep as HTML."""

import re
from html.parser import HTMLParser
from typing import Final

_PARAGRAPHS: Final = frozenset("blockquote dl figure h1 h2 h3 h4 h5 h6 ol p pre section table ul".split())
_BLOCKS: Final = _PARAGRAPHS | frozenset("address article br dd div dt footer header hr li tr".split())
_UNSEEN: Final = frozenset({"script", "style"})
_LINE: Final = "\0"
_BLOCK: Final = "\1"
_PARAGRAPH: Final = "\2"
"""Stand for what HTML breaks while the white space that it doesn't mind is folded; in no text are these characters."""


class _Text(HTMLParser):
    """Collects the text, and marks where blocks begin and end."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - its signature
        self._unseen += tag in _UNSEEN
        self._break(tag)
        if tag == "li":
            self.parts.append("- ")
        elif tag in {"td", "th"}:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        if tag != "br":
            self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(re.sub(r"[\0-\2]", "", data))

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.parts.append(_LINE if tag == "br" else _PARAGRAPH if tag in _PARAGRAPHS else _BLOCK)


def html_text(html: str, *, keep_breaks: bool = False) -> str:
    """Return the text of `html`: no tags, entities read, a line for a block and an empty one between paragraphs.

    White space is one blank, as in a browser; `keep_breaks` leaves line breaks, for shops that make paragraphs of
    them. Text without a tag stays as it is, but for its entities.
    """
    parser = _Text()
    parser.feed(html)
    parser.close()
    text = "".join(parser.parts)
    if "<" not in html:
        return text.strip()
    if keep_breaks:
        text = text.replace("\r\n", "\n").replace("\n", _LINE)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" *[\0-\2][\0-\2 ]*", _broken, text).strip()


def _broken(breaks: re.Match[str]) -> str:
    return "\n\n" if _PARAGRAPH in breaks[0] or breaks[0].count(_LINE) > 1 else "\n"
