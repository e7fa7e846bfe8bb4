#!/usr/bin/env bash
# One command for six devices on one machine: this machine; three sshd in network namespaces of their own with unlike CPU
# quotas and memory limits; one whose programs run under an emulator of a Cortex-A76 (answers only), where $ARM64 names
# a program for it; one that nobody can reach. Run once undisturbed, then killed at MOMENTS random moments and with
# one device's link cut at as many; in the end the same choices, states and bundles, and nothing on the devices but the store.
#
#   BIN=target/release scripts/fleet-trial.sh DIR STUDENTS [MOMENTS]
#
# Linux, as root: namespaces and control groups (version 1: cpu, memory). STUDENTS: trained students, as gtn-train wrote them.
# Prints a line a run and a verdict; everything is removed at the end but DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/${BIN:-target/release} dir=$(mkdir -p "$1" && cd "$1" && pwd) students=$(cd "$2" && pwd) moments=${3:-10}
net=10.213 quotas=(0 100000 50000 25000) memory=(0 2048 1024 512)
sshd=/usr/sbin/sshd libs=
if [ -x .sshd/usr/sbin/sshd ]; then sshd=$PWD/.sshd/usr/sbin/sshd libs=$PWD/.sshd/usr/lib/$(uname -m)-linux-gnu; fi

clean() {
  for i in 1 2 3; do
    [ ! -e "$dir/pid$i" ] || kill "$(cat "$dir/pid$i")" 2>/dev/null || true
    ip netns pids gtn$i 2>/dev/null | xargs -r kill -9 2>/dev/null || true
    ip netns del gtn$i 2>/dev/null || true
    sleep 0.2
    rmdir /sys/fs/cgroup/cpu/gtn$i /sys/fs/cgroup/memory/gtn$i 2>/dev/null || true
  done
}
trap clean EXIT
clean
mkdir -p "$dir/bin" "$dir/home"
for key in host user; do [ -e "$dir/$key" ] || ssh-keygen -q -t ed25519 -N '' -f "$dir/$key"; done
: >"$dir/known_hosts"
for i in 1 2 3; do
  ip netns add gtn$i
  ip link add gtn${i}a type veth peer name gtn${i}b
  ip link set gtn${i}b netns gtn$i
  ip addr add $net.$i.1/24 dev gtn${i}a
  ip link set gtn${i}a up
  ip netns exec gtn$i ip addr add $net.$i.2/24 dev gtn${i}b
  ip netns exec gtn$i ip link set gtn${i}b up
  ip netns exec gtn$i ip link set lo up
  mkdir -p /sys/fs/cgroup/cpu/gtn$i /sys/fs/cgroup/memory/gtn$i "$dir/home$i"
  echo "${quotas[$i]}" >/sys/fs/cgroup/cpu/gtn$i/cpu.cfs_quota_us
  echo "${memory[$i]}M" >/sys/fs/cgroup/memory/gtn$i/memory.limit_in_bytes
  cat >"$dir/sshd$i" <<CONFIG
Port 22
ListenAddress $net.$i.2
HostKey $dir/host
AuthorizedKeysFile $dir/user.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
SetEnv HOME=$dir/home$i
CONFIG
  for part in sshd-session sshd-auth; do
    [ ! -e ".sshd/usr/lib/openssh/$part" ] || case $part in
      sshd-session) echo "SshdSessionPath $PWD/.sshd/usr/lib/openssh/$part" ;;
      sshd-auth) echo "SshdAuthPath $PWD/.sshd/usr/lib/openssh/$part" ;;
    esac >>"$dir/sshd$i"
  done
  echo "$net.$i.2 $(cut -d' ' -f1,2 "$dir/host.pub")" >>"$dir/known_hosts"
  (
    echo $BASHPID >/sys/fs/cgroup/cpu/gtn$i/cgroup.procs
    echo $BASHPID >/sys/fs/cgroup/memory/gtn$i/cgroup.procs
    echo $BASHPID >"$dir/pid$i"
    LD_LIBRARY_PATH=$libs exec ip netns exec gtn$i "$sshd" -D -e -f "$dir/sshd$i"
  ) >/dev/null 2>"$dir/sshd$i.log" &
done
cat >"$dir/ssh_config" <<CONFIG
Host *
IdentityFile $dir/user
IdentitiesOnly yes
UserKnownHostsFile $dir/known_hosts
GlobalKnownHostsFile /dev/null
ConnectTimeout 3
ServerAliveInterval 1
CONFIG
printf '#!/bin/sh\nexec %s -F %s/ssh_config "$@"\n' "$(command -v ssh)" "$dir" >"$dir/bin/ssh"
chmod 755 "$dir/bin/ssh"

{
  echo 'schema = "gtn.fleet/1"'
  device() { printf '[[device]]\nname = "%s"\ntarget = "%s"\nprecisions = ["fp32"]\n' "$1" "$2"; }
  device desk host
  printf 'on = "local"\ntable = "tables/desk.json"\n'
  for i in 1 2 3; do
    device net$i host
    printf 'on = "ssh:root@%s.%s.2"\ntable = "tables/net%s.json"\n' $net $i $i
  done
  if [ -n "${ARM64:-}" ]; then
    device arm rpi5
    # shellcheck source=/dev/null
    . scripts/arm64-tools.sh
    printf 'on = "local"\ntimed = false\ndist = "%s"\nlauncher = ["%s", "-cpu", "cortex-a76", "-L", "%s"]\n' \
      "$ARM64" "$arm64_qemu" "$arm64_root"
  fi
  device away rpi5
  printf 'on = "ssh:root@%s.9.2"\n' $net
} >"$dir/fleet.toml"

run() { # OUT: the command, as anybody would give it, in place of this shell: `run X &` has the program's own number
  export HOME=$dir/home PATH=$dir/bin:$PATH
  exec "$bin/gtn-export" --fleet "$dir/fleet.toml" --from "$students" --out "$dir/$1" \
    --table-seconds 20 --run-seconds 0.3
}
# name state student precision model, a line a device; and the bundles' files but what was measured here
states() {
  python3 - "$dir/$1" <<'PYTHON'
import hashlib, json, os, sys
out = sys.argv[1]
for d in json.load(open(out + "/fleet.json"))["devices"]:
    b = d.get("delivery") or {}
    print(d["name"], d["state"], os.path.basename(b.get("student", "-")), b.get("precision", "-"), b.get("model_sha256", "-")[:12])
for at, _, files in sorted(os.walk(out + "/bundles")):
    for f in sorted(files):
        if f != "export-report.json":
            print(os.path.relpath(at, out), f, hashlib.sha256(open(os.path.join(at, f), "rb").read()).hexdigest()[:12])
PYTHON
}
# Tables first, each on its own device: which moments are hit below is then for the moments to say.
mkdir -p "$dir/tables"
if [ ! -e "$dir/tables/net3.json" ]; then
  sed -i.with '/^table = /d' "$dir/fleet.toml"
  (run tabled) >"$dir/tabled.log" 2>&1 || true
  mv "$dir/fleet.toml.with" "$dir/fleet.toml"
  python3 - "$dir" <<'PYTHON'
import json, shutil, sys
dir = sys.argv[1]
for d in json.load(open(dir + "/tabled/fleet.json"))["devices"]:
    if d.get("table"):
        shutil.copy(dir + "/tabled/" + d["table"], f"{dir}/tables/{d['name']}.json")
PYTHON
fi
rm -rf "$dir/whole" "$dir/cut"
begun=$(date +%s) status=0
(run whole) >"$dir/whole.log" 2>&1 || status=$?
echo "undisturbed: exit status $status, $(($(date +%s) - begun)) s"
states whole | tee "$dir/whole.states" | sed '/^bundles/d'
RANDOM=7
for ((blow = 1; blow <= moments; blow++)); do
  run cut >"$dir/cut.log" 2>&1 &
  pid=$!
  sleep $((RANDOM % 6)).$((RANDOM % 10))
  kill -9 $pid 2>/dev/null && echo "kill $blow: killed" || echo "kill $blow: had ended"
  wait $pid 2>/dev/null || true
done
for ((blow = 1; blow <= moments; blow++)); do
  # What is proved already would leave nothing to cut.
  rm -rf "$dir/cut/devices/net2"
  run cut >"$dir/cut.log" 2>&1 &
  pid=$!
  sleep $((1 + RANDOM % 5)).$((RANDOM % 10))
  ip link set gtn2a down
  status=0
  wait $pid || status=$?
  ip link set gtn2a up
  was=reached
  grep -q '^net2: not reached' "$dir/cut.log" && was="cut off"
  echo "cut $blow: exit status $status, net2 was $was"
done
sleep 1
status=0
(run cut) >"$dir/cut.log" 2>&1 || status=$?
states cut >"$dir/cut.states"
same=different
cmp -s "$dir/whole.states" "$dir/cut.states" && same=same
left=$(find "$dir"/home*/.cache/gtn-run -mindepth 1 -maxdepth 1 ! -name files ! -name cache | wc -l)
echo "in the end: exit status $status, the $same choices, states and bundles; $left folders left on devices"
[ "$same" = same ]
