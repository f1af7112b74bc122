"""How does a message get to the mail server? Over one connection for many messages, with TLS unless told not to.

What the server says goes no further than its codes: its texts may repeat an address.
"""

import re
import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from scim_server.protocol.address import is_address

_SECONDS = 60
"""How long the server may take to let itself be connected to."""
_LONG_SECONDS = 600
"""How long it may take for each answer then: who waits less gets a message sent twice (RFC 5321 section 4.5.3.2.6)."""
_URL = "must be smtp://[USER:PASSWORD@]HOST[:PORT][?starttls=off] or smtps://[USER:PASSWORD@]HOST[:PORT]"
_HOST = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
# The classes of headers would decode an encoded word, even to a line break.
_SENDER = re.compile(r'(?!.*=\?)(?:(?P<name>[^<>"]*)<(?P<inner>[^<>]+)>|(?P<bare>[^<>]+))')
_ENHANCED = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}(?!\S)")


class Unreachable(Exception):
    """The mail server cannot be used at present; the message says why."""


class Postponed(Exception):
    """The server does not take this message now, but may later; the message is its code."""


class Refused(Exception):
    """The server will not take this message; the message is its code."""


@dataclass(frozen=True, slots=True)
class Relay:
    """The mail server; ``tls`` is "on" from the beginning, "starttls", or "off"."""

    host: str
    port: int
    tls: str
    user: str
    password: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def relay_in(url: str) -> Relay:
    """Return the mail server that a URL names. Raises ValueError, whose message never shows the URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(_URL) from None
    queries = {"smtp": ("", "starttls=off"), "smtps": ("",)}.get(parts.scheme, ())
    is_plain = parts.query in queries and parts.path in ("", "/") and not parts.fragment and port != 0
    if not is_plain or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError(_URL)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise ValueError(_URL)
    if not (user + password).isascii() or not (user + password).isprintable():
        raise ValueError("must have a user and a password of visible ASCII characters")
    if parts.query == "starttls=off" and user:
        raise ValueError("must not send a password without TLS")
    tls = "on" if parts.scheme == "smtps" else "off" if parts.query == "starttls=off" else "starttls"
    return Relay(parts.hostname or "", port or (465 if tls == "on" else 587), tls, user, password)


def sender_in(text: str) -> Address:
    """Read ``address`` or ``Name <address>``. Raises ValueError."""
    found = _SENDER.fullmatch(text)
    address = (found["inner"] or found["bare"]).strip() if found else ""
    if not found or not address.isascii() or not is_address(address):
        raise ValueError('must be an address, such as noreply@example.com or "Example <noreply@example.com>"')
    return Address((found["name"] or "").strip(), addr_spec=address)


class Connection:
    """A connection to the mail server that is made when it is needed, and made again when it was lost."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self._smtp: smtplib.SMTP | None = None

    def open(self) -> None:
        """Connect, unless that was done. Raises Unreachable."""
        if self._is_open():
            return
        self.close()
        try:
            self._smtp = self._connected()
        except (smtplib.SMTPException, OSError) as error:
            raise self._unreachable(_reason(error)) from None

    def _is_open(self) -> bool:
        """Tell whether the server still takes messages on the connection; some let go of it after a number of them."""
        with suppress(smtplib.SMTPException, OSError):
            return self._smtp is not None and self._smtp.sock is not None and self._smtp.rset()[0] == 250
        return False

    def _connected(self) -> smtplib.SMTP:
        name = socket.gethostname()
        # What smtplib would look for instead is asked of the name server, for as long as that takes.
        name = name if "." in name and name.isascii() else "[127.0.0.1]"
        context = ssl.create_default_context()
        relay = self.relay
        if relay.tls == "on":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(relay.host, relay.port, name, timeout=_SECONDS, context=context)
        else:
            smtp = smtplib.SMTP(relay.host, relay.port, name, timeout=_SECONDS)
        try:
            if relay.tls == "starttls":
                smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
            if relay.user:
                smtp.login(relay.user, relay.password)
            assert smtp.sock
            smtp.sock.settimeout(_LONG_SECONDS)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(f"The mail server {self.relay} cannot be used: {reason}.")

    def send(self, message: EmailMessage, sender: str, recipient: str) -> None:
        """Send a message over what is open; the server has taken it then. Raises Unreachable, Postponed, Refused."""
        assert self._smtp
        try:
            self._smtp.send_message(message, sender, [recipient])
        except smtplib.SMTPRecipientsRefused as error:
            (answer,) = error.recipients.values()
            raise _refusal("RCPT", *answer) from None
        except smtplib.SMTPSenderRefused as error:
            # The sender is the same of all messages, so it is no fault of this one.
            self.close()
            raise self._unreachable(f"it refuses the sender, {error.smtp_code}") from None
        except smtplib.SMTPResponseException as error:
            # What the server holds of the message now, it forgets with the connection.
            self.close()
            raise _refusal("DATA", error.smtp_code, error.smtp_error) from None
        except smtplib.SMTPNotSupportedError:
            raise Refused("the mail server does not offer SMTPUTF8, which the address needs") from None
        except (smtplib.SMTPException, OSError):
            self.close()
            raise Postponed("the connection was lost") from None

    def close(self) -> None:
        """Say goodbye, if there is a connection; how that goes does not matter."""
        smtp, self._smtp = self._smtp, None
        if smtp and smtp.sock:
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()
            smtp.close()


def _refusal(command: str, code: int, text: bytes | str) -> Postponed | Refused:
    enhanced = _ENHANCED.match(text if isinstance(text, bytes) else text.encode())
    said = f"{command}: {code}" + (f" {enhanced[0].decode()}" if enhanced else "")
    return Refused(said) if 500 <= code < 600 else Postponed(said)


def _reason(error: Exception) -> str:
    """Return why there is no connection."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted, {error.verify_message}"
        case smtplib.SMTPAuthenticationError():
            return f"it refuses the user and the password, {error.smtp_code}"
        case smtplib.SMTPResponseException():
            return f"it answers {error.smtp_code}"
        case smtplib.SMTPNotSupportedError() if "STARTTLS" in str(error):
            return "it does not offer STARTTLS"
        # smtplib hides what ended the wait for a line.
        case _ if TimeoutError in (type(error), type(error.__context__)):
            return "it does not answer in time"
        case smtplib.SMTPServerDisconnected():
            return "it does not answer as a mail server"
        case smtplib.SMTPException():
            return "it offers no login by password"
        case _:
            return getattr(error, "strerror", None) or "it does not answer as a mail server"
