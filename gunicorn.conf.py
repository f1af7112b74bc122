"""Lets ``gunicorn`` in a checkout serve as ``scim-server serve`` does."""

from scim_server.gunicorn_conf import *  # noqa: F403
