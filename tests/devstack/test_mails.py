"""`/dev/mails` exists only in development and shows any mail safely."""

from pathlib import Path

import aiohttp

from scripts.devstack import mails
from scripts.devstack.mails import caught_mails
from tests.mail.samples import mail, notice, recipient
from tests.service import make_table, serving, settings_for
from vitrina.config import Settings
from vitrina.domain.notices import Language
from vitrina.mail.message import compose, sender_address
from vitrina.mail.transport import DirectoryTransport


async def catch(folder: Path, name: str = "Oak <b>Lamp</b>", to: str = "Ana Admin") -> str:
    """Store a mail and return its name."""
    one = notice(name=name)
    message = compose(
        mail(one),
        [one],
        recipient=recipient(name=to),
        language=Language.ENGLISH,
        sender=sender_address("vitrina@shop.example"),
    )
    await DirectoryTransport(folder).send(message)
    return caught_mails(folder, most=1)[0].name


def development(dynamodb_local: str, folder: Path) -> Settings:
    """Settings that store mail in a folder."""
    return settings_for(dynamodb_local, mail_transport="directory", mail_directory=str(folder))


async def test_mail_is_listed_and_shown(dynamodb_local: str, tmp_path: Path) -> None:
    """The newest first, with headers and both parts; its scripts do not run and its text is escaped."""
    folder = tmp_path / "mails"
    settings = development(dynamodb_local, folder)
    await make_table(settings)
    async with serving(settings, extra=tuple(mails.routes)) as service, aiohttp.ClientSession(service.url) as http:
        async with http.get("/dev/mails") as response:
            assert "None yet" in await response.text()
        name = await catch(folder)
        async with http.get("/dev/mails") as response:
            page = await response.text()
            assert response.content_type == "text/html"
        assert f'<a href="/dev/mails/{name}">Price of Oak &lt;b&gt;Lamp&lt;/b&gt;' in page
        assert "Ana Admin &lt;ana@example.com&gt;" in page
        async with http.get(f"/dev/mails/{name}") as response:
            page = await response.text()
            assert "script" not in response.headers["Content-Security-Policy"]
        assert "Auto-Submitted" in page
        assert "Old price: 19.99 USD" in page
        assert f'<iframe sandbox title="The HTML of the mail" src="/dev/mails/{name}/html">' in page
        async with http.get(f"/dev/mails/{name}/html") as response:
            assert "Oak &lt;b&gt;Lamp" in await response.text()
            assert response.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        for unknown in ("0" * 13 + "-" + "0" * 16, "..%2f..%2fetc%2fpasswd", f"{name}.eml"):
            for path in (f"/dev/mails/{unknown}", f"/dev/mails/{unknown}/html"):
                async with http.get(path) as response:
                    assert response.status == 404
        async with http.get("/openapi.json") as response:
            assert not [path for path in (await response.json())["paths"] if path.startswith("/dev")]


async def test_a_long_name_is_shown_without_further_spaces(tmp_path: Path) -> None:
    """Its header is many encoded words."""
    await catch(tmp_path, name="é" * 200, to="ñ" * 200)
    [found] = caught_mails(tmp_path, most=9)
    assert found.subject == f"Price of {'é' * 59}…: 19.99 USD → 24.99 USD"
    assert dict(found.headers)["To"] == found.recipient == f"{'ñ' * 200} <ana@example.com>"


async def test_the_service_has_no_mail_page(moto: str, tmp_path: Path) -> None:
    settings = development(moto, tmp_path)
    await make_table(settings)
    async with serving(settings) as service, aiohttp.ClientSession(service.url) as http, http.get("/dev/mails") as page:
        assert page.status == 404


async def test_a_text_mail_and_an_unrelated_file_are_tolerated(tmp_path: Path) -> None:
    """A user may have put a file there."""
    (tmp_path / f"{'0' * 13}-{'0' * 16}.eml").write_bytes(
        b"From: a@b.example\r\nTo: c@d.example\r\nSubject: s\r\nDate: Tue, 24 Nov 2026 07:00:00 +0000\r\n\r\ntext\r\n"
    )
    (tmp_path / "stray.eml").touch()
    [found] = caught_mails(tmp_path, most=9)
    assert (found.text, found.html) == ("text\r\n", "")
