"""What of a change is shown: masked by name, by looks, or by the secrets that are known."""

from __future__ import annotations

import pytest

from aegis_provision.planning.diff import environment_changes, removals, session_changes
from aegis_provision.planning.plan import Change, ChangeKind
from aegis_provision.providers.recipes import RecipeValue, builtin_recipes
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session_variables import (
    Session,
    SessionSpec,
    recipe_spec,
    resolve_env,
)

ADDED, CHANGED, REMOVED = ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED
KNOWN = "canary-1f9a77"


def masked(name: str, before: str | None, after: str | None) -> bool:
    actual = {name: before} if before is not None else {}
    wanted = {name: after} if after is not None else {}
    [change] = environment_changes(actual, wanted, (KNOWN,))
    kind = ADDED if before is None else CHANGED if after is not None else REMOVED
    shown = Change(name, kind, before, after, sensitive=False)
    hidden = Change(name, kind, None, None, sensitive=True)
    assert change in (shown, hidden)
    if before is not None and after is None:
        assert removals(actual, (name,), (KNOWN,)) == (change,)
    return change.sensitive


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MY_API_TOKEN", "x"),
        ("MAX_TOKENS", "many"),
        ("MODEL", "sk-abc"),
        ("A", "http://u:p@h"),
        ("A", "http://h/?a=b"),
        ("A", f"x {KNOWN} x"),
        ("ANTHROPIC_AUTH_TOKEN", "8000"),
    ],
)
def test_a_secret_on_either_side_hides_both(name: str, value: str) -> None:
    other = "8000" if value != "8000" else "9000"
    assert masked(name, value, None)
    assert masked(name, None, value)
    assert masked(name, value, other)
    assert masked(name, other, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MODEL", "qwen2.5-coder:32b"), ("MAX_TOKENS", "8000"), ("USE_KEY", "true"), ("A", "canary")],
)
def test_what_is_none_is_shown(name: str, value: str) -> None:
    assert not masked(name, value, None)
    assert not masked(name, None, value)
    assert not masked(name, value, "9000")
    assert not masked(name, "9000", value)


def test_what_stays_is_no_change() -> None:
    actual = {"A": "1", "B": "2", "C": "3"}
    changes = environment_changes(actual, {"C": "3", "D": "4", "A": "2"})
    assert [change.key for change in changes] == ["D", "A", "B"]


def session(**env: str) -> Session:
    recipe = builtin_recipes()["ollama"]
    spec = recipe_spec(recipe)
    span = recipe.span
    values = {name: RecipeValue(text, span, builtin=False) for name, text in env.items()}
    further = recipe_spec(
        type(recipe)(
            name="x",
            values={},
            env=values,
            allow_http=False,
            lineage=("x",),
            builtin=False,
            span=span,
            broken=False,
        )
    )
    return resolve_env(
        SessionSpec("x", (*spec.variables, *further.variables), allow_http=True),
        {"GW": "gateway-canary", "LIMIT": "8000"},
    )


def test_a_host_s_own_secret_under_a_plain_setting_s_name_is_not_shown() -> None:
    wanted = session(MAX_TOKENS="8000", MODEL="m")
    changes = {
        change.key: change
        for change in session_changes({"MAX_TOKENS": "hunter2", "MODEL": "n"}, wanted).changes
    }
    assert changes["MAX_TOKENS"] == Change("MAX_TOKENS", CHANGED, None, None, sensitive=True)
    assert changes["MODEL"] == Change("MODEL", CHANGED, "n", "m", sensitive=False)


def test_digits_out_of_the_environment_are_shown_and_hide_nothing_else() -> None:
    wanted = session(MAX_TOKENS="${LIMIT}", MODEL="m-360000")
    assert wanted.values["MAX_TOKENS"] == "8000"
    actual = {"MAX_TOKENS": "360000", "MODEL": "m"}
    changes = {change.key: change for change in session_changes(actual, wanted).changes}
    assert changes["MAX_TOKENS"] == Change("MAX_TOKENS", CHANGED, "360000", "8000", sensitive=False)
    assert changes["MODEL"] == Change("MODEL", CHANGED, "m", "m-360000", sensitive=False)


@pytest.mark.parametrize("template", ["x-key: Bearer ${GW}", "http://user:${GW}@proxy:3128"])
def test_a_value_with_a_secret_inside_is_masked_whole(template: str) -> None:
    wanted = session(HEADERS=template)
    assert isinstance(wanted.values["HEADERS"], Secret)
    assert wanted.values["HEADERS"].matches(template.replace("${GW}", "gateway-canary"))
    changes = {change.key: change for change in session_changes({}, wanted).changes}
    assert changes["HEADERS"] == Change("HEADERS", ADDED, None, None, sensitive=True)
    same = session_changes({"HEADERS": template.replace("${GW}", "gateway-canary")}, wanted)
    assert same.same == ("HEADERS",)


def test_the_secrets_that_a_host_has_are_known_elsewhere_too() -> None:
    wanted = session(MY_TOKEN="${GW}", MODEL="m")
    actual = {"MY_TOKEN": "other-canary", "MODEL": "m other-canary"}
    changes = {change.key: change for change in session_changes(actual, wanted).changes}
    assert changes["MODEL"] == Change("MODEL", CHANGED, None, None, sensitive=True)
