"""What would the server be without what it is tested for? Applications for gunicorn, each with one thing replaced."""

from flask import Flask

from scim_server.app import create_app
from scim_server.storage.database import Database
from tests.crash.writer import Torn


def torn() -> Flask:
    """Return an application that writes without transactions."""
    Database.transaction = Torn.transaction  # type: ignore[method-assign]
    return create_app()
