"""Stand-ins for programs that keep secrets: each hands them out as its own manual says.

All of them keep the same two tokens, and take no other command line than those in the manual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_OPENROUTER, _GLM = "token-of-openrouter-1", "token-of-glm-0123456789"
_LINES = f"OPENROUTER_API_KEY={_OPENROUTER}\\nGLM_API_KEY={_GLM}\\n"
_EXPORTS = f"OPENROUTER_API_KEY={_OPENROUTER} GLM_API_KEY={_GLM}"
_STORES = {
    # sops exec-env FILE COMMAND: COMMAND is one argument, for a shell.
    "sops": f"""
case "$1 $2 $#" in
  "exec-env secrets.env 3") exec env {_EXPORTS} sh -c "$3";;
  "decrypt secrets.env 2") printf '{_LINES}';;
  *) exit 100;;
esac
""",
    # op run replaces references in the environment and in the file; its own pipes mask the output.
    "op": f"""
case "$1 $2 $3" in "run --env-file=fleet.env --") shift 3;; *) exit 1;; esac
grep -q '^OPENROUTER_API_KEY=op://fleet/openrouter/token$' fleet.env || exit 1
env {_EXPORTS} "$@" 2>&1 | sed 's/{_OPENROUTER}/<concealed by 1Password>/'
exit "${{PIPESTATUS[0]}}"
""",
    "doppler": f"""
case "$1 $2" in "run --") shift 2;; *) exit 1;; esac
exec env {_EXPORTS} "$@"
""",
    "vault": f"""
case "$*" in
  "kv get -field=token secret/fleet/openrouter") printf %s {_OPENROUTER};;
  "kv get -field=token secret/fleet/glm") printf %s {_GLM};;
  *) echo "No value found at $4" >&2; exit 2;;
esac
""",
    "pass": f"""
test "$*" = "show fleet/env" && printf '{_LINES}'
""",
}


def install_stores(programs: Path) -> None:
    """Put the stand-ins into ``programs``."""
    for name, text in _STORES.items():
        (programs / name).write_text(f"#!/bin/bash\n{text.lstrip()}")
        (programs / name).chmod(0o755)
