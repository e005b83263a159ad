"""Writes a mail's header for each name on standard input and reads it back; prints what was written and read, as JSON.

A program of its own, so that `test_pythons.py` can run it on another Python than the one of the tests.
"""

import email
import json
import sys
from email.header import decode_header, make_header
from email.policy import compat32, default
from email.utils import getaddresses

from vitrina.mail.headers import Mailbox, mailbox_field, reads_back, text_field, visible

ADDRESS = "ana@example.com"


def header_of(name: str) -> dict[str, object]:
    """Return the header of a mail to `name`, and how the email package of this Python reads it."""
    recipient, subject = Mailbox(visible(name), ADDRESS), f"Price of {visible(name)}: 1 USD → 2 USD"
    block = mailbox_field("To", recipient) + text_field("Subject", subject)
    message = email.message_from_string(block, policy=default)
    [(phrase, _)] = getaddresses([email.message_from_string(block, policy=compat32)["To"]])
    whole = f"From: <{ADDRESS}>\r\n{block}".removesuffix("\r\n").encode()
    return {
        "written": block,
        "fields": message.keys(),
        "addresses": [each.addr_spec for each in message["To"].addresses],
        "name": str(make_header(decode_header(phrase))),
        "subject": message["Subject"],
        "reads_back": reads_back(whole, sender=Mailbox("", ADDRESS), recipient=recipient, subject=subject, others=()),
    }


if __name__ == "__main__":
    json.dump([header_of(name) for name in json.load(sys.stdin)], sys.stdout)
