"""Starts a PostgreSQL server for tests, or uses the one of SCIM_TEST_DATABASE_URL."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cluster import Cluster, Databases


@contextmanager
def databases() -> Iterator[Databases]:
    """Start a server, unless SCIM_TEST_DATABASE_URL names one, and make databases in it."""
    if url := os.environ.get("SCIM_TEST_DATABASE_URL"):
        made = Databases(url)
        try:
            yield made
        finally:
            made.drop_all()
        return
    with Cluster().running() as cluster, pytest.MonkeyPatch.context() as patch:
        # Its pg_dump is of its version.
        patch.setenv("PATH", f"{cluster.binaries}{os.pathsep}{os.environ['PATH']}")
        yield Databases(cluster.url)


Fresh = Callable[[], str]
"""Returns the URL of a new database."""
