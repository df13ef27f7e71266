# The two commands of the README are `make demo` and `make check`; `make help` lists the rest.
# Each target installs what it needs and is missing, with apt or dnf, as root or through sudo.

PYTHON ?= /usr/bin/python3
PREFIX ?= /usr
DESTDIR ?=
VENV = .venv
BIN = $(VENV)/bin
SCRIPTS = .ci/packages .ci/run tests/real/run tests/interpreters

# glibc's and musl's NULL is a pointer, as sentinels need it to be.
CPPCHECK_SUPPRESS = --suppress=varFuncNullUB

.PHONY: help demo check lint test test-real test-asan test-interpreters bench bench-smoke shim install clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: shim $(VENV)/.run ## show the main job on libvirt's test driver
	$(BIN)/python docs/demo/demo.py

check: lint test test-asan test-interpreters test-real bench-smoke demo ## lint and test everything that this machine can run
	@echo "make check: all passed"

shim: $(VENV)/.packages ## build shim/hook-shim
	@$(MAKE) --no-print-directory -C shim

lint: shim $(VENV)/.test # cppcheck reads what the build generates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability $(CPPCHECK_SUPPRESS) shim
	shellcheck $(SCRIPTS)
	mandoc -Tlint -Wwarning docs/*.[158]

test: shim $(VENV)/.test
	$(BIN)/pytest tests/unit tests/shim

test-asan: $(VENV)/.test
	$(MAKE) --no-print-directory -C shim asan
	HOOK_SHIM=$(CURDIR)/shim/hook-shim.asan $(BIN)/pytest -q -m "not release_binary" tests/shim

test-interpreters: $(VENV)/.test
	tests/interpreters

test-real: shim $(VENV)/.test
	tests/real/run $(BIN)/pytest tests/real # in namespaces of its own, where it finds and leaves nothing

bench: shim $(VENV)/.test ## measure, and compare with the bars
	$(BIN)/python -m tests.bench

bench-smoke: shim $(VENV)/.test # whether the benchmark runs; it judges nothing
	$(BIN)/python -m tests.bench --smoke --output $(VENV)

# Bootstrapping. The distribution's lxml, libvirt, systemd and msgpack are what a host runs with, so the venv sees them.

$(VENV)/.packages: .ci/packages
	.ci/packages run
	$(PYTHON) -m venv --system-site-packages $(VENV)
	touch $@

# Not pip: what a bare distribution's pip and setuptools can build differs, and it takes two files and a path.
launcher = printf '\#!%s\nimport sys\nfrom vdsm_hookd.%s import main\nsys.exit(main())\n' '$(1)' $(2) > $(3) && chmod 755 $(3)

$(VENV)/.run: $(VENV)/.packages Makefile
	echo $(CURDIR)/daemon > $$(echo $(VENV)/lib/python3*/site-packages)/vdsm_hookd.pth
	$(call launcher,$(CURDIR)/$(BIN)/python,daemon,$(BIN)/vdsm-hookd)
	$(call launcher,$(CURDIR)/$(BIN)/python,hookctl,$(BIN)/hookctl)
	touch $@

$(VENV)/.test: tests/requirements.txt $(VENV)/.run
	.ci/packages test
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@

# The one way in which files reach a host.
SITE = $(DESTDIR)$(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/vdsm_hookd
DEVICE = before_device_create before_nic_hotplug before_update_device
LINKS = $(DEVICE:%=%/50_extnet) before_device_migrate_destination/50_extnet \
	$(DEVICE:%=%/50_macspoof) before_vm_start/50_macspoof before_vm_start/50_qemucmdline

install: shim ## put all files where a host has them, below DESTDIR
	install -d $(SITE)/hooks $(SITE)/declared $(SITE)/hookctl $(DESTDIR)/etc/vdsm-hookd/vdsm-hookd.conf.d
	install -m 644 daemon/vdsm_hookd/*.py $(SITE)
	install -m 644 daemon/vdsm_hookd/declared/*.py $(SITE)/declared
	install -m 644 daemon/vdsm_hookd/hookctl/*.py $(SITE)/hookctl
	install -m 644 hooks/*.py $(SITE)/hooks
	install -D -m 755 shim/hook-shim $(DESTDIR)$(PREFIX)/libexec/vdsm-hookd/hook-shim
	install -m 644 conf/vdsm-hookd.conf $(DESTDIR)/etc/vdsm-hookd
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system systemd/*.service systemd/*.socket
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system-preset systemd/85-vdsm-hookd.preset
	install -D -m 644 systemd/vdsm-hookd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/vdsm-hookd.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/vdsm-hookd README.md CHANGELOG.md docs/*.md
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/vdsm-hookd/examples conf/examples/*.conf
	for page in docs/*.[158]; do \
		install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$${page##*.} $$page || exit; \
	done
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin
	$(call launcher,$(PYTHON) -I,daemon,$(DESTDIR)$(PREFIX)/sbin/vdsm-hookd)
	$(call launcher,$(PYTHON) -I,hookctl,$(DESTDIR)$(PREFIX)/bin/hookctl)
	for link in $(LINKS); do \
		install -d $(DESTDIR)$(PREFIX)/libexec/vdsm/hooks/$${link%/*} && \
		ln -sfn $(PREFIX)/libexec/vdsm-hookd/hook-shim $(DESTDIR)$(PREFIX)/libexec/vdsm/hooks/$$link || exit; \
	done

clean:
	$(MAKE) -C shim clean
	rm -rf $(VENV) .venv-* build .cache daemon/*.egg-info
