"""May this account sign in now, and if not, why?

Whoever does not know the password learns nothing, neither from the answer nor from the time that it takes.
"""

from dataclasses import dataclass

from scim_server import clock, passwords
from scim_server.protocol.text import folded
from scim_server.resources.users import Users, account_status
from scim_server.storage import passwords as kept
from scim_server.tenants import Tenant

_LONGEST = 1024
"""Characters of a userName; who has more cannot sign in."""
WRONG = "wrong"
"""There is no such account, or it has another password or none."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """Whether an account may sign in: ``refusal`` is None, `WRONG`, "disabled", "pending" or "expired".

    ``user`` is the id of the account, when the password was right.
    """

    user: str | None
    refusal: str | None


def sign_in(users: Users, tenant: Tenant, user_name: str, password: str) -> SignIn:
    """Compare a password, then look at ``active`` and the validity window. One argon2 verification, whatever comes."""
    # Text that is no Unicode names nobody, but is compared like any other.
    name = folded(user_name.encode(errors="replace").decode()) if len(user_name) <= _LONGEST else ""
    account = kept.account(users.shared.database, users.tenant_scope(tenant), name)
    is_right = passwords.is_right(password, account.hash if account else None)
    if account is None or not is_right:
        return SignIn(None, WRONG)
    status = account_status(account.active, account.valid_from, account.valid_until, clock.second())
    return SignIn(account.id, None if status == "active" else status)
