//! The outbox: every SQL statement on "OutgoingRequest".
