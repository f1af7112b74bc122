"""The habits that leave the RFC, by the token whose requests had them."""


def up(migrator, db):
    db.execute_sql(
        "CREATE TABLE habit (token TEXT NOT NULL REFERENCES token (id), name TEXT NOT NULL, uses INTEGER NOT NULL,"
        " last_used TEXT NOT NULL, PRIMARY KEY (token, name)) WITHOUT ROWID"
    )
