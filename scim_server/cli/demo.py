"""The command that fills a tenant with made-up accounts."""

from dataclasses import replace

import click

from scim_server.cli.caller import CommandError
from scim_server.cli.common import of_tenant, progress, reports, settings_in_effect


@click.command()
@click.option("--users", type=click.IntRange(1, 10_000_000), default=1000, show_default=True, metavar="N")
@click.option(
    "--groups", type=click.IntRange(0, 100_000), metavar="N", help="[default: one for ten users, 1000 at most]"
)
@click.option(
    "--largest-group", type=click.IntRange(1, 1_000_000), metavar="N", help="[default: all users, 100000 at most]"
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same people.")
@click.option("--force", is_flag=True, help="Add them to a tenant that has users.")
@of_tenant
@reports
def demo(
    users: int, groups: int | None, largest_group: int | None, seed: int, force: bool, tenant_name: str | None
) -> None:
    """Fill a tenant with made-up users, groups and services, to try the server or to measure it."""
    # Loading what serves resources takes longer than --help may.
    from scim_server.cli.operator import Operator  # noqa: PLC0415
    from scim_server.demo.company import Company  # noqa: PLC0415
    from scim_server.demo.loading import load  # noqa: PLC0415
    from scim_server.storage import documents  # noqa: PLC0415

    # Nobody reads the mail of people who do not exist.
    acting = Operator.of(replace(settings_in_effect(), smtp_url=None), tenant_name)
    of_users, of_groups = (
        documents.counts(acting.shared.database, acting.kinds[name].scope(acting.by)) for name in ("User", "Group")
    )
    if of_users.living and not force:
        raise CommandError(f"The tenant {acting.by.tenant.name} has users; --force adds to them.")
    company = Company(
        users=users,
        groups=min(1000, -(-users // 10)) if groups is None else groups,
        largest_group=largest_group or min(users, 100_000),
        seed=seed,
        first=of_users.ever,
        first_group=of_groups.ever,
    )
    with progress(company.size, "Loading") as advance:
        load(acting.kinds, acting.by, company, advance)
    click.echo(f"Made {company.users} users and {company.groups} groups.")
