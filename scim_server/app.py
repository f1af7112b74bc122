"""Who is wired to whom?"""

import atexit
import logging
from threading import Lock

from flask import Flask
from flask.typing import ResponseReturnValue

from scim_server.config import SCIM_ROOT, Settings, read_settings, server_key
from scim_server.resources.kinds import all_resources
from scim_server.resources.shared import Shared
from scim_server.storage.database import Unavailable, first_of
from scim_server.tokens import Authenticator
from scim_server.web import csv, discovery, errors, scim
from scim_server.web.application import Application
from scim_server.web.paths import Paths

log = logging.getLogger(__name__)


def application() -> Flask:
    """Build the application; while its database is away, one that answers 503 and becomes it once that is back.

    Raises ConfigError, SchemaError or DatabaseError.
    """
    try:
        return create_app()
    except Unavailable as error:
        log.error("started without the database: %s", first_of(error))  # noqa: TRY400 -- its message says it all
    waiting, turn = Flask("scim_server", static_folder=None), Lock()
    errors.install(waiting, Unavailable, first_of)

    @waiting.before_request
    def try_again() -> ResponseReturnValue:
        # One request looks for the database, which may take seconds; the others are answered. The last keeps its turn.
        if not turn.acquire(blocking=False):
            raise Unavailable("another request is looking whether it is back")
        try:
            waiting.wsgi_app = create_app().wsgi_app  # type: ignore[method-assign]
        except Exception as error:
            turn.release()
            raise Unavailable from error
        return waiting.wsgi_app

    return waiting


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

    app = Application(authenticator, public_discovery=settings.public_discovery)
    errors.install(app, Unavailable, first_of)
    app.register_blueprint(discovery.blueprint(shared.registry, settings), url_prefix=SCIM_ROOT)
    resources = all_resources(shared)
    app.register_blueprint(scim.blueprint(shared, resources), url_prefix=SCIM_ROOT)
    app.register_blueprint(csv.blueprint(resources), url_prefix="/csv")
    rules = [rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith(f"{SCIM_ROOT}/")]
    names = {rule.removeprefix(SCIM_ROOT).split("/")[1] for rule in rules}
    endpoints = names if "endpoint-case" in settings.compatibility else ()
    app.wsgi_app = Paths(app.wsgi_app, settings.prefix, endpoints)  # type: ignore[method-assign]
    return app
