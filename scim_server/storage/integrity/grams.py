"""Does the full-text index have just the grams of the columns?

Sums over all of its entries, which the database makes, are compared with those over all columns: each entry counts as
the hash of its gram times a weight of its key. Only if they differ is every entry read, to find the keys.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import lru_cache

from scim_server.storage import grams
from scim_server.storage.database import Database
from scim_server.storage.integrity.findings import Advance, Finding, KindOf, stale
from scim_server.storage.tables import RESOURCE, batches

_BITS = 10
_MOST_RANGES = 100


def check(database: Database, _kind_of: KindOf, advance: Advance) -> Iterator[Finding]:
    """Yield the resources that the index does not have as they are, of one state of the database."""
    with database.snapshot():
        if _is_right(database, advance):
            return
        ranges = sorted(_differing(database, lambda key: key >> _BITS))
        looked_at = set(ranges[:_MOST_RANGES])
        keys = sorted(_differing(database, lambda key: key if key >> _BITS in looked_at else None))
    for key in keys:
        yield stale("gram", str(key), "the index has not the grams of its columns")
    for further in ranges[_MOST_RANGES:]:
        low = further << _BITS
        yield stale("gram", f"{low} to {low + (1 << _BITS) - 1}", "the index has not the grams of their columns")


def _is_right(database: Database, advance: Advance) -> bool:
    total = sum(hash(gram) * weights for gram, weights in grams.weights(database))
    expected = _expected(database, _waiting(database), advance)
    return total == sum(grams.weight_of(key) * sum(map(hash, text.split(" "))) for key, text in expected if text)


def _waiting(database: Database) -> dict[int, str]:
    """Return of what waits to be indexed the grams that it had before."""
    return dict(database.rows("SELECT key, indexed FROM gram_pending"))


def _differing(database: Database, group: Callable[[int], int | None]) -> set[int]:
    """Return the groups of keys, None for none, whose grams are not in the index or whose entries are not theirs."""
    sums: defaultdict[int | None, int] = defaultdict(int)
    for entry in grams.entries(database):
        sums[group(entry[1])] += hash(entry)
    for key, text in _expected(database, _waiting(database), lambda _: None):
        which = group(key)
        if which is not None and text:
            sums[which] -= sum(hash((gram, key)) for gram in text.split(" "))
    return {which for which, total in sums.items() if which is not None and total}


def _expected(database: Database, waiting: dict[int, str], advance: Advance) -> Iterator[tuple[int, str]]:
    """Yield key and grams of everything that the index has: of what waits to be indexed, those from before."""
    yield from waiting.items()
    known = lru_cache(20_000)(grams.tokens_in)
    for rows in batches(database, RESOURCE, grams.COLUMNS):
        for key, *columns in rows:
            if key not in waiting:
                yield key, grams.tokens_of(dict(zip(grams.COLUMNS, columns, strict=True)), known)
        advance(len(rows))
