"""What does the mail say that tells people of their new account? Plain text in the tenant's language, no password."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any
from zoneinfo import ZoneInfo

from scim_server.outbox import Notice
from scim_server.resources.accounts import ACCOUNT

_LONGEST = 200
"""Characters that are shown of a name: enough for one, not for a letter."""

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

_SUBJECT = {"en": "Your account at {company}", "ja": "【{company}】アカウント登録のお知らせ"}
_TEXT = {
    "en": """\
Dear {name},

An account for you has been registered at {company}.

    Login ID: {login}
{begins}
Your password is not sent by mail. If you have none yet, ask the administrator.

This mail was sent automatically. If you do not expect it, please tell the
administrator of {company}.
""",
    "ja": """\
{name} 様

{company} のアカウントが登録されました。

    ログインID: {login}
{begins}
パスワードはメールではお送りしません。ご不明な場合は管理者にお問い合わせください。

このメールは自動で送信されています。お心当たりのない場合は、お手数ですが
{company} の管理者までお知らせください。
""",
}
_BEGINS = {
    "en": "    Valid from: {at} ({zone})\n\nYou cannot sign in before that.\n",
    "ja": "    有効開始日時: {at} ({zone})\n\n有効開始日時より前はログインできません。\n",
}
_MOMENT = {"en": "%Y-%m-%d %H:%M", "ja": "%Y/%m/%d %H:%M"}


def compose(found: Notice, recipient: str, sender: Address) -> EmailMessage:
    """Return the message; made again, it is the same."""
    account, language, zone = found.account, found.language, ZoneInfo(found.time_zone)
    written = datetime.fromisoformat(found.created).replace(tzinfo=UTC)
    login, company = _line(account.get("userName")), _line(found.company_name)
    begins = _begins(account, language, zone, written)
    name = _line(account.get("displayName")) or _line(account.get("name", {}).get("formatted")) or login
    text = _TEXT[language].format(name=name, company=company, login=login, begins=begins)
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = _SUBJECT[language].format(company=company)
    message["Date"] = written.astimezone(zone)
    message["Message-ID"] = found.message_id
    # RFC 3834 section 5: who is away does not answer it.
    message["Auto-Submitted"] = "auto-generated"
    # 8bit would need a server that takes it.
    message.set_content(text, cte="quoted-printable" if text.isascii() else "base64")
    message["Content-Language"] = language
    return message


def _begins(account: Mapping[str, Any], language: str, zone: ZoneInfo, written: datetime) -> str:
    """Return the lines about the beginning of the account's validity, if that is still to come."""
    # A year that the zone moves before 1 or after 9999 is not worth a failure.
    with suppress(ValueError, OverflowError):
        begins = datetime.fromisoformat(account.get(ACCOUNT, {}).get("validFrom", ""))
        if begins > written:
            at = begins.astimezone(zone).strftime(_MOMENT[language])
            return _BEGINS[language].format(at=at, zone=zone.key)
    return ""


def _line(text: object) -> str:
    """Return a text as part of a line."""
    # The classes of headers would decode an encoded word, even to a line break.
    return _BREAKS.sub(" ", text).replace("=?", "= ?").strip()[:_LONGEST] if isinstance(text, str) else ""
