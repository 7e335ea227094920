# `make help` lists what there is. Each target sets up what it needs; `make run` and `make test` want
# nothing but Python 3.11 and make.

PYTHON ?= $(shell command -v python3.11 || echo python3)
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
SITE := http://localhost:$(PORT)
APP ?= rentals
EXAMPLES ?= 100
SEED ?= 1
STATIC := var/static/staticfiles.json

.DEFAULT_GOAL := help
.PHONY: help run test test-sqlite test-postgresql quick lint walk audit messages messages-check newman lighthouse
.PHONY: smoke-test fuzz fuzz-quick torture slow-clients machines deploy-check deploy-lab terraform-lab image-lab
.PHONY: bench bench-quick bench-compare bench-machines bench-memory format clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 24

$(VENV)/ready: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Lori Books needs Python 3.11; name it by make PYTHON=..."; exit 1; }
	@echo "Setting up $(VENV), which takes about a minute …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# Each in an environment of its own: what they bring along does not go together with the shop's packages.
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

# Each file named after its content and compressed, so that a browser fetches it once.
$(STATIC): $(VENV)/ready .env $(wildcard static/*)
	@$(BIN)/python manage.py collectstatic --no-input --clear --verbosity 0
	@touch $@

run: $(VENV)/ready .env $(STATIC) ## Set up and serve the shop with demo data at port 8000 (PORT=...)
	@$(BIN)/python -c 'import socket; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", $(PORT)))' 2>/dev/null || \
	    { echo "Port $(PORT) is taken; name another by make run PORT=..."; exit 1; }
	@PATH="$(CURDIR)/$(BIN):$$PATH" ./entrypoint.sh migrate
	@$(BIN)/python manage.py load_demo --if-empty
	@printf '\n  Lori Books is at %s\n\n' "$(SITE)"
	@PATH="$(CURDIR)/$(BIN):$$PATH" SITE_URL=$(SITE) BIND=127.0.0.1 PORT=$(PORT) ./entrypoint.sh serve

test: test-sqlite test-postgresql ## Run all tests on SQLite with coverage, and on PostgreSQL what depends on it

test-sqlite: $(VENV)/ready
	@echo "== Tests on SQLite"
	@$(BIN)/python manage.py test --parallel auto --with-coverage

test-postgresql: $(VENV)/ready
	@echo "== Tests on PostgreSQL"
	@# Only what depends on the database, see lori_assignment/testing/runner.py; coverage is measured on SQLite.
	@checks/test-postgresql $(BIN)/python manage.py test --parallel auto --database-tests

quick: lint ## Check style and types, and run one app's tests without a browser (APP=rentals; a minute)
	$(BIN)/python manage.py test $(APP) --parallel auto --exclude-tag browser

# The baselines in an environment of their own: no package of theirs is near the shop's.
$(VENV)/ready-bench: $(VENV)/ready benchmarks/requirements.txt
	@$(PYTHON) -m venv $(VENV)/bench
	@$(VENV)/bench/bin/pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

# As a small server of its own would be set; what is measured is compared under the same.
BENCH := POSTGRES_OPTIONS="-c shared_buffers=1GB -c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=4GB \
    -c shared_preload_libraries=pg_stat_statements -c pg_stat_statements.track_planning=on" \
    checks/with-postgres $(BIN)/python -m benchmarks.run

bench: $(VENV)/ready-bench ## Measure the shop beside what people would write instead (wants wrk; takes a while)
	@mkdir -p var/bench
	@POSTGRES_FOLDER=var/bench/postgres $(BENCH) $(ARGS)

bench-quick: $(VENV)/ready-bench ## The same small, in two minutes, against floors
	@$(BENCH) --quick $(ARGS)

# Durable, as where data is kept, and with all written that a replica wants.
bench-machines: $(VENV)/ready ## How requests a second grow with processes behind nginx (wants nginx and wrk; minutes)
	@POSTGRES_OPTIONS="-c shared_buffers=1GB -c max_wal_size=4GB -c shared_preload_libraries=pg_stat_statements \
	    -c fsync=on -c synchronous_commit=on -c full_page_writes=on" \
	    checks/with-postgres $(BIN)/python -m benchmarks.machines $(ARGS)

bench-memory: $(VENV)/ready ## What a worker holds after an hour of load (ARGS=--minutes=5 for less)
	@checks/with-postgres $(BIN)/python -m benchmarks.memory $(ARGS)

bench-compare: $(VENV)/ready ## Two results beside each other (A=... B=..., files of var/bench)
	@$(BIN)/python -m benchmarks.compare $(A) $(B)

torture: $(VENV)/ready ## Break things under the shop while it is used (root; a minute; KILLS=... WRITES=... RENTALS=...)
	@drills/torture

slow-clients: $(VENV)/ready ## What others notice of slow clients, behind nginx as shipped (wants nginx; two minutes)
	@drills/slow-clients

machines: $(VENV)/ready ## Are two, and four, instances behind nginx one shop? (wants nginx; a minute)
	@drills/machines

lint: $(VENV)/ready-dev ## Check style, types and migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	DEBUG=on $(BIN)/mypy .
	DEBUG=on $(BIN)/python manage.py makemigrations --check --dry-run

walk: $(VENV)/ready ## Count the files whose functions run while a member rents a book over the API
	@$(BIN)/python checks/walk.py --most 28

# What needs the internet, whether a package has a known weakness, is checks/audit.
audit: $(VENV)/ready-dev ## Look for unsafe code, licences, committed secrets, migrations that break a roll-out
	@checks/audit-tree

messages: $(VENV)/ready ## Bring the translations' catalogue up to date (needs gettext)
	@checks/messages

messages-check: $(VENV)/ready ## Check that the translations' catalogue is that of the source (needs gettext)
	@checks/messages --check

newman: $(VENV)/ready-dev ## Run the Postman collection on SQLite and on PostgreSQL (needs npm)
	checks/newman
	checks/with-postgres checks/newman

lighthouse: $(VENV)/ready-dev ## Rate the public pages as a phone sees them (needs npm and chromium)
	checks/lighthouse

smoke-test: $(VENV)/ready-dev ## Run the smoke test of a deployment, and the README's walk, on this machine
	checks/with-shop sh -c 'deploy/smoke-test && checks/readme'

fuzz-quick: $(VENV)/ready-dev ## Send hostile calls to the API for a minute
	checks/fuzz

fuzz: $(VENV)/ready-dev ## Send hostile calls to all of the API, for minutes (EXAMPLES=... SEED=...)
	HOSTILE_PAGES=all $(BIN)/python manage.py test lori_assignment.tests.test_hostile_pages
	checks/fuzz --deep --examples $(EXAMPLES) --seed $(SEED)

# What the deployment is made of, as far as it can be said without AWS, a cluster or Docker. The first takes
# some minutes and wants terraform and kubectl, the second wants root on Debian too.
deploy-check: $(VENV)/ready-dev $(VENV)/ready-deploy ## Check Terraform, Kubernetes objects, workflows, and how the shop starts
	checks/workflows-check
	checks/terraform-check
	checks/manifests-check
	checks/start-check
	checks/aws-check

deploy-lab: $(VENV)/ready $(VENV)/ready-deploy ## Apply production to a stand-in for AWS; build and run the image
	@# At once, since the first mostly waits for the stand-in.
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line terraform-lab image-lab

terraform-lab: $(VENV)/ready $(VENV)/ready-deploy
	checks/terraform-lab

image-lab: $(VENV)/ready $(VENV)/ready-deploy
	checks/image-lab

format: $(VENV)/ready-dev ## Put the code into its format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean: ## Remove what the other targets made, the demo shop included
	rm -rf $(VENV) .env var
