# What there is to do here. How it is done is in scripts/.
.DEFAULT_GOAL := help
.PHONY: run test bench bench-read soak fuzz check prepare openapi test-api test-web help

run: ## run the service with a PostgreSQL of its own, until Ctrl-C
	@scripts/run.sh

test: ## run the tests against a PostgreSQL of their own
	@scripts/test.sh

bench: ## measure what receiving costs: events a second, CPU, memory, WAL, disk
	@scripts/bench.sh

soak: ## kill, stop and freeze everything at random for DURATION=600 seconds; is anything lost?
	@scripts/soak.sh

SECONDS ?= 60

fuzz: ## read random bodies, looking for one that does harm: make fuzz SECONDS=600
	@scripts/fuzz.sh $(SECONDS)

bench-read: ## measure what the read API costs with 10 million messages; needs 17 GB in target/bench/
	@scripts/bench-read.sh

check: ## what must hold beside the tests: format, lints, queries, licences, docs, some fuzzing
	@scripts/check.sh

prepare: ## renew .sqlx/, which builds need, after a query or a migration changed
	@scripts/prepare.sh -- --all-targets

openapi: ## renew openapi.json and its examples after a route changed
	@RENEW=1 scripts/test.sh --test service openapi::

test-api: ## ask a live service thousands of questions: does it keep to its OpenAPI document?
	@scripts/test-api.sh

test-web: ## open examples/dashboard and /docs in a headless Chromium: do they show what is there?
	@scripts/test-web.sh

help: ## show this
	@sed -n 's/^\([a-z-]*\): *## */  make \1	/p' $(MAKEFILE_LIST)
