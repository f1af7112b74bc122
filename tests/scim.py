"""What tests say about SCIM: URNs, small bodies, and one assertion for every refusal."""

from typing import Any

import httpx2 as httpx

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
ACCOUNT_USER = "urn:ietf:params:scim:schemas:extension:account:2.0:User"
ACCOUNT_GROUP = "urn:ietf:params:scim:schemas:extension:account:2.0:Group"
SERVICE = "urn:ietf:params:scim:schemas:extension:account:2.0:Service"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BULK_REQUEST = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
MEDIA_TYPE = "application/scim+json"


def assert_scim_error(response: httpx.Response, status: int, scim_type: str | None = None) -> str:
    """Assert a refusal in the form of RFC 7644 section 3.12 and return its detail."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == MEDIA_TYPE
    body = response.json()
    assert body["schemas"] == [ERROR]
    assert body["status"] == str(status)
    assert body.get("scimType") == scim_type, body
    assert isinstance(body["detail"], str) and body["detail"]
    return body["detail"]


def create(http: httpx.Client, endpoint: str, **attributes: Any) -> dict[str, Any]:
    """Create a resource and return it."""
    response = http.post(endpoint, json=attributes)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


def create_user(http: httpx.Client, name: str = "bjensen", **attributes: Any) -> dict[str, Any]:
    return create(http, "Users", schemas=[USER], userName=name, **attributes)


def create_group(http: httpx.Client, name: str = "Tour Guides", *members: str, **attributes: Any) -> dict[str, Any]:
    listed = {"members": [{"value": member} for member in members]} if members else {}
    return create(http, "Groups", schemas=[GROUP], displayName=name, **listed, **attributes)


def patch(http: httpx.Client, path: str, *operations: dict[str, Any], **options: Any) -> httpx.Response:
    return http.patch(path, json={"schemas": [PATCH_OP], "Operations": list(operations)}, **options)
