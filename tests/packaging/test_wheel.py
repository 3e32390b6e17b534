"""The wheel, installed into an empty environment and run away from the checkout."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder

CHECKOUT = Path(__file__).resolve().parents[2]
VALIDATED = """\
all:
  vars: {provider: openrouter}
  hosts:
    build-[01:03].example.com:
    gpu-01.example.com: {provider: ollama}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", target, CHECKOUT],
        cwd=target,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = target.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def bin_directory(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    environment = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(environment, with_pip=True)
    installed = subprocess.run(
        [
            environment / "bin" / "python",
            *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("-c", CHECKOUT / "constraints.txt", wheel),
        ],
        cwd=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return environment / "bin"


def call(
    argv: list[str | Path], directory: Path, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a program with nothing in its environment that could lead to the checkout."""
    return subprocess.run(
        argv,
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_all_data_and_nothing_of_the_checkout(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "aegis_provision").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    schemas = {
        f"aegis_provision/schemas/{path.name}" for path in (CHECKOUT / "schemas").glob("*.json")
    }
    assert "aegis_provision/schemas/inventory.schema.json" in schemas
    assert "aegis_provision/providers/recipes.yml" in data
    playbooks = {
        f"aegis_provision/playbooks/{path.name}" for path in (CHECKOUT / "playbooks").glob("*.yml")
    }
    assert data | schemas | playbooks <= names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"aegis_provision"}
    shared = {name.partition(".data/data/share/")[2] for name in names} - {""}
    assert shared == {
        "man/man1/aegis-provision.1",
        "bash-completion/completions/aegis-provision",
        "fish/vendor_completions.d/aegis-provision.fish",
        "zsh/site-functions/_aegis-provision",
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_source_distribution_holds_what_its_tests_read() -> None:
    """Otherwise its tests fail for the people who package it."""
    held = {
        Path(file.distribution_path)
        for file in SdistBuilder(str(CHECKOUT)).recurse_included_files()
    }
    tests = [path.read_text("utf-8") for path in (CHECKOUT / "tests").rglob("*.py")]
    named = re.findall(r'\b(?:ROOT|CHECKOUT) / "([^"]+)"((?: / "[^"]+")*)', "\n".join(tests))
    paths = {Path(first, *re.findall(r'"([^"]+)"', more)) for first, more in named}
    assert Path("mkdocs.yml") in paths
    beside = {path for path in paths if (CHECKOUT / path).is_file()}
    assert beside - held == {Path("pyproject.toml")}  # which every one holds
    assert {path.name for path in held} >= {"Containerfile", ".dockerignore", "run"}


def test_the_program_comes_from_the_wheel(bin_directory: Path, tmp_path: Path) -> None:
    code = "import aegis_provision; print(aegis_provision.__file__)"
    result = call([bin_directory / "python", "-c", code], tmp_path)
    assert Path(result.stdout.strip()).is_relative_to(bin_directory.parent)


@pytest.mark.parametrize("as_module", [False, True])
def test_version(bin_directory: Path, tmp_path: Path, as_module: bool) -> None:
    program: list[str | Path] = (
        [bin_directory / "python", "-m", "aegis_provision"]
        if as_module
        else [bin_directory / "aegis-provision"]
    )
    result = call([*program, "--version"], tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("aegis-provision ")


def test_validate_finds_its_schema(bin_directory: Path, tmp_path: Path) -> None:
    (tmp_path / "inventory.yml").write_text(VALIDATED, encoding="utf-8")
    result = call([bin_directory / "aegis-provision", "validate"], tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "4 hosts" in result.stdout


def test_the_schema_is_applied(bin_directory: Path, tmp_path: Path) -> None:
    wrong = VALIDATED.replace("provider: openrouter", "provider: openrouter, colour: red")
    (tmp_path / "inventory.yml").write_text(wrong, encoding="utf-8")
    result = call([bin_directory / "aegis-provision", "validate"], tmp_path)
    assert result.returncode == 3
    assert "inventory.yml:2:" in result.stderr
    assert "colour" in result.stderr


def test_providers_finds_the_recipes(bin_directory: Path, tmp_path: Path) -> None:
    result = call([bin_directory / "aegis-provision", "providers"], tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("glm", "openrouter", "lm-studio", "ollama", "azure-openai"):
        assert name in result.stdout


def test_render_a_recipe(bin_directory: Path, tmp_path: Path) -> None:
    argv: list[str | Path] = [bin_directory / "aegis-provision", "render", "--provider", "ollama"]
    result = call(argv, tmp_path)
    assert result.returncode == 0, result.stderr
    rendered = json.loads(result.stdout)["defaultSessionEnv"]
    assert rendered["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:11434/v1"
    assert rendered["API_TIMEOUT_MS"] == "120000"


def test_init_finds_its_starters_and_validate_both_schemas(
    bin_directory: Path, tmp_path: Path
) -> None:
    program = bin_directory / "aegis-provision"
    assert call([program, "init"], tmp_path).returncode == 0
    assert call([program, "validate", "playbook.yml"], tmp_path).returncode == 0
    assert call([program, "init", "--playbook", "one-provider"], tmp_path).returncode == 0
    assert call([program, "validate", "one-provider.yml"], tmp_path).returncode == 0


def test_the_readme_of_the_index_has_no_dead_link(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        description = archive.read(metadata).decode().partition("\n\n")[2]
    links = re.findall(r"\]\(([^)]+)\)", description)
    assert all(link.startswith(("https://", "#")) for link in links), links
    assert "# aegis-provision" in description


def test_the_demo_says_which_extra_it_needs(bin_directory: Path, tmp_path: Path) -> None:
    result = call([bin_directory / "aegis-provision", "demo"], tmp_path)
    assert result.returncode == 64
    assert "pip install 'aegis-provision[demo]'" in result.stderr
    assert "Traceback" not in result.stderr
