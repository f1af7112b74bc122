"""How does a filter become SQL?

One compiler from the resolved tree to a condition over the row ``r`` of ``resource``. Literals are
always parameters. Keys compare as text, in the order of their code points.
"""

from collections.abc import Callable

from scim_server.protocol.errors import invalid_filter
from scim_server.protocol.match import fits
from scim_server.protocol.schema import Attribute
from scim_server.protocol.tree import And, Compare, Constant, Element, Node, Not, Or, Present, names_in
from scim_server.protocol.wording import say
from scim_server.storage import grams
from scim_server.storage.pages import INDEXED_LENGTH
from scim_server.storage.sources import FALSE, TRUE, Condition, Finite, Linked, Single, Source, Values, joined

_INDEXED_COLUMNS = {"external_id", "user_name", "display_name", "family_name"}
_ORDER = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}

Test = Callable[[Attribute, str, str], Condition]
"""Makes a comparison of one sub-attribute of the element at hand; of operator "pr", whether it has a value."""


class Search:
    """Compiles filters over the resources of one scope; ``derived`` makes the source of a path that is not stored."""

    def __init__(self, scope: int, derived: Callable[[str], Source | None]) -> None:
        self.scope = scope
        self.derived = derived

    def condition(self, node: Node, wanted: bool = True) -> Condition:
        """Return the condition for a filter.

        ``wanted`` tells that resources are looked for that fit the node, so that an index may lead to them;
        under "not" it is cheaper to look at the values of each resource.
        """
        match node:
            case Constant(value):
                return TRUE if value else FALSE
            case And(children):
                return joined("AND", [self.condition(child, wanted) for child in children])
            case Or(children):
                return joined("OR", [self.condition(child, wanted) for child in children])
            case Not(And() | Or() | Not() as child):
                return self.condition(_negated(child), wanted=False)
            case Not(child):
                # NULL counts as false: SCIM's "not" matches whatever the child does not.
                return self.condition(child, wanted=False).within("(", ") IS NOT TRUE")
            case Element(parent, condition):
                return self._element(parent, condition, wanted)
            case Present(attribute):
                return self._present(attribute, wanted)
            case Compare():
                return self._compare(node, wanted)

    def of_targets(self, parent: Attribute, condition: Node) -> Condition:
        """Return the condition on a resource ``t`` that it fits as an element of a reference attribute."""
        linked = self.source(parent)
        assert isinstance(linked, Linked)
        return _inside(condition, lambda attribute, operator, key: _of(linked, attribute, operator, key))

    def is_led(self, node: Node) -> bool:
        """Tell whether an index leads to the few resources that can fit a filter, so that others need no look."""
        match node:
            case And(children):
                return any(self.is_led(child) for child in children)
            case Or(children):
                return all(self.is_led(child) for child in children)
            case Element(parent):
                return parent.multi_valued
            case Compare(attribute, "eq" | "sw"):
                source = self.source(attribute)
                return isinstance(source, Values | Linked) or (isinstance(source, Single) and source.indexed)
            case Compare(attribute, "co" | "ew", key):
                return attribute.column in grams.COLUMNS and len(key) >= grams.SHORTEST
        return False

    def source(self, attribute: Attribute) -> Source:
        """Return where an attribute's keys are found."""
        if derived := self.derived(attribute.path) or self.derived(attribute.path.rpartition(".")[0]):
            return derived
        if attribute.path == "id":
            return Single(Condition("r.id"))
        if attribute.column:
            return Single(Condition(f"r.{attribute.column}"), attribute.column in _INDEXED_COLUMNS)
        return Values()

    def sort_key(self, attribute: Attribute, parent: Attribute | None) -> Single:
        """Return the key to sort by: of several values the primary one's, else the first one's (section 3.4.2.3)."""
        match self.source(attribute):
            case Single() as single:
                return single
            case Finite(keys):
                cases = " ".join(f"WHEN {condition.sql} THEN ?" for _, condition in keys)
                parameters = tuple(p for own, condition in keys for p in (*condition.parameters, own))
                return Single(Condition(f"CASE {cases} END COLLATE BINARY", parameters))
            case Linked() as linked:
                key = linked.keys.get(attribute.name, Condition("NULL"))
                sql = f"(SELECT {key.sql} {linked.elements.sql}1 = 1 ORDER BY t.key LIMIT 1)"
                return Single(Condition(sql, (*key.parameters, *linked.elements.parameters)))
        first = f"WHERE v.resource = r.key AND v.attribute = {attribute.number} ORDER BY"
        primary = parent.sub("primary") if parent else None
        if primary is None:
            return Single(Condition(f"(SELECT v.key FROM value v {first} v.element LIMIT 1)"))
        beside = (
            f"LEFT JOIN value p ON p.resource = v.resource AND p.attribute = {primary.number}"
            " AND p.element = v.element AND p.key = 'true'"
        )
        return Single(Condition(f"(SELECT v.key FROM value v {beside} {first} p.key IS NULL, v.element LIMIT 1)"))

    def _present(self, attribute: Attribute, wanted: bool) -> Condition:
        match self.source(attribute):
            case Linked() as linked:
                tested = Condition("1 = 1") if attribute.sub_attributes else _of(linked, attribute, "pr", "")
                return _among(linked, tested, wanted, attribute.name in linked.beside)
            case Finite(keys):
                return joined("OR", [condition for _, condition in keys])
            case Single(expression) if not attribute.sub_attributes:
                return expression.within("", " IS NOT NULL")
        if attribute.sub_attributes:
            return joined("OR", [self._present(sub, wanted) for sub in attribute.sub_attributes])
        return self._in_values(attribute, wanted, TRUE)

    def _compare(self, node: Compare, wanted: bool) -> Condition:
        attribute, operator, key = node.attribute, node.operator, node.key
        source = self.source(attribute)
        if operator == "ne":
            differing = self._some(source, attribute, "ne", key, wanted=False)
            absent = self._present(attribute, wanted=False).within("(", ") IS NOT TRUE")
            return joined("OR", [absent, differing])
        return self._some(source, attribute, operator, key, wanted)

    def _some(self, source: Source, attribute: Attribute, operator: str, key: str, wanted: bool) -> Condition:
        """Return the condition that some value of the attribute fits."""
        match source:
            case Single(expression, indexed):
                tested = test(expression, operator, key, indexed)
                if indexed and operator in ("eq", "sw"):
                    tested = Condition(f"(r.scope = ? AND {tested.sql})", (self.scope, *tested.parameters))
                column = attribute.column if wanted and operator in ("co", "ew") else None
                if column and column in grams.COLUMNS and len(key) >= grams.SHORTEST:
                    return joined("AND", [grams.candidates(column, key, self.scope), tested])
                return tested
            case Finite(keys):
                return joined("OR", [condition for own, condition in keys if fits(operator, own, key)])
            case Linked() as linked:
                return _among(linked, _of(linked, attribute, operator, key), wanted, attribute.name in linked.beside)
            case Values():
                return self._in_values(attribute, wanted, test(Condition("v.key"), operator, key, wanted))

    def _in_values(self, attribute: Attribute, wanted: bool, tested: Condition) -> Condition:
        if wanted:
            head = (
                f"r.key IN (SELECT v.resource FROM value v WHERE v.scope = ? AND v.attribute = {attribute.number} AND "
            )
            return Condition(f"{head}{tested.sql})", (self.scope, *tested.parameters))
        head = f"EXISTS (SELECT 1 FROM value v WHERE v.resource = r.key AND v.attribute = {attribute.number} AND "
        return tested.within(head, ")")

    def _element(self, parent: Attribute, condition: Node, wanted: bool) -> Condition:
        """Select by one element: everything in the condition holds for it."""
        match self.source(parent):
            case Linked() as linked:
                tested = _inside(condition, lambda attribute, operator, key: _of(linked, attribute, operator, key))
                return _among(linked, tested, wanted, bool(linked.beside & names_in(condition)))
            case Single() | Finite():
                raise invalid_filter(say("{path} cannot be filtered by element.", path=parent.path))
        if not parent.multi_valued:
            # The sub-attributes of a single value may have columns: it is one element anyway.
            return self.condition(condition, wanted)
        tested = _inside(condition, _of_element)
        if not wanted:
            numbers = ", ".join(str(sub.number) for sub in parent.sub_attributes)
            head = f"EXISTS (SELECT 1 FROM value e WHERE e.resource = r.key AND e.attribute IN ({numbers}) AND "
            return tested.within(head, ")")
        leading = _leading(parent, condition)
        parameters = (self.scope, *leading.parameters, *tested.parameters)
        head = "r.key IN (SELECT e.resource FROM value e WHERE e.scope = ? AND "
        return Condition(f"{head}{leading.sql} AND {tested.sql})", parameters)


def _negated(node: And | Or | Not) -> Node:
    """Return what "not" comes to, one step nearer to the leaves, so that the SQL text nests less."""
    match node:
        case And(children):
            return Or(tuple(Not(child) for child in children))
        case Or(children):
            return And(tuple(Not(child) for child in children))
        case Not(child):
            return child


def _leading(parent: Attribute, condition: Node) -> Condition:
    """Return the condition by which the index finds elements: the most telling comparison that must hold."""
    terms = condition.children if isinstance(condition, And) else (condition,)
    found = [term for term in terms if isinstance(term, Compare) and term.operator in ("eq", "sw")]
    if found:
        best = min(found, key=lambda term: (term.attribute.name != "value", term.operator != "eq"))
        tested = test(Condition("e.key"), best.operator, best.key, indexed=True)
        return tested.within(f"e.attribute = {best.attribute.number} AND ")
    return Condition(f"e.attribute IN ({', '.join(str(sub.number) for sub in parent.sub_attributes)})")


def _inside(node: Node, of: Test) -> Condition:
    """Compile a condition on one element."""
    match node:
        case Constant(value):
            return TRUE if value else FALSE
        case And(children):
            return joined("AND", [_inside(child, of) for child in children])
        case Or(children):
            return joined("OR", [_inside(child, of) for child in children])
        case Not(And() | Or() | Not() as child):
            return _inside(_negated(child), of)
        case Not(child):
            return _inside(child, of).within("(", ") IS NOT TRUE")
        case Present(attribute):
            return of(attribute, "pr", "")
        case Compare(attribute, "ne", key):
            return of(attribute, "eq", key).within("(", ") IS NOT TRUE")
        case Compare(attribute, operator, key):
            return of(attribute, operator, key)
        case Element():
            raise AssertionError("a value path within a value path")


def _of_element(attribute: Attribute, operator: str, key: str) -> Condition:
    """Return a comparison of a sub-attribute's row beside the row ``e``."""
    head = (
        f"EXISTS (SELECT 1 FROM value v WHERE v.resource = e.resource AND v.attribute = {attribute.number}"
        " AND v.element = e.element AND "
    )
    tested = TRUE if operator == "pr" else test(Condition("v.key"), operator, key)
    return tested.within(head, ")")


def _of(linked: Linked, attribute: Attribute, operator: str, key: str) -> Condition:
    """Return a comparison of a sub-attribute of a linked resource."""
    expression = linked.keys.get(attribute.name)
    if expression is None:
        return FALSE
    if operator == "pr":
        return expression.within("", " IS NOT NULL")
    return test(expression, operator, key, indexed=attribute.name == "display")


def _among(linked: Linked, tested: Condition, wanted: bool, beside: bool) -> Condition:
    """Return the condition that some linked resource fits; ``beside`` tells that the test looks at ``r`` too."""
    if wanted and not beside:
        start, end = linked.holders
        parameters = (*start.parameters, *tested.parameters)
        return Condition(f"r.key IN ({start.sql}{tested.sql}{end})", parameters)
    parameters = (*linked.elements.parameters, *tested.parameters)
    return Condition(f"EXISTS (SELECT 1 {linked.elements.sql}{tested.sql})", parameters)


def test(expression: Condition, operator: str, key: str, indexed: bool = False) -> Condition:
    """Return a comparison of a key; ``indexed`` brings it into the form that an index serves."""
    parameters = expression.parameters
    text = expression.sql
    start = f"substr({text}, 1, {INDEXED_LENGTH})"
    match operator:
        case "eq":
            if not indexed:
                return Condition(f"{text} = ?", (*parameters, key))
            begins = Condition(f"{start} = ?", (*parameters, key[:INDEXED_LENGTH]))
            if len(key) < INDEXED_LENGTH:
                return begins
            return joined("AND", [begins, Condition(f"{text} = ?", (*parameters, key))])
        case "ne":
            return Condition(f"{text} <> ?", (*parameters, key))
        case "co" | "sw" | "ew" if not key:
            return expression.within("", " IS NOT NULL")
        case "co":
            return Condition(f"instr({text}, ?) > 0", (*parameters, key))
        case "ew":
            # Of a shorter text this is less than the key, from whichever end it is counted.
            end = f"substr({text}, length({text}) - {len(key) - 1})"
            return Condition(f"{end} = ?", (*parameters, *parameters, key))
        case "sw":
            return _starts_with(expression, start, key, indexed)
        case _:
            return Condition(f"{text} {_ORDER[operator]} ?", (*parameters, key))


def _starts_with(expression: Condition, start: str, key: str, indexed: bool) -> Condition:
    parameters = expression.parameters
    whole = Condition(f"substr({expression.sql}, 1, {len(key)}) = ?", (*parameters, key))
    prefix = key[:INDEXED_LENGTH]
    after = _after(prefix)
    if not indexed or after is None:
        return whole
    between = Condition(f"({start} >= ? AND {start} < ?)", (*parameters, prefix, *parameters, after))
    return between if len(key) <= INDEXED_LENGTH else joined("AND", [between, whole])


def _after(prefix: str) -> str | None:
    """Return the first text after all that start with a prefix, in code point order."""
    bare = prefix.rstrip("\U0010ffff")
    if not bare:
        return None
    following = ord(bare[-1]) + 1
    # U+D800 to U+DFFF are no characters.
    return bare[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)
