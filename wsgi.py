"""WSGI entry point: ``gunicorn wsgi:app``."""

from scim_server.app import application

app = application()
