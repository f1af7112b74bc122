"""How does a filter become SQL?

One compiler from the resolved tree to a condition over the row ``r`` of ``resource``. Literals are
always parameters. An attribute is searched in its promoted column, else in its value rows; keys
compare as text, in the order of their code points.
"""

from dataclasses import dataclass

from scim_server.protocol.errors import invalid_filter
from scim_server.protocol.filter import And, Compare, Element, Node, Not, Or, Present
from scim_server.protocol.schema import Attribute

INDEXED_LENGTH = 200
"""Characters of a key that an index holds; equal beginnings are compared whole."""
_INDEXED_COLUMNS = {"external_id", "user_name", "display_name"}
_ORDER = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL text over ``r`` and the parameters of its question marks."""

    sql: str
    parameters: tuple[str | int, ...] = ()

    def within(self, before: str, after: str = "") -> "Condition":
        return Condition(before + self.sql + after, self.parameters)


def _joined(word: str, conditions: list[Condition]) -> Condition:
    sql = f" {word} ".join(condition.sql for condition in conditions)
    return Condition(f"({sql})", tuple(p for condition in conditions for p in condition.parameters))


def compile_filter(node: Node, scope: int) -> Condition:
    """Return the condition for a filter over the resources of one scope."""
    return _compile(node, scope, driving=True)


def _compile(node: Node, scope: int, driving: bool) -> Condition:
    """Compile a node; ``driving`` tells that rows are wanted that fit it, so that an index may find them."""
    match node:
        case And(children):
            return _joined("AND", [_compile(child, scope, driving) for child in children])
        case Or(children):
            return _joined("OR", [_compile(child, scope, driving) for child in children])
        case Not(child):
            # NULL counts as false: SCIM's "not" matches whatever the child does not.
            return _compile(child, scope, driving=False).within("(", ") IS NOT TRUE")
        case Element(parent, condition):
            return _element(parent, condition, scope, driving)
        case Present(attribute):
            return _present(attribute, scope, driving)
        case Compare():
            return _compare(node, scope, driving)


def _column(attribute: Attribute) -> str | None:
    if attribute.path == "id":
        return "r.id"
    if attribute.column:
        return f"r.{attribute.column}"
    if attribute.mutability == "readOnly" or attribute.path == "schemas":
        raise invalid_filter(f"{attribute.path} cannot be used in a filter.")
    return None


def _present(attribute: Attribute, scope: int, driving: bool) -> Condition:
    if attribute.sub_attributes:
        found = [_present(sub, scope, driving) for sub in attribute.sub_attributes if sub.mutability != "readOnly"]
        return _joined("OR", found)
    if column := _column(attribute):
        return Condition(f"{column} IS NOT NULL")
    return _in_values(attribute, scope, driving, Condition("1 = 1"))


def _compare(node: Compare, scope: int, driving: bool) -> Condition:
    column = _column(node.attribute)
    if column:
        test = _test(column, node.operator, node.key, column.removeprefix("r.") in _INDEXED_COLUMNS)
        return test.within(f"({column} IS NULL OR ", ")") if node.operator == "ne" else test
    if node.operator == "ne":
        some = _in_values(node.attribute, scope, False, _test("v.key", "ne", node.key, indexed=False))
        none = _in_values(node.attribute, scope, False, Condition("1 = 1")).within("NOT ")
        return _joined("OR", [none, some])
    return _in_values(node.attribute, scope, driving, _test("v.key", node.operator, node.key, driving))


def _in_values(attribute: Attribute, scope: int, driving: bool, test: Condition) -> Condition:
    if driving:
        head = f"r.key IN (SELECT v.resource FROM value v WHERE v.scope = ? AND v.attribute = {attribute.number} AND "
        return Condition(f"{head}{test.sql})", (scope, *test.parameters))
    head = f"EXISTS (SELECT 1 FROM value v WHERE v.resource = r.key AND v.attribute = {attribute.number} AND "
    return test.within(head, ")")


def _element(parent: Attribute, condition: Node, scope: int, driving: bool) -> Condition:
    """Select by one element: its rows share the resource and the element's number."""
    numbers = ", ".join(str(sub.number) for sub in parent.sub_attributes)
    if any(_column(sub) for sub in parent.sub_attributes):
        raise invalid_filter(f"{parent.path} cannot be filtered by element.")
    inside = _of_element(condition)
    if driving:
        head = f"r.key IN (SELECT e.resource FROM value e WHERE e.scope = ? AND e.attribute IN ({numbers}) AND "
        return Condition(f"{head}{inside.sql})", (scope, *inside.parameters))
    head = f"EXISTS (SELECT 1 FROM value e WHERE e.resource = r.key AND e.attribute IN ({numbers}) AND "
    return inside.within(head, ")")


def _of_element(node: Node) -> Condition:
    match node:
        case And(children):
            return _joined("AND", [_of_element(child) for child in children])
        case Or(children):
            return _joined("OR", [_of_element(child) for child in children])
        case Not(child):
            return _of_element(child).within("(", ") IS NOT TRUE")
        case Present(attribute):
            return _beside(attribute, Condition("1 = 1"))
        case Compare(attribute, "ne", key):
            return _beside(attribute, _test("v.key", "eq", key, indexed=False)).within("NOT ")
        case Compare(attribute, operator, key):
            return _beside(attribute, _test("v.key", operator, key, indexed=False))
        case Element():
            raise invalid_filter("A value path cannot stand within another.")


def _beside(attribute: Attribute, test: Condition) -> Condition:
    head = (
        f"EXISTS (SELECT 1 FROM value v WHERE v.resource = e.resource AND v.attribute = {attribute.number}"
        " AND v.element = e.element AND "
    )
    return test.within(head, ")")


def _test(column: str, operator: str, key: str, indexed: bool) -> Condition:
    """Return a comparison of a key column; ``indexed`` brings it into the form that an index serves."""
    start = f"substr({column}, 1, {INDEXED_LENGTH})"
    match operator:
        case "eq":
            if indexed:
                begins = Condition(f"{column} IS NOT NULL AND {start} = ?", (key[:INDEXED_LENGTH],))
                return begins if len(key) < INDEXED_LENGTH else _joined("AND", [begins, Condition(f"{column} = ?", (key,))])
            return Condition(f"{column} = ?", (key,))
        case "ne":
            return Condition(f"{column} <> ?", (key,))
        case "co":
            return Condition(f"instr({column}, ?) > 0", (key,)) if key else Condition(f"{column} IS NOT NULL")
        case "ew":
            ends = Condition(f"substr({column}, -{len(key)}) = ?", (key,))
            return ends if key else Condition(f"{column} IS NOT NULL")
        case "sw":
            return _starts_with(column, start, key, indexed)
        case _:
            return Condition(f"{column} {_ORDER[operator]} ?", (key,))


def _starts_with(column: str, start: str, key: str, indexed: bool) -> Condition:
    if not key:
        return Condition(f"{column} IS NOT NULL")
    whole = Condition(f"substr({column}, 1, {len(key)}) = ?", (key,))
    prefix = key[:INDEXED_LENGTH]
    after = _after(prefix)
    if not indexed or after is None:
        return whole
    between = Condition(f"({column} IS NOT NULL AND {start} >= ? AND {start} < ?)", (prefix, after))
    return between if len(key) <= INDEXED_LENGTH else _joined("AND", [between, whole])


def _after(prefix: str) -> str | None:
    """Return the first text after all that start with a prefix, in code point order."""
    bare = prefix.rstrip("\U0010ffff")
    if not bare:
        return None
    following = ord(bare[-1]) + 1
    # U+D800 to U+DFFF are no characters.
    return bare[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)
