"""What would the server be without what it is tested for? Applications for gunicorn, each with one thing replaced."""

import random
import sys
from datetime import timedelta

from flask import Flask

from scim_server import clock
from scim_server.app import create_app
from scim_server.resources import base
from scim_server.storage.sqlite import Sqlite
from tests.crash.writer import Torn


def command(name: str) -> tuple[str, ...]:
    """Return the command that serves one of these applications; its directory is the checkout."""
    return (
        sys.executable, "-m", "gunicorn", "--config", "python:scim_server.gunicorn_conf", f"{__name__}:{name}()"
    )  # fmt: skip


def torn() -> Flask:
    """Return an application that writes without transactions."""
    Sqlite.transaction = Torn.transaction  # type: ignore[method-assign]
    return create_app()


def set_back() -> Flask:
    """Return the application on a machine whose clock is set back and forth all the time."""
    now = clock.now

    def jump(later: timedelta = timedelta(0)) -> str:
        return now(later - timedelta(minutes=random.choice((0, 5, 60, 1500))))

    clock.now = jump
    return create_app()


def forgetful() -> Flask:
    """Return the application, under such a clock, that forgets when a resource was changed before."""
    base.max = lambda now, _: now  # type: ignore[attr-defined]
    return set_back()
