"""Which tables and indexes has a database, said in one way whichever database it is?"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Layout(NamedTuple):
    """A table or an index: the SQL that makes it, and a table's columns and constraints."""

    kind: str
    sql: str
    parts: frozenset[str] = frozenset()


OBJECTS_OF_SQLITE = (
    "SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('table', 'index')"
    # This table is peewee's.
    " AND tbl_name <> 'schema_migration'"
)
PARTS_OF_SQLITE = """
WITH made (name) AS (SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%')
SELECT m.name, c.name || ' ' || CASE c.type WHEN 'INTEGER' THEN 'bigint' WHEN 'BLOB' THEN 'bytea' ELSE lower(c.type) END
        || CASE WHEN c."notnull" OR c.pk THEN ' NOT NULL' ELSE '' END
        || CASE WHEN c.pk AND c.name = 'number' THEN ' IDENTITY' ELSE '' END
    FROM made m, pragma_table_info(m.name) c
UNION ALL SELECT name, 'PRIMARY KEY (' || group_concat(part, ', ') || ')' FROM (
    SELECT m.name, c.name AS part FROM made m, pragma_table_info(m.name) c WHERE c.pk ORDER BY m.name, c.pk
) GROUP BY name
UNION ALL SELECT name, 'UNIQUE (' || group_concat(part, ', ') || ')' FROM (
    SELECT m.name, i.name AS made, c.name AS part
    FROM made m, pragma_index_list(m.name) i, pragma_index_info(i.name) c WHERE i.origin = 'u' ORDER BY i.name, c.seqno
) GROUP BY name, made
UNION ALL SELECT m.name, 'FOREIGN KEY (' || f."from" || ') REFERENCES ' || f."table" || '(' || f."to" || ')'
    FROM made m, pragma_foreign_key_list(m.name) f
"""
_TABLES = (
    "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema() AND c.relkind = 'r'"
)
PARTS_OF_POSTGRES = f"""
SELECT c.relname, a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        || CASE a.attidentity WHEN 'd' THEN ' IDENTITY' ELSE '' END
    FROM {_TABLES} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT c.relname, pg_get_constraintdef(o.oid)
    FROM {_TABLES} JOIN pg_constraint o ON o.conrelid = c.oid AND o.contype IN ('p', 'u', 'f')
"""
INDEXES_OF_POSTGRES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
_GRAMS_OF_POSTGRES = {
    "gram": Layout("table", "", frozenset({"rowid bigint NOT NULL", "grams text[] NOT NULL", "PRIMARY KEY (rowid)"})),
    "gram_grams": Layout("index", "CREATE INDEX gram_grams ON gram USING gin (grams)"),
}


def of_sqlite(objects: Iterable[tuple[str, str, str]], parts: Iterable[tuple[str, str]]) -> dict[str, Layout]:
    """Return tables and indexes by their names, from the rows of the queries for them."""
    found = _by_table(parts)
    return {name: Layout(kind, sql, found.get(name, frozenset())) for name, kind, sql in objects}


def of_postgres(indexes: Iterable[tuple[str, str]], parts: Iterable[tuple[str, str]]) -> dict[str, Layout]:
    """Return tables and indexes by their names, from the rows of the queries for them."""
    tables = {name: Layout("table", "", found) for name, found in _by_table(parts).items()}
    return tables | {name: Layout("index", _as_written(sql)) for name, sql in indexes}


def for_postgres(made: Mapping[str, Layout]) -> dict[str, Layout]:
    """Return how PostgreSQL has what SQLite has so: without SQL of tables, and with another index of grams."""
    common = {name: layout for name, layout in made.items() if not re.match("gram(_(?!pending)|$)|sqlite_", name)}
    return {
        name: Layout(kind, sql if kind == "index" else "", parts) for name, (kind, sql, parts) in common.items()
    } | _GRAMS_OF_POSTGRES


def _by_table(parts: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for table, part in parts:
        found[table].add(part)
    return {table: frozenset(of_table) for table, of_table in found.items()}


def _as_written(definition: str) -> str:
    """Return an index's definition as a migration writes it."""
    return re.sub(r" ON (?:\"[^\"]*\"|\w+)\.", " ON ", definition, count=1).replace(" USING btree", "")
