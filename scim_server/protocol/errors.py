"""How does a refusal look? (RFC 7644 section 3.12)

Errors are raised where the fact is known and become a body in one place, `ScimError.body`.
"""

from functools import cache
from typing import Any

from scim_server.protocol.wording import Text, in_language, say

ERROR_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"


class ScimError(Exception):
    """Refuse a request with an HTTP status, a scimType and a sentence for people (section 3.12)."""

    def __init__(
        self,
        status: int,
        detail: Text,
        scim_type: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.scim_type = scim_type
        self.headers = headers or {}

    def within(self, where: Text) -> "ScimError":
        """Return the same refusal with the place in the request that it is about."""
        return ScimError(
            self.status, say("{where}: {detail}", where=where, detail=self.detail), self.scim_type, self.headers
        )

    def body(self, language: str = "en") -> dict[str, Any]:
        """Return the Error message, for people in a language; ``status`` is a string (section 3.12)."""
        body: dict[str, Any] = {"schemas": [ERROR_SCHEMA], "status": str(self.status)}
        if self.scim_type:
            body["scimType"] = self.scim_type
        body["detail"] = in_language(self.detail, language)
        return body


def invalid_syntax(detail: Text) -> ScimError:
    return ScimError(400, detail, "invalidSyntax")


def invalid_value(detail: Text) -> ScimError:
    return ScimError(400, detail, "invalidValue")


def invalid_filter(detail: Text) -> ScimError:
    return ScimError(400, detail, "invalidFilter")


def invalid_path(detail: Text) -> ScimError:
    return ScimError(400, detail, "invalidPath")


def no_target(detail: Text) -> ScimError:
    return ScimError(400, detail, "noTarget")


def mutability(detail: Text) -> ScimError:
    return ScimError(400, detail, "mutability")


def uniqueness(detail: Text, location: str | None = None) -> ScimError:
    """Refuse a value that is taken; ``location`` names the resource that has it (section 3.3)."""
    return ScimError(409, detail, "uniqueness", {"Location": location} if location else None)


def not_found(what: Text) -> ScimError:
    return ScimError(404, say("{what} does not exist.", what=what))


def too_large(what: Text, limit: int) -> ScimError:
    return ScimError(413, say("The body has more bytes than {what} ({limit}).", what=what, limit=limit))


def not_implemented(what: Text) -> ScimError:
    return ScimError(501, say("{what} is not offered by this server.", what=what))


@cache
def numbered(number: int) -> Text:
    """Return how a refusal names an operation of a PATCH, of which there are not many."""
    return say("Operation {number}", number=number)
