"""The filter language, and every answer that the bare package gets wrong."""

import random
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scim_server.protocol.errors import ScimError
from scim_server.protocol.filter import parse
from scim_server.protocol.lexer import STRING
from scim_server.protocol.registry import Registry, load_registry
from scim_server.protocol.schema import ResourceType
from scim_server.protocol.tree import And, Compare, Element, Node, Not, Or, Present
from tests.filters import Maker, render
from tests.scim import ENTERPRISE, USER

TYPE = load_registry().resource_types["User"]


def show(text: str) -> str:
    """Return the tree of a filter with every grouping written out."""

    def shown(node: Node) -> str:
        match node:
            case And(children):
                return "(" + " and ".join(map(shown, children)) + ")"
            case Or(children):
                return "(" + " or ".join(map(shown, children)) + ")"
            case Not(child):
                return f"not {shown(child)}"
            case Element(parent, condition):
                return f"{parent.path}[{shown(condition)}]"
            case Present(attribute):
                return f"{attribute.path} pr"
            case Compare(attribute, operator, key):
                return f"{attribute.path} {operator} {key}"
        raise AssertionError(node)

    return shown(parse(text, TYPE))


def refusal(text: str) -> str:
    with pytest.raises(ScimError) as caught:
        parse(text, TYPE)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidFilter")
    return caught.value.detail


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("title pr or title pr and active pr", "(title pr or (title pr and active pr))"),
        ("title pr and title pr or active pr", "((title pr and title pr) or active pr)"),
        ("(title pr or title pr) and active pr", "((title pr or title pr) and active pr)"),
        ("not (title pr) and active pr", "(not title pr and active pr)"),
        ("not (title pr or active pr) or id pr", "(not (title pr or active pr) or id pr)"),
        ("title pr and (active pr and id pr)", "(title pr and active pr and id pr)"),
        ("title pr or (active pr or id pr)", "(title pr or active pr or id pr)"),
        ("((title pr))", "title pr"),
    ],
)
def test_not_binds_tighter_than_and_and_tighter_than_or(text: str, tree: str) -> None:
    assert show(text) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('userName Eq "John" AND title PR', "(userName eq john and title pr)"),
        ('USERNAME eq "x"', "userName eq x"),
        ('externalId eq "AbC"', "externalId eq AbC"),
        ("active eq true", "active eq true"),
        ("active ne false", "active ne false"),
        ('title eq "true"', "title eq true"),
        ("title eq null", "not title pr"),
        ("title ne null", "title pr"),
        (r'title eq "a\"b\\\u00e9\n"', 'title eq a"b\\é\n'),
        ('title eq "(and) or [not]"', "title eq (and) or [not]"),
        (f'{USER}:userName sw "J"', "userName sw j"),
        (f'{USER.upper()}:name.familyName co "O\'Malley"', "name.familyName co o'malley"),
        (f'{ENTERPRISE}:manager.value eq "Id"', f"{ENTERPRISE}:manager.value eq Id"),
        ('emails co "x"', "emails.value co x"),
        ("emails pr", "emails pr"),
        ("name pr", "name pr"),
        ('emails[type eq "work" and value co "@x"]', "emails[(emails.type eq work and emails.value co @x)]"),
        ('emails[not (type eq "work") or (value pr)]', "emails[(not emails.type eq work or emails.value pr)]"),
        ('groups.$ref eq "https://x/Groups/1"', "groups.$ref eq https://x/Groups/1"),
        ('meta.created ge "2011-05-13T06:42:34+02:00"', "meta.created ge 2011-05-13T04:42:34.000"),
        ('meta.created eq "2011-05-13T04:42:34.0Z"', "meta.created eq 2011-05-13T04:42:34.000"),
        ("not(title pr)", "not title pr"),
        ('  userName   eq\t"x"  ', "userName eq x"),
        ('schemas eq "urn:x"', "schemas eq urn:x"),
        ('userName eq "José"', "userName eq josé"),
        ('userName eq "JOSE\u0301"', "userName eq josé"),
        ('userName eq "ｂｊ"', "userName eq bj"),
    ],
)  # fmt: skip
def test_what_a_filter_means(text: str, tree: str) -> None:
    assert show(text) == tree


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "too early"), (" ", "too early"), ("userName", "too early"), ("userName eq", "too early"), ("(userName pr", "too early"),
        ("userName pr and", "too early"), ("emails[type pr", "too early"), ("not", "too early"),
        ('userName eq "x', "double quotes"), ("userName eq 'x'", "double quotes"), ("userName eq x", "double quotes"),
        ("userName eq True", "double quotes"), ("userName eq 01", "double quotes"), ("userName eq +1", "double quotes"),
        ("userName eq (", "unexpected '('"), ("userName pr)", "unexpected ')'"), ("userName pr title pr", "unexpected text at position 13"),
        ("userName pr eq", "unexpected text at position 13"), ("and title pr", "At position 5 of the filter an operator is expected: eq, ne, "), ("userName [type pr]", "no sub-attributes"),
        ('userName eq "\\x"', "not a JSON string"), ('userName eq "\\ud800"', "U+D800"), ('userName eq "\u0000"', "U+0000"),
        ('userName regex "b"', "At position 10 of the filter an operator is expected"), ('not userName eq "x"', "At position 5 of the filter an operator is expected"),
        ('nosuch eq "x"', "no attribute 'nosuch'"), ('urn:x:userName eq "x"', "no attribute"), ("emails.nosuch pr", "no attribute"),
        ('emails[userName eq "x"]', "no attribute"), ("emails[emails[type pr]]", "within another"), ("userName[value pr]", "no sub-attributes"),
        ('name eq "x"', "complex"), ('addresses eq "x"', "complex"), ("active gt true", "does not fit"), ('active co "t"', "does not fit"),
        ('x509Certificates.value lt "AA=="', "does not fit"), ('meta.created co "2"', "does not fit"),
        ('active eq "true"', "true or false"), ("title eq 5", "a string"), ("title eq true", "a string"), ("title gt null", "null"),
        ('meta.created gt "yesterday"', "dateTime"), ('password eq "x"', "cannot be used"), ("password pr", "cannot be used"),
        ('meta.version eq "x"', "cannot be used"), ("emails[type pr] pr", "unexpected text"), ("emails[0].value pr", "unexpected text"),
        ("userName eq 1e999", "out of range"), ("userName eq " + "9" * 500, "out of range"), ('a..b eq "x"', "not the name"),
        ("(" * 33 + "title pr" + ")" * 33, "deeper than 32"), ("emails[" * 40, "deeper than 32"),
        (" or ".join(["title pr"] * 201), "more than 200"), ('title eq "' + "x" * 16_384 + '"', "longer than 16384"),
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused_with_a_reason(text: str, said: str) -> None:
    assert said in refusal(text)


def test_the_limits_can_be_reached() -> None:
    parse("(" * 32 + "title pr" + ")" * 32, TYPE)
    parse(" or ".join(["title pr"] * 200), TYPE)
    head, tail = 'title eq "', '"'
    parse(head + "x" * (16_384 - len(head) - len(tail)) + tail, TYPE)


class TestWhatTheBarePackageGetsWrong:
    """Each case is an answer of scim2-filter-parser 0.7.0 that differs from RFC 7644 section 3.4.2.2."""

    def test_or_before_and_is_not_grouped_from_the_left(self) -> None:
        assert isinstance(parse("title pr or title pr and title pr", TYPE), Or)

    def test_the_string_true_is_not_the_boolean(self) -> None:
        assert refusal('active eq "true"') != ""
        assert show('title eq "true"') == "title eq true"
        assert "a string" in refusal("title eq true")

    def test_an_escaped_quote_does_not_end_a_string(self) -> None:
        assert show(r'title eq "say \"hi\""') == 'title eq say "hi"'

    def test_a_quote_at_the_end_of_a_string_is_kept(self) -> None:
        assert show(r'title eq "\"x\""') == 'title eq "x"'

    @pytest.mark.parametrize(
        ("operand", "key"),
        [("10", 10), ("-5", -5), ("1.25", 1.25), ("1e2", 100), ("-0", 0), ("1234567890123", 1234567890123)],
    )
    def test_numbers_of_every_form_are_read(self, operand: str, key: float, number_type: ResourceType) -> None:
        assert parse(f"n eq {operand}", number_type) == parse(f"n eq {key}", number_type)

    @pytest.mark.parametrize("name", ["trueValue", "falsehood", "nullable", "andy", "order", "nothing", "eqx", "prx"])
    def test_an_attribute_may_start_like_a_keyword(self, name: str, number_type: ResourceType) -> None:
        assert parse(f"{name} pr", number_type) == Present(number_type.by_path[name.lower()])

    def test_an_unknown_attribute_is_refused_and_not_dropped(self) -> None:
        assert "nosuch" in refusal('userName eq "x" or nosuch eq "y"')

    def test_parsers_do_not_remember_between_filters(self) -> None:
        first = show('emails[type eq "work" and value eq "x"]')
        show('emails[type eq "home" and display eq "y"]')
        assert show('emails[type eq "work" and value eq "x"] ') == first


@pytest.fixture(scope="module")
def number_type(tmp_path_factory: pytest.TempPathFactory) -> ResourceType:
    names = ["trueValue", "falsehood", "nullable", "andy", "order", "nothing", "eqx", "prx"]
    directory = tmp_path_factory.mktemp("schemas")
    attributes = ", ".join(f'{{"name": "{name}"}}' for name in names) + ', {"name": "n", "type": "decimal"}'
    (directory / "x.json").write_text(
        f'[{{"id": "urn:x:N", "attributes": [{attributes}]}}, {{"name": "N", "endpoint": "/Ns", "schema": "urn:x:N"}}]'
    )
    return load_registry(directory).resource_types["N"]


@given(seed=st.integers(0, 2**32))
def test_a_rendered_tree_is_parsed_to_the_same_tree(seed: int) -> None:
    registry = load_registry() if not _registry else _registry[0]
    _registry[:] = [registry]
    for name in ("User", "Group"):
        resource_type = registry.resource_types[name]
        text = Maker(Random(seed)).filter(resource_type, [EXAMPLE])
        tree = parse(text, resource_type)
        if not _has_lossy_key(tree):
            assert parse(render(tree), resource_type) == tree


_registry: list[Registry] = []
EXAMPLE = {"userName": "x", "emails": [{"value": "a", "type": "work"}], "active": True, "displayName": "d"}


def _has_lossy_key(node: Node) -> bool:
    """Tell whether a key of the tree is a digest or a number's key, which is no operand itself."""
    match node:
        case And(children) | Or(children):
            return any(map(_has_lossy_key, children))
        case Not(child) | Element(_, child):
            return _has_lossy_key(child)
        case Compare(attribute):
            return attribute.type in ("binary", "integer", "decimal")
    return False


def outcome(text: str, *among: ResourceType) -> Node | tuple[int, str | None, str]:
    """Return the tree of a filter, or as what and why it is refused."""
    try:
        return parse(text, TYPE, among)
    except ScimError as error:
        return error.status, error.scim_type, str(error.detail)


def assert_read_or_refused(texts: list[str]) -> None:
    """Assert that each text is a filter or refused as one, whether it is read by its shape or, among two types, not."""
    outcomes = [outcome(text) for text in texts]
    assert outcomes == [outcome(text, TYPE, TYPE) for text in texts]
    refusals = [each for each in outcomes if isinstance(each, tuple)]
    assert {each[:2] for each in refusals} == {(400, "invalidFilter")}
    assert len(refusals) < len(texts)


def test_10000_fuzzed_filters_are_read_or_refused() -> None:
    source = random.Random(7644)
    pieces = ["userName", "emails", "[", "]", "(", ")", " ", " eq ", " pr", " and ", " or ", "not ", '"x"', '"', "\\", "true", "null",
              "-1.5e3", ".", ":", "urn:", "$ref", "é", "\u202e", "\x00", "'", "%", "title", ".type", "𝒳"]  # fmt: skip
    valid = [Maker(Random(seed)).filter(TYPE, [EXAMPLE]) for seed in range(500)]
    texts = ["".join(source.choices(pieces, k=source.randrange(1, 20))) for _ in range(5_000)]
    for _ in range(5_000):
        text = list(source.choice(valid))
        for _ in range(source.randrange(1, 4)):
            text.insert(source.randrange(len(text) + 1), source.choice(pieces))
            del text[source.randrange(len(text))]
        texts.append("".join(text))
    assert len(texts) == 10_000
    assert_read_or_refused(texts)


def test_a_string_that_is_not_closed_is_looked_at_once() -> None:
    text = 'userName eq "' + '\\"' * 8_000
    assert [match.span() for match in STRING.finditer(text)] == [(12, len(text))]
    assert refusal(text)


def test_2000_adversarial_filters_are_read_or_refused() -> None:
    texts = []
    for size in range(1, 401):
        texts += [
            "(" * size * 40 + "title pr" + ")" * size * 40,
            " or ".join(["title pr"] * size * 5),
            'title eq "' + "\\" * size * 50,
            "not (" * size + "title pr" + ")" * size,
            "emails[" * size + "\U0001f469\u200d" * size * 10,
        ]
    assert len(texts) == 2_000
    assert_read_or_refused(texts)
