"""Messages in both languages, and hostile names in them."""

import email
import tomllib
from email.message import EmailMessage
from email.policy import SMTP, default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from tests.mail.samples import AT, USER_ID, mail, notice, recipient
from vitrina.domain.notices import Language, Notice
from vitrina.domain.users import User
from vitrina.mail.message import ATTEMPT_HEADER, MOST_SHOWN, compose, one_line, sender_address
from vitrina.mail.transport import as_bytes, recipient_of, sender_of

ROOT = Path(__file__).parents[2]


def written(
    *notices: Notice,
    to: User | None = None,
    language: Language = Language.ENGLISH,
    sender: str = "Vitrina <notices@shop.example>",
    **fields: Any,  # noqa: ANN401 - each field of a mail has its own type
) -> EmailMessage:
    """Compose the message of these notices."""
    return compose(
        mail(*notices, **fields),
        notices,
        recipient=to or recipient(),
        language=language,
        sender=sender_address(sender),
    )


def read(message: EmailMessage) -> EmailMessage:
    """Return a message as its recipient parses it."""
    return email.message_from_bytes(as_bytes(message), policy=default)


def text(message: EmailMessage, kind: str) -> str:
    """Return the text or HTML part of a message as its recipient parses it."""
    part = read(message).get_body((kind,))
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
    message = read(written(one))
    assert message["From"] == "Vitrina <notices@shop.example>"
    assert message["To"] == "Ana Admin <ana@example.com>"
    assert message["Message-ID"] == f"<{one.id}.{USER_ID}@shop.example>"
    assert message["Date"].datetime == AT
    assert message["Auto-Submitted"] == "auto-generated"
    assert ATTEMPT_HEADER not in message


def test_the_same_values_give_the_same_bytes_and_a_second_attempt_is_marked() -> None:
    """A process that takes over a mail must send the same one."""
    notices = [notice(0), notice(1)]
    first = as_bytes(written(*notices))
    assert first == as_bytes(written(*notices))
    again = written(*notices, attempt=2)
    assert again[ATTEMPT_HEADER] == "2"
    assert again["Message-ID"] == written(*notices)["Message-ID"]
    assert as_bytes(again).replace(f"{ATTEMPT_HEADER}: 2\r\n".encode(), b"") == first


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
        assert "and 4 more, which are in your inbox." in body
    assert message["Message-ID"] == written(*reversed(many))["Message-ID"]
    assert message["Message-ID"] != written(*many[1:])["Message-ID"]


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


@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\v", "\x85", "\u2028", "\x00", "\u202e"])
def test_a_name_can_add_neither_a_header_nor_a_line(line_break: str) -> None:
    """Line breaks and direction overrides become spaces."""
    evil = f"Lamp{line_break}Bcc: victim@example.com"
    one = notice(name=evil, changed_by_name=evil, sku=evil, request_id=evil)
    for message in (written(one, to=recipient(name=evil)), written(one, notice(1), to=recipient(name=evil))):
        raw = read(message)
        assert "Bcc" not in raw
        assert raw["To"].addresses[0].addr_spec == "ana@example.com"
        assert len(raw["To"].addresses) == 1
        plain = text(message, "plain")
        assert line_break == "\n" or line_break not in plain
        assert "Lamp Bcc: victim@example.com" in plain
        assert not [line for line in plain.splitlines() if line.startswith("Bcc")]


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
    message = written(notice(name=name, changed_by_name=author), to=recipient(name=author))
    raw = as_bytes(message)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) < 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    back = read(message)
    assert back["Subject"].split() == f"Price of {one_line(name)}: 19.99 USD → 24.99 USD".split()
    assert back["To"].addresses[0].addr_spec == "ana@example.com"
    assert not back.defects


def test_non_ascii_domains_are_encoded_and_local_parts_need_smtputf8() -> None:
    message = written(notice(), to=recipient(email="ana@bücher.example"))
    assert recipient_of(message) == "ana@xn--bcher-kva.example"
    assert as_bytes(message).isascii()
    message = written(notice(), to=recipient(email="josé@example.com"))
    assert recipient_of(message) == "josé@example.com"
    assert "josé@example.com".encode() in as_bytes(message)


@pytest.mark.parametrize("text", ["", "nobody", "@example.com", "nobody@", f"a@{'x' * 64}.example"])
def test_an_invalid_sender_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|label|encoding"):
        sender_address(text)


def test_a_sender_without_a_name_is_a_bare_address() -> None:
    message = written(notice(), sender="notices@shop.example")
    assert sender_of(message) == "notices@shop.example"
    assert message.as_bytes(policy=SMTP).startswith(b"From: notices@shop.example\r\n")


def test_the_package_ships_each_template() -> None:
    """Every file that is not Python must match `package-data`, or the wheel lacks it."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    folder = ROOT / "src" / "vitrina" / "mail"
    shipped = {file for pattern in patterns["vitrina.mail"] for file in folder.glob(pattern)}
    assert {f"{kind}.{form}" for kind in ("notice", "digest") for form in ("txt", "html")} <= {
        file.name for file in shipped
    }
    assert {file for file in folder.rglob("*") if file.is_file() and file.suffix not in {".py", ".pyc"}} == shipped
