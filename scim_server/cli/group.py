"""The commands about groups and who is in them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from scim_server.cli import tables
from scim_server.cli.changes import read_changes
from scim_server.cli.common import of_tenant, operator, reports
from scim_server.cli.show import show_json, show_json_lines, show_lines

if TYPE_CHECKING:
    from scim_server.cli.operator import Operator

_EXTENSION = "urn:ietf:params:scim:schemas:extension:account:2.0:Group"


@click.group()
def group() -> None:
    """Groups. GROUP is an id or a displayName, MEMBER an id, a userName or group:NAME."""


@group.command("list")
@click.option("--filter", "text", help="Which ones, in SCIM's language: 'displayName sw \"S\"'.")
@click.option("--sort-by", metavar="ATTRIBUTE", help="Attribute to sort by. [default: the order of creation]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, without members.")
@of_tenant
@reports
def group_list(text: str | None, sort_by: str | None, as_json: bool, tenant_name: str | None) -> None:
    """List groups: displayName, number of members and of services, id."""
    acting = operator(tenant_name)
    pages = acting.pages("Group", text, sort_by)
    if as_json:
        show_json_lines(pages)
    else:
        tables.show(("NAME", "MEMBERS", "SERVICES", "ID"), (_rows(acting, page) for page in pages))


def _rows(acting: "Operator", page: list[dict[str, Any]]) -> Iterator[tables.Row]:
    counts = acting.count_members([found["id"] for found in page])
    for found in page:
        services = found.get(_EXTENSION, {}).get("services", ())
        yield found["displayName"], counts.get(found["id"], 0), len(services), found["id"]


@group.command("show")
@click.argument("named", metavar="GROUP")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object, with all members.")
@of_tenant
@reports
def group_show(named: str, as_json: bool, tenant_name: str | None) -> None:
    """Show a group, then its members: userName or group:NAME, displayName, id."""
    acting = operator(tenant_name)
    id = acting.find("Group", named)
    if as_json:
        show_json(acting.text("Group", id))
        return
    show_lines(acting.document("Group", id))
    click.echo(f"members: {acting.count_members([id]).get(id, 0)}")
    tables.show(("MEMBER", "NAME", "ID"), acting.members_of(id))


@group.command("create")
@click.argument("name")
@click.option("--set", "given", multiple=True, metavar="PATH=VALUE", help="An attribute; can be repeated.")
@click.option("--member", "named", multiple=True, help="Id, userName or group:NAME; can be repeated.")
@of_tenant
@reports
def group_create(name: str, given: tuple[str, ...], named: tuple[str, ...], tenant_name: str | None) -> None:
    """Create a group. Only the id goes to standard output."""
    acting = operator(tenant_name)
    changes = read_changes(given)
    if named:
        changes.append({"op": "add", "path": "members", "value": [{"value": acting.member(each)} for each in named]})
    click.echo(acting.create("Group", name, changes))


@group.command("add-member")
@click.argument("named", metavar="GROUP")
@click.argument("members", nargs=-1, required=True, metavar="MEMBER...")
@of_tenant
@reports
def group_add_member(named: str, members: tuple[str, ...], tenant_name: str | None) -> None:
    """Put members into a group, all or none. Who is in it already stays."""
    acting = operator(tenant_name)
    acting.add_members(acting.find("Group", named), [acting.member(each) for each in members])


@group.command("remove-member")
@click.argument("named", metavar="GROUP")
@click.argument("members", nargs=-1, required=True, metavar="MEMBER...")
@of_tenant
@reports
def group_remove_member(named: str, members: tuple[str, ...], tenant_name: str | None) -> None:
    """Take members out of a group, all or none. Who is not in it is no error."""
    acting = operator(tenant_name)
    acting.remove_members(acting.find("Group", named), [acting.member(each) for each in members])
