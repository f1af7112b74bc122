"""Tables of the first release; docs/storage.md says what each is for."""

TABLES = """
CREATE TABLE tenant (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, company_name TEXT NOT NULL, time_zone TEXT NOT NULL,
    language TEXT NOT NULL, policies TEXT NOT NULL, created TEXT NOT NULL
);
CREATE TABLE resource_type (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE token (
    id TEXT PRIMARY KEY, tenant INTEGER NOT NULL REFERENCES tenant (number), name TEXT NOT NULL,
    digest TEXT NOT NULL, scopes TEXT NOT NULL, created TEXT NOT NULL, expires TEXT, revoked TEXT, last_used TEXT
);
CREATE INDEX token_tenant ON token (tenant);
CREATE TABLE collection (scope INTEGER PRIMARY KEY, next INTEGER NOT NULL, total INTEGER NOT NULL);
CREATE TABLE resource (
    key INTEGER PRIMARY KEY, scope INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
    created TEXT NOT NULL, modified TEXT NOT NULL, display TEXT,
    external_id TEXT, user_name TEXT, display_name TEXT, family_name TEXT, given_name TEXT, title TEXT,
    user_type TEXT, active TEXT, employee_number TEXT, organization TEXT, department TEXT, manager TEXT,
    valid_from TEXT, valid_until TEXT
);
CREATE UNIQUE INDEX resource_id ON resource (id);
CREATE INDEX resource_external_id ON resource (scope, substr(external_id, 1, 200));
CREATE INDEX resource_user_name ON resource (scope, substr(user_name, 1, 200));
CREATE INDEX resource_display_name ON resource (scope, substr(display_name, 1, 200));
CREATE INDEX resource_family_name ON resource (scope, substr(family_name, 1, 200));
CREATE INDEX resource_modified ON resource (scope, modified);
CREATE TABLE body (key INTEGER PRIMARY KEY, template BLOB NOT NULL);
CREATE TABLE value (
    resource INTEGER NOT NULL, attribute INTEGER NOT NULL, element INTEGER NOT NULL, scope INTEGER NOT NULL,
    key TEXT NOT NULL, PRIMARY KEY (resource, attribute, element)
) WITHOUT ROWID;
CREATE INDEX value_key ON value (scope, attribute, substr(key, 1, 200));
CREATE VIRTUAL TABLE gram USING fts5 (grams, content = '', detail = 'none', columnsize = 0, tokenize = 'ascii');
CREATE TABLE gram_pending (key INTEGER PRIMARY KEY, indexed TEXT NOT NULL);
CREATE TABLE reference (
    source INTEGER NOT NULL, attribute INTEGER NOT NULL, target INTEGER NOT NULL,
    PRIMARY KEY (source, attribute, target)
) WITHOUT ROWID;
CREATE INDEX reference_target ON reference (target, attribute, source);
CREATE TABLE unique_key (
    scope INTEGER NOT NULL, attribute INTEGER NOT NULL, digest TEXT NOT NULL, resource INTEGER NOT NULL,
    PRIMARY KEY (scope, attribute, digest)
) WITHOUT ROWID;
CREATE TABLE password (resource INTEGER PRIMARY KEY, hash TEXT NOT NULL);
CREATE TABLE tombstone (
    key INTEGER PRIMARY KEY, scope INTEGER NOT NULL, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
    created TEXT NOT NULL, modified TEXT NOT NULL, deleted TEXT NOT NULL, template BLOB NOT NULL, links TEXT NOT NULL
);
CREATE INDEX tombstone_deleted ON tombstone (scope, deleted);
CREATE TABLE audit (
    number INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, at TEXT NOT NULL, credential TEXT NOT NULL,
    operation TEXT NOT NULL, resource_type TEXT NOT NULL, resource_id TEXT NOT NULL, attributes TEXT NOT NULL
);
CREATE INDEX audit_resource ON audit (tenant, resource_id);
"""


def up(migrator, db):
    for statement in TABLES.split(";"):
        if statement.strip():
            db.execute_sql(statement)
