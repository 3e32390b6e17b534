from __future__ import annotations

import pytest

from aegis_provision.diagnosis.checks import CheckResult
from aegis_provision.diagnosis.control_node_checks import (
    Requirement,
    check_locale,
    check_packages,
    check_python,
    parse_requirement,
)

OK, WARN, FAIL = CheckResult.OK, CheckResult.WARN, CheckResult.FAIL
SSH = Requirement("paramiko", ">=5.0,<6", None)
DEMO = Requirement("asyncssh", ">=2.17", "demo")


@pytest.mark.parametrize(
    ("text", "name", "bounds", "extra"),
    [
        ("click>=8.1.7", "click", ">=8.1.7", None),
        ("paramiko<6,>=5.0", "paramiko", "<6,>=5.0", None),
        ("asyncssh>=2.17; extra == 'demo'", "asyncssh", ">=2.17", "demo"),
        ('a-b.c[x,y] (>=1) ; python_version > "3" and extra == "t"', "a-b.c", ">=1", "t"),
        ("rich", "rich", "", None),
    ],
)
def test_requirements_are_read(text: str, name: str, bounds: str, extra: str | None) -> None:
    assert parse_requirement(text) == Requirement(name, bounds, extra)


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ("5", True),
        ("5.0", True),
        ("5.10.2", True),
        ("5.0rc1", True),
        ("4.9.9", False),
        ("6", False),
        ("6.0.0", False),
        ("10.1", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, taken: bool) -> None:
    assert SSH.takes(version) is taken
    assert Requirement("x", "!=1.5", None).takes(version)


def test_an_old_python_fails() -> None:
    assert check_python("3.12.1", ">=3.11").result is OK
    old = check_python("3.9.2", ">=3.11")
    assert (old.result, old.message) == (FAIL, "this is Python 3.9.2, and >=3.11 is needed")


@pytest.mark.parametrize(
    ("installed", "result", "message", "remedy"),
    [
        ({"paramiko": "5.1", "asyncssh": "2.18"}, OK, "paramiko 5.1, asyncssh 2.18", ""),
        (
            {"paramiko": "5.1", "asyncssh": None},
            OK,
            "paramiko 5.1; without asyncssh (for demo)",
            "",
        ),
        (
            {"paramiko": "5.1", "asyncssh": "2.1"},
            WARN,
            "asyncssh 2.1 (for demo) is none of >=2.17",
            "pip install 'asyncssh>=2.17'",
        ),
        (
            {"paramiko": "6.1", "asyncssh": "2.1"},
            FAIL,
            "paramiko 6.1 is none of >=5.0,<6; asyncssh 2.1 (for demo) is none of >=2.17",
            "pip install 'paramiko>=5.0,<6' 'asyncssh>=2.17'",
        ),
        (
            {"paramiko": None, "asyncssh": None},
            FAIL,
            "paramiko is not installed",
            "pip install 'paramiko>=5.0,<6'",
        ),
    ],
)
def test_packages_must_be_within_their_bounds(
    installed: dict[str, str | None], result: CheckResult, message: str, remedy: str
) -> None:
    check = check_packages([SSH, DEMO], installed)
    assert (check.result, check.message, check.remedy) == (result, message, remedy)


def test_without_metadata_packages_are_not_checked() -> None:
    assert check_packages(None, {}).result is CheckResult.NOT_CHECKED


@pytest.mark.parametrize(
    ("encoding", "result"), [("utf-8", OK), ("UTF8", OK), ("ascii", WARN), ("iso8859-1", WARN)]
)
def test_another_encoding_than_utf8_warns(encoding: str, result: CheckResult) -> None:
    assert check_locale(encoding).result is result
