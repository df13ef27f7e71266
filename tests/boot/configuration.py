"""What an administrator writes into the configuration of a machine."""

from __future__ import annotations

SITE = "/etc/vdsm-hookd/vdsm-hookd.conf.d/60-site.conf"
BAD = "[extnet]\nalow = x\n"
REASON = f"{SITE}:2: [extnet] has no option 'alow'"
"""Why that one is bad."""
