# make help lists the targets. Only Go is needed; make clients installs what the tests with foreign clients need besides.

GO ?= go
PACKAGES = $(shell $(GO) list ./... | grep -v /test/e2e)
# The race detector needs a C compiler.
RACE = $(if $(shell command -v $$($(GO) env CC) 2>/dev/null),-race)

.DEFAULT_GOAL := build
.PHONY: help build image run test check fmt lint e2e e2e-kafka corpus clients bench bench-peers clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

build: ## the one binary, bin/barnabas
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/barnabas ./cmd/barnabas

image: build ## the container image barnabas, from bin/barnabas; nothing is fetched
	mkdir -p bin/image/empty
	cp bin/barnabas bin/image/barnabas
	docker build -t barnabas -f deploy/docker/Dockerfile.prebuilt bin/image

run: build ## one broker on 127.0.0.1:9092, its data in ./data
	bin/barnabas

test: check e2e ## everything: check, then the end-to-end tests

check: lint ## format, vet, staticcheck and the tests of all packages, with the race detector
	$(GO) test $(RACE) -timeout 20m $(PACKAGES)

fmt: ## format the sources
	gofmt -w .

lint: ## gofmt, vet and staticcheck, without changing anything
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt: run make fmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) -C test/clients/go vet ./...

e2e: ## a real broker and real clients; those that are not installed are skipped (CI=true: they fail)
	$(GO) test -C test/e2e -count=1 -timeout 20m

e2e-kafka: ## the same tests against Apache Kafka itself: are the tests right?
	BARNABAS_E2E_SERVER=kafka $(GO) test -C test/e2e -count=1 -timeout 30m

corpus: ## the Go sources through kcat, kafkajs and franz-go, whole, with a kill -9 on the way
	BARNABAS_CORPUS=all $(GO) test -C test/e2e -count=1 -timeout 60m -v -run Corpus

clients: ## install the foreign clients beside their sources
	test/clients/install

bench: build ## our own figures, under 10 minutes; results and charts in bench/results
	$(GO) run ./bench start
	$(GO) run ./bench recovery --gb 1
	$(GO) run ./bench short

bench-peers: build ## side by side with Kafka, NATS JetStream, RabbitMQ and Redis, about 50 minutes; fetches them first
	bench/peers/install --system
	$(GO) run ./bench peers

clean: ## remove what was built and installed, but not ./data
	rm -rf bin test/clients/kafkajs/node_modules test/clients/python/.venv test/clients/java/target
