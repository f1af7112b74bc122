"""Makes other releases of the server, for tests of what an upgrade or an installation meets."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def copy_sources(target: Path) -> Path:
    """Copy what a release is made from, without anything that was made from it, and return the directory."""
    target.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, target)
    for name in ("scim_server", "schemas"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def later_release(target: Path) -> Path:
    """Make a release that has one migration more, and return the directory to import it from."""
    copy_sources(target)
    migration = target / "scim_server" / "storage" / "migrations" / "9999_later.py"
    migration.write_text('def up(migrator, db):\n    db.execute_sql("CREATE TABLE later (number INTEGER)")\n')
    return target
