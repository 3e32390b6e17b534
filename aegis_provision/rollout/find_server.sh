# Tells which Aegis runs on this host, and where it looks for its file: find_server.sh UNIT PORT
#
# For /bin/sh of any kind, with what coreutils and grep, or busybox, offer. UNIT is the systemd unit
# that runs it, or empty; PORT is that of its API. Each line says one thing: "aegis-provision:KEY
# VALUE", with \001 for each line feed in a value. No secret is printed: of the server's environment
# only the variables named here, of a token whether there is one, of a command line the words after
# --config and --port.

exec 2>/dev/null
LC_ALL=C; export LC_ALL
PATH="$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"; export PATH
unit=$1; port=$2
names='(HOME|(AEGIS|MANUS)_(PORT|HOST|AUTH_TOKEN))='

say() { printf %s "aegis-provision:$1 "; printf %.4096s "$2" | tr '\n' '\001'; echo; }

# say_home USER-OR-UID KEY: the home of a user by passwd(5)
say_home() {
  entry=$(getent passwd "$1" || grep -E "^($1:|[^:]*:[^:]*:$1:)" /etc/passwd | head -n 1)
  entry=${entry%:*}
  say "$2" "${entry##*:}"
}

# say_variables KEY: those on standard input, a line each. systemd quotes values with blanks.
say_variables() {
  while IFS= read -r line; do
    name=${line%%=*}
    case $name in [!A-Z][!A-Z]*) name=${name#??} ;; [!A-Z]*) name=${name#?} ;; esac
    case $line in
      *_AUTH_TOKEN=?* | [!A-Z]*_AUTH_TOKEN=) say "$1" "$name=set" ;;
      [!A-Z]*) say "$1-unclear" "$name" ;;
      *) say "$1" "$line" ;;
    esac
  done
}

# say_arguments: of the words of a command line on standard input, a line each
say_arguments() {
  count=0 last='' config='' api=''
  while IFS= read -r word || [ -n "$word" ]; do
    count=$((count + 1))
    if [ "$count" = 1 ]; then say program "$word"; fi
    if [ "$last" = --config ] && [ -z "$config" ]; then config=1; say config "$word"; fi
    if [ "$last" = --port ] && [ -z "$api" ]; then api=1; say port "$word"; fi
    last=$word
  done
  say arguments "$count"
}

# "$(command && echo x)" keeps line feeds that a path ends with.
say_process() {
  proc=/proc/$1
  [ -d "$proc" ] || return
  say process "$1"
  link=$(readlink "$proc/cwd" && echo x) && say directory "${link%?x}"
  link=$(readlink "$proc/root" && echo x) && say root "${link%?x}"
  link=$(readlink "$proc/ns/mnt") && say namespace "$link"
  say cgroup "$(cat "$proc/cgroup")"
  ids=$(grep -E '^(Uid|Gid|Groups):' "$proc/status" | tr '\t' ' ')
  printf '%s\n' "$ids" | while read -r key value; do say "${key%:}" "$value"; done
  head -c 65536 "$proc/cmdline" | tr '\000\n' '\n\001' | say_arguments
  if head -c 1 "$proc/environ" >/dev/null; then
    say environment read
    head -c 1048576 "$proc/environ" | tr '\000\n' '\n\001' | grep -E "^$names" |
      say_variables variable
  fi
  uid=$(printf '%s\n' "$ids" | while read -r key _ effective _; do
    if [ "$key" = Uid: ]; then echo "$effective"; fi
  done)
  if [ -n "$uid" ]; then say_home "$uid" account-home; fi
}

show_unit() {
  systemctl --no-pager show -p LoadState -p MainPID -p ExecStart -p WorkingDirectory -p User \
    -p PAMName -p Environment -p EnvironmentFiles -p RootDirectory -p RootImage -p BindPaths \
    -p BindReadOnlyPaths -p TemporaryFileSystem -p InaccessiblePaths -p MountImages \
    -p ExtensionImages -p ExtensionDirectories -p PrivateTmp -p PrivateDevices -p PrivateMounts \
    -p ProtectSystem -p ProtectHome -p ProtectKernelTunables -p ProtectKernelModules \
    -p ProtectKernelLogs -p ProtectControlGroups -p ReadOnlyPaths -p ReadWritePaths \
    -- "$unit" </dev/null
}

say_unit() {
  while IFS= read -r line; do
    case $line in
      ExecStart=*' argv[]='*)
        word=${line#*path=}
        say unit-program "${word%% ;*}"
        word=${line%' ; ignore_errors='*}
        case $word in *' --config '*) say unit-config "${word#*' --config '}" ;; esac
        ;;
      Environment=*)
        printf '%s\n' "${line#Environment=}" | tr ' ' '\n' | grep -E "^[^A-Z]?[^A-Z]?$names" |
          say_variables unit-variable
        ;;
      WorkingDirectory=*)
        say unit "$line"
        word=${line#*=}
        path=$(cd "${word#!}" && pwd -P && echo x) && say unit-directory "${path%?x}"
        ;;
      User=*)
        say unit "$line"
        word=${line#*=}
        say_home "${word:-root}" unit-home
        ;;
      *=*) say unit "$line" ;;
    esac
  done
}

echo
say begin 1
say user "$(id -un)"
say namespace "$(readlink /proc/self/ns/mnt)"

main=''
if [ -n "$unit" ] && command -v systemctl >/dev/null; then
  shown=$(show_unit)
  printf '%s\n' "$shown" | say_unit
  main=$(printf '%s\n' "$shown" | grep '^MainPID=[1-9]')
  main=${main#MainPID=}
fi

holders=''
if [ -r /proc/net/tcp ]; then
  say sockets "$port"
  hex=$(printf %04X "$port")
  sockets=$(cat /proc/net/tcp /proc/net/tcp6 |
    grep -E "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:0000 0A ")
  inodes=$(printf '%s\n' "$sockets" | while read -r _ _ _ _ _ _ _ _ _ inode _; do
    echo "$inode"
  done | sort -u | tr '\n' '|')
  inodes=${inodes%|}
  printf '%s\n' "$sockets" | while read -r _ local _ _ _ _ _ uid _ inode _; do
    if [ -n "$inode" ]; then say listener "$local $uid $inode"; fi
  done
  if [ -n "$inodes" ]; then
    # One ls for all processes; those that the user may not look into are passed over.
    held=$(ls -ln /proc/self/fd /proc/[0-9]*/fd | grep -E "^/proc/|socket:.($inodes).$" |
      while read -r line; do
        case $line in
          /proc/*) pid=${line#/proc/}; pid=${pid%%/*} ;;
          *) inode=${line##*\[}; echo "$pid ${inode%?}" ;;
        esac
      done | sort -u | head -n 16)
    printf '%s\n' "$held" | while read -r pid inode; do
      if [ -n "$inode" ]; then say holder "$pid $inode"; fi
    done
    holders=$(printf '%s\n' "$held" | while read -r pid _; do echo "$pid"; done)
  fi
fi

seen=' '
for pid in $main $holders; do
  case $seen in
    *" $pid "*) ;;
    *) seen="$seen$pid "; say_process "$pid" ;;
  esac
done
say end 1
exit 0
