"""Several workers under load on each database: stopping, reloading, and losing one."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.load import Load
from tests.server import Server


@pytest.fixture
def load(tmp_path: Path, fresh: Callable[[], dict[str, str]]) -> Load:
    server = Server(tmp_path, {"SCIM_WORKERS": "3", **fresh()}).initialised()
    return Load(server, server.token("admin"))


def test_a_graceful_stop_answers_everything_in_flight(load: Load) -> None:
    with load.server.started():
        with load.running():
            assert load.server.stop(signal.SIGTERM) == 0
            time.sleep(0.2)
        assert load.wrong == []
        assert load.refused
    with load.server.started():
        load.assert_kept()


def test_a_reload_keeps_serving(load: Load) -> None:
    with load.server.started():
        with load.running():
            for _ in range(3):
                before = load.server.workers()
                assert load.server.process
                load.server.process.send_signal(signal.SIGHUP)
                while set(before) & set(load.server.workers()):
                    time.sleep(0.05)
                load.wait_for_more()
        assert load.wrong == []
        assert load.refused == 0
        load.assert_kept()
