"""A real mail server on loopback for tests, which can be told to fail."""

import asyncio
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTPUTF8
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

USER, PASSWORD = "mailer", "p@ss/word"


class _Session(SMTP):
    """One that can let go of a connection while a message comes in."""

    async def smtp_DATA(self, arg: str) -> None:
        relay = self.event_handler
        if relay.cuts.get(self.envelope.rcpt_tos[0], 0):
            relay.cuts[self.envelope.rcpt_tos[0]] -= 1
            await self.push("354 go on")
            await self._reader.readline()
            self.transport.abort()
        else:
            await super().smtp_DATA(arg)


class Relay:
    """What a mail server received, and what it answers: of each address the replies until all is well."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, EmailMessage]] = []
        self.connections = 0
        self.offers: list[str] = []
        self.to_mail: list[str] = []
        self.to_rcpt: dict[str, list[str]] = defaultdict(list)
        self.to_data: dict[str, list[str]] = defaultdict(list)
        self.cuts: dict[str, int] = {}
        self.before_answer: Callable[[str], object] = lambda _: None
        self.port = 0

    @property
    def recipients(self) -> list[str]:
        return [to for to, _ in self.messages]

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return [*responses[:-1], *(f"250-{offer}" for offer in self.offers), *responses[-1:]]

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if self.to_mail:
            return self.to_mail.pop(0)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if self.to_rcpt[address]:
            return self.to_rcpt[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        (to,) = envelope.rcpt_tos
        if self.to_data[to]:
            return self.to_data[to].pop(0)
        message = message_from_bytes(envelope.content, policy=SMTPUTF8)
        assert isinstance(message, EmailMessage)
        self.messages.append((to, message))
        await asyncio.to_thread(self.before_answer, to)
        return "250 OK"

    @contextmanager
    def listening(
        self,
        starttls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
        at: socket.socket | None = None,
        **options: Any,
    ) -> Iterator[None]:
        """Answer on a port of 127.0.0.1: after STARTTLS only with AUTH, after TLS from the beginning also with it."""
        if starttls:
            options |= {"tls_context": starttls, "require_starttls": True, "auth_required": True}
        if starttls or tls:
            options |= {"authenticator": _known, "auth_require_tls": not tls}
        started, loop = threading.Event(), asyncio.new_event_loop()
        ending = asyncio.Event()

        async def serve() -> None:
            listener = await loop.create_server(
                lambda: _Session(self, loop=loop, **options), sock=at or reserved(), ssl=tls
            )
            self.port = listener.sockets[0].getsockname()[1]
            started.set()
            async with listener:
                await ending.wait()

        def run() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(serve())

        thread = threading.Thread(target=run)
        thread.start()
        assert started.wait(10)
        try:
            yield
        finally:
            loop.call_soon_threadsafe(ending.set)
            thread.join()


def reserved() -> socket.socket:
    """Return a socket that has a port of 127.0.0.1 to itself, and refuses connections until it listens."""
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    return made


def _known(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)
