"""The documentation names every setting, command, endpoint, scope and table that exists."""

import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from scim_server import tokens
from scim_server.app import create_app
from scim_server.cli import main
from scim_server.config import Settings
from scim_server.protocol.habits import HABITS
from scim_server.protocol.registry import Registry
from scim_server.storage.database import Database
from tests.server import Server

ROOT = Path(__file__).parent.parent
INSTALL, API, STORAGE, DEVELOPMENT = (
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("install", "api", "storage", "development")
)


def test_every_setting_is_documented_and_no_other() -> None:
    documented = set(re.findall(r"^\| `(SCIM_[A-Z_]+)`", INSTALL, re.MULTILINE))
    assert documented == {f"SCIM_{field.name.upper()}" for field in fields(Settings)}


def commands(group: click.Group, prefix: str) -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        inner = commands(command, f"{prefix} {name}") if isinstance(command, click.Group) else []
        found += inner or [(f"{prefix} {name}", command)]
    return found


@pytest.mark.parametrize(("name", "command"), commands(main, "scim-server"), ids=str)
def test_every_command_and_option_is_documented(name: str, command: click.Command) -> None:
    line = next((line for line in INSTALL.splitlines() if line.startswith("|") and f"`{name}" in line), None)
    assert line, name
    for parameter in command.params:
        assert parameter.opts[0] in line or isinstance(parameter, click.Argument), parameter.opts
    assert command.help


def test_every_endpoint_is_documented(server: Server) -> None:
    for rule in create_app(server.settings).url_map.iter_rules():
        path = rule.rule.removeprefix("/scim/v2")
        shown = path.replace("/Schemas/<id>", "/Schemas/{urn}").replace("/ResourceTypes/<id>", "/ResourceTypes/{name}")
        assert f"`{shown.replace('<id>', '{id}')}`" in API or path == ""


def test_every_scope_is_documented(registry: Registry) -> None:
    for scope in tokens.scope_names(registry):
        assert f"`{scope}`" in API


def test_every_table_is_documented(database: Database) -> None:
    for name in database.peewee.get_tables():
        # A full-text index keeps itself in tables of its own.
        assert f"`{name}`" in STORAGE or re.fullmatch("gram_(data|idx|content|docsize|config)|sqlite_.*", name)


def test_links_between_pages_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_every_module_says_which_question_it_answers() -> None:
    for path in (ROOT / "scim_server").rglob("*.py"):
        if path.name != "__main__.py":
            assert path.read_text(encoding="utf-8").startswith('"""'), path


def test_every_habit_is_documented() -> None:
    text = (ROOT / "docs" / "providers" / "README.md").read_text(encoding="utf-8")
    for habit in HABITS:
        assert f"| `{habit.name}` | {habit.meaning} | {habit.clients} |" in text
