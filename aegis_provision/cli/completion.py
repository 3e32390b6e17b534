"""Shell completion: the scripts that shells load, and the values that these ask for.

``_AEGIS_PROVISION_COMPLETE=bash_source aegis-provision`` prints the script for bash (zsh and fish
likewise), as programs made with click do. The script calls the program with ``bash_complete`` and
the line up to the cursor; each line of the answer is a candidate: its kind, its text, and a few
words on it, with tabs between them.

Hosts, patterns, providers and keys come from the inventory. No script is run for it, and an
inventory with errors offers nothing. The names of large ones are kept (:mod:`.completion_cache`).
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click

from aegis_provision.cli.invocation import Invocation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from click.shell_completion import CompletionItem

    from aegis_provision.cli.completion_cache import Names

SHELLS = ("bash", "zsh", "fish")
_LINE = "_AEGIS_PROVISION_LINE"
_WORD = "_AEGIS_PROVISION_WORD"
_CURSOR = "\x1f"
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_LAST_TERM = re.compile(r"(?s)(.*[,:])?([&!]?)([^,:]*)")


def answer(program: click.Command, variable: str, invocation: Invocation) -> str | None:
    """Return what the shell asks for in ``variable``, ``None`` if that is unknown.

    It is empty where nothing fits.
    """
    shell, _, request = invocation.environ.get(variable, "").partition("_")
    if shell not in SHELLS or request not in {"source", "complete"}:
        return None
    if request == "source":
        from importlib import resources

        script = resources.files("aegis_provision.cli").joinpath("shell", f"completion.{shell}")
        return script.read_text(encoding="utf-8")
    *args, word = words_before_cursor(invocation.environ.get(_LINE, ""))
    candidates = _candidates(program, invocation, args, word)
    return "".join(_lines(candidates, invocation.environ, word))


def words_before_cursor(line: str) -> list[str]:
    """Return the words of ``line`` after the command's name; the last is the one being typed.

    A quote that is still open ends at the cursor.
    """
    lexer = shlex.shlex(line + _CURSOR, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:
        words.append(lexer.token)
    words = [word.replace(_CURSOR, "") for word in words]
    while len(words) > 1 and _ASSIGNMENT.fullmatch(words[0]):
        del words[0]
    return words[1:] or [""]


def _candidates(
    program: click.Command, invocation: Invocation, args: list[str], word: str
) -> list[CompletionItem]:
    """Return whole words that may stand in the place of ``word``."""
    from click.shell_completion import ShellComplete

    flag = ""
    if word.startswith("--") and "=" in word:
        option, _, word = word.partition("=")
        flag, args = f"{option}=", [*args, option]
    shell = ShellComplete(program, {"obj": invocation}, program.name or "", "")
    try:
        candidates = shell.get_completions(args, word)
    except click.UsageError:
        return []
    for item in candidates:
        item.value = flag + item.value
    return candidates


def _lines(
    candidates: Iterable[CompletionItem], environ: Mapping[str, str], word: str
) -> Iterable[str]:
    # bash also breaks words at ':' and '=', and takes what follows the last of them.
    kept = environ.get(_WORD, word)
    cut = len(word) - len(kept) if word.endswith(kept) else 0
    for item in candidates:
        words = " ".join((item.help or "").split())
        yield f"{item.type}\t{str(item.value)[cut:]}\t{words}".rstrip("\t") + "\n"


def hosts(ctx: click.Context, _: click.Parameter, word: str) -> list[CompletionItem]:
    """Return the hosts whose names begin with ``word``."""
    return _items(_names(ctx).hosts, word)


def patterns(ctx: click.Context, _: click.Parameter, word: str) -> list[CompletionItem]:
    """Return what the last term of the pattern ``word`` may become: groups, hosts, providers."""
    from click.shell_completion import CompletionItem

    match = _LAST_TERM.fullmatch(word)
    if match is None:
        return []
    names = _names(ctx)
    before = (match[1] or "") + match[2]
    terms: tuple[str, ...] = (*names.groups, *names.hosts)
    if match[3].startswith("p"):
        terms = (*terms, *(f"provider={name}" for name in names.used))
    return [CompletionItem(before + term) for term in terms if term.startswith(match[3])]


def providers(ctx: click.Context, _: click.Parameter, word: str) -> list[CompletionItem]:
    """Return the recipes whose names begin with ``word``, own ones too."""
    from aegis_provision.providers.recipes import builtin_recipes

    return _items(dict.fromkeys((*builtin_recipes(), *_names(ctx).providers)), word)


def providers_and_hosts(
    ctx: click.Context, parameter: click.Parameter, word: str
) -> list[CompletionItem]:
    """Return the recipes and the hosts whose names begin with ``word``."""
    return [*providers(ctx, parameter, word), *hosts(ctx, parameter, word)]


def keys(ctx: click.Context, _: click.Parameter, word: str) -> list[CompletionItem]:
    """Return the settings and session variables of the host named before that begin with ``word``.

    Those of any host where none is named.
    """
    from aegis_provision.documents.yaml_edits import REPLACES
    from aegis_provision.inventory.settings import ENV_PREFIX
    from aegis_provision.packaged_files import load_schema
    from aegis_provision.providers.recipes import VARIABLE_OF

    described = load_schema("inventory")["$defs"]["vars"]["properties"]
    host = ctx.params.get("host") or ""
    env = (ENV_PREFIX + name for name in _names(ctx).env.get(host, ()))
    names = dict.fromkeys((*described, *env, *VARIABLE_OF.values()))
    return _items((name for name in names if name != REPLACES), word)


def _items(names: Iterable[str], word: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in names if name.startswith(word)]


def _names(ctx: click.Context) -> Names:
    """Return the names of the inventory that the line names, or that is here."""
    from aegis_provision.cli.completion_cache import Names, names_of
    from aegis_provision.inputs.inventory_names import DEFAULT_INVENTORY

    inventories = ctx.params.get("inventory") or (DEFAULT_INVENTORY,)
    invocation = ctx.find_root().obj
    environ = invocation.environ if isinstance(invocation, Invocation) else {}
    found = names_of(inventories, environ, lambda: _read_names(inventories))
    return found or Names((), (), (), (), {})


def _read_names(inventories: Sequence[Path]) -> Names | None:
    """Return the names of ``inventories``; ``None`` where they are broken, or hold nothing."""
    from aegis_provision.cli.completion_cache import Names
    from aegis_provision.documents.diagnostic import has_errors
    from aegis_provision.inputs.inventory_files import read_inventory_files
    from aegis_provision.inventory.load import load_inventory

    files, diagnostics = read_inventory_files(inventories, {}, run=False)
    if not files or has_errors(diagnostics):
        return None
    inventory, diagnostics = load_inventory(files)
    if inventory is None or has_errors(diagnostics):
        return None
    hosts = inventory.hosts.values()
    return Names(
        hosts=tuple(inventory.hosts),
        groups=tuple(inventory.groups),
        providers=tuple(inventory.providers),
        used=tuple(dict.fromkeys(str(host.provider.value) for host in hosts if host.provider)),
        env={host.name: tuple(host.env) for host in hosts if host.env},
    )
