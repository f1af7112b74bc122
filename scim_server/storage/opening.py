"""Which database does a URL name?"""

import re
from importlib import import_module
from urllib.parse import urlsplit

from scim_server.storage.database import Database, DatabaseError
from scim_server.storage.sqlite import Sqlite, path_in

_POSTGRES = "postgresql://"


def open_database(url: str) -> Database:
    """Return the database that a URL names, whatever its state. Raises DatabaseError."""
    check_url(url)
    if not url.startswith(_POSTGRES):
        return Sqlite(url)
    try:
        # The driver is an extra, and takes memory that a server on SQLite need not have.
        module = import_module("scim_server.storage.postgres")
    except ImportError:
        raise DatabaseError("PostgreSQL needs psycopg, which the extra postgres brings; see docs/install.md.") from None
    opened: Database = module.Postgres(url)
    return opened


def open_prepared(url: str) -> Database:
    """Return the database, which must be initialised, up to date and open to writing. Raises DatabaseError."""
    database = open_database(url)
    try:
        _check_prepared(database)
    except DatabaseError:
        database.close()
        raise
    return database


def _check_prepared(database: Database) -> None:
    database.check()
    if not database.applied():
        raise DatabaseError(f"The database {database.name} is not initialised; run scim-server init.")
    if pending := database.pending():
        raise DatabaseError(f"The database {database.name} lacks {', '.join(pending)}; run scim-server db upgrade.")


def check_url(url: str) -> None:
    """Refuse a URL that names no database, without repeating it: it may hold a password. Raises DatabaseError."""
    if not url.startswith(_POSTGRES):
        path_in(url)
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if not parts or not parts.path.strip("/"):
        raise DatabaseError("The database URL must be postgresql://user@host/database.")


def without_password(url: str) -> str:
    """Return a URL as it may be shown, without its password."""
    masked = re.sub(r"(?<=://)([^:@/]*):.*@", r"\1:********@", url)
    return re.sub(r"(?i)([?&][a-z]*password=)[^&]*", r"\1********", masked)
