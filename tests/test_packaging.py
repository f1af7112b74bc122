"""The wheel works by itself, and the repository says the same thing in every place."""

import configparser
import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import httpx2 as httpx
import pytest

from scim_server import __version__
from tests.releases import ROOT, copy_sources
from tests.scim import create_user
from tests.server import Server


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that nothing that was built before gets in."""
    directory = tmp_path_factory.mktemp("wheel")
    sources = copy_sources(directory / "sources")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = directory.glob("*.whl")
    return built


def test_the_wheel_holds_every_module_schema_and_migration(wheel: Path) -> None:
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "scim_server").rglob("*.py")}
    schemas = {f"scim_server/schemas/{path.name}" for path in (ROOT / "schemas").glob("*.json")}
    assert any("storage/migrations/0001" in name for name in package)
    assert len(schemas) > 10
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == package | schemas | {"scim_server/py.typed", "scim_server/protocol/ja.json"}


def test_the_wheel_is_of_this_version(wheel: Path) -> None:
    assert wheel.name == f"scim_server-{__version__}-py3-none-any.whl"


def test_the_installed_wheel_serves_from_anywhere(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What runs here is a copy, which must not be measured as if it were the checkout.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, timeout=60)
    server = Server(elsewhere, {"PYTHONPATH": str(target)})
    found = server.run(
        [sys.executable, "-c", "from scim_server.protocol import registry as r; print(r.bundled_schemas())"]
    )
    assert found.stdout == f"{target}/scim_server/schemas\n"
    server.initialised()
    headers = {"Authorization": f"Bearer {server.token('admin')}", "Connection": "close"}
    with server.started(), httpx.Client(base_url=server.settings.base_url, headers=headers) as http:
        user = create_user(http)
        assert http.get(f"Users/{user['id']}").json() == user
        assert http.get("Schemas").json()["totalResults"] > 3


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_lock_has_a_hash_for_everything_and_nothing_of_the_machine_that_made_it(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "make lock" in text
    entries = [entry for entry in text.replace("\\\n", "").splitlines() if entry and not entry.lstrip().startswith("#")]
    assert len(entries) > 15
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+( ;.+?)?( +--hash=sha256:[0-9a-f]{64})+", entry), entry[:80]
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|://|\s/", text)


def test_the_locks_agree_and_hold_what_setup_cfg_asks_for() -> None:
    run, dev, bench = (
        dict(re.findall(r"^([a-z0-9-]+)(?:\[.+\])?==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt")
    )
    assert run.items() <= dev.items()
    assert run.items() <= bench.items()
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    asked = dict(setup["options.extras_require"]) | {"run": setup["options"]["install_requires"]}
    names = {extra: set(re.findall(r"^([a-z0-9-]+)", text, re.MULTILINE)) for extra, text in asked.items()}
    assert names.pop("bench") <= bench.keys()
    assert {"flask", "pytest", "ruff", "build", "psycopg"} <= set().union(*names.values()) <= dev.keys()


def test_the_lock_names_the_extras_that_its_packages_ask_for() -> None:
    # A pip before 23.3 looks for a newer release of what is locked without the extra, and then misses its hash.
    locked = set(re.findall(r"^([a-z0-9-]+\[.+\])==", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE))
    asked = set()
    for package in ("pytest-cov", "scim2-models"):
        for requirement in importlib.metadata.requires(package) or []:
            if found := re.match(r"([A-Za-z0-9-]+\[[a-z,]+\])(?!.*extra ==)", requirement):
                asked.add(found[1].lower())
    assert {"coverage[toml]", "pydantic[email]"} <= asked <= locked


def test_the_arrows_between_the_packages_hold() -> None:
    lint_imports = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert lint_imports
    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
