"""Own providers, what hosts make of them, and the rules for what may be written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aegis_provision.documents.diagnostic import Severity
from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.providers.recipes import VARIABLE_OF, resolve_providers
from aegis_provision.providers.session_variables import session_specs
from aegis_provision.providers.templates import GRAMMAR
from aegis_provision.report.diagnostics import diagnostics_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.providers.session_variables import SessionSpec

CANARY = "canaryliteral"


def resolved(text: str) -> tuple[Mapping[str, SessionSpec], list[Diagnostic]]:
    inventory, found = load_inventory([InputFile("inventory", "", "inv.yml", text.encode(), 0)])
    assert inventory is not None, found
    recipes, more = resolve_providers(inventory)
    specs, most = session_specs(inventory, recipes)
    return specs, [*found, *more, *most]


def host(settings: str, providers: str = "") -> tuple[Mapping[str, SessionSpec], list[Diagnostic]]:
    return resolved(f"{providers}\nall: {{hosts: {{h1: {settings}}}}}\n")


def templates(spec: SessionSpec) -> dict[str, str]:
    return {variable.name: variable.template for variable in spec.variables}


def codes(diagnostics: list[Diagnostic]) -> list[str]:
    return [item.code for item in diagnostics]


GATEWAY = """
providers:
  far: {extends: near, model: far-model, env: {A: "far", C: "3"}}
  near:
    extends: openrouter
    base_url: https://llm.example.com/v1
    auth_token: "${GATEWAY_TOKEN}"
    allow_http: true
    timeout_ms: 5000
    env: {A: "near", B: "2"}
"""


def test_values_override_along_the_chain() -> None:
    specs, diagnostics = host("{provider: far, env: {B: host, D: '4'}}", GATEWAY)
    assert diagnostics == []
    spec = specs["h1"]
    assert spec.provider == "far"
    assert spec.allow_http
    assert list(templates(spec).items()) == [
        ("ANTHROPIC_BASE_URL", "https://llm.example.com/v1"),
        ("ANTHROPIC_AUTH_TOKEN", "${GATEWAY_TOKEN}"),
        ("ANTHROPIC_DEFAULT_MODEL", "far-model"),
        ("ANTHROPIC_DEFAULT_FAST_MODEL", "${OPENROUTER_FAST_MODEL:-openai/gpt-4.1-mini}"),
        ("API_TIMEOUT_MS", "5000"),
        ("A", "far"),
        ("B", "host"),
        ("C", "3"),
        ("D", "4"),
    ]
    built_in = [variable.setting for variable in spec.variables if variable.from_recipe]
    assert built_in == ["fast_model"]


NULLS = """
providers:
  far: {extends: near, env: {A: null, B: "2", PATH: null}}
  near: {extends: glm, env: {A: "1", B: null, C: null}}
"""


def test_a_null_removes_a_variable_unless_something_nearer_sets_it() -> None:
    specs, diagnostics = host("{provider: far}", NULLS)
    assert diagnostics == []
    assert templates(specs["h1"]).keys() - VARIABLE_OF.values() == {"B"}
    assert set(specs["h1"].removed) == {"A", "C", "PATH"}
    specs, diagnostics = host("{provider: far, env: {A: own, B: null, lower: null}}", NULLS)
    assert diagnostics == []
    assert templates(specs["h1"]).keys() - VARIABLE_OF.values() == {"A"}
    assert set(specs["h1"].removed) == {"B", "C", "PATH", "lower"}


@pytest.mark.parametrize("name", VARIABLE_OF.values())
def test_the_variables_of_a_provider_are_never_removed(name: str) -> None:
    for settings, providers in (
        (f"{{provider: glm, env: {{{name}: null}}}}", ""),
        ("{provider: glm}", f"providers: {{own: {{extends: glm, env: {{{name}: null}}}}}}"),
    ):
        _, diagnostics = host(settings, providers)
        assert codes(diagnostics) == ["managed-variable"]
        assert diagnostics[0].message.endswith("every host needs it: it can't be removed")


def test_an_empty_variable_of_a_provider_stays_an_error() -> None:
    _, diagnostics = host("{provider: glm}", "providers: {own: {extends: glm, env: {A: }}}")
    assert codes(diagnostics) == ["wrong-type"]
    assert "'null', written out" in diagnostics[0].hint


def test_allow_http_may_be_taken_back() -> None:
    own = GATEWAY + "  shut: {extends: near, allow_http: false}\n"
    specs, diagnostics = host("{provider: shut}", own)
    assert diagnostics == []
    assert not specs["h1"].allow_http


def test_unknown_providers() -> None:
    _, diagnostics = host("{provider: glmm}", "providers: {a: {extends: opnrouter}}")
    assert codes(diagnostics) == ["unknown-provider", "unknown-provider"]
    assert [item.hint for item in diagnostics] == [
        'did you mean "openrouter"?',
        'did you mean "glm"?',
    ]
    assert diagnostics[1].hosts == ("h1",)


def test_a_cycle_is_told_once_with_its_way() -> None:
    _, diagnostics = host(
        "{provider: glm}", "providers: {a: {extends: b}, b: {extends: c}, c: {extends: b}}"
    )
    assert codes(diagnostics) == ["extends-cycle"]
    assert diagnostics[0].message.endswith("b > c > b")


def test_a_provider_that_extends_itself() -> None:
    _, diagnostics = host("{provider: glm}", "providers: {a: {extends: a}}")
    assert codes(diagnostics) == ["extends-cycle"]


@pytest.mark.parametrize("turned", [False, True])
def test_a_long_chain_costs_no_stack(turned: bool) -> None:
    lines = [f"  p{number}: {{extends: p{number + 1}}}\n" for number in range(3000)]
    lines.append("  p3000: {extends: glm}\n")
    own = "providers:\n" + "".join(reversed(lines) if turned else lines)
    specs, diagnostics = host("{provider: p0}", own)
    assert diagnostics == []
    assert templates(specs["h1"])["ANTHROPIC_AUTH_TOKEN"] == "${GLM_API_KEY}"


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("links", "expected"), [(4000, []), (4001, ["too-deep"])])
def test_a_chain_has_an_end(links: int, expected: list[str], turned: bool) -> None:
    lines = [f"  p{number}: {{extends: p{number + 1}}}\n" for number in range(1, links)]
    lines.append(f"  p{links}: {{extends: glm}}\n")
    own = "providers:\n" + "".join(reversed(lines) if turned else lines)
    _, diagnostics = host("{provider: p1}", own)
    assert codes(diagnostics) == expected
    assert all(
        item.message == "this provider extends more than 4,000 others" for item in diagnostics
    )


def test_of_many_unknown_providers_only_the_first_are_told_what_they_may_be() -> None:
    own = "".join(f"  p{at}: {{extends: glm}}\n" for at in range(5000))
    lost = "".join(f"  q{at}: {{extends: x{at}}}\n" for at in range(20))
    _, diagnostics = host("{provider: glm}", f"providers:\n{own}{lost}")
    assert codes(diagnostics) == ["unknown-provider"] * 20
    known = "known: glm, openrouter, lm-studio, ollama, azure-openai, p0, p1"
    last = diagnostics[-1].hint
    assert last.startswith(known)
    assert last.endswith("p14, and 5005 more")


def test_a_built_in_name_is_taken() -> None:
    _, diagnostics = host("{provider: glm}", "providers: {glm: {extends: openrouter}}")
    assert codes(diagnostics) == ["builtin-provider"]
    assert "extends: glm" in diagnostics[0].hint


def test_an_incomplete_provider_says_what_is_missing() -> None:
    own = "providers: {bare: {base_url: https://a.example/v1, auth_token: '${T}'}}"
    _, diagnostics = host("{provider: bare, model: m}", own)
    assert codes(diagnostics) == ["incomplete-provider"]
    assert "fast_model" in diagnostics[0].message
    assert "timeout_ms" in diagnostics[0].message
    assert " model" not in diagnostics[0].message
    _, diagnostics = host("{provider: bare, model: m, fast_model: f, timeout_ms: 1000}", own)
    assert diagnostics == []


def test_an_unused_provider_may_be_incomplete() -> None:
    _, diagnostics = host("{provider: glm}", "providers: {base: {model: m}}")
    assert diagnostics == []


@pytest.mark.parametrize(
    "setting",
    [
        f"auth_token: {CANARY}",
        f"auth_token: '${{T:-{CANARY}}}'",
        f"auth_token: 'Bearer ${{T}}{CANARY}'",
        f"auth_token: '${{{CANARY}}}'",
        f"api_token: {CANARY}",
        f"env: {{MY_TOKEN: {CANARY}}}",
        f"env: {{MY_api_Key_2: {CANARY}}}",
        f"env: {{PASSWORD: '${{A}}{CANARY}'}}",
        f"env: {{A_SECRET: {CANARY}}}",
    ],
)
def test_a_secret_is_one_reference(setting: str) -> None:
    _, diagnostics = host(f"{{provider: glm, {setting}}}")
    assert codes(diagnostics) == ["literal-secret"]
    assert CANARY not in diagnostics[0].message + diagnostics[0].hint
    assert diagnostics[0].hosts == ("h1",)


@pytest.mark.parametrize("template", ["${low}", "${A-d}", "${A", "${T:-${U}}"])
def test_a_reference_to_a_secret_that_is_misspelt_is_told_the_grammar(template: str) -> None:
    _, diagnostics = host(f"{{provider: glm, auth_token: '{template}'}}")
    assert codes(diagnostics) == ["literal-secret"]
    assert diagnostics[0].hint == GRAMMAR
    assert not diagnostics[0].quotable


@pytest.mark.parametrize(
    "template", ["${T}", "${T:-}", "${T:-<local-token>}", "${T:-ollama-local}"]
)
def test_what_a_secret_may_be(template: str) -> None:
    specs, diagnostics = host(
        f"{{provider: glm, auth_token: '{template}', env: {{K_KEY: '${{K}}'}}}}"
    )
    assert diagnostics == []
    hidden = [variable.name for variable in specs["h1"].variables if variable.sensitive]
    assert hidden == ["ANTHROPIC_AUTH_TOKEN", "K_KEY"]


ONE_HOST = "all: {vars: {provider: glm}, hosts: {h1: }"
LITERALS = {
    "alias-in-env": "all: {hosts: {h1: {provider: glm, env: {A: &t LITERAL, A_TOKEN: *t}}}}",
    "alias": "all: {hosts: {h1: {provider: glm, base_url: &t LITERAL, auth_token: *t}}}",
    "beaten": "all: {vars: {provider: glm, auth_token: LITERAL}, "
    "hosts: {h1: {auth_token: '${T}'}}}",
    "beside-a-pin": "all: {vars: {auth_token: LITERAL}, hosts: {h1: {provider: glm}}}",
    "no-hosts": ONE_HOST + ", children: {e: {vars: {auth_token: LITERAL}}}}",
    "unused-provider": "providers: {p: {auth_token: LITERAL}}\n" + ONE_HOST + "}",
}


@pytest.mark.parametrize("text", LITERALS.values(), ids=LITERALS.keys())
def test_a_literal_secret_is_found_wherever_it_stands(text: str) -> None:
    _, diagnostics = resolved(text.replace("LITERAL", CANARY))
    found = [item for item in diagnostics if item.code == "literal-secret"]
    assert found
    for item in found:
        assert CANARY not in item.message + item.hint
        assert not item.quotable
        assert str(item.span).startswith("inv.yml:")


def test_a_literal_secret_under_a_harmless_key_is_not_quoted() -> None:
    text = f"""
all:
  vars:
    provider: glm
    env:
      FOO: &t {CANARY}
      FOO_TOKEN: *t
  hosts: {{h1: }}
"""
    _, diagnostics = resolved(text)
    assert codes(diagnostics) == ["literal-secret"]
    assert str(diagnostics[0].span).startswith("inv.yml:6:")
    assert CANARY not in "\n".join(str(line) for line in diagnostics_lines(diagnostics))


def test_a_literal_secret_that_another_file_overrides() -> None:
    text = f"all: {{hosts: {{h1: {{provider: glm, auth_token: {CANARY}}}}}}}"
    inventory, _ = load_inventory(
        [
            InputFile("inventory", "", "inv.yml", text.encode(), 0),
            InputFile("host_vars", "h1", "host_vars/h1.yml", b"auth_token: ${T}", 0),
        ]
    )
    assert inventory is not None
    assert inventory.hosts["h1"].overrides["auth_token"].value == "${T}"
    recipes, _ = resolve_providers(inventory)
    _, diagnostics = session_specs(inventory, recipes)
    assert codes(list(diagnostics)) == ["literal-secret"]
    assert str(diagnostics[0].span).startswith("inv.yml:1:")


@pytest.mark.parametrize("template", ["${low}", "${A-d}", "${A", "${A:-${B}}", "${ A }"])
def test_stray_references(template: str) -> None:
    _, diagnostics = host(f"{{provider: glm, model: '{template}'}}")
    assert codes(diagnostics) == ["stray-reference"]
    assert diagnostics[0].hosts == ("h1",)


@pytest.mark.parametrize("key", ["base_url", "model", "fast_model"])
def test_a_secret_stays_out_of_what_is_shown(key: str) -> None:
    _, diagnostics = host(f"{{provider: glm, {key}: 'https://a.example/${{MY_TOKEN}}'}}")
    assert codes(diagnostics) == ["secret-in-the-open"]


def test_env_that_takes_a_secret_is_masked() -> None:
    specs, diagnostics = host("{provider: glm, env: {HEADERS: 'x: ${MY_TOKEN}'}}")
    assert diagnostics == []
    assert specs["h1"].variables[-1].sensitive


def test_managed_variables_have_keys_of_their_own() -> None:
    _, diagnostics = host("{provider: glm, env: {ANTHROPIC_DEFAULT_MODEL: m}}")
    assert codes(diagnostics) == ["managed-variable"]
    assert '"model"' in diagnostics[0].hint


def test_a_place_is_told_once_with_all_its_hosts() -> None:
    text = "all: {vars: {provider: nope, model: '${low}'}, hosts: {'h[1:50]': }}"
    _, diagnostics = resolved(text)
    assert sorted(codes(diagnostics)) == ["stray-reference", "unknown-provider"]
    assert all(len(item.hosts) == 50 for item in diagnostics)
    assert all(item.severity is Severity.ERROR for item in diagnostics)


def test_hosts_with_the_same_settings_share_a_spec() -> None:
    specs, _ = resolved(
        "all: {vars: {provider: glm, model: m}, hosts: {'a[1:9]': , b: {model: own}}}"
    )
    assert len({id(spec) for name, spec in specs.items() if name != "b"}) == 1
    assert specs["b"] is not specs["a1"]


def test_hosts_that_are_alike_share_one_spec() -> None:
    text = "all: {vars: {provider: glm, model: m}, hosts: {'h[00001:10000]': }}"
    inventory, _ = load_inventory([InputFile("inventory", "", "inv.yml", text.encode(), 0)])
    assert inventory is not None
    recipes, _ = resolve_providers(inventory)
    specs, _ = session_specs(inventory, recipes)
    assert len(specs) == 10_000
    assert len({id(spec) for spec in specs.values()}) == 1
