# SPDX-License-Identifier: Apache-2.0
"""A real Blender and a virtual display: Debian trixie's Blender 4.3 in a debootstrap folder.

Built once (about three minutes, 2 GB) below the user's cache folder, never inside the repository.
Everything run in it gets a mount namespace of its own, so no mount outlives the process.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

PACKAGES = (
    "blender xvfb xdotool openbox libegl1 libgl1-mesa-dri libglx-mesa0 x11-apps imagemagick "
    "python3-numpy python3-requests python3-zstandard fonts-dejavu-core"
)
EDITION = "1"
"""Raised when PACKAGES change, so that an older cached folder is built again."""


def cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "syncam" / "blender-window"


def missing_or_none() -> str | None:
    """Say in one sentence why a window cannot be had on this machine, or None when it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "a real Blender window needs root (chroot and mounts)"
    for tool in ("unshare", "mount", "chroot"):
        if shutil.which(tool) is None:
            return f"a real Blender window needs the command {tool}"
    trial = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        text=True,
    )
    if trial.returncode != 0:
        return f"a real Blender window needs the right to mount: {trial.stderr.strip()}"
    if not is_built() and shutil.which("debootstrap") is None:
        return "a real Blender window needs debootstrap, once: apt-get install debootstrap"
    if not is_built() and debian_mirror_or_none() is None:
        return "a real Blender window needs, once, a Debian mirror among this machine's apt sources"
    return None


def debian_mirror_or_none() -> str | None:
    """The archive that this machine's own apt takes Debian's packages from; it has all releases."""
    if shutil.which("apt-get") is None:
        return None
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    told = subprocess.run(asked, capture_output=True, text=True)
    archives = [line.rstrip("/") for line in told.stdout.splitlines()]
    return next((uri for uri in archives if uri.endswith("/debian")), None)


def is_built() -> bool:
    marker = cache_folder() / "edition"
    return marker.exists() and marker.read_text().strip() == EDITION


def build(log: Path) -> None:
    """Make the folder, or raise RuntimeError with the last lines of `log`."""
    folder = cache_folder()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root = folder / "root"
    script = f"""
set -e
debootstrap --variant=minbase trixie {root} {shlex.quote(debian_mirror_or_none() or "")}
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
cp /etc/resolv.conf {root}/etc/resolv.conf
printf 'path-exclude /usr/share/doc/*\\npath-exclude /usr/share/man/*\\n' \
    > {root}/etc/dpkg/dpkg.cfg.d/small
echo 'force-unsafe-io' > {root}/etc/dpkg/dpkg.cfg.d/fast
export DEBIAN_FRONTEND=noninteractive
chroot {root} apt-get update -q
chroot {root} apt-get install -q -y --no-install-recommends {PACKAGES}
chroot {root} apt-get clean
"""
    with log.open("w") as out:
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        raise RuntimeError(f"the folder for a real Blender window could not be built:\n{tail}")
    (folder / "edition").write_text(EDITION)


def start(script: str, binds: list[Path], **popen) -> subprocess.Popen:
    """Start a shell `script` inside the folder; each of `binds` appears there at its own path.

    The machine's own root is at /host, so that an engine of the machine's Python can be started
    from inside by `chroot /host ...` and sees the same paths.
    """
    root = cache_folder() / "root"
    # /host first: a recursive bind of / must not contain the binds below.
    lines = ["set -e", f"mkdir -p {root}/host", f"mount --rbind / {root}/host"]
    # Process numbers are this namespace's, for an engine that looks at its own.
    lines += [f"mount -t proc proc {root}/host/proc"]
    lines += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
    for path in binds:
        lines += [f"mkdir -p {root}{path}", f"mount --bind {path} {root}{path}"]
    lines += [f'exec chroot {root} /bin/sh -c "$SYNCAM_WINDOW_SCRIPT"']
    environment = dict(
        os.environ, SYNCAM_WINDOW_SCRIPT=script, PATH="/usr/sbin:/usr/bin:/sbin:/bin"
    )
    return subprocess.Popen(
        [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"),
            *("sh", "-c", "\n".join(lines)),
        ],
        env=environment,
        **popen,
    )
