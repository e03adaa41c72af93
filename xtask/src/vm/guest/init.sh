# First process of a guest, once its root is in place: sets the system up, runs the command, says how it ended.
run=${0%/*}
. "$run/settings"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

fail() {
    echo "guest: $*"
    "$busybox" poweroff -f
}

# A file system that must be there, and one that some kernels lack.
mount() { "$busybox" mount -t "$1" ${3:+-o "$3"} "$1" "$2" || fail "cannot mount $1 on $2"; }
try() { "$busybox" mount -t "$1" "$1" "$2" 2> /dev/null || :; }

mount proc /proc
mount sysfs /sys
mount devtmpfs /dev
"$busybox" mkdir -p /dev/pts /dev/shm
mount devpts /dev/pts ptmxmode=666
mount tmpfs /dev/shm
mount tmpfs /run
mount bpf /sys/fs/bpf
mount cgroup2 /sys/fs/cgroup
try debugfs /sys/kernel/debug
try tracefs /sys/kernel/tracing
"$busybox" mkdir -p /run/lock /run/netns /run/guest
for link in fd:/proc/self/fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
    [ -e "/dev/${link%%:*}" ] || "$busybox" ln -s "${link#*:}" "/dev/${link%%:*}"
done
# The kernel calls /sbin/modprobe for what it misses. The host's reads other indices than these modules have.
programs="insmod lsmod modinfo modprobe rmmod" old=
for program in $programs; do
    old="$old /sbin/$program /usr/sbin/$program /bin/$program /usr/bin/$program"
done
"$busybox" rm -rf "/lib/modules/${modules##*/}" $old
"$busybox" mkdir -p /lib/modules /dev/net
"$busybox" ln -s "$modules" /lib/modules/
for program in $programs; do "$busybox" ln -s "$busybox" "/sbin/$program"; done
echo /sbin/modprobe > /proc/sys/kernel/modprobe
# Opening it loads its module.
[ -e /dev/net/tun ] || "$busybox" mknod /dev/net/tun c 10 200
[ -e /proc/net/if_inet6 ] || modprobe ipv6 || fail "no IPv6"

"$busybox" hostname guest
"$busybox" ifconfig lo up

. "$run/writable"

# Where the host reads: serial lines, or ports that have names.
port() {
    for entry in /sys/class/virtio-ports/*; do
        [ "$("$busybox" cat "$entry/name")" != "$1" ] || echo "/dev/${entry##*/}"
    done
}
case $machine in
user-mode)
    out=/dev/ttyS1 err=/dev/ttyS2 control=/dev/ttyS3
    for line in "$out" "$err" "$control"; do "$busybox" stty -F "$line" raw -echo || fail "no $line"; done
    ;;
emulated) out=$(port out) err=$(port err) control=$(port control) ;;
esac
# Held open to the end: a serial line that nobody holds forgets what it has not sent.
exec 5> "$out" 6> "$err" 7> "$control"

# Pipes between, so that a program finds what it finds anywhere: no terminal, and /dev/stdout can be opened.
"$busybox" mkfifo /run/guest/out /run/guest/err
"$busybox" cat /run/guest/out >&5 &
cats=" 1 $! "
"$busybox" cat /run/guest/err >&6 &
cats="$cats$! "

echo started >&7
"$busybox" setsid /bin/sh "$run/command" < /dev/null > /run/guest/out 2> /run/guest/err 5>&- 6>&- 7>&-
code=$?

# What the command left running holds the pipes open.
for process in /proc/[0-9]*; do
    case $cats in
    *" ${process#/proc/} "*) ;;
    *) kill -9 "${process#/proc/}" 2> /dev/null ;;
    esac
done
wait
"$busybox" sync
[ "$machine" != user-mode ] || for line in "$out" "$err"; do "$busybox" stty -F "$line" raw; done
echo "exit $code" >&7
[ "$machine" != user-mode ] || "$busybox" stty -F "$control" raw
"$busybox" poweroff -f
