"""bash completes hookctl's command line, with the names that the running daemon knows."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.hookd import BIN, ROOT
from tests.real.makers import MakeHookd

SCRIPT = ROOT / "conf" / "completions" / "hookctl"
PROMPT = "ready> "
DEADLINE = 20.0  # seconds


class Bash:
    """An interactive bash in a terminal of its own, without the machine's start-up files."""

    def __init__(self, folder: Path) -> None:
        rc = folder / "bashrc"
        rc.write_text(
            f"PS1='{PROMPT}'; PATH={BIN}:$PATH; HISTFILE=; TERM=dumb; source {SCRIPT}\n"
            "bind 'set bell-style none'; bind 'set completion-query-items 0'; bind 'set page-completions off'\n"
            "bind 'set enable-bracketed-paste off'; bind '\"\\C-t\": insert-completions'\n"
            'bind -x \'"\\C-o": printf "<%s>\\n" "$READLINE_LINE"\'\n'
        )
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvp("bash", ["bash", "--noprofile", "--rcfile", str(rc), "-i"])
        self._seen = ""
        self.wait(re.escape(PROMPT) + "$")

    def type(self, keys: str) -> None:
        self._seen = ""
        os.write(self._terminal, keys.encode())

    def wait(self, pattern: str) -> str:
        """What the terminal shows since the last keys, once that has the pattern."""
        end = time.monotonic() + DEADLINE
        while not re.search(pattern, self._seen):
            if not select.select([self._terminal], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"no {pattern!r} within {DEADLINE:g} s in {self._seen!r}")
            self._seen += os.read(self._terminal, 65536).decode(errors="replace").replace("\r", "")
        return self._seen

    def completed(self, line: str, key: str = "\t") -> str:
        """The line that one TAB makes of `line`."""
        self.type(f"{line}{key}\x0f")
        shown = self.wait(r"<[^<>\n]*>\n")
        self.type("\x15")
        found = re.findall(r"<([^<>\n]*)>\n", shown)
        return str(found[-1])

    def all(self, line: str) -> list[str]:
        """All words that may complete `line`."""
        return self.completed(line, "\x14")[len(line.rpartition(" ")[0]) :].split()

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Bash]:
    folder = tmp_path / "bash"
    folder.mkdir()
    shell = Bash(folder)
    yield shell
    shell.close()


def test_names_come_from_the_running_daemon(make_hookd: MakeHookd, test_node: str, bash: Bash) -> None:
    hookd = make_hookd(test_node)
    assert bash.completed("hookctl networks gl") == "hookctl networks glitter "
    assert bash.all("hookctl networks ") == ["glitter", "ovs-net", "wifi-nat"]
    assert bash.completed("hookctl explain --hook q") == "hookctl explain --hook qemucmdline "
    assert bash.completed("hookctl explain --event before_nic") == "hookctl explain --event before_nic_hotplug "
    assert "before_vm_destroy" not in bash.all("hookctl explain --event ")
    hookd.kill()
    assert bash.completed("hookctl networks gl") == "hookctl networks gl"
    assert "before_vm_destroy" in bash.all("hookctl explain --event ")


def test_properties_and_their_values(make_hookd: MakeHookd, test_node: str, bash: Bash) -> None:
    make_hookd(test_node)
    assert bash.completed("hookctl explain --prop ext") == "hookctl explain --prop extnet="
    assert bash.completed("hookctl explain --prop extnet=wi") == "hookctl explain --prop extnet=wifi-nat "
    assert bash.completed("hookctl explain --prop=mac") == "hookctl explain --prop=macspoof="
    assert bash.all("hookctl explain --prop extnet=") == ["extnet=glitter", "ovs-net", "wifi-nat"]


def test_verbs_options_and_files(bash: Bash, tmp_path: Path) -> None:
    assert bash.completed("hookctl expl") == "hookctl explain "
    assert bash.completed("hookctl --json pol") == "hookctl --json policy "
    assert {"status", "networks", "hooks", "check", "engine-config"} <= set(bash.all("hookctl "))
    assert "complete" not in bash.all("hookctl ")
    assert bash.completed("hookctl explain --again") == "hookctl explain --against "
    assert bash.completed("hookctl explain --against c") == "hookctl explain --against configuration "
    assert bash.completed("hookctl explain --against=d") == "hookctl explain --against=daemon "
    assert bash.completed("hookctl policy --ho") == "hookctl policy --ho"
    (tmp_path / "bash" / "interface.xml").write_text("")
    assert bash.completed("hookctl explain --hook extnet int") == "hookctl explain --hook extnet interface.xml "
    assert bash.completed("hookctl policy --socket int") == "hookctl policy --socket interface.xml "
    assert bash.completed("hookctl policy int") == "hookctl policy int"


def test_a_name_is_never_read_by_the_shell(
    make_hookd: MakeHookd, private_host: None, tmp_path: Path, bash: Bash
) -> None:
    node = tmp_path / "odd.xml"
    node.write_text("<node><network><name>$(touch x) *</name></network></node>")
    make_hookd(f"test://{node}")
    assert bash.completed("hookctl networks ") == r"hookctl networks \$\(touch\ x\)\ \* "
    assert list((tmp_path / "bash").iterdir()) == [tmp_path / "bash" / "bashrc"]
