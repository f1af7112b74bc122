"""How is a password hashed and compared? Argon2id (RFC 9106), after the preparation of RFC 8265 section 4.2."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from scim_server.protocol.text import opaque

LONGEST = 1024
"""Characters of a password; preparing many more would take long."""
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Of no password: only who finds an argument of all zero bits could sign in with it, and to no account.
_NOBODY = f"$argon2id$v=19$m={19 * 1024},t=2,p=1${'A' * 22}${'A' * 43}"


def hash_of(password: str, known: str | None = None) -> str:
    """Return the hash of a password: the known one if it is that, else a new one; both take the same time."""
    renewed = _hasher.hash(_prepared(password))
    if known is not None and is_right(password, known) and not _hasher.check_needs_rehash(known):
        return known
    return renewed


def is_right(password: str, known: str | None) -> bool:
    """Tell whether a hash is that of a password; without a hash it takes as long to say no."""
    try:
        return _hasher.verify(known or _NOBODY, _prepared(password)) and known is not None
    except VerificationError:
        return False
    except InvalidHashError:
        return is_right(password, None)


def _prepared(password: str) -> bytes:
    # Text from elsewhere than a request may not be valid Unicode; it is no password then.
    return opaque(password[:LONGEST]).encode(errors="surrogatepass") + password[LONGEST:].encode(errors="surrogatepass")
