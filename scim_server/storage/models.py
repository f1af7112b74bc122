"""The tables that are read and written through models: few rows, off the hot paths.

Queries name their database when they run, ``Tenant.select()…execute(database.peewee)``.
"""

from peewee import IntegerField, Model, TextField


class Tenant(Model):
    number = IntegerField(primary_key=True)
    name = TextField(unique=True)
    company_name = TextField()
    time_zone = TextField()
    language = TextField()
    policies = TextField()
    created = TextField()


class Token(Model):
    id = TextField(primary_key=True)
    tenant = IntegerField()
    name = TextField()
    user_id = TextField(null=True)
    digest = TextField()
    scopes = TextField()
    created = TextField()
    expires = TextField(null=True)
    revoked = TextField(null=True)
    last_used = TextField(null=True)
