//! What operators see of "Fusebox", and how they throw a switch.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error;

use crate::db::kept;

/// The switches, and who threw one last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switches {
    /// Ids are given.
    pub sequencer: bool,
    /// Requests are handed to RabbitMQ.
    pub poller: bool,
    /// Targets are written.
    pub sync_engine: bool,
    /// HTTP requests are sent.
    pub requests: bool,
    /// When one was last thrown; `None` = never.
    pub updated_at: Option<OffsetDateTime>,
    /// By whom.
    pub updated_by: Option<String>,
}

/// What is to be changed; `None` leaves a switch as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SwitchChange {
    /// See [`Switches::sequencer`].
    pub sequencer: Option<bool>,
    /// See [`Switches::poller`].
    pub poller: Option<bool>,
    /// See [`Switches::sync_engine`].
    pub sync_engine: Option<bool>,
    /// See [`Switches::requests`].
    pub requests: Option<bool>,
}

impl SwitchChange {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// The switches as they are. Workers honour them within a second.
///
/// # Errors
/// Postgres does.
pub async fn switches<C: GenericClient>(client: &C) -> Result<Switches, Error> {
    let sql = r#"select "sequencerEnabled", "pollerEnabled", "syncEngineEnabled", "requestsEnabled", "updatedAt",
                        "updatedBy" from "Fusebox" limit 1"#;
    let row = kept(client, sql, &[]).await?.into_iter().next();
    // No row: nobody ever threw a switch, and workers take all as on.
    let Some(row) = row else {
        return Ok(Switches {
            sequencer: true,
            poller: true,
            sync_engine: true,
            requests: true,
            updated_at: None,
            updated_by: None,
        });
    };
    Ok(Switches {
        sequencer: row.try_get(0)?,
        poller: row.try_get(1)?,
        sync_engine: row.try_get(2)?,
        requests: row.try_get(3)?,
        updated_at: row.try_get(4)?,
        updated_by: row.try_get(5)?,
    })
}

/// Throws switches, in the name of `by`.
///
/// # Errors
/// Postgres does.
pub async fn throw_switches<C: GenericClient>(
    client: &C,
    change: SwitchChange,
    by: Option<&str>,
) -> Result<(), Error> {
    client
        .execute(
            r#"insert into "Fusebox" as f
                 ("sequencerEnabled", "pollerEnabled", "syncEngineEnabled", "requestsEnabled", "updatedBy")
               values (coalesce($1, true), coalesce($2, true), coalesce($3, true), coalesce($4, true), $5)
               on conflict ("id") do update set
                 "sequencerEnabled" = coalesce($1, f."sequencerEnabled"),
                 "pollerEnabled" = coalesce($2, f."pollerEnabled"),
                 "syncEngineEnabled" = coalesce($3, f."syncEngineEnabled"),
                 "requestsEnabled" = coalesce($4, f."requestsEnabled"),
                 "updatedAt" = now(), "updatedBy" = excluded."updatedBy""#,
            &[&change.sequencer, &change.poller, &change.sync_engine, &change.requests, &by],
        )
        .await?;
    Ok(())
}
