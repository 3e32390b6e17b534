# Tells which Aegis runs on this host, and where it looks for its file: find_server.sh UNIT PORT FILE
#
# For /bin/sh of any kind, with what coreutils and grep, or busybox, offer. UNIT is the systemd unit
# that runs it, or empty; PORT is that of its API; FILE is the file that is written, or empty. Each
# line says one thing: "aegis-provision:KEY VALUE", with \001 for each line feed in a value. No secret
# is printed: of the server's environment only the variables named here, of a token whether there is
# one, of a command line the words after --config and --port.
#
# Every process costs the host more than all else here, so the shell itself takes texts apart: a function
# leaves its answer in a variable. No here-document: some shells write those to a file, secrets too.

exec 2>/dev/null
set -f
LC_ALL=C; export LC_ALL
PATH="$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"; export PATH
unit=$1; port=$2; file=$3
names='(HOME|(AEGIS|MANUS)_(PORT|HOST|AUTH_TOKEN))='

blanks=$IFS
between=$(printf '\002')
lf='
'
# say KEY VALUE. A process for tr only where there is a line feed: this runs on every host.
say() {
  case $2 in
    *"$lf"*) printf %s "aegis-provision:$1 "; printf %.4096s "$2" | tr '\n' '\001'; echo ;;
    *) printf 'aegis-provision:%s %.4096s\n' "$1" "$2" ;;
  esac
}

# home_of USER-OR-UID: the home of a user by passwd(5), in $account
home_of() {
  entry=$(getent passwd "$1" || grep -E "^($1:|[^:]*:[^:]*:$1:)" /etc/passwd | head -n 1)
  entry=${entry%:*}
  account=${entry##*:}
}

# real_path PATH: with links in its directory resolved, in $real; a file that is a link has none here
real_path() {
  real=''
  [ ! -h "$1" ] && cd "${1%/*}/" && cd -P . && real=${PWD%/}/${1##*/}
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
  real_path "$1"
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

# say_variables KEY TEXT: those of the text, a line each. systemd quotes values with blanks.
say_variables() {
  key=$1
  IFS=$lf; set -- $2; IFS=$blanks
  for line do
    name=${line%%=*}
    case $name in [!A-Z][!A-Z]*) name=${name#??} ;; [!A-Z]*) name=${name#?} ;; esac
    case $line in
      *_AUTH_TOKEN=?* | [!A-Z]*_AUTH_TOKEN=) say "$key" "$name=set" ;;
      [!A-Z]*) say "$key-unclear" "$name" ;;
      *) say "$key" "$line" ;;
    esac
  done
}

# say_arguments TEXT: of the words of a command line, with \002 between them; $config is what --config names
say_arguments() {
  IFS=$between; set -- $1; IFS=$blanks
  last='' named='' config='' api=''
  say arguments "$#"
  if [ "$#" != 0 ]; then say program "$1"; fi
  for word do
    if [ "$last" = --config ] && [ -z "$named" ]; then named=1 config=$word; say config "$word"; fi
    if [ "$last" = --port ] && [ -z "$api" ]; then api=1; say port "$word"; fi
    last=$word
  done
}

# started PID: when the process was started, in seconds since the epoch by this host's clock, rounded up,
# in $began
started() {
  began=''
  read -r up _ </proc/uptime
  now=$(date +%s) hertz=$(getconf CLK_TCK)
  while IFS= read -r line || [ -n "$line" ]; do stat=$line; done <"/proc/$1/stat"
  case $up in *.[0-9][0-9]) ;; *) return ;; esac
  up=${up%.*}${up#*.}
  set -- ${stat##*")"}
  [ "$#" -ge 20 ] && shift 19 && began=$((now - (up - $1 * 100 / ${hertz:-100}) / 100))
}

# say_ids FILE: the users and groups of a process; $uid is its effective user
say_ids() {
  uid=''
  while read -r key value; do
    set -- $value
    case $key in
      Uid:) uid=$2; say Uid "$*" ;;
      Gid:) say Gid "$*" ;;
      Groups:) say Groups "$*"; break ;;
    esac
  done <"$1"
}

say_process() {
  proc=/proc/$1
  [ -d "$proc" ] || return
  say process "$1"
  started "$1"
  say started "$began"
  directory=''
  # "$(command && echo x)" keeps line feeds that a path ends with.
  link=$(readlink "$proc/cwd" && echo x) && directory=${link%?x} && say directory "$directory"
  link=$(readlink "$proc/root" && echo x) && say root "${link%?x}"
  link=$(readlink "$proc/ns/mnt") && say namespace "$link"
  say cgroup "$(cat "$proc/cgroup")"
  say_ids "$proc/status"
  say_arguments "$(head -c 65536 "$proc/cmdline" | tr '\000\n\002' '\002\001\001')"
  account=''
  if [ -n "$uid" ]; then home_of "$uid"; say account-home "$account"; fi
  if true <"$proc/environ"; then
    say environment read
    variables=$(head -c 1048576 "$proc/environ" | tr '\000\n' '\n\001' | grep -E "^$names")
    say_variables variable "$variables"
    case $lf$variables in
      *"${lf}HOME="*) home=$lf$variables; home=${home#*"${lf}HOME="}; home=${home%%"$lf"*} ;;
      *) home=$account ;;
    esac
    told='|'
    if [ -n "$file" ]; then real_path "$file"; ways "$real"; fi
    if [ -n "$directory" ]; then look_around "$directory" "$home" "$config"; fi
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

# say_unit TEXT: what systemctl says of the unit; $main is its main process
say_unit() {
  IFS=$lf; set -- $1; IFS=$blanks
  for line do
    case $line in
      ExecStart=*' argv[]='*)
        word=${line#*path=}
        say unit-program "${word%% ;*}"
        word=${line%' ; ignore_errors='*}
        case $word in *' --config '*) say unit-config "${word#*' --config '}" ;; esac
        ;;
      Environment=) ;;
      Environment=*) settings=${line#*=} ;;
      WorkingDirectory=*)
        say unit "$line"
        word=${line#*=}
        case $word in /* | !/*) cd "${word#!}" && cd -P . && say unit-directory "$PWD" ;; esac
        ;;
      User=*)
        say unit "$line"
        word=${line#*=}
        home_of "${word:-root}"
        say unit-home "$account"
        ;;
      MainPID=[1-9]*) main=${line#*=}; say unit "$line" ;;
      *=*) say unit "$line" ;;
    esac
  done
}

echo
say begin 1
say user "$(id -un)"
say namespace "$(readlink /proc/self/ns/mnt)"
if [ -n "$file" ]; then real_path "$file"; say target "$real"; fi

main=''
if [ -n "$unit" ] && command -v systemctl >/dev/null; then
  settings=''
  say_unit "$(show_unit)"
  if [ -n "$settings" ]; then
    settings=$(printf '%s\n' "$settings" | tr ' ' '\n' | grep -E "^[^A-Z]?[^A-Z]?$names")
    say_variables unit-variable "$settings"
  fi
fi

holders=''
if [ -r /proc/net/tcp ]; then
  say sockets "$port"
  hex=$(printf %04X "$port")
  sockets=$(grep -hE "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6)
  inodes=''
  IFS=$lf; set -- $sockets; IFS=$blanks
  for line do
    set -- $line
    say listener "$2 $8 ${10}"
    case "|$inodes|" in *"|${10}|"*) ;; *) inodes="$inodes${inodes:+|}${10}" ;; esac
  done
  if [ -n "$inodes" ]; then
    # One ls for all processes; those that the user may not look into are passed over.
    set +f
    held=$(ls -ln /proc/self/fd /proc/[0-9]*/fd | grep -E "^/proc/|socket:.($inodes).$" |
      while read -r line; do
        case $line in
          /proc/*) pid=${line#/proc/}; pid=${pid%%/*} ;;
          *) inode=${line##*\[}; echo "$pid ${inode%?}" ;;
        esac
      done | sort -u | head -n 16)
    set -f
    IFS=$lf; set -- $held; IFS=$blanks
    for line do
      say holder "$line"
      holders="$holders ${line%% *}"
    done
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
