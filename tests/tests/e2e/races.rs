//! Races between real processes.
