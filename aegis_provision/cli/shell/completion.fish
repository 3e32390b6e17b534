# Completion of aegis-provision for fish.

function __aegis_provision_complete
    set -l line (commandline -cp | string collect)
    set -l program (commandline -opc)[1]
    for item in (env _AEGIS_PROVISION_COMPLETE=fish_complete _AEGIS_PROVISION_LINE=$line $program 2>/dev/null)
        set -l parts (string split \t -- $item)
        switch $parts[1]
            case file
                set -l word (commandline -ct)
                if string match -q 'ansible:*' -- $word
                    # An inventory that Ansible reads: the path comes after it.
                    for path in (__fish_complete_path (string replace ansible: '' -- $word))
                        string join '' -- ansible: $path
                    end
                else
                    __fish_complete_path $word
                end
            case dir
                __fish_complete_directories (commandline -ct)
            case plain
                string join \t -- $parts[2..-1]
        end
    end
end

complete --no-files --keep-order --command aegis-provision --arguments '(__aegis_provision_complete)'
