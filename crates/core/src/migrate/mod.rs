//! Auto-migrations: plain SQL files, applied in order, safe with many migrators at once.
