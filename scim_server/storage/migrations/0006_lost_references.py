"""References that ended with a deletion become rows, and so do purges that are not finished."""

import json


def up(migrator, db):
    db.execute_sql(
        "CREATE TABLE lost_reference (source INTEGER NOT NULL, attribute INTEGER NOT NULL, target INTEGER NOT NULL,"
        " PRIMARY KEY (source, attribute, target)) WITHOUT ROWID"
    )
    db.execute_sql("CREATE INDEX lost_reference_target ON lost_reference (target)")
    db.execute_sql("CREATE TABLE erasure (number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL)")
    for key, text in db.execute_sql("SELECT key, links FROM tombstone").fetchall():
        links = json.loads(text)
        rows = [(key, attribute, target) for attribute, target in links["from"]]
        rows += [(source, attribute, key) for source, attribute in links["to"]]
        for source, attribute, target in rows:
            db.execute_sql(
                f"INSERT INTO lost_reference VALUES ({source:d}, {attribute:d}, {target:d}) ON CONFLICT DO NOTHING"
            )
    db.execute_sql("ALTER TABLE tombstone DROP COLUMN links")
