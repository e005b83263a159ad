"""`/dev/mails`: the mail that development catches in a folder, to look at. Nowhere else is there such a page."""

import asyncio
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, StrictUndefined

from vitrina.api.http.app_keys import SETTINGS
from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, Route
from vitrina.clock import rfc3339
from vitrina.config import Settings
from vitrina.errors import NotFound
from vitrina.mail.directory import CaughtMail, caught_mail, caught_mails

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


def routes(settings: Settings) -> tuple[Route[Any, Any], ...]:
    """Return the pages' routes: none unless this is development and mail is caught in a folder."""
    if settings.environment != "development" or settings.mail_transport != "directory" or not settings.mail_directory:
        return ()
    return tuple(
        Route(
            method="GET",
            path=path,
            handler=handler,
            allow=PUBLIC,
            ignores_tokens=True,
            summary=summary,
            operation_id=operation_id,
            tags=("ops",),
            answers={200: "text/html"},
            errors=(NotFound,),
            documented=False,
        )
        for path, handler, summary, operation_id in (
            ("/dev/mails", _list, "The mail that was caught", "caught_mails"),
            ("/dev/mails/{name}", _one, "A mail", "caught_mail"),
            ("/dev/mails/{name}/html", _html, "The HTML of a mail", "caught_mail_html"),
        )
    )


async def _list(request: Request[None, None]) -> web.StreamResponse:
    mails = await asyncio.to_thread(caught_mails, _folder(request), most=_MOST)
    return _page(_LIST.render(mails=mails))


async def _one(request: Request[None, None]) -> web.StreamResponse:
    return _page(_ONE.render(mail=await _caught(request)))


async def _html(request: Request[None, None]) -> web.StreamResponse:
    return _page((await _caught(request)).html, policy=_SANDBOX)


async def _caught(request: Request[None, None]) -> CaughtMail:
    mail = await asyncio.to_thread(caught_mail, _folder(request), request.parameter("name"))
    if mail is None:
        raise NotFound
    return mail


def _folder(request: Request[None, None]) -> Path:
    return Path(request.app[SETTINGS].mail_directory)


def _page(html: str, *, policy: str = _POLICY) -> web.StreamResponse:
    headers = {"Content-Security-Policy": policy, "Content-Type": "text/html; charset=utf-8"}
    return json_response(html.encode(), headers=headers)
