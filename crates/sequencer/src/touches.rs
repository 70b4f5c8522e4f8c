//! What tracked tables must record besides keys, because mappings find rows by it.

use tenant_sync_core::db::DbError;
use tenant_sync_core::mapping::Mapping;
use tokio_postgres::Client;

/// By which columns rows of mappings are touched: feeds of tables, and for each the columns as a JSON array.
#[derive(Debug, Clone, Default)]
pub(crate) struct Touches {
    feeds: Vec<String>,
    columns: Vec<String>,
}

impl Touches {
    /// What these mappings need to have recorded, as far as keys do not hold it.
    pub(crate) fn of(mappings: &[Mapping]) -> Self {
        let mut touches = Self::default();
        let tracked = mappings.iter().filter(|mapping| mapping.source.is_tracked());
        for touch in tracked.flat_map(|mapping| &mapping.touches) {
            let columns: Vec<&str> = touch.on.iter().map(|(theirs, _)| theirs.as_str()).collect();
            touches.feeds.push(touch.table.clone());
            touches.columns.push(serde_json::json!(columns).to_string());
        }
        touches
    }

    /// Lets tables record what is needed, if they do not yet: no lock of theirs is needed.
    pub(crate) async fn record(&self, client: &Client) -> Result<(), DbError> {
        if self.feeds.is_empty() {
            return Ok(());
        }
        let sql = "select record_touches($1, $2)";
        let tables: i64 = client.query_one(sql, &[&self.feeds, &self.columns]).await?.try_get(0)?;
        if tables > 0 {
            tracing::info!(tables, "tables record from now on which rows of others their changes touch");
        }
        Ok(())
    }
}
