"""Mail that is still to be sent."""


def up(migrator, db):
    db.execute_sql(
        # Of AUTOINCREMENT a number never comes to mean another mail.
        "CREATE TABLE outbox (number INTEGER PRIMARY KEY AUTOINCREMENT,"
        " tenant INTEGER NOT NULL REFERENCES tenant (number), resource_id TEXT NOT NULL, message_id TEXT NOT NULL,"
        " created TEXT NOT NULL, tries INTEGER NOT NULL, next_at TEXT, last_error TEXT)"
    )
