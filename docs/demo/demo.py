"""The story of vdsm-hookd in a minute: `make demo`.

A vNIC on the Engine's bridge joins the libvirt network `glitter`; one whose profile names a network that the host does
not have is refused. The daemon and the shim are the real ones, libvirt is its own in-process test driver, and vdsm is
played by tests/vdsm.py, which runs hooks as vdsm does. Nothing outside a temporary directory is touched.
"""

from __future__ import annotations

import difflib
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests import daemon
from tests.daemon import Sandbox
from tests.vdsm import HookRun, run_hooks

EVENT = "before_device_create"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="hookd-demo-") as name:
        heading("The daemon starts. It reads libvirt's networks, and keeps them in memory")
        print(f"$ {shlex.join(Sandbox(Path(name)).command)} &", flush=True)
        with daemon.running(Path(name)) as sandbox:
            return story(sandbox)


def story(sandbox: Sandbox) -> int:
    hooks = hook_directory(sandbox)
    xml = (daemon.SAMPLES / "interface.xml").read_text()

    heading("A vNIC whose profile says extnet=glitter: vdsm runs the hook before it creates the device")
    joined = run_hooks(hooks, EVENT, xml, {"extnet": "glitter"})
    show(joined, xml)

    heading("A vNIC without the property: the shim leaves at once, and asks nobody")
    untouched = run_hooks(hooks, EVENT, xml, {})
    show(untouched, xml)

    heading("A vNIC whose profile names a network that this host does not have: refused, and nothing is changed")
    refused = run_hooks(hooks, EVENT, xml, {"extnet": "gliter"})
    show(refused, xml)

    heading("What the operator sees")
    for arguments in (["status"], ["networks"]):
        print(f"$ hookctl {shlex.join(arguments)}")
        sys.stdout.flush()
        hookctl = [str(daemon.BIN / "hookctl"), f"--socket={sandbox.control_socket}"]
        subprocess.run([*hookctl, *arguments], check=True)

    told = not joined.failed and 'network="glitter"' in joined.xml and untouched.xml == xml
    return 0 if told and refused.failed and refused.xml == xml else 1


def show(run: HookRun, before: str) -> None:
    """What vdsm is left with: the hook's exit status, its stderr, and what became of the XML."""
    (hook,) = run.hooks
    print(f"{EVENT}/{hook.name} exited {hook.returncode} after {hook.seconds * 1000:.1f} ms")
    if run.stderr:
        print(f"stderr: {run.stderr.rstrip()}")
    changed = difflib.unified_diff(before.splitlines(), run.xml.splitlines(), "before", "after", n=1, lineterm="")
    print("\n".join(changed) or "the XML is what it was", flush=True)


def hook_directory(sandbox: Sandbox) -> Path:
    """vdsm's hook directories. On a host 50_extnet is a symlink to hook-shim; here it also names the demo's socket."""
    hook = sandbox.folder / "hooks" / EVENT / "50_extnet"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"#!/bin/sh\nexec {shlex.join(sandbox.shim(EVENT, 'extnet'))}\n")
    hook.chmod(0o755)
    return sandbox.folder / "hooks"


def heading(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
