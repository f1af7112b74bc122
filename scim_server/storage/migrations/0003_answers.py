"""Answers to requests with an Idempotency-Key."""


def up(migrator, db):
    db.execute_sql(
        "CREATE TABLE answer (name TEXT PRIMARY KEY, digest TEXT NOT NULL, at TEXT NOT NULL, status INTEGER NOT NULL,"
        " headers TEXT NOT NULL, body BLOB NOT NULL)"
    )
    db.execute_sql("CREATE INDEX answer_at ON answer (at)")
