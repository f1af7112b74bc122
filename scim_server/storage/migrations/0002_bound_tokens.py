"""A token may belong to a user, whose resource is then at /Me."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE token ADD COLUMN user_id TEXT")
