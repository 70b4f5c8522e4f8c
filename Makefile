# Everything a developer runs. The programs are built first, so that no service waits for a compiler.

.PHONY: demo test bench check static sbom licenses

# Sample tenants, syncing before your eyes; ctrl-C ends it, or DEMO_SECONDS=20. Built as the tests are, so that the two share it.
demo:
	cargo build --locked -q --workspace --bins
	deploy/with-services --durable -- cargo run --locked -q -p tenant-sync-cli -- demo

# All tests, on real PostgreSQL and RabbitMQ servers; some on PostgreSQL 13 to 18, which npm brings. TESTS: only those
# whose names contain this.
test:
	cargo build --locked --workspace --bins
	cargo test --locked --workspace --no-run
	deploy/with-services --externals 2 --versions -- cargo test --locked --workspace -- $(TESTS)

# Writes target/bench/report.json and a readable table.
bench:
	cargo build --locked --release -q --workspace --bins
	deploy/with-services --durable -- cargo run --locked --release -q -p tenant-sync-tests --bin bench

# Format, lints, documentation, scripts and migrations.
check:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	@if command -v shellcheck >/dev/null; then echo "shellcheck deploy .ci"; \
	  shellcheck -x deploy/with-services deploy/private-rabbitmq deploy/services/*.sh deploy/manifest-tools \
	    deploy/sbom deploy/static deploy/docker/demo-data deploy/docker/stand-ins .ci/run .ci/fresh; fi
	deploy/with-services -- deploy/check-schema

# Static programs, in target/static.
static:
	deploy/static

# What each program is made of (CycloneDX), in target/sbom.
sbom:
	deploy/sbom

# Lists the licences of all that the programs are built from in LICENSES.md.
licenses:
	cargo run --locked -q -p tenant-sync-tests --bin licenses
