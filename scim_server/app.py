"""Who is wired to whom?"""

import atexit
import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin

from scim_server.config import SCIM_ROOT, Settings, read_settings, server_key
from scim_server.resources.kinds import all_resources
from scim_server.resources.shared import Shared
from scim_server.storage.database import Unavailable, first_of
from scim_server.tokens import Authenticator
from scim_server.web import auth, csv, discovery, errors, scim
from scim_server.web.paths import Paths


class _Stateless(SessionInterface):
    """No request has a session, so that nothing is looked for in cookies or written to them."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Do nothing; there is no session."""

    def is_null_session(self, obj: object) -> bool:
        return True


class _Application(Flask):
    """Flask without what this server has no use for, which would cost a read a tenth."""

    session_interface = _Stateless()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function as it is: none is asynchronous."""
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """Build the WSGI application. Raises ConfigError, SchemaError or DatabaseError."""
    settings = settings or read_settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    key = server_key(settings)
    shared = Shared.opened(settings, key)
    authenticator = Authenticator(shared.database, key, settings.compatibility)
    # What was opened to look at the database must not be carried over a fork.
    shared.database.close()
    atexit.register(authenticator.flush)

    app = _Application("scim_server", static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    errors.install(app, Unavailable, first_of)
    auth.install(app, authenticator, settings.public_discovery)
    app.register_blueprint(discovery.blueprint(shared.registry, settings), url_prefix=SCIM_ROOT)
    resources = all_resources(shared)
    app.register_blueprint(scim.blueprint(shared, resources), url_prefix=SCIM_ROOT)
    app.register_blueprint(csv.blueprint(resources), url_prefix="/csv")
    rules = [rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith(f"{SCIM_ROOT}/")]
    names = {rule.removeprefix(SCIM_ROOT).split("/")[1] for rule in rules}
    endpoints = names if "endpoint-case" in settings.compatibility else ()
    app.wsgi_app = Paths(app.wsgi_app, settings.prefix, endpoints)  # type: ignore[method-assign]
    return app
