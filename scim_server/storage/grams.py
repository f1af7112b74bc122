"""How is text found by a part of it?

The 2- and 3-grams of every promoted text column are tokens of a full-text index; a needle's grams
lead to candidates, which are then compared whole. Changed resources wait in ``gram_pending`` and are
searched there until some hundred of them are indexed at once: one by one would make each write
several times as dear.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from operator import add

from scim_server.storage.database import Database, SqlError
from scim_server.storage.keys import order_in, scope_in, scope_range
from scim_server.storage.sources import Condition

COLUMNS = (
    "external_id", "user_name", "display_name", "family_name", "given_name", "title", "user_type", "employee_number",
    "organization", "department",
)  # fmt: skip
Columns = Mapping[str, str | None]
SHORTEST = 2
"""Characters that a needle must have to be found by its grams: two make many a Japanese name."""
_MOST_TOKENS = 16
_BATCH = 500
_MANY = 100
_LOOK_EVERY = 64
_DELETE_ALL = "INSERT INTO gram (gram) VALUES ('delete-all')"


def candidates(column: str, needle: str, scope: int) -> Condition:
    """Return the condition that the grams of a needle, or no index yet, speak for the row ``r``."""
    short, long = _grams(needle)
    tokens = [_letters()[column] + gram for gram in dict.fromkeys(long or short)]
    low, high = scope_range(scope)
    sql = (
        "r.key IN (SELECT rowid FROM gram WHERE gram MATCH ? AND rowid >= ? AND rowid < ?"
        " UNION ALL SELECT key FROM gram_pending WHERE key >= ? AND key < ?)"
    )
    return Condition(sql, (" ".join(tokens[:_MOST_TOKENS]), low, high, low, high))


def created(database: Database, new: Sequence[tuple[int, Columns]]) -> None:
    """Note that resources came, within the caller's transaction; many are indexed at once."""
    if len(new) < _MANY:
        changed(database, [(key, {}, columns) for key, columns in new])
    else:
        _index(database, new)


def changed(database: Database, changes: Iterable[tuple[int, Columns, Columns]]) -> None:
    """Note that columns changed from old to new, or that resources came or went, within the caller's transaction."""
    rows = [
        (key, tokens_of(old))
        for key, old, new in changes
        if any(old.get(column) != new.get(column) for column in COLUMNS)
    ]
    sql = "INSERT INTO gram_pending (key, indexed) VALUES (?, ?) ON CONFLICT (key) DO NOTHING"
    database.run_many(sql, rows)
    # Looking each time would cost more than it tells; keys are consecutive.
    if any(key % _LOOK_EVERY == 0 for key, _ in rows):
        found = database.row("SELECT count(*) FROM gram_pending")
        if found and found[0] >= _BATCH:
            index_pending(database)


def index_pending(database: Database) -> None:
    """Bring the index up to date, within the caller's transaction."""
    read = ", ".join(f"r.{column}" for column in COLUMNS)
    sql = f"SELECT p.key, p.indexed, {read} FROM gram_pending p LEFT JOIN resource r ON r.key = p.key"
    rows = database.rows(sql)
    gone = [(key, indexed) for key, indexed, *_ in rows if indexed]
    database.run_many("INSERT INTO gram (gram, rowid, grams) VALUES ('delete', ?, ?)", gone)
    _index(database, [(key, dict(zip(COLUMNS, columns, strict=True))) for key, _, *columns in rows])
    database.run("DELETE FROM gram_pending")


def compact(database: Database) -> None:
    """Write the whole index anew, within the caller's transaction, without tokens of what is gone."""
    index_pending(database)
    # Until its segments are merged, the index only notes that something went.
    database.run("INSERT INTO gram (gram) VALUES ('optimize')")


def entries(database: Database) -> Iterator[tuple[str, int]]:
    """Yield every token of the index with each key that it leads to."""
    _open_entries(database)
    yield from database.each("SELECT term, doc FROM temp.gram_entry AS entry")


def weights(database: Database) -> Iterator[tuple[str, int]]:
    """Yield every token of the index with the sum of the weights of the keys that it leads to."""
    _open_entries(database)
    weight = "1 + ((doc & 17179869183) % 16777213 * ((doc & 17179869183) % 65521) + (doc >> 34)) % 16777213"
    for gram, total in database.each(f"SELECT term, sum({weight}) FROM temp.gram_entry AS entry GROUP BY term"):
        yield gram, int(total)


def weight_of(key: int) -> int:
    """Return a number that others than a key's hardly add up to, below 2 ** 24, as the database can compute it."""
    order = order_in(key)
    return 1 + (order % 16777213 * (order % 65521) + scope_in(key)) % 16777213


def _open_entries(database: Database) -> None:
    database.run("CREATE VIRTUAL TABLE IF NOT EXISTS temp.gram_entry USING fts5vocab (main, gram, instance)")


def rebuild(database: Database, columns: Iterable[Sequence[tuple[int, Columns]]]) -> None:
    """Index all resources anew, some at a time, within the caller's transaction."""
    try:
        database.run(_DELETE_ALL)
    except SqlError:
        _lay_out(database)
        database.run(_DELETE_ALL)
    database.run("DELETE FROM gram_pending")
    for rows in columns:
        _index(database, rows)


def _lay_out(database: Database) -> None:
    """Let the index be as that of a new database: one that cannot even be opened cannot be dropped either."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.execute("CREATE VIRTUAL TABLE gram USING fts5 (grams, content = '', detail = 'none', columnsize = 0)")
        for table in ("gram_data", "gram_idx", "gram_config"):
            database.run(f"DELETE FROM {table}")
            for row in fresh.execute(f"SELECT * FROM {table}").fetchall():
                database.run(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def _index(database: Database, new: Iterable[tuple[int, Columns]]) -> None:
    # Departments, titles and given names repeat in what is loaded together.
    known = cache(tokens_in)
    rows = [(key, tokens) for key, columns in new if (tokens := tokens_of(columns, known))]
    database.run_many("INSERT INTO gram (rowid, grams) VALUES (?, ?)", rows)


def tokens_of(columns: Columns, of_text: Callable[[str, str], str] | None = None) -> str:
    """Return the tokens of a row, each once, in an order that depends on the row only.

    ``of_text`` may remember the tokens of a column's letter and its text.
    """
    of_text = of_text or tokens_in
    texts = [(letter, columns.get(column) or "") for column, letter in _letters().items()]
    return " ".join([of_text(letter, text) for letter, text in texts if len(text) >= SHORTEST])


def tokens_in(letter: str, text: str) -> str:
    """Return the tokens of a text in the column of a letter."""
    short, long = _grams(text)
    return letter + f" {letter}".join(dict.fromkeys(short + long))


def _grams(text: str) -> tuple[list[str], list[str]]:
    """Return the 2-grams and the 3-grams of a text.

    The tokenizer folds and splits by its own rules; letters and hexadecimal digits pass unchanged.
    """
    hexed = [_HEXED[char] if char in _HEXED else char.encode().hex() for char in text]
    short = list(map(add, hexed, hexed[1:]))
    return short, list(map(add, short, hexed[2:]))


_HEXED = {chr(code): f"{code:02x}" for code in range(128)}


@cache
def _letters() -> dict[str, str]:
    return {column: chr(ord("g") + index) for index, column in enumerate(COLUMNS)}
