//! What every worker process has: shutdown, health, metrics, heartbeat, switches.
