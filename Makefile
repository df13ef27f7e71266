# The two commands of the README are `make demo` and `make check`; `make help` lists the rest.
# Each target installs what it needs and is missing, with apt or dnf, as root or through sudo.

PYTHON ?= /usr/bin/python3
PREFIX ?= /usr
DESTDIR ?=
VENV = .venv
BIN = $(VENV)/bin
SCRIPTS = .ci/audit .ci/packages .ci/promtool .ci/run tests/real/run tests/interpreters conf/completions/hookctl

# glibc's and musl's NULL is a pointer, as sentinels need it to be.
CPPCHECK_SUPPRESS = --suppress=varFuncNullUB

.PHONY: help demo screens check forget-faults soak lint audit test test-real test-boot test-asan test-interpreters fuzz bench breakdown bench-smoke shim install install-files install-extra rpm clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: shim $(VENV)/.run ## show the main job on libvirt's test driver
	$(BIN)/python docs/demo/demo.py

screens: shim $(VENV)/.test ## draw the README's pictures anew, from a real run
	tests/real/run $(BIN)/python docs/demo/screens.py

check: forget-faults lint audit test test-asan test-interpreters test-real test-boot bench-smoke demo ## lint and test everything that this machine can run
	@$(BIN)/python -m tests.faults
	@echo "make check: all passed"

# What is withstood, and how often it was tried: the tests report it, and a row without a report fails the check.
forget-faults: $(VENV)/.test
	$(BIN)/python -m tests.faults --clear

SOAKED = tests/boot/test_soak.py tests/boot/test_faults.py::test_a_host_that_slept_goes_on_where_it_was

soak: shim $(VENV)/.test ## the long tests at their full length: about 15 minutes
	.ci/packages rpm boot
	FAULTS=full tests/real/run $(BIN)/pytest tests/real/test_restarts.py
	FAULTS=full $(OWN_NAMESPACES) $(BIN)/pytest $(SOAKED)

shim: $(VENV)/.packages ## build shim/hook-shim
	@$(MAKE) --no-print-directory -C shim

lint: shim $(VENV)/.test # cppcheck reads what the build generates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability $(CPPCHECK_SUPPRESS) shim
	shellcheck $(SCRIPTS)
	mandoc -Tlint -Wwarning docs/*.[158]

audit: $(VENV)/.packages # of what the service runs with
	.ci/audit

test: shim $(VENV)/.test
	$(BIN)/pytest tests/unit tests/shim tests/fuzz

test-asan: $(VENV)/.test
	$(MAKE) --no-print-directory -C shim asan
	HOOK_SHIM=$(CURDIR)/shim/hook-shim.asan $(BIN)/pytest -q -m "not release_binary" tests/shim

test-interpreters: $(VENV)/.test
	tests/interpreters

test-real: shim $(VENV)/.test
	tests/real/run $(BIN)/pytest tests/real # in namespaces of its own, where it finds and leaves nothing

# In namespaces of its own, so that with it all ends that it has started and mounted.
OWN_NAMESPACES = unshare --mount --pid --fork --kill-child --mount-proc --propagation private

test-boot: shim $(VENV)/.test # on booted hosts, with the packages installed
	.ci/packages rpm boot
	$(OWN_NAMESPACES) $(BIN)/pytest tests/boot

SECONDS = 180
fuzz: shim $(VENV)/.test ## fuzz each decoder for SECONDS, and keep what is found new
	$(BIN)/python -m tests.fuzz.targets $(SECONDS)

bench: shim $(VENV)/.test ## measure, and compare with the bars
	$(BIN)/python -m tests.bench

breakdown: shim $(VENV)/.test ## draw where the time of one request goes
	$(BIN)/python -m tests.bench.breakdown

bench-smoke: shim $(VENV)/.test # whether both run; it judges nothing
	$(BIN)/python -m tests.bench --smoke --output $(VENV)
	$(BIN)/python -m tests.bench.breakdown --rounds 5 --output $(VENV)/breakdown.svg

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
	.ci/promtool $(BIN)
	touch $@

# The one way in which files reach a host. PURELIB is where its Python finds packages.
PURELIB ?= $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
HOOKS = $(PREFIX)/libexec/vdsm/hooks
SHARE = $(DESTDIR)$(PREFIX)/share
UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/system
DEVICE = before_device_create before_nic_hotplug before_update_device
LINKS = $(DEVICE:%=%/50_extnet) before_device_migrate_destination/50_extnet \
	$(DEVICE:%=%/50_macspoof) before_vm_start/50_macspoof before_vm_start/50_qemucmdline
# All others, but for nestedvt, which changes every VM: whoever wants that enables it, and makes its link.
EXTRA = boot_hostdev cpuflags diskunmap httpsisoboot log_console log_firmware macbind smbios spiceoptions
EXTRA_LINKS = before_device_create/50_allocate_net $(EXTRA:%=before_vm_start/50_%) \
	before_update_device/50_allocate_net before_update_device/50_macbind

TO_SHIM = ../../../vdsm-hookd/hook-shim
# vdsm may look at any moment: a link that is right stays, and what is new comes by a rename.
link_hooks = for link in $(1); do \
	install -d $(DESTDIR)$(HOOKS)/$${link%/*} && \
	place=$(DESTDIR)$(HOOKS)/$$link new=$(DESTDIR)$(HOOKS)/$${link%/*}/.$${link\#\#*/} && \
	{ [ "$$(readlink $$place)" = $(TO_SHIM) ] || \
	{ rm -f $$new && ln -s $(TO_SHIM) $$new && mv -fT $$new $$place; }; } || exit; done

install: shim ## put all files where a host has them, below DESTDIR
	@$(MAKE) --no-print-directory install-files

install-files: # all but building the shim, which packages do apart
	cd daemon && find -L vdsm_hookd -name '*.py' -exec install -D -m 644 {} $(DESTDIR)$(PURELIB)/{} \;
# Compiled here, or the first start as root would, and leave files that no package owns. Checked by hash, for packaging
# changes the sources' times.
	$(PYTHON) -m compileall -q -d $(PURELIB)/vdsm_hookd --invalidation-mode checked-hash \
		$(DESTDIR)$(PURELIB)/vdsm_hookd
	install -D -m 755 shim/hook-shim $(DESTDIR)$(PREFIX)/libexec/vdsm-hookd/.hook-shim
	mv -f $(DESTDIR)$(PREFIX)/libexec/vdsm-hookd/.hook-shim $(DESTDIR)$(PREFIX)/libexec/vdsm-hookd/hook-shim
	install -d $(DESTDIR)/etc/vdsm-hookd/vdsm-hookd.conf.d
	[ -e $(DESTDIR)/etc/vdsm-hookd/vdsm-hookd.conf ] || install -m 644 conf/vdsm-hookd.conf $(DESTDIR)/etc/vdsm-hookd
	install -D -m 644 -t $(DESTDIR)/etc/sos/extras.d conf/sos/vdsm-hookd
	install -D -m 644 -t $(UNITS) systemd/*.service systemd/*.socket
	sed -i 's,/usr/\(s*bin\)/,$(PREFIX)/\1/,' $(UNITS)/vdsm-hookd.service
	install -D -m 644 -t $(UNITS)-preset systemd/85-vdsm-hookd.preset
	install -D -m 644 systemd/vdsm-hookd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/vdsm-hookd.conf
	install -D -m 644 -t $(SHARE)/doc/vdsm-hookd README.md CHANGELOG.md SECURITY.md docs/*.md docs/grafana.json
	install -D -m 644 -t $(SHARE)/doc/vdsm-hookd/examples conf/examples/*
	install -D -m 644 -t $(SHARE)/bash-completion/completions conf/completions/hookctl
	install -D -m 644 -t $(SHARE)/licenses/vdsm-hookd LICENSE
	for page in docs/*.[158]; do install -D -m 644 -t $(SHARE)/man/man$${page##*.} $$page || exit; done
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin
	$(call launcher,$(PYTHON) -I,daemon,$(DESTDIR)$(PREFIX)/sbin/vdsm-hookd)
	$(call launcher,$(PYTHON) -I,hookctl,$(DESTDIR)$(PREFIX)/bin/hookctl)
	$(call link_hooks,$(LINKS))

install-extra: ## beside them the hooks that are not enabled by default
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/vdsm-hookd/vdsm-hookd.conf.d conf/50-hooks-extra.conf
	$(call link_hooks,$(EXTRA_LINKS))

# RELEASE is the packages' own: raise it to package one version again. --nodeps, for Debian's packages are not in rpm's
# database; there .ci/packages brings what the spec would ask for.
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
RELEASE ?= 1
RPMBUILD = $(CURDIR)/build/rpm
BUNDLE = vdsm-hookd-$(VERSION)

rpm: ## build the packages into build/rpm/RPMS
	.ci/packages run rpm
	rm -rf $(RPMBUILD) && mkdir -p $(RPMBUILD)/SOURCES $(RPMBUILD)/SPECS
	git -c safe.directory=$(CURDIR) ls-files -z | tar --create --gzip --null --files-from=- --ignore-failed-read \
		--transform='s,^,$(BUNDLE)/,S' --file=$(RPMBUILD)/SOURCES/$(BUNDLE).tar.gz
	sed 's/@VERSION@/$(VERSION)/; s/@RELEASE@/$(RELEASE)/' rpm/vdsm-hookd.spec.in > $(RPMBUILD)/SPECS/vdsm-hookd.spec
	env -u MAKEFLAGS -u MAKELEVEL rpmbuild -ba --quiet --nodeps --define '_topdir $(RPMBUILD)' $(RPMBUILD)/SPECS/vdsm-hookd.spec

clean:
	$(MAKE) -C shim clean
	rm -rf $(VENV) .venv-* build .cache daemon/*.egg-info
