//! What is asked of the list.

use uuid::Uuid;

use super::cursor::Cursor;
use crate::http::{Problem, Query};

/// Longest text that is searched for, in characters.
pub(super) const SEARCH_CHARS_MAX: usize = 100;

/// What users are ordered by, and then by their id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderBy {
    /// When they signed up: `"signedUpAt"`, else `"createdAt"`.
    SignedUpAt,
    /// When they were last active: the greater of `"lastActiveAt"` and their latest activity event, else as above.
    LastActiveAt,
}

impl OrderBy {
    pub(super) const NAMES: [&'static str; 2] = ["signed_up_at", "last_active_at"];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SignedUpAt => Self::NAMES[0],
            Self::LastActiveAt => Self::NAMES[1],
        }
    }
}

/// Which users count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Those who are known.
    Left,
    /// All.
    Included,
    /// Those who are not known.
    Only,
}

/// A page of users.
#[derive(Debug, Clone)]
pub struct UsersQuery {
    /// Whose.
    pub tenancy_id: Uuid,
    /// How many at most, up to 1,000.
    pub limit: i64,
    /// Where the page before ended: its `next_cursor`.
    pub cursor: Option<String>,
    /// Their order.
    pub order_by: OrderBy,
    /// Latest first.
    pub desc: bool,
    /// Only those of whom the name or an address contains this.
    pub search: Option<String>,
    /// Which of them.
    pub anonymous: Anonymous,
}

impl UsersQuery {
    /// The first 100 known users by when they signed up.
    #[must_use]
    pub fn of(tenancy_id: Uuid) -> Self {
        Self {
            tenancy_id,
            limit: 100,
            cursor: None,
            order_by: OrderBy::SignedUpAt,
            desc: false,
            search: None,
            anonymous: Anonymous::Left,
        }
    }

    /// From the parameters of a request.
    ///
    /// # Errors
    /// One that cannot be used, by name.
    pub(crate) fn read(tenancy_id: Uuid, query: Query) -> Result<Self, Problem> {
        let asked = query.read(|q| {
            let by_activity = q.one_of("order_by", &OrderBy::NAMES)? == Some(OrderBy::NAMES[1]);
            let (include, only) = (q.flag("include_anonymous")?, q.flag("only_anonymous")?);
            Ok(Self {
                tenancy_id,
                limit: q.limit()?,
                cursor: q.text("cursor").map(str::to_owned),
                order_by: if by_activity { OrderBy::LastActiveAt } else { OrderBy::SignedUpAt },
                desc: q.flag("desc")?,
                search: q.text("query").map(str::to_owned),
                anonymous: match (include, only) {
                    (_, true) => Anonymous::Only,
                    (true, false) => Anonymous::Included,
                    (false, false) => Anonymous::Left,
                },
            })
        })?;
        asked.after()?;
        asked.searched()?;
        Ok(asked)
    }

    /// The row after which the page begins.
    pub(super) fn after(&self) -> Result<Option<Cursor>, Problem> {
        let Some(text) = &self.cursor else { return Ok(None) };
        Cursor::parse(text, self.order_by, self.desc).map(Some)
    }

    /// What is searched for.
    pub(super) fn searched(&self) -> Result<Option<&str>, Problem> {
        let Some(text) = self.search.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        if text.chars().count() > SEARCH_CHARS_MAX {
            return Err(Problem::invalid("query", format!("at most {SEARCH_CHARS_MAX} characters")));
        }
        Ok(Some(text))
    }
}
