//! From the text of a mapping file to a [`Mapping`].

use super::error::MappingErrors;
use super::expression::{Expression, SOURCE_ALIAS};
use super::model::{Aggregate, Column, Index, IndexMethod, Join, Mapping, Source, Target, Touch, feed_name};
use super::names;
use super::reader::{At, Reader, Section};
use super::rules;

/// The tenant column of every table that is not told otherwise.
const DEFAULT_TENANT: &str = "tenancyId";

/// Reads the mapping in `text`. `file` is what errors call it.
///
/// # Errors
/// Every mistake that can be found without a database and without the other mappings.
pub fn parse(file: &str, text: &str) -> Result<Mapping, MappingErrors> {
    let mut reader = Reader::new(file, text);
    let Some(top) = reader.document() else { return Err(MappingErrors::new(reader.into_found())) };
    let mapping = read_mapping(&mut reader, file, top);
    rules::check(&mapping, &mut reader);
    let found = reader.into_found();
    if found.is_empty() { Ok(mapping) } else { Err(MappingErrors::new(found)) }
}

fn read_mapping<'t>(reader: &mut Reader<'t>, file: &str, mut top: Section<'t>) -> Mapping {
    let name = top.text(reader, "name");
    rule(reader, &name, names::check_target_name);
    let event = top.text(reader, "event");
    rule(reader, &event, names::check_event);
    let version = top.whole_or_none(reader, "version").map_or(1, |v| v.value);

    let source_section = top.section(reader, "source", "[source]");
    let source = read_source(reader, source_section);
    let target_section = top.section(reader, "target", "[target]");
    let target = read_target(reader, target_section);
    let column_sections = top.sections(reader, "column", "[[column]]");
    let join_sections = top.sections(reader, "join", "[[join]]");
    let touch_sections = top.sections(reader, "touch", "[[touch]]");
    let index_sections = top.sections(reader, "index", "[[index]]");
    top.finish(reader);

    let joins: Vec<Join> = join_sections.into_iter().map(|s| read_join(reader, s, &source)).collect();
    let mut aliases = vec![SOURCE_ALIAS];
    aliases.extend(joins.iter().map(|join| join.alias.as_str()).filter(|alias| !alias.is_empty()));
    let touches = touch_sections.into_iter().map(|s| read_touch(reader, s, &source)).collect();
    let columns =
        column_sections.into_iter().map(|s| read_column(reader, s, &aliases, &target.key)).collect();
    Mapping {
        name: name.value,
        event: event.value,
        version,
        source,
        target,
        columns,
        touches,
        indexes: index_sections.into_iter().map(|s| read_index(reader, s)).collect(),
        joins,
        file: file.to_owned(),
    }
}

fn read_source<'t>(reader: &mut Reader<'t>, mut section: Section<'t>) -> Source {
    let line = section.line;
    let (schema, table) = read_table(reader, &mut section, None);
    let tenant = read_tenant(reader, &mut section, DEFAULT_TENANT);
    section.finish(reader);
    Source { schema, table, tenant, line }
}

/// A table, with the schema that makes it a tracked one; `default` is the schema of one that is not told otherwise.
fn read_table<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'t>,
    default: Option<&str>,
) -> (Option<String>, String) {
    let schema = section.text_or_none(reader, "schema");
    if let Some(schema) = &schema {
        rule(reader, schema, names::check_source_name);
    }
    let table = section.text(reader, "table");
    rule(reader, &table, names::check_source_name);
    let schema = schema.map(|schema| schema.value).filter(|schema| !schema.is_empty());
    match schema.or_else(|| default.map(str::to_owned)) {
        Some(schema) if !table.value.is_empty() => {
            let name = feed_name(&schema, &table.value);
            (Some(schema), name)
        }
        schema => (schema, table.value),
    }
}

fn read_target<'t>(reader: &mut Reader<'t>, mut section: Section<'t>) -> Target {
    let line = section.line;
    let table = section.text(reader, "table");
    rule(reader, &table, names::check_target_name);
    let key = section.names(reader, "key");
    let comment = read_comment(reader, &mut section);
    section.finish(reader);
    Target { table: table.value, key: key.value, comment, line }
}

fn read_column<'t>(
    reader: &mut Reader<'t>,
    mut section: Section<'t>,
    aliases: &[&str],
    key: &[String],
) -> Column {
    let line = section.line;
    let name = section.text(reader, "name");
    rule(reader, &name, names::check_target_column);
    let type_text = section.text(reader, "type");
    rule(reader, &type_text, names::check_type);
    let is_key = key.contains(&name.value);
    let nullable = section.flag_or_none(reader, "nullable");
    if let Some(flag) = nullable.as_ref().filter(|flag| flag.value && is_key) {
        reader.refuse(flag.line, format!("{:?} is part of the key and cannot be nullable", name.value));
    }
    let expr = section.text(reader, "expr");
    let comment = read_comment(reader, &mut section);
    section.finish(reader);
    Column {
        nullable: !is_key && nullable.is_none_or(|flag| flag.value),
        expr: read_expression(reader, &expr, aliases),
        expr_line: expr.line,
        name: name.value,
        type_text: type_text.value.trim().to_owned(),
        comment,
        line,
    }
}

fn read_join<'t>(reader: &mut Reader<'t>, mut section: Section<'t>, source: &Source) -> Join {
    let line = section.line;
    let (schema, table) = read_table(reader, &mut section, source.schema.as_deref());
    let alias = section.text(reader, "alias");
    rule(reader, &alias, names::check_alias);
    let tenant = read_tenant(reader, &mut section, &source.tenant);
    let on = read_pairs(reader, &mut section);
    let condition = section.text_or_none(reader, "where").filter(|_| !alias.value.is_empty());
    let aggregates = read_aggregates(reader, &mut section, &alias.value);
    section.finish(reader);
    Join {
        condition: condition.map(|text| read_expression(reader, &text, &[alias.value.as_str()])),
        aggregates,
        schema,
        table,
        alias: alias.value,
        tenant,
        on,
        line,
    }
}

fn read_aggregates<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>, alias: &str) -> Vec<Aggregate> {
    let Some(pairs) =
        section.pairs_or_none(reader, "aggregate", "what is computed, such as { total = \"sum(…)\" }")
    else {
        return Vec::new();
    };
    let line = pairs.line;
    let mut aggregates = Vec::new();
    for (name, text) in pairs.value {
        reader.rule(line, names::check_source_column(&name));
        let expr = read_expression(reader, &At { value: text, line }, &[alias]);
        aggregates.push(Aggregate { name, expr, line });
    }
    aggregates
}

fn read_touch<'t>(reader: &mut Reader<'t>, mut section: Section<'t>, source: &Source) -> Touch {
    let line = section.line;
    let (schema, table) = read_table(reader, &mut section, source.schema.as_deref());
    let tenant = read_tenant(reader, &mut section, &source.tenant);
    let on = read_pairs(reader, &mut section);
    section.finish(reader);
    Touch { schema, table, tenant, on, line }
}

fn read_index<'t>(reader: &mut Reader<'t>, mut section: Section<'t>) -> Index {
    let line = section.line;
    let columns = section.names(reader, "columns");
    let method = match section.text_or_none(reader, "method") {
        Some(text) => match text.value.as_str() {
            "hash" => IndexMethod::Hash,
            "btree" | "" => IndexMethod::Btree,
            _ => {
                reader.refuse(text.line, "method is \"btree\" or \"hash\"");
                IndexMethod::Btree
            }
        },
        None => IndexMethod::Btree,
    };
    section.finish(reader);
    Index { columns: columns.value, method, line }
}

fn read_tenant<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>, default: &str) -> String {
    let Some(tenant) = section.text_or_none(reader, "tenant") else { return default.to_owned() };
    rule(reader, &tenant, names::check_source_column);
    tenant.value
}

fn read_pairs<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>) -> Vec<(String, String)> {
    let pairs = section.pairs(reader, "on");
    for (theirs, ours) in &pairs.value {
        reader.rule(pairs.line, names::check_source_column(theirs));
        reader.rule(pairs.line, names::check_source_column(ours));
    }
    pairs.value
}

fn read_comment<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>) -> Option<String> {
    let comment = section.text_or_none(reader, "comment")?;
    if comment.value.contains('\0') {
        reader.refuse(comment.line, "a comment cannot hold a zero byte");
    }
    Some(comment.value.trim().to_owned()).filter(|text| !text.is_empty())
}

fn read_expression(reader: &mut Reader<'_>, text: &At<String>, aliases: &[&str]) -> Expression {
    // That it is missing or empty has been noted.
    if text.value.is_empty() {
        return Expression::default();
    }
    Expression::parse(&text.value, aliases).unwrap_or_else(|reason| {
        reader.refuse(text.line, reason);
        Expression::default()
    })
}

/// Applies a rule to a value, unless it is missing or empty, which has been noted.
fn rule(reader: &mut Reader<'_>, text: &At<String>, rule: impl Fn(&str) -> Result<(), String>) {
    if !text.value.is_empty() {
        reader.rule(text.line, rule(&text.value));
    }
}
