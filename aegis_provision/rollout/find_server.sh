# Tells which Aegis runs on this host, and where it looks for its file: find_server.sh UNIT PORT FILE
#
# For /bin/sh of any kind, with what coreutils and grep, or busybox, offer. UNIT is the systemd unit
# that runs it, or empty; PORT is that of its API; FILE is the file that is written, or empty. Each
# line says one thing: "aegis-provision:KEY VALUE", with \001 for each line feed in a value. No secret
# is printed: of the server's environment only the variables named here, of a token whether there is
# one, of a command line the words after --config and --port.

exec 2>/dev/null
LC_ALL=C; export LC_ALL
PATH="$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"; export PATH
unit=$1; port=$2; file=$3
names='(HOME|(AEGIS|MANUS)_(PORT|HOST|AUTH_TOKEN))='

lf='
'
# say KEY VALUE. A process for tr only where there is a line feed: this runs on every host.
say() {
  case $2 in
    *"$lf"*) printf %s "aegis-provision:$1 "; printf %.4096s "$2" | tr '\n' '\001'; echo ;;
    *) printf 'aegis-provision:%s %.4096s\n' "$1" "$2" ;;
  esac
}

# home_of USER-OR-UID: the home of a user by passwd(5)
home_of() {
  entry=$(getent passwd "$1" || grep -E "^($1:|[^:]*:[^:]*:$1:)" /etc/passwd | head -n 1)
  entry=${entry%:*}
  printf %s "${entry##*:}"
}

# real_path PATH: with links in its directory resolved; a file that is a link has none here.
# "$(command && echo x)" keeps line feeds that a path ends with.
real_path() {
  [ -h "$1" ] && return 1
  above=$(cd "${1%/*}/" && pwd -P && echo x) || return 1
  printf %s "${above%?x}/${1##*/}"
}

# ways PATH: mode and owners of each directory on the way to it, once, where they can keep $uid out
ways() {
  way=$1
  while [ -n "$way" ] && [ "$uid" != 0 ]; do
    way=${way%/*}
    case $told in *"|$way|"*) continue ;; esac
    told="$told$way|"
    bits=$(stat -L -c '%a %u %g' "${way:-/}/") && say way "$bits ${way:-/}"
  done
}

# look PATH: whether something is there, if this user can tell
look() {
  state=there
  # Aegis passes a directory over, as if nothing were there.
  if [ -d "$1" ]; then
    state=missing
  elif [ ! -e "$1" ] && [ ! -h "$1" ]; then
    state=missing
    above=${1%/*}
    while [ -n "$above" ] && [ ! -e "$above" ]; do above=${above%/*}; done
    [ -d "${above:-/}" ] && [ -x "${above:-/}" ] || return
  fi
  real=$(real_path "$1")
  case $1$real in
    *"$lf"*)
      printf 'aegis-provision:look '
      printf '%s\002%s\002%s' "$state" "$1" "$real" | tr '\n' '\001'
      echo
      ;;
    *) printf 'aegis-provision:look %s\002%s\002%s\n' "$state" "$1" "$real" ;;
  esac
  if [ "$state" = there ]; then ways "$1"; ways "$real"; fi
}

# look_around DIRECTORY HOME CONFIG: at the paths that a server looks at
look_around() {
  home=$2
  case $home in /*) ;; '') home=$1 ;; *) home=$1/$home ;; esac
  case $3 in '') ;; /*) look "$3" ;; *) look "$1/$3" ;; esac
  for name in .aegis/config.yaml .aegis/config.yml aegis.config.json manus.config.json; do
    look "$1/$name"
  done
  for name in .aegis/config.yaml .aegis/config.yml .aegis/config.json .manus/config.json; do
    look "$home/$name"
  done
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

# after OPTION: the first word after it among those on standard input, a line each
after() {
  last=''
  while IFS= read -r word || [ -n "$word" ]; do
    if [ "$last" = "$1" ]; then printf %s "$word"; return; fi
    last=$word
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

# started PID: when the process was started, in seconds since the epoch by this host's clock, rounded up
started() {
  up=$(cat /proc/uptime) now=$(date +%s) line=$(cat "/proc/$1/stat") hertz=$(getconf CLK_TCK)
  up=${up%% *}
  case $up in *.[0-9][0-9]) ;; *) return ;; esac
  up=${up%.*}${up#*.}
  set -f
  set -- ${line##*)}
  set +f
  [ "$#" -ge 20 ] && shift 19 && echo $((now - (up - $1 * 100 / ${hertz:-100}) / 100))
}

say_process() {
  proc=/proc/$1
  [ -d "$proc" ] || return
  say process "$1"
  say started "$(started "$1")"
  directory=''
  link=$(readlink "$proc/cwd" && echo x) && directory=${link%?x} && say directory "$directory"
  link=$(readlink "$proc/root" && echo x) && say root "${link%?x}"
  link=$(readlink "$proc/ns/mnt") && say namespace "$link"
  say cgroup "$(cat "$proc/cgroup")"
  ids=$(grep -E '^(Uid|Gid|Groups):' "$proc/status" | tr '\t' ' ')
  printf '%s\n' "$ids" | while read -r key value; do say "${key%:}" "$value"; done
  words=$(head -c 65536 "$proc/cmdline" | tr '\000\n' '\n\001' && echo x)
  words=${words%x}
  printf %s "$words" | say_arguments
  uid=$(printf '%s\n' "$ids" | while read -r key _ effective _; do
    if [ "$key" = Uid: ]; then echo "$effective"; fi
  done)
  home=''
  if [ -n "$uid" ]; then home=$(home_of "$uid"); say account-home "$home"; fi
  if head -c 1 "$proc/environ" >/dev/null; then
    say environment read
    variables=$(head -c 1048576 "$proc/environ" | tr '\000\n' '\n\001' | grep -E "^$names")
    printf '%s\n' "$variables" | grep . | say_variables variable
    if printf '%s\n' "$variables" | grep '^HOME=' >/dev/null; then
      home=$(printf '%s\n' "$variables" | grep '^HOME=' | head -n 1)
      home=${home#HOME=}
    fi
    told='|'
    if [ -n "$file" ]; then ways "$(real_path "$file")"; fi
    if [ -n "$directory" ]; then
      look_around "$directory" "$home" "$(printf %s "$words" | after --config)"
    fi
  fi
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
        case $word in /* | !/*)
          path=$(cd "${word#!}" && pwd -P && echo x) && say unit-directory "${path%?x}" ;;
        esac
        ;;
      User=*)
        say unit "$line"
        word=${line#*=}
        say unit-home "$(home_of "${word:-root}")"
        ;;
      *=*) say unit "$line" ;;
    esac
  done
}

echo
say begin 1
say user "$(id -un)"
say namespace "$(readlink /proc/self/ns/mnt)"
if [ -n "$file" ]; then say target "$(real_path "$file")"; fi

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
