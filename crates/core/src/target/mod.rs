//! A tenant's external database: its connection string, the way to it, and whether it may be used.
