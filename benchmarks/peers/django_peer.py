"""How is django-scim2 filled and served? From SQLite with the same care for what is acknowledged.

``python -m benchmarks.peers.django_peer`` makes the database that ``BENCH_PEER_DATABASE`` names.
"""

import os
from collections.abc import Callable
from itertools import islice
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from benchmarks.peers.people import GROUPS, TOKEN, people

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    AUTH_USER_MODEL="django_accounts.User",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("BENCH_PEER_DATABASE", ""),
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "init_command": "PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA busy_timeout = 10000",
                "transaction_mode": "IMMEDIATE",
            },
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "django_scim", "benchmarks.peers.django_accounts",
    ],
    MIDDLEWARE=["benchmarks.peers.django_peer.by_token"],
    ROOT_URLCONF=__name__ if __name__ != "__main__" else "benchmarks.peers.django_peer",
    SCIM_SERVICE_PROVIDER={
        "NETLOC": "127.0.0.1", "SCHEME": "http", "AUTHENTICATION_SCHEMES": [{"type": "oauthbearertoken"}],
        "GROUP_MODEL": "benchmarks.peers.django_accounts.models.Group",
    },
    SECRET_KEY="benchmark",
    USE_TZ=True,
)  # fmt: skip
django.setup()
urlpatterns = [path("scim/v2/", include("django_scim.urls", namespace="scim"))]


class _Caller:
    is_authenticated = True


def by_token(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Let in who has the token, as the middleware of a site would."""

    def serve(request: HttpRequest) -> HttpResponse:
        if request.headers.get("Authorization") == f"Bearer {TOKEN}":
            request.user = _Caller()
        return get_response(request)

    return serve


def create_app() -> Any:
    """Return the WSGI application."""
    from django.core.wsgi import get_wsgi_application  # noqa: PLC0415 - Django must be set up before

    return get_wsgi_application()


def fill() -> None:
    """Make the tables and fill them."""
    from django.core.management import call_command  # noqa: PLC0415 - the same
    from django.db import transaction  # noqa: PLC0415 - the same

    from benchmarks.peers.django_accounts.models import Group, User  # noqa: PLC0415 - the same

    call_command("migrate", run_syncdb=True, verbosity=0)
    with transaction.atomic():
        users = [_user(User, number, person) for number, person in enumerate(people(), 1)]
        User.objects.bulk_create(users, batch_size=1000)
        for number, size in enumerate(GROUPS, 1):
            group = Group.objects.create(name=f"Group {number}")
            group.user_set.add(*islice(users, size))


def _user(model: Any, number: int, person: dict[str, Any]) -> Any:
    names = person["name"]
    return model(
        id=number, scim_id=str(number), scim_external_id=person["externalId"], username=person["userName"],
        scim_username=person["userName"], first_name=names["givenName"], last_name=names["familyName"],
        email=person["userName"], is_active=person["active"],
    )  # fmt: skip


if __name__ == "__main__":
    fill()
