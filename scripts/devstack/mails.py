"""`/dev/mails`: pages of the demo that show the mail which the folder transport writes (`DirectoryTransport`)."""

import asyncio
import email
import re
from dataclasses import dataclass
from datetime import datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Final

from aiohttp import web
from jinja2 import Environment, StrictUndefined

from vitrina.api.http.app_keys import SETTINGS
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, RouteTable
from vitrina.clock import rfc3339
from vitrina.errors import NotFound

routes = RouteTable("ops")
_MOST: Final = 200
_NAME: Final = re.compile(r"\d{13,16}-[0-9a-f]{16}", re.ASCII)
_PAGES: Final = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
_PAGES.filters["rfc3339"] = rfc3339
_STYLE: Final = """\
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 900px; margin: 24px auto; padding: 0 16px }
table { border-collapse: collapse; width: 100% } td, th { padding: 6px; text-align: left; vertical-align: top }
tr { border-bottom: 1px solid #8886 } iframe { width: 100%; height: 480px; border: 1px solid #8886 }
pre { white-space: pre-wrap; border: 1px solid #8886; padding: 12px } time { white-space: nowrap }
</style>"""
_LIST: Final = _PAGES.from_string(
    f'<!DOCTYPE html>\n<html lang="en">\n<title>Caught mail</title>\n{_STYLE}'
    """
<h1>Caught mail</h1>
{% if mails %}
<table>
<tr><th>When</th><th>To</th><th>Subject</th></tr>
{% for mail in mails %}
<tr><td><time>{{ mail.written_at | rfc3339 }}</time></td><td>{{ mail.recipient }}</td>
<td><a href="/dev/mails/{{ mail.name }}">{{ mail.subject }}</a></td></tr>
{% endfor %}
</table>
{% else %}
<p>None yet: change a price as one admin, and the others are mailed.</p>
{% endif %}
</html>
"""
)
_ONE: Final = _PAGES.from_string(
    f'<!DOCTYPE html>\n<html lang="en">\n<title>{{{{ mail.subject }}}}</title>\n{_STYLE}'
    """
<p><a href="/dev/mails">All mail</a></p>
<h1>{{ mail.subject }}</h1>
<table>
{% for header, value in mail.headers %}
<tr><th>{{ header }}</th><td>{{ value }}</td></tr>
{% endfor %}
</table>
<h2>HTML</h2>
<iframe sandbox title="The HTML of the mail" src="/dev/mails/{{ mail.name }}/html"></iframe>
<h2>Text</h2>
<pre>{{ mail.text }}</pre>
</html>
"""
)
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_SANDBOX: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtMail:
    """A mail as its recipient sees it; `name` identifies it in the folder."""

    name: str
    recipient: str
    subject: str
    written_at: datetime
    headers: tuple[tuple[str, str], ...]
    text: str
    html: str


def caught_mails(folder: Path, *, most: int) -> list[CaughtMail]:
    """Return up to `most` mails of a folder, newest first; none if the folder does not exist."""
    names = sorted((file.stem for file in folder.glob("*.eml") if _NAME.fullmatch(file.stem)), reverse=True)
    return [mail for name in names[:most] if (mail := caught_mail(folder, name)) is not None]


def caught_mail(folder: Path, name: str) -> CaughtMail | None:
    """Return a mail by its name, None if it does not exist."""
    file = folder / f"{name}.eml"
    if not _NAME.fullmatch(name) or not file.is_file():
        return None
    message = email.message_from_bytes(file.read_bytes(), policy=default)
    return CaughtMail(
        name=name,
        recipient=_decoded(message, "To"),
        subject=_decoded(message, "Subject"),
        written_at=message["Date"].datetime,
        headers=tuple((header, _decoded(message, header)) for header in message),
        text=_part(message, "plain"),
        html=_part(message, "html"),
    )


def _decoded(message: EmailMessage, header: str) -> str:
    """Return a header as mail programs show it: Python 3.11's own reader adds spaces between encoded words."""
    raw = dict(message.raw_items()).get(header, "")
    return " ".join(str(make_header(decode_header(raw))).split())


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content())


@routes.get("/dev/mails", allow=PUBLIC, ignores_tokens=True, responses={200: "text/html"}, documented=False)
async def list_mails(request: Request[None, None]) -> web.StreamResponse:
    """List the newest mails in the folder."""
    mails = await asyncio.to_thread(caught_mails, _folder(request), most=_MOST)
    return _page(_LIST.render(mails=mails))


@routes.get("/dev/mails/{name}", allow=PUBLIC, ignores_tokens=True, responses={200: "text/html"}, documented=False)
async def read_mail(request: Request[None, None]) -> web.StreamResponse:
    """Show a mail."""
    return _page(_ONE.render(mail=await _mail(request)))


@routes.get("/dev/mails/{name}/html", allow=PUBLIC, ignores_tokens=True, responses={200: "text/html"}, documented=False)
async def read_mail_html(request: Request[None, None]) -> web.StreamResponse:
    """Show the HTML part of a mail, in a sandbox."""
    return _page((await _mail(request)).html, policy=_SANDBOX)


async def _mail(request: Request[None, None]) -> CaughtMail:
    mail = await asyncio.to_thread(caught_mail, _folder(request), request.parameter("name"))
    if mail is None:
        raise NotFound
    return mail


def _folder(request: Request[None, None]) -> Path:
    return Path(request.app[SETTINGS].mail_directory)


def _page(html: str, *, policy: str = _POLICY) -> web.StreamResponse:
    headers = {"Content-Security-Policy": policy, "Content-Type": "text/html; charset=utf-8"}
    return json_response(html.encode(), headers=headers)
