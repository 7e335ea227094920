# `make help` lists the targets. Each sets up what it needs; `make run` and `make test` need only Python 3.11.

PYTHON ?= $(shell command -v python3.11 || echo python3)
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
SITE := http://localhost:$(PORT)
APP ?= rentals
EXAMPLES ?= 100
SEED ?= 1
MUTANTS ?= 200
MINUTES ?= 90
STATIC := var/static/staticfiles.json

.DEFAULT_GOAL := help
.PHONY: help run test test-sqlite test-postgresql quick lint walk audit messages messages-check newman newman-sqlite newman-postgresql lighthouse
.PHONY: smoke-test fuzz fuzz-quick torture slow-clients machines deploy-check deploy-lab terraform-lab image-lab
.PHONY: bench bench-quick bench-compare bench-machines bench-memory mutants format clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 24

$(VENV)/ready: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Lori Books needs Python 3.11. Set it with make PYTHON=..."; exit 1; }
	@echo "Setting up $(VENV), which takes about a minute …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# In separate environments, because their dependencies conflict with the shop's.
$(VENV)/ready-deploy: $(VENV)/ready requirements-deploy.txt constraints-deploy.txt requirements-checkov.txt
	@echo "Setting up $(VENV)/deploy and $(VENV)/checkov, which takes about two minutes …"
	@$(PYTHON) -m venv $(VENV)/deploy
	@$(VENV)/deploy/bin/pip install --quiet --disable-pip-version-check -r requirements-deploy.txt
	@$(PYTHON) -m venv $(VENV)/checkov
	@$(VENV)/checkov/bin/pip install --quiet --disable-pip-version-check -r requirements-checkov.txt
	@touch $@

.env:
	@umask 077 && printf '%s\n' \
	    "# Settings of the shop on this machine; docs/reference.md lists them all." \
	    "SECRET_KEY=$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(60))')" \
	    "SITE_URL=http://localhost:8000" \
	    "ALLOWED_HOSTS=localhost,127.0.0.1" \
	    "DATABASE_URL=sqlite:///var/shop.sqlite3" \
	    "EMAIL_URL=consolemail://" > .env

# Files are named after their content and compressed, so that browsers can cache them.
$(STATIC): $(VENV)/ready .env $(wildcard static/*)
	@$(BIN)/python manage.py collectstatic --no-input --clear --verbosity 0
	@touch $@

run: $(VENV)/ready .env $(STATIC) ## Set up and serve the shop with demo data on port 8000 (PORT=...)
	@PORT="$(PORT)" $(BIN)/python -m lori_assignment.server.environment
	@$(BIN)/python -c 'import socket; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", $(PORT)))' 2>/dev/null || \
	    { echo "Port $(PORT) is in use. Choose another with make run PORT=..."; exit 1; }
	@PATH="$(CURDIR)/$(BIN):$$PATH" ./entrypoint.sh migrate
	@$(BIN)/python manage.py load_demo --if-empty
	@printf '\n  Lori Books is at %s\n\n' "$(SITE)"
	@PATH="$(CURDIR)/$(BIN):$$PATH" SITE_URL=$(SITE) BIND=127.0.0.1 PORT=$(PORT) ./entrypoint.sh serve

test: test-sqlite test-postgresql ## Run all tests on SQLite with coverage, and database tests on PostgreSQL

test-sqlite: $(VENV)/ready ## Run all tests on SQLite, with coverage
	@echo "== Tests on SQLite"
	@$(BIN)/python manage.py test --parallel auto --with-coverage

test-postgresql: $(VENV)/ready ## Run the tests that depend on the database on PostgreSQL
	@echo "== Tests on PostgreSQL"
	@# Only tests that depend on the database, see lori_assignment/testing/runner.py. Coverage is measured on SQLite.
	@checks/test-postgresql $(BIN)/python manage.py test --parallel auto --database-tests

quick: lint ## Check style and types, and run the tests of one app without a browser (APP=rentals; two minutes)
	$(BIN)/python manage.py test $(APP) --parallel auto --exclude-tag browser

# A separate environment for the packages of the baselines.
$(VENV)/ready-bench: $(VENV)/ready benchmarks/requirements.txt
	@$(PYTHON) -m venv $(VENV)/bench
	@$(VENV)/bench/bin/pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

# Settings of a small dedicated server, the same for all cases.
BENCH := POSTGRES_OPTIONS="-c shared_buffers=1GB -c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=4GB \
    -c shared_preload_libraries=pg_stat_statements -c pg_stat_statements.track_planning=on" \
    checks/with-postgres $(BIN)/python -m benchmarks.run

bench: $(VENV)/ready-bench ## Compare the shop with baselines (needs nginx and wrk; takes long)
	@mkdir -p var/bench
	@POSTGRES_FOLDER=var/bench/postgres $(BENCH) $(ARGS)

bench-quick: $(VENV)/ready-bench ## Run a small benchmark against floors (needs nginx and wrk; three minutes)
	@$(BENCH) --quick $(ARGS)

# Durable as in production, and with the full WAL that a replica needs.
bench-machines: $(VENV)/ready ## Measure throughput by number of processes behind nginx (needs nginx and wrk; minutes)
	@POSTGRES_OPTIONS="-c shared_buffers=1GB -c max_wal_size=4GB -c shared_preload_libraries=pg_stat_statements \
	    -c fsync=on -c synchronous_commit=on -c full_page_writes=on" \
	    checks/with-postgres $(BIN)/python -m benchmarks.machines $(ARGS)

bench-memory: $(VENV)/ready ## Measure the memory of workers under an hour of load (ARGS=--minutes=5 for less)
	@checks/with-postgres $(BIN)/python -m benchmarks.memory $(ARGS)

bench-compare: $(VENV)/ready ## Compare two results (A=... B=..., files of var/bench)
	@$(BIN)/python -m benchmarks.compare $(A) $(B)

torture: $(VENV)/ready ## Inject faults under load (needs root; a minute; KILLS=... WRITES=... RENTALS=...)
	@drills/torture

slow-clients: $(VENV)/ready ## Test that slow clients and attackers do not delay others (needs nginx; three minutes)
	@drills/slow-clients

machines: $(VENV)/ready ## Test consistency across several instances (needs nginx; a minute)
	@drills/machines

lint: $(VENV)/ready-dev ## Check style, types and migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	DEBUG=on $(BIN)/mypy .
	DEBUG=on $(BIN)/python manage.py makemigrations --check --dry-run

walk: $(VENV)/ready ## Count the files whose functions run when a member rents a book over the API
	@$(BIN)/python checks/walk.py --most 28

# checks/audit looks for packages with known vulnerabilities, which needs internet access.
audit: $(VENV)/ready-dev ## Check for unsafe code, licences, committed secrets, and migrations that break a roll-out
	@checks/audit-tree

messages: $(VENV)/ready ## Update the message catalogue of translations (needs gettext)
	@checks/messages

messages-check: $(VENV)/ready ## Check that the message catalogue is up to date (needs gettext)
	@checks/messages --check

newman: $(VENV)/ready-dev ## Run the Postman collection on SQLite and on PostgreSQL (needs npm)
	$(MAKE) -j2 -O newman-sqlite newman-postgresql

newman-sqlite: $(VENV)/ready-dev
	checks/newman

newman-postgresql: $(VENV)/ready-dev
	checks/with-postgres checks/newman

lighthouse: $(VENV)/ready-dev ## Rate the public pages with Lighthouse, as on a phone (needs npm and chromium)
	checks/lighthouse

smoke-test: $(VENV)/ready-dev ## Run the smoke test of deployments, and the README's walk, against a local shop
	checks/with-shop sh -c 'deploy/smoke-test && checks/readme'

fuzz-quick: $(VENV)/ready-dev ## Fuzz the API for a minute
	checks/fuzz

fuzz: $(VENV)/ready-dev ## Fuzz the whole API, for minutes (EXAMPLES=... SEED=...)
	HOSTILE_PAGES=all $(BIN)/python manage.py test lori_assignment.tests.test_hostile_pages
	checks/fuzz --deep --examples $(EXAMPLES) --seed $(SEED)

# cosmic-ray has dozens of dependencies, which stay out of the shop's environment.
$(VENV)/ready-mutants: $(VENV)/ready requirements-mutants.txt
	@$(PYTHON) -m venv $(VENV)/mutants
	@$(VENV)/mutants/bin/pip install --quiet --disable-pip-version-check -r requirements-mutants.txt
	@touch $@

mutants: $(VENV)/ready-mutants ## Count the faults in the domain that no test notices (20 minutes; MUTANTS=... SEED=... MINUTES=...)
	@$(VENV)/mutants/bin/python checks/mutants.py --sample $(MUTANTS) --seed $(SEED) --minutes $(MINUTES)

# Checks of the deployment that need no AWS account, cluster or Docker. deploy-check takes some minutes and needs
# terraform and kubectl; deploy-lab also needs root on Debian.
deploy-check: $(VENV)/ready-dev $(VENV)/ready-deploy ## Check Terraform, Kubernetes objects, workflows, and the start of the shop
	checks/workflows-check
	checks/terraform-check
	checks/manifests-check
	checks/start-check
	checks/aws-check

deploy-lab: $(VENV)/ready $(VENV)/ready-deploy ## Apply production to a stand-in for AWS, and build and run the image
	@# In parallel, because terraform-lab mostly waits for the stand-in.
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line terraform-lab image-lab

terraform-lab: $(VENV)/ready $(VENV)/ready-deploy ## Apply production to a stand-in for AWS
	checks/terraform-lab

image-lab: $(VENV)/ready $(VENV)/ready-deploy ## Build and run the image (needs root on Debian)
	checks/image-lab

format: $(VENV)/ready-dev ## Format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean: ## Remove everything that the other targets created, including the demo shop
	rm -rf $(VENV) .env var
