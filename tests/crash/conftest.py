from pathlib import Path

import pytest

from scim_server.protocol.registry import Registry
from scim_server.storage.database import Database
from tests.storage.conftest import house_on


@pytest.fixture
def prepared(tmp_path: Path, registry: Registry) -> Path:
    """The directory of an initialised database."""
    directory = tmp_path / "prepared"
    directory.mkdir()
    house_on(Database(f"sqlite:///{directory / 'x.db'}"), registry).database.close()
    return directory
