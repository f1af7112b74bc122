"""Is this a repetition? A POST with an Idempotency-Key is done once, however often it comes."""

from collections.abc import Callable

from flask import request

from scim_server.idempotency import Answers, Reply
from scim_server.protocol.errors import ScimError, invalid_value
from scim_server.protocol.wording import say
from scim_server.tokens import Principal
from scim_server.web.errors import reply_to

_LONGEST = 255
Keep = Callable[[Reply], None]


def once(answers: Answers, by: Principal, content: bytes, work: Callable[[Keep | None], Reply]) -> Reply:
    """Return the answer that the request had before, else that of ``work``.

    Work is given what keeps its answer, to be called within its transaction, or None without a key. Refusals are
    kept too, failures of the server are not. Raises 409 while the same request is worked on, 422 for another one.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return work(None)
    if not (0 < len(key) <= _LONGEST and key.isascii() and key.isprintable()):
        raise invalid_value(say("The Idempotency-Key must have 1 to {most} visible ASCII characters.", most=_LONGEST))
    named = answers.request(by.credential, request.method, request.path, key, request.query_string + b"\n" + content)
    with answers.alone(named):
        if known := answers.find(named):
            return known
        try:
            return work(lambda reply: answers.keep(named, reply))
        except ScimError as error:
            if error.status < 500:
                answers.keep_refusal(named, reply_to(error))
            raise
