//! What each status and each error means: the one table.

use std::fmt;

/// What one attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// 2xx. The status alone counts: what follows it is only read for the log.
    Delivered,
    /// 410: the receiver wants nothing more.
    Gone,
    /// 429 or 503 with a `Retry-After`.
    Throttled,
    /// 5xx, and 408, 425 and 429: the receiver is there and cannot at the moment.
    ServerError,
    /// Any other 4xx: the receiver is well and refuses this request.
    Refused,
    /// 3xx, which is not followed, and whatever else is no answer to a request.
    Redirected,
    /// No answer in time, or no connection in time.
    TimedOut,
    /// No connection.
    NoConnection,
    /// The connection broke before there was an answer, or the answer was no HTTP.
    Broken,
    /// The host's name has no address.
    NameNotFound,
    /// The host's address is not public, and not allowed here.
    AddressRefused,
    /// No encrypted connection: the certificate, usually.
    TlsFailed,
    /// What is to be sent cannot be: its URL, method or headers.
    Unsendable,
    /// A fault of ours: no way out of the house, no name resolution, no key for the secrets.
    Ours,
}

/// What is done with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is done.
    Done,
    /// An attempt more; due again by the schedule, or dead.
    Retry,
    /// The destination rests as long as it asks for; no attempt counts.
    Hold,
    /// As [`Action::Retry`], and the destination is paused.
    Pause,
    /// Due again soon; no attempt counts.
    GiveBack,
}

/// What an attempt's class leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// As it stands in `"HttpAttempt"."errorClass"`.
    pub code: &'static str,
    /// For the request.
    pub action: Action,
    /// Whether the destination's breaker counts it as a failure. One that answers quickly, if only to refuse, is
    /// no reason to keep other requests from it.
    pub opens_breaker: bool,
    /// For people.
    pub sentence: &'static str,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Delivered,
        Self::Gone,
        Self::Throttled,
        Self::ServerError,
        Self::Refused,
        Self::Redirected,
        Self::TimedOut,
        Self::NoConnection,
        Self::Broken,
        Self::NameNotFound,
        Self::AddressRefused,
        Self::TlsFailed,
        Self::Unsendable,
        Self::Ours,
    ];

    /// What a status means. `retry_after`: the answer has a header of that name that can be read.
    #[must_use]
    pub fn of_status(status: u16, retry_after: bool) -> Self {
        match status {
            200..=299 => Self::Delivered,
            410 => Self::Gone,
            429 | 503 if retry_after => Self::Throttled,
            408 | 425 | 429 | 500.. => Self::ServerError,
            400..=499 => Self::Refused,
            _ => Self::Redirected,
        }
    }

    /// The table.
    #[must_use]
    pub fn policy(self) -> Policy {
        use Action::{Done, GiveBack, Hold, Pause, Retry};
        let (code, action, opens_breaker, sentence) = match self {
            Self::Delivered => ("delivered", Done, false, "The receiver took it."),
            Self::Gone => ("gone", Pause, false, "The receiver wants no more requests (410)."),
            Self::Throttled => ("throttled", Hold, false, "The receiver asks for a pause (Retry-After)."),
            Self::ServerError => ("serverError", Retry, true, "The receiver failed."),
            Self::Refused => ("refused", Retry, false, "The receiver refused it."),
            Self::Redirected => {
                ("redirected", Retry, false, "The receiver points elsewhere: give the new URL.")
            }
            Self::TimedOut => ("timeout", Retry, true, "The receiver did not answer in time."),
            Self::NoConnection => ("noConnection", Retry, true, "The receiver cannot be reached."),
            Self::Broken => ("broken", Retry, true, "The connection broke before there was an answer."),
            Self::NameNotFound => ("nameNotFound", Retry, true, "The name of the host has no address."),
            Self::AddressRefused => (
                "addressRefused",
                Retry,
                true,
                "The host has an address that is not public, which is not allowed here.",
            ),
            Self::TlsFailed => {
                ("tlsFailed", Retry, true, "There is no encrypted connection as it is required.")
            }
            Self::Unsendable => ("unsendable", Retry, false, "It cannot be sent as it is."),
            Self::Ours => {
                ("ours", GiveBack, false, "It could not be sent from here; no attempt was counted.")
            }
        };
        Policy { code, action, opens_breaker, sentence }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.policy().code)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_status_has_its_class() {
        for (status, retry_after, class) in [
            (200, false, Class::Delivered),
            (204, true, Class::Delivered),
            (301, false, Class::Redirected),
            (400, false, Class::Refused),
            (404, true, Class::Refused),
            (408, false, Class::ServerError),
            (410, true, Class::Gone),
            (429, false, Class::ServerError),
            (429, true, Class::Throttled),
            (500, true, Class::ServerError),
            (503, true, Class::Throttled),
            (503, false, Class::ServerError),
            (599, false, Class::ServerError),
            (101, false, Class::Redirected),
        ] {
            assert_eq!(Class::of_status(status, retry_after), class, "{status} {retry_after}");
        }
    }

    #[test]
    fn codes_are_told_apart_and_only_faults_of_the_destination_open_its_breaker() {
        let codes: HashSet<_> = Class::ALL.iter().map(|class| class.policy().code).collect();
        assert_eq!(codes.len(), Class::ALL.len());
        for class in Class::ALL {
            let policy = class.policy();
            assert!(!policy.opens_breaker || policy.action == Action::Retry, "{class}");
        }
    }
}
