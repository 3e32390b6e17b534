# Completion of aegis-provision for bash.

_aegis_provision_complete() {
    local kind value
    COMPREPLY=()
    while IFS=$'\t' read -r kind value _; do
        case $kind in
            file) compopt -o default 2>/dev/null ;;
            dir) compopt -o dirnames 2>/dev/null ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(
        _AEGIS_PROVISION_COMPLETE=bash_complete \
            _AEGIS_PROVISION_LINE="${COMP_LINE:0:COMP_POINT}" \
            _AEGIS_PROVISION_WORD="$2" "$1" 2>/dev/null
    )
}

complete -o nosort -F _aegis_provision_complete aegis-provision 2>/dev/null ||
    complete -F _aegis_provision_complete aegis-provision
