"""Stand-ins for programs that start ours: those that keep secrets, and one that runs images.

Each does what its own manual says and takes no other command line. The stores keep the same two
tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_OPENROUTER, _GLM = "token-of-openrouter-1", "token-of-glm-0123456789"
_LINES = f"OPENROUTER_API_KEY={_OPENROUTER}\\nGLM_API_KEY={_GLM}\\n"
_EXPORTS = f"OPENROUTER_API_KEY={_OPENROUTER} GLM_API_KEY={_GLM}"
_PROGRAMS = {
    # sops exec-env FILE COMMAND: COMMAND is one argument, for a shell.
    "sops": f"""
case "$1 $2 $#" in
  "exec-env secrets.env 3") test -f "$2" || exit 2; exec env {_EXPORTS} sh -c "$3";;
  "decrypt secrets.env 2") test -f "$2" || exit 2; printf '{_LINES}';;
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
    # doppler's format 'env' puts each value in double quotes.
    "doppler": f"""
case "$*" in
  "secrets download --no-file --format env")
    printf 'OPENROUTER_API_KEY="{_OPENROUTER}"\\nGLM_API_KEY="{_GLM}"\\n';;
  "run -- "*) shift 2; exec env {_EXPORTS} "$@";;
  *) exit 1;;
esac
""",
    "vault": f"""
case "$*" in
  "kv get -mount=secret -field=token fleet/openrouter") printf %s {_OPENROUTER};;
  "kv get -mount=secret -field=token fleet/glm") printf %s {_GLM};;
  *) echo "No value found at $5" >&2; exit 2;;
esac
""",
    # podman run OPTIONS IMAGE ARGUMENTS: the image's own program gets the arguments.
    "podman": """
test "$1" = run || exit 125
while [ "$1" != aegis-provision ]; do
  case "$1" in --env) test "$2" = "${2%%=*}" -o "$2" = SSH_AUTH_SOCK=/agent || exit 125;; esac
  shift || exit 125
done
exec "$@"
""",
    "pass": f"""
test "$*" = "show fleet/env" && printf '{_LINES}'
""",
}


def install_programs(programs: Path) -> None:
    """Put the stand-ins into ``programs``."""
    for name, text in _PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/bash\n{text.lstrip()}")
        (programs / name).chmod(0o755)
