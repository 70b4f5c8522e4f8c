//! Connection strings at rest: AES-256-GCM with key ids.
