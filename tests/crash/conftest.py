from pathlib import Path

import pytest

from scim_server.protocol.registry import Registry
from scim_server.storage.opening import open_database
from tests.storage.conftest import house_on


@pytest.fixture
def prepared(tmp_path: Path, registry: Registry) -> Path:
    """The directory of an initialised database."""
    directory = tmp_path / "prepared"
    directory.mkdir()
    house_on(open_database(f"sqlite:///{directory / 'x.db'}"), registry).database.close()
    return directory
