"""Fleets as they are found: random files, in a random environment."""

from __future__ import annotations

import json
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from aegis_provision.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BUILTIN = {
    "glm": ("https://open.bigmodel.cn/api/paas/v4", "glm-4.5", "glm-4.5-air", "60000"),
    "openrouter": (
        "https://openrouter.ai/api/v1",
        "openai/gpt-4.1-mini",
        "openai/gpt-4.1-mini",
        "60000",
    ),
    "ollama": ("http://127.0.0.1:11434/v1", "qwen2.5-coder:7b", "qwen2.5-coder:7b", "120000"),
    "azure-openai": (
        "https://our-own.openai.azure.com/openai/v1",
        "gpt-4o-mini",
        "gpt-4o-mini",
        "60000",
    ),
}
KEYS = (
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_DEFAULT_MODEL",
    "ANTHROPIC_DEFAULT_FAST_MODEL",
    "API_TIMEOUT_MS",
)
AWKWARD = (
    "null", "true", "1e3", "0x10", "012", "~", "- a", "a: b", "a #b", "'", '"', "\\", "é😀", "\t|",
    "{a}", "[", "a,b", "*a", "&a", "!a", "%a", "@a", "`a", "\u2028", "$X", "$ {X}", "key=value",
    "<x", "=", "?", "\ufeff", "x" * 300, "yes", "no", "  x  ", "#",
)  # fmt: skip
URLS = (
    *(values[0] for values in BUILTIN.values()),
    "https://llm.example.com/v1",
    "https://llm.example.com/v2",
    "https://llm.example.com:8443/v1",
    "http://llm.example.com/v1",
    "http://[fd00::1]:8000/v1",
    "http://10.1.2.3/v1",
)
TOKENS = ("token-one-1", "token-two-2", "ollama-local", "<local-token>", "${X}", "a b\t#'\"", "0")
WRONG = ("", "<your-model>", "${X}", "https://user:pw@example.com/v1", "sk-abcdef123456", "30s")
FOREIGN_NAMES = ("ANTHROPIC_MODEL", "HEADERS", "MY_TOKEN", "OTHER_KEY", "AWS_REGION", "NULL", "Y")
OPERATORS_OWN = (
    "GLM_API_KEY",
    "OPENROUTER_API_KEY",
    "OLLAMA_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "GLM_MODEL",
    "OPENROUTER_BASE_URL",
    "AZURE_OPENAI_BASE_URL",
    "OLLAMA_TIMEOUT_MS",
    "GLM_TOKEN",
    "LLM_EXAMPLE_COM_TOKEN",
    "MY_TOKEN",
    "HEADERS_SECRET",
    "GATEWAY_URL",
    "GATEWAY_KEY",
)

one_of = st.sampled_from
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
MODELS = one_of([*AWKWARD, "glm-4.5", "gpt-4o-mini", "other/model:1"]) | TEXTS


@st.composite
def environments(draw: st.DrawFn) -> dict[str, str] | None:
    """Return the session variables of one host, ``None`` for a host without a file."""
    kind = draw(one_of(["known", "known", "known", "free", "free", "wrong", "absent", "none"]))
    if kind == "none":
        return None
    url, model, fast, timeout = draw(one_of(list(BUILTIN.values())))
    values = [url, draw(one_of(TOKENS)), model, fast, timeout]
    if kind != "known" or draw(st.booleans()):
        change = draw(st.sets(one_of([0, 2, 3, 4]), max_size=3))
        for place in change:
            values[place] = draw(
                {0: one_of(URLS), 4: one_of(["1", "0060000", "99", "2147483647"])}.get(
                    place, MODELS
                )
            )
    if kind == "wrong":
        values[draw(one_of(range(5)))] = draw(one_of(WRONG))
    found = dict(zip(KEYS, values, strict=True))
    if kind == "absent":
        del found[draw(one_of(KEYS))]
    further = one_of([*AWKWARD, *TOKENS, *WRONG]) | TEXTS
    found.update(draw(st.dictionaries(one_of(FOREIGN_NAMES), further, max_size=3)))
    return dict(draw(st.permutations(list(found.items()))))


ENVIRONMENTS = st.lists(environments(), min_size=1, max_size=7)
OPERATORS = st.dictionaries(
    one_of(OPERATORS_OWN),
    one_of([*TOKENS, "glm-4.5", "https://openrouter.ai/api/v1", "9", ""]),
    max_size=5,
)
OWN_RECIPES = one_of(
    [
        {},
        {
            "gateway": {
                "extends": "glm",
                "base_url": "https://llm.example.com/v1",
                "auth_token": "${GATEWAY_KEY}",
            }
        },
        {"gateway": {"extends": "ollama", "env": {"ANTHROPIC_MODEL": "null"}}},
        {"gateway": {"extends": "glm", "env": {"ANTHROPIC_MODEL": None, "HEADERS": None}}},
        {
            "openrouter-2": {
                "extends": "openrouter",
                "base_url": "${GATEWAY_URL}",
                "model": "other/model:1",
                "allow_http": True,
            }
        },
        {"llm-example-com": {"extends": "glm", "base_url": "http://10.1.2.3/v1"}},
    ]
).map(lambda recipes: f"providers: {json.dumps(recipes)}\n" if recipes else "")


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The document on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(slots=True)
class Fleet:
    """Hosts that are directories of this machine, and an operator who takes them over."""

    directory: Path
    environ: dict[str, str]

    def furnish(self, host: str, values: Mapping[str, str] | None) -> None:
        """Make a host; without ``values`` it has no file."""
        directory = self.directory / "hosts" / host
        directory.mkdir(parents=True)
        if values is not None:
            file = directory / "aegis.config.json"
            foreign = {"authToken": "the-hosts-own", "port": 9100, "stallThresholdMs": 1}
            content = {**foreign, "defaultSessionEnv": values}
            file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
            file.chmod(0o600)

    def entry(self, host: str) -> str:
        """Return the host's line in an inventory."""
        path = self.directory / "hosts" / host / "aegis.config.json"
        return f"{host}: {{connection: local, config_path: {path}}}"

    def call(self, *args: str, environ: Mapping[str, str] | None = None) -> Completed:
        """Run one command line, where the hosts' inventory lies."""
        out, err = StringIO(), StringIO()
        with chdir(self.directory), redirect_stdout(out), redirect_stderr(err):
            code = run(args, {"HOME": str(self.directory), **self.environ, **(environ or {})})
        return Completed(code, out.getvalue(), err.getvalue())
