"""How does gunicorn serve the application? Used by ``scim-server serve`` and the root ``gunicorn.conf.py``."""

import gc
import sys

from scim_server.config import ConfigError, read_settings

try:
    _settings = read_settings()
except ConfigError as error:
    sys.exit(f"scim-server: {error}")

bind = _settings.bind
workers = _settings.workers
threads = _settings.threads
worker_class = "scim_server.web.worker.Worker"
logger_class = "scim_server.web.worker.AccessLogger"
wsgi_app = "scim_server.app:application()"
keepalive = 75
graceful_timeout = 30
# The largest that gunicorn bounds; a longer filter goes by POST …/.search.
limit_request_line = 8190
# Nothing is left behind that a start after kill -9 could stumble over.
control_socket_disable = True
# %(U)s is the path without its query: filters hold personal data (RFC 7644 section 7.5.2).
accesslog = "-" if _settings.log_level in ("debug", "info") else None
access_log_format = '%(t)s %(h)s "%(m)s %(U)s" %(s)s %(B)s %(D)s'
loglevel = _settings.log_level


def post_worker_init(_: object) -> None:
    """Look for cycles less often than for every 700 objects: a request makes few, a Bulk many thousand objects.

    What the start has made stays, and is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
