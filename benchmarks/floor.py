"""What does Flask itself cost? Views that answer with bytes and do nothing else, under the same gunicorn."""

from functools import cache

from flask import Flask, Response, request

MEDIA_TYPE = "application/scim+json"


def create_app() -> Flask:
    """Return an application with an answer of any size, and an echo."""
    app = Flask(__name__, static_folder=None)

    @app.get("/scim/v2/Users/<size>")
    def read(size: str) -> Response:
        return Response(_body(int(size)), content_type=MEDIA_TYPE)

    @app.post("/scim/v2/Users")
    def echo() -> Response:
        return Response(request.get_data(), 201, content_type=MEDIA_TYPE)

    return app


@cache
def _body(size: int) -> bytes:
    return b"x" * size
