"""Passwords: how they are hashed, and how long it takes to say no."""

from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from scim_server import passwords


def test_a_hash_is_argon2id_with_a_salt_of_its_own() -> None:
    one, other = passwords.hash_of("t1meMa$heen"), passwords.hash_of("t1meMa$heen")
    parameters = extract_parameters(one)
    assert (parameters.type, parameters.time_cost, parameters.memory_cost) == (Type.ID, 2, 19 * 1024)
    assert one != other
    assert "t1meMa$heen" not in one


def test_the_hash_of_nobody_costs_what_others_cost() -> None:
    assert extract_parameters(passwords._NOBODY) == extract_parameters(passwords.hash_of("t1meMa$heen"))


@pytest.mark.parametrize("password", ["t1meMa$heen", "", "x" * 10_000, "パスワード"])
def test_a_password_is_right_for_its_own_hash_only(password: str) -> None:
    hashed = passwords.hash_of(password)
    assert passwords.is_right(password, hashed)
    assert not passwords.is_right(password + "x", hashed)
    assert not passwords.is_right(password, None)
    assert not passwords.is_right(password, "not a hash")


def test_ways_of_typing_a_password_are_one() -> None:
    assert passwords.is_right("caf\u00e9 x", passwords.hash_of("cafe\u0301\u3000x"))


def test_a_known_hash_is_kept_while_it_is_of_this_password_and_as_strong_as_new_ones() -> None:
    known = passwords.hash_of("t1meMa$heen")
    assert passwords.hash_of("t1meMa$heen", known) == known
    changed = passwords.hash_of("another one", known)
    assert changed != known
    assert passwords.is_right("another one", changed)
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("t1meMa$heen")
    renewed = passwords.hash_of("t1meMa$heen", weak)
    assert renewed != weak
    assert passwords.is_right("t1meMa$heen", renewed)


@pytest.mark.parametrize("password", ["t1meMa$heen", "another one"])
def test_comparing_with_a_known_hash_costs_the_same_whatever_it_tells(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    known = passwords.hash_of("t1meMa$heen")
    done: list[str] = []

    def counted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: object) -> Any:
            done.append(name)
            return work(*arguments)

        return count

    for name in ("hash", "verify"):
        monkeypatch.setattr(PasswordHasher, name, counted(name, getattr(PasswordHasher, name)))
    passwords.hash_of(password, known)
    assert done == ["hash", "verify"]
