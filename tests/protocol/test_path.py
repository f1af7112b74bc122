import pytest

from scim_server.protocol.match import element_matches
from scim_server.protocol.path import Target, read_path
from scim_server.protocol.registry import Registry
from scim_server.protocol.schema import ResourceType, Schema
from tests.protocol import refused
from tests.scim import ENTERPRISE, USER


@pytest.fixture(scope="session")
def user(registry: Registry) -> ResourceType:
    return registry.resource_types["User"]


@pytest.mark.parametrize(
    ("path", "attribute", "sub"),
    [
        ("title", "title", None),
        ("TITLE", "title", None),
        (f"{USER}:title", "title", None),
        ("name.familyName", "name", "familyName"),
        (f"{USER.upper()}:NAME.familyname", "name", "familyName"),
        ("emails", "emails", None),
        ("emails.value", "emails", "value"),
        (f"{ENTERPRISE}:department", f"{ENTERPRISE}:department", None),
        (f"{ENTERPRISE}:manager.value", f"{ENTERPRISE}:manager", "value"),
        ("externalId", "externalId", None),
        ("meta.created", "meta", "created"),
        (f"{ENTERPRISE}:manager.$ref", f"{ENTERPRISE}:manager", "$ref"),
    ],
)
def test_a_path_names_an_attribute_in_any_letter_case(
    user: ResourceType, path: str, attribute: str, sub: str | None
) -> None:
    target = read_path(user, path)
    assert isinstance(target, Target)
    assert (target.attribute.path, target.sub and target.sub.name, target.condition) == (attribute, sub, None)


@pytest.mark.parametrize(
    ("path", "sub", "fits"),
    [
        ('emails[type eq "work"]', None, {"type": "Work"}),
        ('emails[type eq "work"].value', "value", {"type": "work"}),
        (f'{USER}:emails[type eq "work"].VALUE', "value", {"type": "work"}),
        ('emails[value eq "a].b"]', None, {"value": "a].b"}),
        (r'emails[value eq "a\"].x" and type pr].display', "display", {"value": 'a"].x', "type": "x"}),
        ('emails[not (type eq "work") or value co "@x"]', None, {"value": "a@x.org", "type": "work"}),
        ("emails[primary eq true].value", "value", {"primary": True}),
    ],
)
def test_a_filter_in_brackets_selects_elements(
    user: ResourceType, path: str, sub: str | None, fits: dict[str, object]
) -> None:
    target = read_path(user, path)
    assert isinstance(target, Target) and target.condition
    assert target.attribute.path == "emails"
    assert (target.sub and target.sub.name) == sub
    assert element_matches(target.condition, fits)
    assert not element_matches(
        target.condition, {"value": "other", "type": "other"} if "not" not in path else {"type": "work"}
    )


def test_a_urn_alone_means_an_extension(user: ResourceType) -> None:
    found = read_path(user, ENTERPRISE.upper())
    assert isinstance(found, Schema)
    assert found.id == ENTERPRISE


@pytest.mark.parametrize(
    "path",
    ["", " ", "a b", "emails[", "emails]", "emails..value", ".value", "emails[0]", "emails[ 12 ].value", "/emails/0", "nosuch", "name.nosuch",
     "emails.value.x", 'emails[type eq "work"].nosuch', 'emails[type eq "work"]value', 'emails[type eq "work"].value.x', "title[value pr]",
     'name[familyName eq "x"]', f"{ENTERPRISE}[x pr]", f"{ENTERPRISE}:nosuch", USER, "urn:x:y", "emails\x00", "emails eq", 'title eq "x"', 'emails[value eq "x].y'],
)  # fmt: skip
def test_what_is_no_path_is_refused(user: ResourceType, path: str) -> None:
    with refused("invalidPath"):
        read_path(user, path)


@pytest.mark.parametrize(
    "path",
    ["emails[]", 'emails[type regex "x"]', "emails[type eq work]", 'emails[nosuch eq "x"]', "emails[type eq]", 'emails[emails.type eq "x"]',
     'emails[type eq "a" and]', "emails[primary gt true]", "emails[x[y pr]]"],
)  # fmt: skip
def test_a_wrong_filter_in_a_path_is_an_invalid_filter(user: ResourceType, path: str) -> None:
    with refused("invalidFilter"):
        read_path(user, path)
