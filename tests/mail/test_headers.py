"""Header fields hold exactly one mailbox, whatever the name, for the readers of other programs too."""

import email
import re
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import compat32, default
from email.utils import getaddresses

import pytest
from hypothesis import example, given, strategies as st

from vitrina.domain.text import clean_line
from vitrina.domain.users import clean_email
from vitrina.mail.headers import Mailbox, mailbox_field, reads_back, text_field, visible

ADDRESS = "ana@example.com"


def is_valid(name: str) -> bool:
    """Whether the API accepts a name."""
    try:
        clean_line(name)
    except ValueError:
        return False
    return True


NAMES = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="ab ,;:<>()@\"\\.=?_'\u202e\u200d\u00ad\U0001f469é", max_size=200),
    st.from_regex(r'[A-Za-z]{1,9}(, ?[A-Za-z"<>@]{1,30}){1,9}', fullmatch=True),
).filter(is_valid)


def parsed(block: str) -> EmailMessage:
    """Return a header as the email package reads it."""
    return email.message_from_bytes(block.encode() + b"\r\n\r\n", policy=default)


@given(name=NAMES)
@example(name="Smith, John, evil@example.org, " + "x" * 57)
@example(name="=?utf-8?q?Ana=0d=0aBcc=3a_evil=40example=2eorg?=")
@example(name='a "quoted" \\ name, <evil@example.org>')
@example(name="ñ" * 200)
@example(name="x" * 200)
@example(name="=?" * 100)
def test_any_name_makes_one_mailbox(name: str) -> None:
    """A comma or a line break separates nothing in a quoted string or an encoded word."""
    block = mailbox_field("To", Mailbox(visible(name), ADDRESS))
    message = parsed(block)
    assert message.keys() == ["To"]
    assert [each.addr_spec for each in message["To"].addresses] == [ADDRESS]
    assert not message["To"].defects
    # The older reader, since the newer one of Python 3.11 adds a space between two encoded words of a name.
    [(phrase, address)] = getaddresses([email.message_from_string(block, policy=compat32)["To"]])
    assert (str(make_header(decode_header(phrase))), address) == (visible(name), ADDRESS)


@given(name=NAMES)
@example(name="=?utf-8?q?Ana=0d=0aBcc=3a_evil=40example=2eorg?=")
def test_any_subject_reads_back(name: str) -> None:
    subject = f"Price of {visible(name)}: 1 USD → 2 USD"
    for said in (subject, visible(name) or "-"):
        message = parsed(text_field("Subject", said))
        assert message.keys() == ["Subject"]
        assert message["Subject"] == said


@given(name=NAMES)
def test_lines_are_short_and_encoded_words_are_whole_characters(name: str) -> None:
    """At most 76 characters a line and 75 an encoded word (RFC 2047 section 2)."""
    block = mailbox_field("To", Mailbox(visible(name), ADDRESS)) + text_field("Subject", visible(name) or "-")
    assert block.isascii()
    assert max(map(len, block.split("\r\n"))) <= 76
    for word in re.findall(r"=\?utf-8\?b\?[^?]*\?=", block):
        assert len(word) <= 75
        assert decode_header(word)[0][0].decode()


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Ana Lopez", "Ana Lopez <ana@example.com>"),
        ("O'Neil, Ana", '"O\'Neil, Ana" <ana@example.com>'),
        ('a "b" \\', '"a \\"b\\" \\\\" <ana@example.com>'),
        ("José", "=?utf-8?b?Sm9zw6k=?= <ana@example.com>"),
        ("=?x?q?y?=", "=?utf-8?b?PT94P3E/eT89?= <ana@example.com>"),
        ("", "<ana@example.com>"),
    ],
)
def test_names_are_written_in_the_simplest_form(name: str, field: str) -> None:
    assert mailbox_field("To", Mailbox(name, ADDRESS)) == f"To: {field}\r\n"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\u202eb\u200bc\ufeff", "abc"),
        ("a\u3164\u115f b\u2800 \xa0c", "a b c"),
        ("x\U000e0041\U000e007fy", "xy"),
        ("\u200d\u200da\u200d\u200d\u200db\u00ad", "a\u200db\u00ad"),
        ("❤\ufe0f\u200d🔥 葛\U000e0100\U000e0101", "❤\ufe0f\u200d🔥 葛\U000e0100"),
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),
        ("\ud800x", "\ufffdx"),
        ("\u200b\u2060", ""),
    ],
)
def test_nothing_hides_between_visible_characters(text: str, seen: str) -> None:
    """A single joiner, soft hyphen or variation selector after a visible character is spelling, a run is not."""
    assert visible(text) == seen


GOOD = "From: Vitrina <v@shop.example>\r\nTo: Ana <ana@example.com>\r\nSubject: Hi\r\nDate: now"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Date: now", "Date: now\r\nBcc: evil@example.org"),
        ("Date: now", "Date: now\nBcc: evil@example.org"),
        ("Date: now", "Date: now\r\nTo: Ana <ana@example.com>"),
        ("Date: now", ""),
        ("Ana <ana@example.com>", "Ana <ana@example.com>, evil@example.org"),
        ("Ana <ana@example.com>", "Ana <evil@example.org>"),
        ("Ana <ana@example.com>", "Eve <ana@example.com>"),
        ("Ana <ana@example.com>", "Eve, Ana <ana@example.com>"),
        ("Ana <ana@example.com>", "=?utf-8?q?Ana?= <ana@example.com>"),
        ("Ana <ana@example.com>", "=?utf-8?b?/w==?= <ana@example.com>"),
        ("Ana <ana@example.com>", "Aña <ana@example.com>"),
        ("Vitrina <v@shop.example>", "Vitrina <v@shop.example>, <v@shop.example>"),
        ("Subject: Hi", "Subject: Ho"),
        ("Subject: Hi", "Subject: " + "x" * 998),
        ("Subject: Hi", "Subject: Hi\r\n \r\n"),
        ("From", " From"),
    ],
)
def test_a_header_that_is_not_as_meant_is_recognised(before: str, after: str) -> None:
    """The last look before a mail leaves, at the bytes themselves."""
    meant = {"sender": Mailbox("Vitrina", "v@shop.example"), "recipient": Mailbox("Ana", ADDRESS)}
    assert reads_back(GOOD.encode(), **meant, subject="Hi", others=["Date"])
    assert not reads_back(GOOD.replace(before, after).encode(), **meant, subject="Hi", others=["Date"])


@pytest.mark.parametrize(
    "address", ["o'neil+tag/x=y@example.com", "!#$%&'*-/=?^_`{|}~@example.com", "a.b@xn--fa-hia.de"]
)
def test_any_address_that_an_account_may_have_reads_back(address: str) -> None:
    assert clean_email(address) == address
    block = mailbox_field("To", Mailbox("Ana", address))
    assert parsed(block)["To"].addresses[0].addr_spec == address
    header = f"From: <v@shop.example>\r\n{block}Subject: Hi".encode()
    assert reads_back(
        header, sender=Mailbox("", "v@shop.example"), recipient=Mailbox("Ana", address), subject="Hi", others=()
    )
