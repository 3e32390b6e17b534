"""What is sent to a worker: a pickle without secrets, and they apart from it."""

from __future__ import annotations

import json
import pickle

import pytest

from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session_variables import resolve_env
from aegis_provision.rollout.host_job import HostJob
from aegis_provision.values import dataclass
from aegis_provision.workers.secret_pickle import (
    hide_all,
    plain,
    put_together,
    read_with_secrets,
    reveal_all,
    take_apart,
    with_secrets,
)
from tests.fleet.specs import specified

TOKEN, API = "token-7f3a91c2d4", "api-0f1e2d3c4b5a"
HOSTS: dict[str, object] = {f"h{number:03}": {} for number in range(200)}
INVENTORY = json.dumps({"all": {"vars": {"provider": "glm", "user": "u"}, "hosts": HOSTS}})


def _job() -> HostJob:
    inventory, specs = specified(INVENTORY)
    session = resolve_env(specs["h000"], {"GLM_API_KEY": TOKEN})
    return HostJob(inventory.hosts["h000"], session, Secret(API, "${API}"))


def test_a_job_comes_back_as_it_was_and_its_pickle_holds_no_secret() -> None:
    job = _job()
    data, secrets = take_apart((job, job.api_token))
    assert sorted(secret.reveal() for secret in secrets) == [API, TOKEN]
    for token in (TOKEN, API):
        assert token.encode() not in data
    found, token = put_together(data, hide_all(reveal_all(secrets)))
    assert found.session.values == job.session.values
    assert found.host.target == job.host.target
    assert token == job.api_token
    assert token is found.api_token
    assert str(found.host.settings["user"].span) == str(job.host.settings["user"].span)
    assert read_with_secrets(with_secrets(job)).session.values == job.session.values


@dataclass(slots=True)
class Made:
    """A value that counts how often it was made."""

    name: str
    times: int = 0

    def __post_init__(self) -> None:
        self.times += 1


def test_what_a_value_does_when_it_is_made_is_not_done_again() -> None:
    data, secrets = take_apart(Made("a"))
    assert put_together(data, secrets).times == 1


def test_the_inventory_s_text_stays_behind() -> None:
    """Every host would carry all the others along."""
    data, _ = take_apart(_job())
    assert b"h199" not in data
    assert len(data) < 4000


def test_nothing_else_pickles_a_secret_nor_reads_one_back() -> None:
    job = _job()
    with pytest.raises(TypeError, match="neither pickled nor copied"):
        pickle.dumps(job)
    with pytest.raises(TypeError, match="a secret was to leave"):
        plain(job)
    data, _ = take_apart(job)
    with pytest.raises(TypeError, match="not in this pickle"):
        pickle.loads(data)  # noqa: S301 - made here
