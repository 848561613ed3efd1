#!/usr/bin/env bash
# Puts a real VirtualBox for the tests into DIR, and says what it does. Does nothing when it is there.
#
# Where the host has a VirtualBox that works, with its kernel driver, DIR/bin/VBoxManage is that one. Elsewhere (no driver,
# or a computer that cannot load one, as those of most CI) it is Debian's package, unpacked into DIR with the libraries that
# it was built against; its machines run in VirtualBox's own interpreter, at some million instructions a second. Neither
# root nor a kernel module is needed, and nothing is installed outside of DIR but a symbolic link in /tmp.
# Usage: scripts/virtualbox/setup.sh DIR
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: setup.sh DIR}"
dir=$(cd "$1" && pwd)
work=''

say() { echo "virtualbox: $*"; }
fail() { say "$*" >&2 && exit 1; }
tidy() { [[ -z $work ]] || rm -rf "$work"; }
trap tidy EXIT

# What is there must have been made by this recipe, for this place.
key=$(cat "$here/setup.sh" "$here/driverless.c" - <<<"$dir" | sha256sum | cut -c1-16)
# The directory that is compiled into the package's binaries, and one of the same length that replaces it there: a link, as
# no path of a project is that short.
compiled=/usr/lib/virtualbox
link=/tmp/vbox-rs-$(sha256sum <<<"$dir" | cut -c1-6)

# The mirror and the key of the distribution's own source, whichever way it is written in apt's files.
mirror() {
    apt-get indextargets 'Created-By: Packages' | awk -v suite="$1" 'BEGIN { RS = ""; FS = "\n" } {
        split("", of)
        for (i = 1; i <= NF; i++) { at = index($i, ": "); of[substr($i, 1, at - 1)] = substr($i, at + 2) }
        if (of["Release"] == suite) { print of["Repo-URI"]; exit }
    }'
}

# apt as an ordinary user, with the packages of Debian sid and nothing installed: what it names is complete.
sid_apt() {
    apt-get -o Dir::Etc::SourceList="$work/sources" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
        -o Dir::State::Status=/dev/null -o Dir::Cache="$work/cache" -o Debug::NoLocking=true -o APT::Sandbox::User="$(id -un)" \
        -o APT::Install-Recommends=false -o Acquire::Languages=none -qq "$@" </dev/null
}

# The package and the shared libraries that it may be linked with. What a machine without a window never loads is left
# away: it is most of 400 MB.
unneeded='llvm|z3|perl|python|systemd|gprofng|sdl|SDL|opus|sqlite|gcrypt|binutils|ctf|sframe|dpkg|mesa|gl1-mesa|glx-mesa|dri|drm'
unneeded+='|elf|pam|audit|apt|db|mount|blkid|fdisk|smartcols|proc2|readline|ncurses|tinfo|decor|pulse|asound|wayland|xkb|gbm|egl'
unneeded+='|gsoap|usb|fuse|vnc'
wanted() { awk '/^Inst / { print $2 }' | grep -E '^(virtualbox|patchelf|zlib1g|lib.*)$' | grep -vE "^lib($unneeded)"; }

download() {
    local from package packages
    # shellcheck source=/dev/null
    . /etc/os-release
    [[ ${ID:-} == debian ]] || fail "only Debian's package of VirtualBox is known to work without its driver, and this is ${ID:-unknown}"
    [[ $(uname -m) == x86_64 ]] || fail "VirtualBox's interpreter needs an x86_64, and this is $(uname -m)"
    command -v cc >/dev/null || fail "a C compiler is missing (scripts/setup.sh build)"
    [[ -r /usr/share/keyrings/debian-archive-keyring.gpg ]] || fail "debian-archive-keyring is missing (scripts/setup.sh box)"
    from=$(mirror "${VERSION_CODENAME:-}")
    [[ -n $from ]] || fail "apt knows no source of ${VERSION_CODENAME:-this Debian}, so there is no mirror to take packages from"
    mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$work"/root
    echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from sid main contrib" >"$work/sources"
    say "asking $from for the packages of sid"
    sid_apt update || fail "the packages of sid cannot be listed"
    sid_apt -s install virtualbox patchelf >"$work/plan" || fail "sid's virtualbox cannot be installed at present"
    wanted <"$work/plan" >"$work/packages"
    say "downloading virtualbox and $(grep -c . "$work/packages") libraries"
    mapfile -t packages <"$work/packages"
    (cd "$work/cache/archives" && sid_apt download "${packages[@]}") || fail "a package cannot be downloaded"
    for package in "$work"/cache/archives/*.deb; do dpkg-deb -x "$package" "$work/root"; done
}

# Names of the binaries of DIR/app that are programs, and of those that are libraries.
programs=(VBoxManage VBoxSVC VBoxHeadless VBoxXPCOMIPCD VBoxExtPackHelperApp)

unpack() {
    local from=$work/root/usr/lib/virtualbox file
    rm -rf "${dir:?}"/{app,lib,bin}
    mkdir -p "$dir"/{app,lib,bin}
    for file in "$from"/{VBoxManage,VBoxSVC,VBoxXPCOMIPCD,VBoxExtPackHelperApp,VBoxNetAdpCtl,VBoxEFI-amd64.fd,components} "$from"/*.so; do
        [[ ! -e $file ]] || cp -a "$file" "$dir/app/"
    done
    cp -a "$work"/root/usr/lib/x86_64-linux-gnu/*.so* "$dir/lib/"
    cp -aL "$work"/root/usr/lib64/ld-linux-x86-64.so.2 "$dir/lib/"
    cc -O2 -Wall -rdynamic -DAPP="\"$link/\"" -o "$dir/app/VBoxHeadless" "$here/driverless.c" -ldl
}

# Makes the binaries look for each other below DIR, and for their libraries there alone.
relocate() {
    local loader=$dir/lib/ld-linux-x86-64.so.2 search=$dir/app:$dir/lib file
    local patchelf=("$loader" --library-path "$work/root/usr/lib/x86_64-linux-gnu" "$work/root/usr/bin/patchelf")
    ((${#link} == ${#compiled})) || fail "$link must be as long as $compiled"
    for file in "$dir"/app/*.so "$dir"/app/components/*.so "${programs[@]/#/$dir/app/}"; do
        [[ -f $file && ! -L $file ]] || continue
        LC_ALL=C sed -i "s|$compiled|$link|g" "$file"
        "${patchelf[@]}" --force-rpath --set-rpath "$search" "$file"
    done
    for file in "${programs[@]/#/$dir/app/}"; do
        [[ ! -f $file ]] || "${patchelf[@]}" --set-interpreter "$loader" "$file"
    done
}

# Which libraries the binaries load, and which of them are missing.
loaded() {
    local file
    for file in "$dir"/app/{VBoxManage,VBoxSVC,VBoxHeadless} "$dir"/app/*.so "$dir"/app/components/*.so; do
        "$dir/lib/ld-linux-x86-64.so.2" --list "$file" 2>&1 || true
    done
}

# Libraries that nothing loads: three quarters of them.
prune() {
    loaded | grep -oE "$dir/lib/[^ ]+" | sort -u | while read -r file; do echo "$file" && readlink -f "$file"; done | sort -u >"$work/kept"
    echo "$dir/lib/ld-linux-x86-64.so.2" >>"$work/kept"
    find "$dir/lib" -mindepth 1 -maxdepth 1 | grep -vxFf "$work/kept" | xargs -r rm -rf
}

# The program that tests run. A /tmp that was emptied has lost the link.
wrap() {
    # shellcheck disable=SC2016  # "$@" is the wrapper's
    printf '#!/bin/sh\n[ %s -ef %q ] || ln -s %q %s || exit 1\nexec %q "$@"\n' \
        "$link" "$dir/app" "$dir/app" "$link" "$dir/app/VBoxManage" >"$dir/bin/VBoxManage"
    chmod 755 "$dir/bin/VBoxManage"
}

# A VirtualBox of the host's own, where its driver is loaded.
hosts_own() {
    local path
    [[ -c /dev/vboxdrv ]] || return 1
    for path in "$(command -v VBoxManage)" /usr/lib/virtualbox/VBoxManage /opt/VirtualBox/VBoxManage; do
        [[ ! -x $path ]] || { echo "$path" && return; }
    done
    return 1
}

# VBoxSVC stays for five seconds after its last client, and would write into what is removed.
end_service() {
    local process
    for process in /proc/[0-9]*; do
        if tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -qx "VBOX_USER_HOME=$1" && [[ $(<"$process/comm") == VBox* ]]; then
            kill -9 "${process#/proc/}" 2>/dev/null || true
        fi
    done 2>/dev/null
}

# One machine, started and switched off: whether it really works here.
try() {
    local home=$work/home manage=$dir/bin/VBoxManage
    mkdir -p "$home"
    export VBOX_USER_HOME=$home VBOX_IPC_SOCKETID=vbox-rs-setup-$$
    (
        set -e
        "$manage" setextradata global VBoxInternal/HM/FallbackToIEM 1
        "$manage" createvm --name try --ostype Other --basefolder "$home" --register
        "$manage" modifyvm try --memory 16
        "$manage" startvm try --type headless
        "$manage" controlvm try poweroff
    ) >"$work/try.log" 2>&1 </dev/null || { cat "$work/try.log" "$home"/try/Logs/VBox.log 2>/dev/null | tail -n 30 >&2; end_service "$home"; fail "no machine starts here"; }
    end_service "$home"
    rm -rf "/tmp/.vbox-$VBOX_IPC_SOCKETID-ipc"
    unset VBOX_USER_HOME VBOX_IPC_SOCKETID
}

# Two of these at once: the second waits, and finds it done.
exec 9>"$dir/lock"
flock 9
if [[ $(cat "$dir/ready" 2>/dev/null) == "$key" ]] && "$dir/bin/VBoxManage" --version >/dev/null 2>&1; then
    say "$("$dir/bin/VBoxManage" --version | tail -n 1) is in $dir"
    exit 0
fi
rm -f "$dir/ready"
work=$(mktemp -d)
if own=$(hosts_own); then
    say "taking the host's own, $own"
    rm -rf "${dir:?}"/{app,lib,bin}
    mkdir -p "$dir/bin"
    ln -s "$own" "$dir/bin/VBoxManage"
else
    download
    say "unpacking"
    unpack
    if [[ -e $link || -L $link ]] && [[ $(readlink "$link") != "$dir/app" ]]; then fail "$link is in the way: remove it"; fi
    ln -sfn "$dir/app" "$link"
    relocate
    prune
    loaded | grep 'not found' >"$work/missing" && fail "a library is missing: $(head -n 1 "$work/missing")"
    wrap
fi
say "trying it"
try
echo "$key" >"$dir/ready"
say "$("$dir/bin/VBoxManage" --version | tail -n 1) is in $dir ($(du -sm "$dir" | cut -f1) MB)"
