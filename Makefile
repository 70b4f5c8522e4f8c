# Everything a developer runs. The programs are built first, so that no service waits for a compiler.

.PHONY: demo test bench check

# Sample tenants, syncing before your eyes; ctrl-C ends it, or DEMO_SECONDS=20.
demo:
	cargo build --release -q --workspace --bins
	deploy/with-services --durable -- cargo run --release -q -p tenant-sync-cli -- demo

# All tests, on real PostgreSQL and RabbitMQ servers; some on PostgreSQL 13 to 18, which npm brings.
test:
	cargo build --workspace --bins
	cargo test --workspace --no-run
	deploy/with-services --externals 2 --versions -- cargo test --workspace

# Writes target/bench/report.json and a readable table.
bench:
	cargo build --release -q --workspace --bins
	deploy/with-services --durable -- cargo run --release -q -p tenant-sync-tests --bin bench

# Format, lints, documentation, scripts and migrations.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	@if command -v shellcheck >/dev/null; then echo "shellcheck deploy .ci"; \
	  shellcheck -x deploy/with-services deploy/private-rabbitmq deploy/services/*.sh .ci/run; fi
	deploy/with-services -- deploy/check-schema
