import httpx2

from tests.scim import SERVICE, assert_scim_error, create


def test_a_service_is_created_read_replaced_and_deleted(http: httpx2.Client) -> None:
    made = create(http, "Services", displayName="Mail", description="Post", url="https://mail.example", active=True)
    assert made["schemas"] == [SERVICE]
    assert made["meta"]["resourceType"] == "Service"
    assert http.get(f"Services/{made['id']}").json() == made
    replaced = http.put(f"Services/{made['id']}", json={"displayName": "Mail", "active": False}).json()
    assert replaced["active"] is False
    assert not {"url", "description"} & set(replaced)
    assert http.delete(f"Services/{made['id']}").status_code == 204
    assert_scim_error(http.get(f"Services/{made['id']}"), 404)


def test_a_service_name_is_unique(http: httpx2.Client) -> None:
    create(http, "Services", displayName="Mail")
    assert_scim_error(http.post("Services", json={"displayName": "ＭＡＩＬ"}), 409, "uniqueness")


def test_a_service_url_must_be_a_uri(http: httpx2.Client) -> None:
    assert "url" in assert_scim_error(
        http.post("Services", json={"displayName": "M", "url": "a b"}), 400, "invalidValue"
    )
