"""Messages in both languages, and hostile names in them."""

import email
import tomllib
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from tests.mail.samples import AT, USER_ID, mail, notice, recipient
from vitrina.domain.notices import Language, Notice
from vitrina.domain.users import User
from vitrina.mail.message import ATTEMPT_HEADER, MOST_SHOWN, compose, sender_address, subject_name
from vitrina.mail.transport import MailRefused, Message

ROOT = Path(__file__).parents[2]


def composed(
    *notices: Notice,
    to: User | None = None,
    language: Language = Language.ENGLISH,
    sender: str = "Vitrina <notices@shop.example>",
    **fields: Any,  # noqa: ANN401 - each field of a mail has its own type
) -> Message:
    """Compose the message of these notices."""
    return compose(
        mail(*notices, **fields),
        notices,
        recipient=to or recipient(),
        language=language,
        sender=sender_address(sender),
    )


def written(*notices: Notice, **options: Any) -> EmailMessage:  # noqa: ANN401 - those of `composed`
    """Compose the message of these notices and return it as its recipient parses it."""
    return email.message_from_bytes(composed(*notices, **options).data, policy=default)


def text(message: EmailMessage, kind: str) -> str:
    """Return the text or HTML part of a message."""
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_a_single_notice_has_every_detail() -> None:
    message = written(notice())
    assert message["Subject"] == "Price of Oak Lamp: 19.99 USD → 24.99 USD"
    assert text(message, "plain") == (
        "Hello Ana Admin,\n\na price in the catalogue has changed.\n\n"
        "Product: Oak Lamp\nSKU: AA-LAM-0\nOld price: 19.99 USD\nNew price: 24.99 USD\n"
        "Changed by: Luis Admin\nWhen: 2026-11-24 07:01:34 UTC\nRequest: req-1\n\n"
        "-- \nYou get this because you look after the catalogue. "
        "What you are mailed is up to you: PUT /v1/me/notification-preferences.\n"
    )
    html = text(message, "html")
    for said in ("Oak Lamp", "19.99 USD", "24.99 USD", "Luis Admin", "07:01:34 UTC", "req-1"):
        assert said in html


def test_headers_identify_the_mail_and_suppress_automatic_replies() -> None:
    """The Message-ID names change and recipient, so that mail programs recognise a copy."""
    one = notice()
    message = written(one)
    assert message["From"] == "Vitrina <notices@shop.example>"
    assert message["To"] == "Ana Admin <ana@example.com>"
    assert message["Message-ID"] == f"<{one.id}.{USER_ID}@shop.example>"
    assert message["Date"].datetime == AT
    assert message["Auto-Submitted"] == "auto-generated"
    assert ATTEMPT_HEADER not in message


def test_the_same_values_give_the_same_bytes_and_a_second_attempt_is_marked() -> None:
    """A process that takes over a mail must send the same one."""
    notices = [notice(0), notice(1)]
    first, again = composed(*notices), composed(*notices, attempt=2)
    assert first == composed(*notices)
    assert written(*notices, attempt=2)[ATTEMPT_HEADER] == "2"
    assert again.id == first.id
    assert again.data.replace(f"{ATTEMPT_HEADER}: 2\r\n".encode(), b"") == first.data


def test_a_digest_lists_the_newest_first_and_counts_the_rest() -> None:
    """Its Message-ID does not depend on the order of the notices."""
    many = [notice(number) for number in range(MOST_SHOWN + 4)]
    message = written(*many)
    assert message["Subject"] == "104 price changes"
    plain, html = text(message, "plain"), text(message, "html")
    for body in (plain, html):
        assert "AA-LAM-103" in body
        assert body.index("AA-LAM-103") < body.index("AA-LAM-50") < body.index("AA-LAM-4")
        assert "AA-LAM-3<" not in body
        assert "(AA-LAM-3)" not in body
        assert "and 4 more in your inbox." in body
    assert message["Message-ID"] == written(*reversed(many))["Message-ID"]
    assert message["Message-ID"] != written(*many[1:])["Message-ID"]


def test_one_change_beyond_those_listed_is_said_in_the_singular() -> None:
    many = [notice(number) for number in range(MOST_SHOWN + 1)]
    assert "\nand 1 more in your inbox.\n" in text(written(*many), "plain")
    assert "\ny 1 más en su bandeja.\n" in text(written(*many, language=Language.SPANISH), "plain")


def test_a_digest_of_one_reads_like_a_notice() -> None:
    assert "Price of Oak Lamp" in written(notice(), digest=True)["Subject"]


def test_spanish_is_spanish_throughout() -> None:
    one = written(notice(), language=Language.SPANISH)
    assert one["Subject"] == "Precio de Oak Lamp: 19.99 USD → 24.99 USD"
    assert "Hola, Ana Admin:" in text(one, "plain")
    many = written(notice(0), notice(1), language=Language.SPANISH)
    assert many["Subject"] == "2 cambios de precio"
    html = text(many, "html")
    assert '<html lang="es">' in html
    assert "Cambiado por" in html
    assert "Changed" not in html


def test_there_is_no_link() -> None:
    """Following a link to a product would record an anonymous view (R4)."""
    for message in (written(notice()), written(notice(0), notice(1))):
        for kind in ("plain", "html"):
            assert "/v1/products" not in text(message, kind)
            assert "href" not in text(message, kind)


def test_a_deleted_actor_is_named_as_such() -> None:
    assert "Changed by: an account that is gone" in text(written(notice(changed_by_name=None)), "plain")


@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\v", "\x85", "\u2028", "\x00"])
def test_a_name_can_add_neither_a_header_nor_a_line(line_break: str) -> None:
    """Line breaks become spaces."""
    evil = f"Lamp{line_break}Bcc: victim@example.com"
    one = notice(name=evil, changed_by_name=evil, sku=evil, request_id=evil)
    for message in (written(one, to=recipient(name=evil)), written(one, notice(1), to=recipient(name=evil))):
        assert "Bcc" not in message
        assert [mailbox.addr_spec for mailbox in message["To"].addresses] == ["ana@example.com"]
        plain = text(message, "plain")
        assert line_break == "\n" or line_break not in plain
        assert "Lamp Bcc: victim@example.com" in plain
        assert not [line for line in plain.splitlines() if line.startswith("Bcc")]


def test_nothing_invisible_hides_text_in_subject_or_bodies() -> None:
    """Bidirectional controls, zero-width spaces and tags are dropped, joiners and soft hyphens within words stay."""
    hidden = "Oak \u202eLamp\u202c\u200b\U000e0041\U000e0042\u2066!\u2069"
    shaped = "\u0645\u06cc\u200c\u062e\u0648 Kaf\u00adfee 👩\u200d💻"
    message = written(notice(name=hidden, changed_by_name=shaped, sku=hidden), notice(1, name=shaped))
    assert written(notice(name=hidden))["Subject"] == "Price of Oak Lamp!: 19.99 USD → 24.99 USD"
    for kind in ("plain", "html"):
        body = text(message, kind).replace(f"\u2068{shaped}\u2069", shaped)
        assert not set(hidden) - set("Oak Lamp!") & set(body)
        assert body.count(shaped) == 2


@pytest.mark.parametrize("name", ["مصباح 12", "lamp כחול"])
def test_a_name_from_right_to_left_reorders_no_price(name: str) -> None:
    """It is isolated (UAX #9): the price that follows would come before it, apart from its currency."""
    inside = f"\u2068{name}\u2069"
    one = written(notice(name=name, changed_by_name=name), to=recipient(name=name))
    assert one["Subject"] == f"Price of {inside}: 19.99 USD → 24.99 USD"
    assert one["To"].addresses[0].display_name == name
    many = written(notice(name=name, changed_by_name=name), notice(1), to=recipient(name=name))
    for kind in ("plain", "html"):
        for message in (one, many):
            body = text(message, kind)
            # In HTML of a single notice the subject is the title.
            assert body.count(inside) == body.count(name) == 3 + (kind == "html" and message is one)


def test_a_long_name_leaves_the_prices_in_sight() -> None:
    """A subject is cut where programs show about 80 characters; a word may be longer than a column of HTML."""
    name = "Lamp " + "x" * 195
    message = written(notice(name=name))
    assert message["Subject"] == f"Price of {name[:59]}…: 19.99 USD → 24.99 USD"
    assert written(notice(name=name[:60]))["Subject"] == f"Price of {name[:60]}: 19.99 USD → 24.99 USD"
    for kind in ("plain", "html"):
        assert name in text(message, kind)
    assert "overflow-wrap: break-word" in text(message, "html")
    assert text(written(notice(name=name), notice(1)), "html").count("overflow-wrap: anywhere") == 2 * 2


def test_html_in_a_name_is_escaped() -> None:
    evil = '<img src=x onerror="alert(1)">&'
    message = written(notice(name=evil), to=recipient(name=evil))
    assert "<img" not in text(message, "html")
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;&amp;" in text(message, "html")
    assert evil in text(message, "plain")


@given(name=st.text(min_size=1, max_size=200), author=st.text(max_size=200))
@example(name="00000000¡¡¡¡¡¡¡¡¡¡¡𐐀 ¡", author="")
def test_any_name_survives_a_round_trip(name: str, author: str) -> None:
    """The message is ASCII, and its lines are within the limit of RFC 5322."""
    raw = composed(notice(name=name, changed_by_name=author), to=recipient(name=author)).data
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) < 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    back = email.message_from_bytes(raw, policy=default)
    assert back["Subject"] == f"Price of {subject_name(name)}: 19.99 USD → 24.99 USD"
    assert [mailbox.addr_spec for mailbox in back["To"].addresses] == ["ana@example.com"]
    assert not back.defects


def test_non_ascii_domains_are_sent_as_a_labels() -> None:
    """By IDNA 2008, in which ß is a letter of its own."""
    message = composed(notice(), to=recipient(email="Ana@faß.Example"))
    assert message.recipient.address == "Ana@xn--fa-hia.example"
    assert message.data.isascii()


@pytest.mark.parametrize(
    "address",
    [
        "josé@example.com",
        "a..b@example.com",
        "=?utf-8?q?a=0aBcc=3av=40evil.example?=@example.com",
        "a@xn--a.example",
        "nobody",
    ],
)
def test_a_mail_to_an_address_of_before_the_rules_is_refused(address: str) -> None:
    """Older releases accepted it for an account. The reason does not contain it."""
    with pytest.raises(MailRefused) as caught:
        composed(notice(), to=recipient(email=address))
    assert address not in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<ana@example.com>", b"<ana@example.com>, <eve@example.org>"),
        (b"Auto-Submitted:", b"Bcc: eve@example.org\r\nAuto-Submitted:"),
        (b"Subject: ", b"Subject: x\r\nSubject: "),
        (b"shop.example", b"evil.example"),
    ],
)
def test_no_message_exists_whose_header_is_not_as_meant(before: bytes, after: bytes) -> None:
    """Whatever wrote it: every transport gets a message that was read back."""
    message = composed(notice())
    assert before in message.data
    with pytest.raises(MailRefused):
        replace(message, data=message.data.replace(before, after, 1))


@pytest.mark.parametrize("text", ["", "nobody", "@example.com", "nobody@", f"a@{'x' * 64}.example"])
def test_an_invalid_sender_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an e-mail address|IDNA 2008"):
        sender_address(text)


def test_a_sender_without_a_name_is_a_bare_address() -> None:
    message = composed(notice(), sender="notices@shop.example")
    assert message.sender.address == "notices@shop.example"
    assert message.data.startswith(b"From: <notices@shop.example>\r\n")


def test_the_package_ships_each_template() -> None:
    """Every file that is not Python must match `package-data`, or the wheel lacks it."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    folder = ROOT / "src" / "vitrina" / "mail"
    shipped = {file for pattern in patterns["vitrina.mail"] for file in folder.glob(pattern)}
    assert {f"{kind}.{form}" for kind in ("notice", "digest") for form in ("txt", "html")} <= {
        file.name for file in shipped
    }
    assert {file for file in folder.rglob("*") if file.is_file() and file.suffix not in {".py", ".pyc"}} == shipped
