"""What operators see, ask, rehearse and audit, on the real daemon."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.real.guest import Guest, domain_with, sample
from tests.real.hookd import BIN, CONTROL_SOCKET, ROOT, Hookd, hookctl, hookctl_json, link_hook
from tests.real.host import Bridge
from tests.real.libvirtd import Libvirtd, Network
from tests.real.makers import MakeBridge, MakeGuest, MakeHookd
from tests.real.peer import answer, connected, framed
from tests.real.wait import wait_for
from tests.vdsm import VM_ID, run_hooks

CREATE = "before_device_create"
MAC = "52:54:00:59:F5:3F"
GUEST_MAC = "56:6f:1a:2b:00:04"
VNIC = (
    '<interface type="bridge"><model type="virtio"/><source bridge="ovirtmgmt"/>'
    f'<mac address="{GUEST_MAC}"/></interface>'
)


def create(extnet: Path, value: str) -> None:
    run_hooks(extnet, CREATE, sample("interface.xml"), {"extnet": value})


def wait_recorded(hookd: Hookd, number: int) -> None:
    """A request is recorded after it is answered."""
    wait_for(lambda: hookd.ask("history")["last"] >= number, f"{number} decisions")


def values(text: str) -> dict[str, float]:
    """The samples of an exposition, as Prometheus' own parser reads them."""
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def served(make_hookd: MakeHookd, test_node: str, extnet: Path) -> Hookd:
    """A daemon that has rewritten two requests and refused one."""
    hookd = make_hookd(test_node)
    for value in ("glitter", "nowhere", "wifi-nat"):
        create(extnet, value)
    wait_recorded(hookd, 3)
    return hookd


def test_history_tells_of_each_decision(served: Hookd) -> None:
    records = hookctl_json("history")
    assert [record["id"] for record in records] == [1, 2, 3]
    assert [record["outcome"] for record in records] == ["rewritten", "refused", "rewritten"]
    first, refused = records[:2]
    assert (first["event"], first["hook"], first["vm_id"], first["mac"]) == (CREATE, "extnet", VM_ID, MAC)
    assert (first["properties"], first["network"]) == ({"extnet": "glitter"}, "glitter")
    assert refused["code"] == "network-missing"
    assert refused["message"].startswith("network-missing: libvirt on this host has no network 'nowhere'")
    assert abs(first["at"] - time.time()) < 60
    lines = hookctl("history").stdout.splitlines()
    assert lines[0].split()[:3] == ["ID", "TIME", "EVENT"]
    assert len(lines) == 4
    assert "extnet=nowhere" in lines[2]
    assert hookctl("history", "-n", "1", "--no-legend").stdout.split()[0] == "3"
    assert len(hookctl_json("history", "--vm", VM_ID)) == 3
    assert hookctl_json("history", "--vm", "other") == []
    assert hookctl("history", "-n", "x").returncode == 64


@contextmanager
def following(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [str(BIN / "hookctl"), "history", "--follow", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0


def test_history_is_followed_also_across_a_restart(served: Hookd, extnet: Path) -> None:
    with following("-n", "1", "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["id"] == 3
        create(extnet, "ovs-net")
        record = json.loads(process.stdout.readline())
        assert (record["id"], record["network"]) == (4, "ovs-net")
        served.stop()
        served.start()
        create(extnet, "glitter")
        record = json.loads(process.stdout.readline())
        assert (record["id"], record["network"]) == (1, "glitter")


def test_many_followers_are_all_told_and_do_not_hold_up_a_stop(served: Hookd, extnet: Path) -> None:
    run = served.ask("history")["run"]
    question = framed([1, "history", {"after": 3, "wait": 60, "run": run}])
    clients = [connected(CONTROL_SOCKET) for _ in range(50)]
    for client in clients:
        client.sendall(question)
    create(extnet, "glitter")
    for client in clients:
        assert [record["id"] for record in answer(client)[2]["records"]] == [4]
        client.close()
    with connected(CONTROL_SOCKET) as client:
        client.sendall(framed([1, "history", {"after": 4, "wait": 60, "run": run}]))
        served.ask("status")  # it was read before this one
        started = time.monotonic()
        served.stop()
        assert time.monotonic() - started < 1.4
        assert answer(client)[2]["records"] == []


def test_history_has_its_bounds_and_no_secret(make_hookd: MakeHookd, test_node: str, hooks_dir: Path) -> None:
    hookd = make_hookd(test_node, "[history]\nentries = 2\n")
    link_hook(hooks_dir, "qemucmdline", ["before_vm_start"])
    xml = sample("domain.xml").replace('passwd="*****"', 'passwd="hush"')
    for _ in range(3):
        run_hooks(hooks_dir, "before_vm_start", xml, {"qemu_cmdline": '["-object", "secret,id=s,data=hush"]'})
    wait_recorded(hookd, 3)
    assert [record["id"] for record in hookctl_json("history")] == [2, 3]
    replayed = hookctl("replay", "3", "--json")
    assert replayed.returncode == 0, replayed.stdout
    assert "hush" not in replayed.stdout + hookctl("history", "--json").stdout
    assert json.loads(replayed.stdout)["record"]["vm_name"] == "web-01"
    (secret,) = [line for line in replayed.stdout.splitlines() if '"qemu_cmdline"' in line]
    assert "data=*****" in secret
    assert hookctl("replay", "1").returncode == 1


def test_replay_shows_what_differs_today(served: Hookd) -> None:
    same = hookctl("replay", "1")
    assert same.returncode == 0
    assert "Differs: nothing" in same.stdout
    assert '+  <source network="glitter"/>' in same.stdout
    served.configuration.write_text("[map]\nrhevm = glitter\n[extnet]\ndeny = glitter\n")
    assert hookctl("reload").returncode == 0
    other = hookctl("replay", "1")
    assert other.returncode == 1
    assert "Outcome then: rewritten" in other.stdout
    assert "Reason now: network-not-allowed: " in other.stdout
    result = hookctl_json("replay", "1")
    assert {"outcome", "code", "document", "message"} <= set(result["differs"])
    assert (result["then"]["outcome"], result["now"]["outcome"]) == ("rewritten", "refused")
    assert hookctl_json("status")["requests"] == {"unchanged": 0, "rewritten": 2, "refused": 1, "held": 0}
    assert hookctl("replay", "99").returncode == 1
    assert hookctl("replay", "x").returncode == 64


def test_status_tells_all_on_one_screen(served: Hookd) -> None:
    status = hookctl_json("status")
    assert status["requests"] == {"unchanged": 0, "rewritten": 2, "refused": 1, "held": 0}
    assert status["sockets"]["control"] == str(CONTROL_SOCKET)
    assert 0 < status["latency"]["p50"] <= status["latency"]["p99"] < 5
    assert status["last_refusal"]["message"] == hookctl_json("history")[1]["message"]
    text = hookctl("status")
    assert text.returncode == 0
    assert len(text.stdout.splitlines()) <= 24
    assert "Requests: 3 served: 0 unchanged, 2 rewritten, 1 refused" in text.stdout
    assert "\x1b" not in text.stdout
    served.configuration.write_text("[nonsense]\n")
    assert hookctl("reload").returncode == 65
    degraded = hookctl("status")
    assert degraded.returncode == 1
    assert "State: degraded: the configuration on disk is not in force: " in degraded.stdout


def test_metrics_are_read_by_prometheus_and_agree_with_the_history(served: Hookd, tmp_path: Path) -> None:
    with connected() as client:
        client.sendall(framed([2, "nonsense"]))
        assert answer(client)[1] == "refused"
    found = values(hookctl("metrics").stdout)
    records = hookctl_json("history")
    labels = f" event={CREATE} hook=extnet"
    assert found[f"vdsm_hookd_requests_total code={labels} outcome=rewritten"] == 2
    assert found[f"vdsm_hookd_requests_total code=network-missing{labels} outcome=refused"] == 1
    assert found["vdsm_hookd_request_duration_seconds_count"] == len(records)
    total = sum(record["seconds"] for record in records)
    assert abs(found["vdsm_hookd_request_duration_seconds_sum"] - total) < 1e-9
    for name, value in found.items():
        if bound := re.fullmatch(r"vdsm_hookd_request_duration_seconds_bucket le=(.*)", name):
            assert value == sum(record["seconds"] <= float(bound[1]) for record in records)
    assert found["vdsm_hookd_networks state=active"] == 3
    assert found["vdsm_hookd_libvirt_up"] == 1
    assert found["vdsm_hookd_bad_messages_total code=bad-request"] == 1
    assert {family["name"] for family in hookctl_json("metrics")} >= {"vdsm_hookd_requests", "vdsm_hookd_build"}
    file = tmp_path / "vdsm-hookd.prom"
    assert hookctl("metrics", "--textfile", str(file)).returncode == 0
    assert sorted(path.name for path in tmp_path.glob("*prom*")) == [file.name]
    refused = hookctl("metrics", "--textfile", str(tmp_path / "none" / "x.prom"))
    assert refused.returncode == 1
    assert "write-failed" in refused.stderr


@pytest.mark.needs_tools
def test_promtool_has_nothing_to_say(served: Hookd, tmp_path: Path) -> None:
    promtool = BIN / "promtool"
    if not promtool.exists():
        pytest.skip("no promtool: this distribution has no package of it")
    file = tmp_path / "vdsm-hookd.prom"
    assert hookctl("metrics", "--textfile", str(file)).returncode == 0
    for text in (file.read_text(), hookctl("metrics", "--format", "prometheus").stdout):
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_dashboard_asks_for_metrics_that_there_are(served: Hookd) -> None:
    with connected() as client:
        client.sendall(framed([2, "nonsense"]))
        answer(client)
    hookctl("audit")
    offered = {name.partition(" ")[0] for name in values(hookctl("metrics").stdout)} | {"vdsm_hookd_drifted_vnics"}
    asked = set(re.findall(r"vdsm_hookd_\w+", (ROOT / "docs" / "grafana.json").read_text()))
    assert len(asked) > 8
    assert asked <= offered


@pytest.fixture
def moved(
    make_bridge: MakeBridge, glitter: Network, make_guest: MakeGuest, extnet: Path, make_hookd: MakeHookd
) -> tuple[Hookd, Guest]:
    """A guest that started on glitter, and a way to move its vNIC behind the daemon's back."""
    make_bridge("ovirtmgmt")
    hookd = make_hookd("network:///system", "[audit]\nevery = 200ms\n")
    hooked = run_hooks(extnet, CREATE, VNIC, {"extnet": "glitter"})
    assert not hooked.failed, hooked.stderr
    guest = make_guest(domain_with(hooked.xml))
    return hookd, guest


def test_a_vnic_that_was_moved_behind_the_daemons_back_is_found(
    moved: tuple[Hookd, Guest], bridge: Bridge, tmp_path: Path
) -> None:
    hookd, guest = moved
    assert guest.bridge_of(GUEST_MAC) == bridge.name
    good = hookctl("audit")
    assert (good.returncode, good.stdout) == (0, "1 running VMs with 1 vNICs, 0 of them drifted\n")
    assert hookctl_json("networks", "glitter")[0]["users"][0]["vm_name"] == guest.name

    other = tmp_path / "other.xml"
    other.write_text(VNIC)
    virsh = ["virsh", "--connect", "qemu:///system", "update-device", guest.name, str(other), "--live"]
    subprocess.run(virsh, check=True, capture_output=True, timeout=30)
    assert guest.bridge_of(GUEST_MAC) == "ovirtmgmt"

    line = f"{guest.name} {GUEST_MAC} declared glitter, is on ovirtmgmt"
    drifted = hookctl("audit")
    assert drifted.returncode == 1
    assert drifted.stdout.splitlines() == [line, "1 running VMs with 1 vNICs, 1 of them drifted"]
    result = hookctl("audit", "--json")
    assert result.returncode == 1
    (found,) = json.loads(result.stdout)["drifts"]
    assert (found["declared"], found["actual"], found["text"]) == ("glitter", "ovirtmgmt", line)
    walks = "vdsm_hookd_audits_total result=ok"
    before = values(hookctl("metrics").stdout)[walks]
    wait_for(lambda: values(hookctl("metrics").stdout)[walks] >= before + 3, "three more looks of the timer")
    metrics = values(hookctl("metrics").stdout)
    assert (metrics["vdsm_hookd_drifted_vnics"], metrics["vdsm_hookd_drifts_total"]) == (1, 1)
    assert hookd.logged().count(line) == 1
    assert "1 drift" in hookctl("status").stdout
    assert hookctl_json("networks", "glitter")[0]["vnics"] == 0

    guest.update(
        VNIC.replace('type="bridge"', 'type="network"').replace("bridge=", "network=").replace("ovirtmgmt", "glitter")
    )
    hookd.wait_logged(f"no longer so: {line}")
    assert hookctl("audit").returncode == 0


def test_a_libvirt_that_hangs_hangs_neither_audit_nor_networks_nor_requests(
    moved: tuple[Hookd, Guest], libvirtd: Libvirtd, extnet: Path
) -> None:
    libvirtd.sigstop()
    started = time.monotonic()
    late = hookctl("audit")
    assert late.returncode == 1
    assert "did not answer within 4 s" in late.stderr
    assert time.monotonic() - started < 6
    assert not run_hooks(extnet, CREATE, sample("interface.xml"), {"extnet": "glitter"}).failed
    assert hookctl("networks").returncode == 0
    libvirtd.sigcont()
    wait_for(lambda: hookctl("audit").returncode == 0, "an audit that works again", 30)


def test_networks_show_bridge_and_rewrites(
    make_hookd: MakeHookd, glitter: Network, bridge: Bridge, extnet: Path
) -> None:
    hookd = make_hookd("network:///system")
    create(extnet, "glitter")
    wait_recorded(hookd, 1)
    (known,) = hookctl_json("networks", "glitter")
    assert (known["bridge_present"], known["vnics"], known["users"], known["rewrites"]) == (True, 0, [], 1)
    bridge.delete()
    (known,) = hookctl_json("networks", "glitter")
    assert (known["active"], known["bridge_present"]) == (True, False)
    assert re.search(r"^glitter +active +bridge +br-test\d+ +no ", hookctl("networks").stdout, re.MULTILINE)


def ask_as(uid: int, groups: list[int], *arguments: str) -> subprocess.CompletedProcess[str]:
    """hookctl, run by another user."""
    return subprocess.run(
        [str(BIN / "hookctl"), *arguments],
        user=uid,
        group=uid,
        extra_groups=groups,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.own_process
def test_only_root_and_the_group_may_ask_and_only_root_may_reload(make_hookd: MakeHookd, test_node: str) -> None:
    stranger = 64321
    make_hookd(test_node, "[daemon]\ncontrol_group = kvm\n")
    kvm = os.stat(CONTROL_SOCKET).st_gid
    assert kvm != 0
    assert ask_as(stranger, [kvm], "status").returncode == 0
    assert ask_as(stranger, [kvm], "networks", "--json").returncode == 0
    refused = ask_as(stranger, [kvm], "reload")
    assert refused.returncode == 77
    assert "only root may" in refused.stderr
    assert ask_as(stranger, [], "status").returncode == 77
    os.chmod(CONTROL_SOCKET, 0o666)  # then the daemon itself has to say no
    denied = ask_as(stranger, [], "status")
    assert denied.returncode == 77
    assert "uid 64321 may not use the control socket" in denied.stderr
    assert hookctl("reload").returncode == 0


@pytest.mark.own_process
def test_a_group_that_is_not_there_stops_nothing(make_hookd: MakeHookd, test_node: str) -> None:
    hookd = make_hookd(test_node, "[daemon]\ncontrol_group = nobody-has-this\n")
    assert hookctl("status").returncode == 0
    assert "there is no such group" in hookd.logged()


def test_a_hostile_request_makes_one_harmless_line_everywhere(make_hookd: MakeHookd, test_node: str) -> None:
    hookd = make_hookd(test_node)
    evil = "a\n\x1b[31mvdsm-hookd: lies\u202e\x9b"
    with connected() as client:
        environment = {"extnet": evil.encode(), "vmId": evil.encode(), evil: b"x"}
        xml = b"<domain><name>n\n\xc2\x9bx</name></domain>"
        client.sendall(framed([1, CREATE + "\n" + evil, "extnet", environment, xml]))
        assert answer(client)[1] == "refused"
    wait_recorded(hookd, 1)
    logged = hookd.logged().splitlines()
    assert all(line.isprintable() for line in logged)
    assert len([line for line in logged if "lies" in line]) == 1
    for verb in (["history"], ["status"], ["replay", "1"], ["metrics"]):
        shown = hookctl(*verb).stdout
        assert all(line.isprintable() for line in shown.splitlines()), shown
    assert len(hookctl("history", "--no-legend").stdout.splitlines()) == 1
    assert 'event="other"' in hookctl("metrics").stdout


def _memory(pid: int) -> int:
    """Private memory in KiB: what would come free if it ended."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))


@pytest.mark.timeout(600)
def test_after_100_000_requests_memory_is_where_it_was_after_2000(make_hookd: MakeHookd, test_node: str) -> None:
    hookd = make_hookd(test_node)
    interface = sample("interface.xml").encode()
    requests = [
        framed([1, CREATE, "extnet", {"extnet": value, "vmId": b"%d" % n}, interface + b"<!-- %d -->" % n])
        for n in range(1000)
        for value in (b"glitter", b"nowhere-%d" % n)
    ]

    def send(count: int) -> None:
        for number in range(count):
            with connected() as client:
                client.sendall(requests[number % len(requests)])
                while client.recv(65536):
                    pass

    send(2000)
    wait_recorded(hookd, 2000)
    before = _memory(hookd.pid)
    send(98_000)
    wait_recorded(hookd, 100_000)
    assert _memory(hookd.pid) - before < 8 * 1024
