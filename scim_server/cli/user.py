"""The commands about users."""

from collections.abc import Iterator
from typing import Any

import click

from scim_server.cli import tables
from scim_server.cli.caller import CommandError
from scim_server.cli.changes import read_changes, read_password
from scim_server.cli.common import confirm, of_tenant, operator, reports
from scim_server.cli.show import show_json, show_json_lines, show_lines

_ACCOUNT = "urn:ietf:params:scim:schemas:extension:account:2.0:User"
_with_password = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input, or ask for it on a terminal."
)


@click.group()
def user() -> None:
    """Users. USER is an id or a userName."""


@user.command("list")
@click.option("--filter", "text", help="Which ones, in SCIM's language: 'department eq \"Sales\"'.")
@click.option("--sort-by", metavar="ATTRIBUTE", help="Attribute to sort by. [default: the order of creation]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with everything.")
@of_tenant
@reports
def user_list(text: str | None, sort_by: str | None, as_json: bool, tenant_name: str | None) -> None:
    """List users: userName, displayName, status, number of groups, id."""
    acting = operator(tenant_name)
    if as_json:
        show_json_lines(acting.pages("User", text, sort_by))
        return
    names = ("userName", "displayName", f"{_ACCOUNT}:accountStatus", "groups.value")
    pages = acting.pages("User", text, sort_by, names)
    tables.show(("USERNAME", "NAME", "STATUS", "GROUPS", "ID"), (_rows(page) for page in pages))


def _rows(page: list[dict[str, Any]]) -> Iterator[tables.Row]:
    for found in page:
        status = found.get(_ACCOUNT, {}).get("accountStatus")
        yield found["userName"], found.get("displayName"), status, len(found.get("groups", ())), found["id"]


@user.command("show")
@click.argument("named", metavar="USER")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@of_tenant
@reports
def user_show(named: str, as_json: bool, tenant_name: str | None) -> None:
    """Show a user."""
    acting = operator(tenant_name)
    id = acting.find("User", named)
    if as_json:
        show_json(acting.text("User", id))
    else:
        show_lines(acting.document("User", id))


@user.command("create")
@click.argument("username")
@click.option("--set", "given", multiple=True, metavar="PATH=VALUE", help="An attribute; can be repeated.")
@click.option("--group", "groups", multiple=True, help="Id or name of a group to be in; can be repeated.")
@_with_password
@of_tenant
@reports
def user_create(
    username: str, given: tuple[str, ...], groups: tuple[str, ...], password_stdin: bool, tenant_name: str | None
) -> None:
    """Create a user. Only the id goes to standard output."""
    acting = operator(tenant_name)
    if "group_required" in acting.by.tenant.policies and not groups:
        raise CommandError("The tenant demands a group of each user; give --group.")
    changes = read_changes(given)
    ids = list(dict.fromkeys(acting.find("Group", name) for name in groups))
    click.echo(acting.create("User", username, changes, read_password(password_stdin), ids))


@user.command("set")
@click.argument("named", metavar="USER")
@click.argument("given", nargs=-1, metavar="[PATH=VALUE | PATH:=JSON]...")
@_with_password
@of_tenant
@reports
def user_set(named: str, given: tuple[str, ...], password_stdin: bool, tenant_name: str | None) -> None:
    """Change attributes of a user, all or none. An empty value removes; PATH:=JSON takes lists and objects."""
    if not given and not password_stdin:
        raise CommandError("Nothing to set; give PATH=VALUE or --password-stdin.")
    acting = operator(tenant_name)
    changes = read_changes(given)
    acting.change("User", acting.find("User", named), changes, read_password(password_stdin))


@user.command("disable")
@click.argument("named", metavar="USER")
@of_tenant
@reports
def user_disable(named: str, tenant_name: str | None) -> None:
    """Let a user sign in no more; "user set USER active=true" takes it back."""
    acting = operator(tenant_name)
    acting.change("User", acting.find("User", named), [{"op": "replace", "path": "active", "value": False}])


@user.command("delete")
@click.argument("named", nargs=-1, metavar="[USER]...")
@click.option("--filter", "text", help="Delete all users that fit, instead of naming them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@of_tenant
@reports
def user_delete(named: tuple[str, ...], text: str | None, yes: bool, tenant_name: str | None) -> None:
    """Delete users. "deleted restore" brings them back until they are purged."""
    if bool(named) == (text is not None):
        raise CommandError("Name users, or give a --filter.")
    acting = operator(tenant_name)
    if text is None:
        ids = list(dict.fromkeys(acting.find("User", name) for name in named))
    else:
        ids = [found["id"] for page in acting.pages("User", text, names=["id"]) for found in page]
    if ids:
        confirm(f"Delete {len(ids)} user{'s'[: len(ids) > 1]}?", yes)
    done = acting.delete("User", ids)
    click.echo(f"Deleted {done} user{'s'[: done != 1]}.", err=True)
