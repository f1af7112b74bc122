"""Which rules hold for an account, whoever writes it and in whatever way?"""

from collections.abc import Mapping
from typing import Any

from scim_server.protocol.address import is_address
from scim_server.protocol.errors import ScimError, invalid_value
from scim_server.protocol.text import folded
from scim_server.protocol.wording import say
from scim_server.tokens import ADMINISTRATORS, Principal

ACCOUNT = "urn:ietf:params:scim:schemas:extension:account:2.0:User"

Document = Mapping[str, Any]


def with_address(document: dict[str, Any]) -> dict[str, Any]:
    """Return a new account with its userName as work address, if that is one and the account names no other."""
    name = document["userName"]
    if "emails" in document or not is_address(name):
        return document
    return document | {"emails": [{"value": name, "type": "work", "primary": True}]}


def is_administrator(document: Document) -> bool:
    """Tell whether an account is an administrator's: its userType says so, in any letter case."""
    return folded(document.get("userType", "")) == "administrator"


def check(by: Principal, old: Document | None, new: Document | None) -> None:
    """Refuse a change of an account from old to new, None where there is none, that the rules do not allow.

    Raises 403 for an administrator's account without the scope for it; invalidValue.
    """
    if any(is_administrator(document) for document in (old, new) if document) and not by.may(ADMINISTRATORS):
        raise ScimError(403, say("An administrator's account needs the scope {scope}.", scope=ADMINISTRATORS))
    if new:
        _check_policies(by.tenant.policies, old or {}, new)


def ends_before_it_begins(document: Document) -> bool:
    """Tell whether an account's validity window is never open."""
    window = document.get(ACCOUNT, {})
    # Both are in UTC with Z; as text up to the second they stand in order.
    return "validFrom" in window and "validUntil" in window and window["validUntil"][:19] < window["validFrom"][:19]


def _check_policies(policies: frozenset[str], old: Document, new: Document) -> None:
    """Hold an account to the tenant's policies in what changes: what was there before a policy stays usable."""
    if "user_name_is_email" in policies and new["userName"] != old.get("userName") and not is_address(new["userName"]):
        raise invalid_value(say("userName must be an e-mail address."))
    if "valid_from_required" in policies and new.get(ACCOUNT) != old.get(ACCOUNT) and ends_before_it_begins(new):
        raise invalid_value(say("{path} must not be before validFrom.", path=f"{ACCOUNT}:validUntil"))
    if "sms_authentication" in policies and (not old or new.get("phoneNumbers") != old.get("phoneNumbers")):
        numbers = new.get("phoneNumbers", ())
        if not any(folded(number.get("type", "")) == "mobile" and number.get("value") for number in numbers):
            raise invalid_value(say("A phone number of type mobile is required."))
