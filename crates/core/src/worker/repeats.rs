//! Lines that would be written again and again: one now, and later how many there were.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Subjects that are told apart. Beyond, all others count as one.
const SUBJECTS_MAX: usize = 1024;

/// Lets a line about a subject through once in a while, and not too many about all subjects together: a thousand
/// targets that fail because of one fault are no thousand lines.
#[derive(Debug)]
pub struct Repeats {
    every: Duration,
    lines_a_minute: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: HashMap<u64, Instant>,
    minute: Option<Instant>,
    lines: u32,
    silent: u64,
}

impl Repeats {
    /// A line about the same subject comes `every` so often at most, and at most `lines_a_minute` about all.
    #[must_use]
    pub fn new(every: Duration, lines_a_minute: u32) -> Self {
        Self { every, lines_a_minute, state: Mutex::default() }
    }

    /// Whether a line about this subject is to be written now: then, how many were not since the last one, about
    /// whatever subject. To be written as the field `not_told`.
    pub fn tell(&self, subject: &impl Hash) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        self.tell_at(hasher.finish(), Instant::now())
    }

    fn tell_at(&self, subject: u64, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.minute.is_none_or(|began| now.duration_since(began) >= Duration::from_secs(60)) {
            (state.minute, state.lines) = (Some(now), 0);
        }
        let is_old = |told: &Instant| now.duration_since(*told) >= self.every;
        if state.told.len() >= SUBJECTS_MAX {
            state.told.retain(|_, told| !is_old(told));
        }
        let known = state.told.len() < SUBJECTS_MAX || state.told.contains_key(&subject);
        let subject = if known { subject } else { 0 };
        if state.lines >= self.lines_a_minute || !state.told.get(&subject).is_none_or(is_old) {
            state.silent += 1;
            return None;
        }
        state.told.insert(subject, now);
        state.lines += 1;
        Some(std::mem::take(&mut state.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(600);

    #[test]
    fn a_subject_is_told_once_and_what_was_not_told_is_counted() {
        let (repeats, start) = (Repeats::new(EVERY, 10), Instant::now());
        assert_eq!(repeats.tell_at(1, start), Some(0));
        for second in 1..600 {
            assert_eq!(repeats.tell_at(1, start + Duration::from_secs(second)), None);
        }
        assert_eq!(repeats.tell_at(2, start + Duration::from_secs(599)), Some(599));
        assert_eq!(repeats.tell_at(1, start + EVERY), Some(0));
    }

    #[test]
    fn many_subjects_at_once_are_a_few_lines() {
        let (repeats, start) = (Repeats::new(EVERY, 10), Instant::now());
        let told = (0..10_000).filter(|subject| repeats.tell_at(*subject, start).is_some()).count();
        assert_eq!(told, 10);
        assert_eq!(repeats.tell_at(10_000, start + Duration::from_secs(61)), Some(9_990));
    }

    #[test]
    fn memory_is_bounded() {
        let (repeats, start) = (Repeats::new(EVERY, u32::MAX), Instant::now());
        let told = (1..=10_000).filter(|subject| repeats.tell_at(*subject, start).is_some()).count();
        // One more is for all the others.
        assert_eq!(told, SUBJECTS_MAX + 1);
        assert_eq!(repeats.state.lock().expect("state").told.len(), SUBJECTS_MAX + 1);
        assert!(repeats.tell_at(1, start + EVERY).is_some());
        assert_eq!(repeats.state.lock().expect("state").told.len(), 1);
    }
}
