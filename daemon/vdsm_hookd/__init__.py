"""vdsm-hookd: the warm daemon behind vdsm's hooks.

The way of a request: `server` (bytes on a socket) → `wire` (typed request) → `service` (which snapshot, what if
libvirt has to be asked) → `decision` (the pure core) → a file in `hooks/` (the rewrite) → and back.
"""

__version__ = "0.1.0"
