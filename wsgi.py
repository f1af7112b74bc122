"""WSGI entry point: ``gunicorn wsgi:app``."""

from scim_server.app import create_app

app = create_app()
