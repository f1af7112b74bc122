"""Whom does every peer have to serve? The people and groups of a made-up company, with what all peers can keep."""

import os
from collections.abc import Iterator
from typing import Any

from scim_server.demo.company import Company
from scim_server.resources.accounts import ACCOUNT

GROUPS = (1_000, 10_000)
"""Members of the groups, as far as there are users."""
TOKEN = "peer"


def count() -> int:
    return int(os.environ["BENCH_PEER_USERS"])


def people() -> Iterator[dict[str, Any]]:
    """Yield users, without the attributes that only this server has."""
    for person in Company(count(), 0, 0, seed=1).people():
        del person[ACCOUNT]
        yield person
