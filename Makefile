# Each target is a line or two over scripts/. `make demo` and `make test` do all their own set-up.
.PHONY: help setup build demo test fuzz lint bench dist test-arm64 test-processors check-targets clean

help:            ## this list
	@grep -E '^[a-z0-9-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup:           ## libtorch and ONNX Runtime, into .venv/, .libtorch/ and lib/ (no root; see scripts/setup.sh)
	scripts/setup.sh --ort --torch

build: setup     ## the three programs, into target/release/
	cargo build --release --workspace

demo: build      ## the main job on the embedded data: train, distil, export, prove
	scripts/demo.sh

test:            ## formatting, lints, unit and end-to-end tests
	scripts/test.sh

fuzz: setup      ## 20,000 seeded mutants of every format that the programs read (make test: 1,000)
	cargo build --workspace
	GTN_MUTANTS=20000 cargo test --workspace --test mutants -- --nocapture

lint:            ## structure; licences, bans, sources and advisories of all dependencies (builds cargo-deny once)
	scripts/lint.sh

bench: build     ## timings that a document may quote
	scripts/bench.sh

TARGET ?= aarch64-unknown-linux-gnu
dist:            ## one tar.gz for a device: make dist TARGET={aarch64,x86_64}-unknown-linux-{gnu,musl}
	scripts/dist.sh $(TARGET)

test-arm64: build ## gtn-run for aarch64, verified under an emulator
	scripts/test-arm64.sh

test-processors: ## the tests whose truth depends on the processor, on an emulated one without VNNI
	scripts/test-processors.sh

check-targets:   ## type-checks gtn-run and gtn-export for Windows, macOS and Android
	scripts/check-targets.sh

clean:           ## what make built, but not what it downloaded
	cargo clean
	rm -rf runs/demo
