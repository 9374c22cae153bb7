# Entry points for developers and CI. The work is done by scripts/.
.DEFAULT_GOAL := help
.PHONY: run test bench bench-read soak fuzz check prepare seal openapi test-api test-clients test-web test-monitoring test-deploy image sbom help

run: ## start the service and a private PostgreSQL; Ctrl-C stops both. NATS=1: three NATS nodes too
	@scripts/run.sh

test: ## run all tests against a temporary PostgreSQL
	@scripts/test.sh

check: ## format, migrations, lints, .sqlx, dependencies, documentation, short fuzzing
	@scripts/check.sh

test-api: ## test a running service against its OpenAPI document (schemathesis)
	@scripts/test-api.sh

test-web: ## test the console and /docs in a headless Chromium
	@scripts/test-web.sh

test-clients: ## generate clients from the OpenAPI document, type-check and run them
	@scripts/test-clients.sh

test-monitoring: ## test alerts and dashboard against a live service (Prometheus)
	@scripts/test-monitoring.sh

test-deploy: ## test deploy/ and docker-compose.yml: manifests, units, Caddy before a live service
	@scripts/test-deploy.sh

image: ## build the container image and start it once, with Docker or buildah
	@scripts/image.sh

sbom: ## list the components of the program (CycloneDX)
	@scripts/sbom.sh

soak: ## inject faults into processes, disks, clock and network, count lost events: make soak DURATION=600
	@scripts/soak.sh

SECONDS ?= 60

fuzz: ## parse mutated bodies and messages of NATS: make fuzz SECONDS=600
	@scripts/fuzz.sh $(SECONDS)

bench: ## measure receiving: throughput, CPU, memory, WAL, disk
	@scripts/bench.sh

bench-read: ## measure the read API with 10 million messages; needs 17 GB in target/bench/
	@scripts/bench-read.sh

prepare: ## update .sqlx/ after a change of a query or migration
	@scripts/prepare.sh

seal: ## update migrations/checksums after a change of an unreleased migration
	@scripts/seal.sh --renew

openapi: ## update openapi.json and its examples after a change of a route
	@RENEW=1 scripts/test.sh --test service openapi::

help: ## list these targets
	@sed -n 's/^\([a-z-]*\): *## */  make \1	/p' $(MAKEFILE_LIST)
