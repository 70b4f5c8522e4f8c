//! Comparing a target with its source, row by row: the exact set, all values as text.

use std::collections::BTreeMap;

use anyhow::Context as _;
use secrecy::ExposeSecret;
use serde::Serialize;
use tenant_sync_core::mapping::names::{quote_ident, quote_literal};
use tenant_sync_core::mapping::{Mapping, SOURCE_ALIAS, TEXT_SETTINGS, ddl, left_joins};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::prepare::{Stage, StageTarget};

/// What a comparison found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Comparison {
    target: String,
    mapping: String,
    source_rows: usize,
    target_rows: usize,
    /// Rows of one side that the other does not have in exactly this form.
    differences: usize,
}

impl Comparison {
    pub(super) fn equal(&self) -> bool {
        self.differences == 0
    }

    pub(super) fn line(&self) -> String {
        let Self { target, mapping, source_rows, target_rows, differences } = self;
        match differences {
            0 => format!("{target} {mapping}: {source_rows} rows, equal"),
            n => format!(
                "{target} {mapping}: {source_rows} rows in the source, {target_rows} here, {n} differences"
            ),
        }
    }
}

type Rows = BTreeMap<Vec<Option<String>>, i64>;

pub(super) async fn compare_all(stage: &Stage) -> anyhow::Result<Vec<Comparison>> {
    let mut comparisons = Vec::new();
    for target in &stage.targets {
        let (client, connection) =
            tokio_postgres::connect(target.settings.url.expose_secret(), NoTls).await?;
        tokio::spawn(connection);
        let chosen =
            |m: &&Mapping| target.settings.mappings.as_ref().is_none_or(|names| names.contains(&m.name));
        for mapping in stage.mappings.iter().filter(chosen) {
            let found = compare(stage, target, &client, mapping).await;
            comparisons.push(found.with_context(|| format!("comparing {} {}", target.name, mapping.name))?);
        }
    }
    Ok(comparisons)
}

async fn compare(
    stage: &Stage,
    target: &StageTarget,
    client: &Client,
    mapping: &Mapping,
) -> anyhow::Result<Comparison> {
    let internal = stage.internal.get().await?;
    let source =
        rows(&internal, &source_sql(mapping, stage.internal.schema(), target.key.tenancy_id)).await?;
    let copy = rows(client, &target_sql(mapping, &stage.schema)).await?;
    let count = |rows: &Rows| usize::try_from(rows.values().sum::<i64>()).unwrap_or(0);
    let (source_rows, target_rows) = (count(&source), count(&copy));
    let mut left = source;
    for (row, n) in copy {
        *left.entry(row).or_insert(0) -= n;
    }
    let differences = left.values().map(|n| usize::try_from(n.abs()).unwrap_or(usize::MAX)).sum();
    Ok(Comparison {
        target: target.name.clone(),
        mapping: mapping.name.clone(),
        source_rows,
        target_rows,
        differences,
    })
}

/// What the target should hold, straight from the mapping's expressions.
fn source_sql(mapping: &Mapping, schema: &str, tenancy: Uuid) -> String {
    let columns: Vec<String> = mapping
        .columns
        .iter()
        .map(|column| format!("(({})::{})::text", column.expr.text(), column.type_text))
        .collect();
    format!(
        "select {} from {}.{} {SOURCE_ALIAS}{} where {SOURCE_ALIAS}.{} = {}",
        columns.join(", "),
        quote_ident(schema),
        quote_ident(&mapping.source.table),
        left_joins(mapping, schema),
        quote_ident(&mapping.source.tenant),
        quote_literal(&tenancy.to_string())
    )
}

fn target_sql(mapping: &Mapping, schema: &str) -> String {
    let columns: Vec<String> =
        mapping.columns.iter().map(|column| format!("{}::text", quote_ident(&column.name))).collect();
    format!("select {} from {}", columns.join(", "), ddl::qualified(mapping, schema))
}

/// All rows of a query, each with how often it is there.
async fn rows(client: &Client, sql: &str) -> anyhow::Result<Rows> {
    let settings: String = TEXT_SETTINGS
        .iter()
        .map(|(name, value)| format!("set local \"{name}\" = {};", quote_literal(value)))
        .collect();
    client.batch_execute(&format!("begin; {settings}")).await?;
    let found = client.query(sql, &[]).await?;
    client.batch_execute("commit").await?;
    let mut rows = Rows::new();
    for row in found {
        let values = (0..row.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>()?;
        *rows.entry(values).or_insert(0) += 1;
    }
    Ok(rows)
}
