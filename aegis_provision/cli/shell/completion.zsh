#compdef aegis-provision
# Completion of aegis-provision for zsh.

_aegis_provision() {
    local kind value help files
    local -a plain described
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            file) files=-f ;;
            dir) files=-/ ;;
            plain)
                if [[ -n $help ]]; then
                    described+=("${value//:/\\:}:$help")
                else
                    plain+=("$value")
                fi
                ;;
        esac
    done < <(
        _AEGIS_PROVISION_COMPLETE=zsh_complete \
            _AEGIS_PROVISION_LINE="${(j: :)words[1,CURRENT-1]} ${(q)PREFIX}" \
            ${(Q)words[1]} 2>/dev/null
    )
    if [[ -n $files ]]; then
        compset -P 'ansible:' # an inventory that Ansible reads: the path comes after it
        _path_files $files
    fi
    if (( $#described )); then _describe -V aegis-provision described; fi
    if (( $#plain )); then compadd -V aegis-provision-names -a plain; fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _aegis_provision "$@"
else
    compdef _aegis_provision aegis-provision
fi
