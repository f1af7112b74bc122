"""How does a refusal look? (RFC 7644 section 3.12)

Errors are raised where the fact is known and become a body in one place, `ScimError.body`.
"""

from typing import Any

ERROR_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"


class ScimError(Exception):
    """Refuse a request with an HTTP status, a scimType and a sentence for people (section 3.12)."""

    def __init__(
        self,
        status: int,
        detail: str,
        scim_type: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.scim_type = scim_type
        self.headers = headers or {}

    def within(self, where: str) -> "ScimError":
        """Return the same refusal with the place in the request that it is about."""
        return ScimError(self.status, f"{where}: {self.detail}", self.scim_type, self.headers)

    def body(self) -> dict[str, Any]:
        """Return the Error message; ``status`` is a string (section 3.12)."""
        body: dict[str, Any] = {"schemas": [ERROR_SCHEMA], "status": str(self.status)}
        if self.scim_type:
            body["scimType"] = self.scim_type
        body["detail"] = self.detail
        return body


def invalid_syntax(detail: str) -> ScimError:
    return ScimError(400, detail, "invalidSyntax")


def invalid_value(detail: str) -> ScimError:
    return ScimError(400, detail, "invalidValue")


def invalid_filter(detail: str) -> ScimError:
    return ScimError(400, detail, "invalidFilter")


def invalid_path(detail: str) -> ScimError:
    return ScimError(400, detail, "invalidPath")


def no_target(detail: str) -> ScimError:
    return ScimError(400, detail, "noTarget")


def mutability(detail: str) -> ScimError:
    return ScimError(400, detail, "mutability")


def uniqueness(detail: str, location: str | None = None) -> ScimError:
    """Refuse a value that is taken; ``location`` names the resource that has it (section 3.3)."""
    return ScimError(409, detail, "uniqueness", {"Location": location} if location else None)


def not_found(what: str) -> ScimError:
    return ScimError(404, f"{what} does not exist.")


def too_large(what: str, limit: int) -> ScimError:
    return ScimError(413, f"The body has more bytes than {what} ({limit}).")


def not_implemented(what: str) -> ScimError:
    return ScimError(501, f"{what} is not offered by this server.")
