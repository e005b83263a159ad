"""Header fields of mail, written and read back by rules of our own (RFC 5322, RFC 2047).

The email package does not write them: in some releases of Python 3.11 and 3.12 its folding turns a comma in a long name
into further recipients, and a line break in an encoded word into a further field.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Collection
from dataclasses import dataclass
from email.utils import getaddresses
from typing import Final
from unicodedata import bidirectional

from vitrina.domain.users import ATOM, ENCODED_WORD

_LINE: Final = 76
"""Characters of a line with encoded words (RFC 2047 section 2); RFC 5322 recommends 78 at most."""
_LONGEST_LINE: Final = 998
"""Characters of any line (RFC 5322 section 2.1.1); only a long address or Message-ID exceeds `_LINE`."""
_ATOMS: Final = rf"{ATOM}(?: {ATOM})*"
_QUOTED: Final = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_WORD: Final = r"=\?utf-8\?b\?[A-Za-z0-9+/]+=*\?="
_WORDS: Final = rf"{_WORD}(?: {_WORD})*"
_MAILBOX: Final = re.compile(rf"(?:(?P<name>{_WORDS}|{_ATOMS}|{_QUOTED}) )?<(?P<address>[!-;=?-~]+)>")

_SHAPING: Final = "\u00ad\u200c\u200d"
"""Soft hyphen and joiners: they are spelling in Persian and in the scripts of India, and make one emoji of several."""
_VARIATION: Final = "\ufe00-\ufe0f\U000e0100-\U000e01ef\u180b-\u180d\u180f"
_INVISIBLE: Final = (
    f"{_SHAPING}{_VARIATION}\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
"""Unicode's property Default_Ignorable_Code_Point, and annotations (U+FFF9 to U+FFFB), whose text is not shown."""
_INVISIBLE_RUN: Final = re.compile(
    rf"(?<=[^\s{_INVISIBLE}])([{_VARIATION}]?[{_SHAPING}]|[{_VARIATION}])|[{_INVISIBLE}]"
)
_BREAK_OR_SPACE: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2800]+")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The display name, possibly empty, and the address of a sender or recipient; the address is ASCII."""

    name: str
    address: str


def visible(text: str) -> str:
    """Return `text` in one line in which nothing hides: for header fields, and for names in the bodies of mail.

    White space, control characters and the blank Braille pattern become one space. Invisible characters, among them
    bidirectional controls, zero-width spaces and tags, are dropped; a variation selector, a joiner or a soft hyphen
    stays where it follows a visible character. Lone surrogates become U+FFFD.
    """
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    return _BREAK_OR_SPACE.sub(" ", _INVISIBLE_RUN.sub(lambda match: match[1] or "", text)).strip()


def isolated(text: str) -> str:
    """Return a visible text so that, if it is written from right to left, it does not reorder the text around it.

    Without the isolates of UAX #9, `Price of <Arabic name>: 19.99 USD` shows as `Price of 19.99 :<name> USD`.
    """
    return f"\u2068{text}\u2069" if any(map(_is_right_to_left, text)) else text


def mailbox_field(name: str, mailbox: Mailbox) -> str:
    """Return the field of a single sender or recipient, in lines that end with CRLF."""
    phrase = _phrase(mailbox.name, _LINE - len(f"{name}: ")) if mailbox.name else []
    return _folded(name, [*phrase, f"<{mailbox.address}>"])


def text_field(name: str, text: str) -> str:
    """Return a field of unstructured text such as a subject, in lines that end with CRLF."""
    room, words = _LINE - len(f"{name}: "), text.split(" ")
    is_plain = text.isascii() and not ENCODED_WORD.search(text) and all(0 < len(word) <= room for word in words)
    return _folded(name, words if is_plain else _encoded(text, room))


def reads_back(block: bytes, *, sender: Mailbox, recipient: Mailbox, subject: str, others: Collection[str]) -> bool:
    """Whether a header block has the fields `From`, `To`, `Subject` and `others`, once each, and no other field.

    `From` and `To` must hold exactly `sender` and `recipient`, `Subject` the subject. `block` is what precedes the
    empty line.
    """
    fields: list[list[str]] = []
    for line in block.decode("latin-1").split("\r\n"):
        if not re.fullmatch(rf"[ -~]{{1,{_LONGEST_LINE}}}", line):
            return False
        if not line.startswith(" "):
            fields.append(line.split(": ", 1))
        elif fields and line.strip():
            fields[-1][-1] += line
        else:
            return False
    if sorted(name for name, *_ in fields) != sorted(["From", "To", "Subject", *others]):
        return False
    found = {name: "".join(value) for name, *value in fields}
    return (
        _is_mailbox(found["From"], sender)
        and _is_mailbox(found["To"], recipient)
        and _decoded(found["Subject"]) == subject
    )


def _is_right_to_left(character: str) -> bool:
    return bidirectional(character) in {"R", "AL", "AN"}


def _is_mailbox(value: str, mailbox: Mailbox) -> bool:
    """Whether a field's value is this mailbox alone, by the grammar here and by the reader of the email package."""
    match = _MAILBOX.fullmatch(value)
    if match is None or [address for _, address in getaddresses([value])] != [mailbox.address]:
        return False
    name = match["name"] or ""
    if name.startswith('"'):
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return (_decoded(name), match["address"]) == (mailbox.name, mailbox.address)


def _phrase(name: str, room: int) -> list[str]:
    """Return a display name as atoms, as a quoted string, or as encoded words if it is not ASCII or too long."""
    if name.isascii() and not ENCODED_WORD.search(name) and len(name) <= room:
        if re.fullmatch(_ATOMS, name):
            return name.split(" ")
        quoted = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
        if len(quoted) <= room:
            return [quoted]
    return _encoded(name, room)


def _encoded(text: str, room: int) -> list[str]:
    """Return encoded words, each of whole characters: the first of up to `room` characters, the others of up to 75."""
    chunks = [b""]
    for character in text:
        encoded = character.encode()
        # Three bytes become four characters, and `=?utf-8?b?` and `?=` are twelve.
        most = (room - 12) // 4 * 3 if len(chunks) == 1 else (_LINE - 1 - 12) // 4 * 3
        if len(chunks[-1]) + len(encoded) > most:
            chunks.append(b"")
        chunks[-1] += encoded
    return [f"=?utf-8?b?{b64encode(chunk).decode()}?=" for chunk in chunks]


def _decoded(value: str) -> str | None:
    """Return the text of a value that is encoded words alone or has none; None if a word is not whole characters."""
    if not re.fullmatch(_WORDS, value):
        return value
    try:
        return "".join(b64decode(word[10:-2]).decode() for word in value.split(" "))
    except ValueError:
        return None


def _folded(name: str, tokens: list[str]) -> str:
    lines = [f"{name}: {tokens[0]}"]
    for token in tokens[1:]:
        if len(lines[-1]) + 1 + len(token) <= _LINE:
            lines[-1] += f" {token}"
        else:
            lines.append(f" {token}")
    return "".join(f"{line}\r\n" for line in lines)
