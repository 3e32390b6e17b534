"""A secret shows nowhere, and only the modules named here may open it."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import re
import traceback
from pathlib import Path

import pytest

import aegis_provision
from aegis_provision.providers.secret import Secret

CANARY = "canary-4f0b1c"
MAY_REVEAL = {
    "aegis/config_file.py",  # writes the file
    "aegis/session_api.py",  # one session's env
    "aegis/variable_checks.py",  # checks the value against Aegis' limits
    "planning/digests.py",  # the keys of digests
    "planning/receipts.py",  # makes salted digests of what is written
    "planning/saved_plan.py",  # makes digests that take long
    "providers/redaction.py",  # takes it out of what comes back
    "providers/secret.py",
    "workers/secret_pickle.py",  # for a worker alone: over its own pipe, or sealed
    "transport/http_messages.py",  # sends a token as a header
    "transport/ssh/authentication.py",
    "transport/ssh/private_keys.py",
}


@dataclasses.dataclass(frozen=True)
class Holder:
    token: Secret


@pytest.fixture
def secret() -> Secret:
    return Secret(CANARY, "${T}")


def test_texts_show_only_the_origin(secret: Secret) -> None:
    texts = [
        str(secret),
        repr(secret),
        format(secret),
        f"{secret}{secret!r}{secret!s}{secret!a}{secret:>40}",
        "%s %r" % (secret, secret),  # noqa: UP031 - the old way must be safe too
        "{0} {0!r}".format(secret),  # noqa: UP032 - so must this one
        repr([secret]),
        repr({"token": secret}),
        repr(Holder(secret)),
        str(ValueError(secret)),
    ]
    assert not any(CANARY in text for text in texts)
    assert all("${T}" in text for text in texts)


def test_asdict_does_not_open_it(secret: Secret) -> None:
    with pytest.raises(TypeError):
        dataclasses.asdict(Holder(secret))


def test_json_refuses(secret: Secret) -> None:
    with pytest.raises(TypeError) as caught:
        json.dumps({"token": secret})
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_refuses(secret: Secret, protocol: int) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(secret, protocol)


def test_copies_are_refused(secret: Secret) -> None:
    with pytest.raises(TypeError):
        copy.copy(secret)
    with pytest.raises(TypeError):
        copy.deepcopy([secret])


def test_it_has_no_dictionary_and_no_hash(secret: Secret) -> None:
    with pytest.raises(TypeError):
        vars(secret)
    with pytest.raises(TypeError):
        hash(secret)


def test_equality_and_search(secret: Secret) -> None:
    assert secret == Secret(CANARY, "elsewhere")
    assert secret != Secret("other", "${T}")
    assert secret.matches(CANARY)
    assert secret.within(f"x{CANARY}x")
    assert not Secret("a", "${T}").within("banana")


def test_only_these_modules_reveal() -> None:
    package = Path(aegis_provision.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\breveal\(", path.read_text(encoding="utf-8"))
    }
    assert found == MAY_REVEAL
