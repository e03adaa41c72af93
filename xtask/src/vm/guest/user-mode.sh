# First process of a user-mode guest, whose / is the host's, read-only. Lays a file system in memory over it and
# goes on there.
run=${0%/*}
. "$run/settings"

fail() {
    echo "guest: $*"
    "$busybox" poweroff -f
}

overlay=$modules/kernel/fs/overlayfs/overlay.ko
[ ! -e "$overlay" ] || "$busybox" insmod "$overlay" || fail "cannot load $overlay"
"$busybox" mount -t tmpfs -o size=80% memory "$run/memory" || fail "no file system in memory"
"$busybox" mkdir "$run/memory/upper" "$run/memory/work"
"$busybox" mount -t overlay -o "lowerdir=/,upperdir=$run/memory/upper,workdir=$run/memory/work" root "$run/root" ||
    fail "no overlay"
cd "$run/root" || fail "no root"
"$busybox" mkdir .host
"$busybox" pivot_root . .host || fail "cannot change the root"
cd / || fail "no root"
"$busybox" umount -l /.host
"$busybox" rmdir /.host
exec "$busybox" sh "$run/init.sh"
