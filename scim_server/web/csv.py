"""How do files of accounts come and go? Beside the SCIM root, behind the same door."""

import io
from collections.abc import Generator, Mapping

import orjson
from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from scim_server.csv_accounts.encodings import CP932, ENCODINGS, UTF_8
from scim_server.csv_accounts.exporting import Export, template_file
from scim_server.csv_accounts.importing import Import
from scim_server.csv_accounts.reading import LIMIT, read
from scim_server.idempotency import Reply
from scim_server.protocol.errors import ScimError, invalid_syntax, invalid_value
from scim_server.protocol.limits import CSV_BYTES
from scim_server.protocol.wording import LANGUAGES, say, together
from scim_server.resources.base import Resources
from scim_server.resources.body import Body
from scim_server.web.auth import require
from scim_server.web.negotiation import query_parameters, read_bytes
from scim_server.web.replies import respond

_ONE_FILE = say("The form must have one file and nothing else; parameters belong to the URL.")
_CHARSETS = {UTF_8: "utf-8", CP932: "windows-31j"}
_FORM_PARTS = 10
_FORM_BYTES = 64 * 1024
"""What a form may have around its file."""


def blueprint(resources: Mapping[str, Resources]) -> Blueprint:
    """Return the endpoints of CSV files; each needs the scope ``csv`` and that of what it does."""
    routes = Blueprint("csv", __name__)
    importing = Import(resources)

    @routes.get("/template")
    def template() -> Response:
        require("csv")
        chosen = _chosen({"lang": ("ja", "en"), "encoding": ENCODINGS})
        language, encoding = chosen.get("lang", "ja"), chosen.get("encoding", UTF_8)
        return _respond_file("template.csv", encoding, template_file(language, encoding))

    @routes.get("/accounts")
    def export() -> Response:
        by = require("csv")
        by.check("users:read")
        chosen = _chosen({"lang": LANGUAGES, "encoding": ENCODINGS, "filter": None})
        encoding = chosen.get("encoding", UTF_8)
        found = Export(resources["User"], by, chosen.get("filter"))
        return _respond_file("accounts.csv", encoding, found.file(chosen.get("lang", "ja"), encoding))

    @routes.post("/accounts")
    def upload() -> Response:
        by = require("csv")
        by.check("users:write")
        chosen = _chosen({"dryRun": ("true", "false"), "encoding": ENCODINGS})
        table = read(_read_file(), chosen.get("encoding"))
        outcome = importing.run(by, table, is_dry=chosen.get("dryRun") == "true")
        return Response(orjson.dumps(outcome.body()), content_type="application/json")

    return routes


def _chosen(known: Mapping[str, tuple[str, ...] | None]) -> dict[str, str]:
    """Return the query parameters, whose values are among those given or, with None, any.

    What is not known, or given twice, is refused: whoever mistypes ``dryRun`` must not change accounts. Raises
    invalidValue.
    """
    names = {name.lower(): name for name in known}
    chosen: dict[str, str] = {}
    for given, value in query_parameters().items():
        name = names.get(given.lower())
        if name is None:
            raise invalid_value(say("The query may have {names} only.", names=", ".join(known)))
        values = known[name]
        if values is not None and value.lower() not in values:
            raise invalid_value(
                say("{name} must be {values}.", name=name, values=together("{first} or {second}", values))
            )
        chosen[name] = value if values is None else value.lower()
    if len(list(request.args.items(multi=True))) > len(chosen):
        raise invalid_value(say("A parameter of the query may be given once only."))
    return chosen


def _read_file() -> bytes:
    """Return the file that was sent, alone or in a form. Raises 413, 415, and invalidSyntax for any other form.

    With a field ``dryRun`` in a form that is not looked at, the file would be applied.
    """
    if request.mimetype == "text/csv":
        return read_bytes(CSV_BYTES, LIMIT)
    if request.mimetype != "multipart/form-data":
        raise ScimError(415, say("The body must be text/csv, or multipart/form-data with a file."))
    body = read_bytes(CSV_BYTES + _FORM_BYTES, LIMIT)
    try:
        _, fields, found = FormDataParser(silent=True, max_form_parts=_FORM_PARTS).parse(
            io.BytesIO(body), request.mimetype, len(body), dict(request.mimetype_params)
        )
    except RequestEntityTooLarge:
        raise invalid_syntax(_ONE_FILE) from None
    files = [file for _, file in found.items(multi=True)]
    try:
        if len(files) != 1 or fields:
            raise invalid_syntax(_ONE_FILE)
        content: bytes = files[0].read()
    finally:
        for file in files:
            file.close()
    return content


def _respond_file(name: str, encoding: str, body: Body | Generator[bytes]) -> Response:
    headers = {
        "Content-Type": f"text/csv; charset={_CHARSETS[encoding]}",
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
    if isinstance(body, Generator):
        return Response(body, 200, headers)
    return respond(Reply(200, headers, body))
