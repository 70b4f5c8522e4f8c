//! How far a fill is, in words.

use tenant_sync_core::status::{FillStatus, Walked};

use crate::pages::view::format::{count, percent};
use crate::pages::view::target::Fill;

/// The fill of a mapping. One that nothing is known of was never begun: the target is new.
pub(super) fn fill(mapping: &str, fills: &[FillStatus]) -> Fill {
    let status = fills.iter().find(|fill| fill.mapping == mapping);
    let walked = status.and_then(|status| status.walked);
    Fill {
        started_at: status.and_then(|status| status.started_at),
        share: walked.map(Walked::share),
        words: walked.map_or_else(|| "waits for a worker".to_owned(), words),
    }
}

fn words(walked: Walked) -> String {
    let about = if walked.estimated { "about " } else { "" };
    let noun = if walked.left == 1 { "row" } else { "rows" };
    format!("{}, {about}{} {noun} left to compare", percent(walked.share()), count(walked.left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_is_told_in_words() {
        let status = |walked| FillStatus { mapping: "users".to_owned(), started_at: None, walked };
        let shown = |walked| fill("users", &[status(walked)]);
        assert_eq!((shown(None).share, shown(None).words.as_str()), (None, "waits for a worker"));
        let far = shown(Some(Walked { rows: 40_000, left: 30_000, estimated: true }));
        assert_eq!(far.words, "25 %, about 30,000 rows left to compare");
        assert_eq!(fill("other", &[status(None)]).words, "waits for a worker");
    }
}
