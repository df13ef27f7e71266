"""The stand-in for vdsm itself: what a hook meets, and what vdsm makes of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.vdsm import HookTimeout, hooks_of, run_hooks

EVENT = "before_vm_start"


def install(hooks_dir: Path, name: str, script: str, mode: int = 0o755) -> None:
    hook = hooks_dir / EVENT / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(mode)


def test_only_visible_executable_files_run_and_in_order(hooks_dir: Path) -> None:
    for name in ("60_b", "50_a", ".50_hidden"):
        install(hooks_dir, name, 'printf "${0##*/} " >>"$_hook_domxml"')
    install(hooks_dir, "55_not_executable", "exit 2", mode=0o644)
    (hooks_dir / EVENT / "57_directory").mkdir()
    (hooks_dir / EVENT / "70_link").symlink_to("50_a")

    done = run_hooks(hooks_dir, EVENT, "")

    assert done.xml == "50_a 60_b 70_link "
    assert [hook.name for hook in hooks_of(hooks_dir, EVENT)] == ["50_a", "60_b", "70_link"]


def test_the_environment_holds_properties_and_vdsms_own_names(hooks_dir: Path) -> None:
    install(hooks_dir, "50_print", 'printf "%s|%s|%s|%s" "$extnet" "$vmId" "$HOME" "$#"')
    params: dict[str, str | bytes] = {"extnet": b"gl\xfftter", "vmId": "forged", "_hook_domxml": "/etc/passwd"}

    done = run_hooks(hooks_dir, EVENT, "<domain/>", params, env={"PATH": "/bin:/usr/bin"})

    assert done.xml == "<domain/>"
    assert done.hooks[0].stdout == b"gl\xfftter|7a9c4a0e-6d1f-4a57-9a55-3a9f2d0f5b11||0"


def test_exit_1_goes_on_and_the_error_is_that_of_the_last_hook(hooks_dir: Path) -> None:
    install(hooks_dir, "50_a", "echo real reason >&2; exit 1")
    install(hooks_dir, "60_b", "echo noise >&2")

    done = run_hooks(hooks_dir, EVENT, "")

    assert done.failed
    assert done.returncodes == {"50_a": 1, "60_b": 0}
    assert done.stderr == "noise\n"


def test_exit_2_stops_and_the_file_is_used_all_the_same(hooks_dir: Path) -> None:
    install(hooks_dir, "50_a", 'printf half >"$_hook_domxml"; echo why >&2; exit 2')
    install(hooks_dir, "60_b", "exit 0")

    done = run_hooks(hooks_dir, EVENT, "whole")

    assert done.returncodes == {"50_a": 2}
    assert (done.xml, done.stderr, done.failed) == ("half", "why\n", True)


def test_a_reserved_status_is_a_failure(hooks_dir: Path) -> None:
    install(hooks_dir, "50_a", "exit 3")
    install(hooks_dir, "60_b", "kill -9 $$")

    done = run_hooks(hooks_dir, EVENT, "")

    assert done.failed
    assert done.reserved == ("50_a", "60_b")


def test_what_a_hook_leaves_beside_the_file_is_litter(hooks_dir: Path) -> None:
    install(hooks_dir, "50_a", 'touch "$(dirname "$_hook_domxml")/left"')
    assert run_hooks(hooks_dir, EVENT, "").litter == ("left",)


def test_the_file_is_read_back_by_name(hooks_dir: Path) -> None:
    install(hooks_dir, "50_a", 'echo new >"$_hook_domxml.n"; mv "$_hook_domxml.n" "$_hook_domxml"')
    done = run_hooks(hooks_dir, EVENT, "old")
    assert (done.xml, done.mode, done.litter) == ("new\n", 0o644, ())


@pytest.mark.skipif(os.getuid() != 0, reason="changes the user")
def test_the_hook_runs_as_the_user_who_owns_the_file(hooks_dir: Path) -> None:
    install(hooks_dir, "50_a", 'id -u >>"$_hook_domxml"; id -g >>"$_hook_domxml"')
    done = run_hooks(hooks_dir, EVENT, "", user=36)
    assert done.xml.split() == ["36", "36"]
    assert (done.uid, done.gid, done.mode) == (36, 36, 0o600)


def test_a_hanging_hook_is_an_error_of_the_test(hooks_dir: Path) -> None:
    install(hooks_dir, "50_a", "exec sleep 60")
    with pytest.raises(HookTimeout, match="50_a still runs"):
        run_hooks(hooks_dir, EVENT, "", timeout=0.2)
