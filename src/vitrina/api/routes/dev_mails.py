"""`/dev/mails`: pages that show the mail which development writes to a folder. Production has no such pages."""

import asyncio
from pathlib import Path
from typing import Final

from aiohttp import web
from jinja2 import Environment, StrictUndefined

from vitrina.api.http.app_keys import SETTINGS
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, RouteTable
from vitrina.clock import rfc3339
from vitrina.config import Settings
from vitrina.errors import NotFound
from vitrina.mail.directory import CaughtMail, caught_mail, caught_mails

routes = RouteTable("ops")
_MOST: Final = 200
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


def enabled(settings: Settings) -> bool:
    """Say whether the pages are served: in development, when mail is written to a folder."""
    return (
        settings.environment == "development"
        and settings.mail_transport == "directory"
        and bool(settings.mail_directory)
    )


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
