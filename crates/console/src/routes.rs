//! The table of what the API answers: each entry is a route and its description at once, so that no route can be missing
//! from the OpenAPI document, and nothing is in it that is not served.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, on};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::http::Problem;
use crate::state::Console;

/// Routes with their descriptions.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    router: Router<Console>,
    entries: Vec<(Method, &'static str, Endpoint)>,
}

type Schema = fn(&mut SchemaGenerator) -> Value;

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// What an entry of the API is for.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    summary: &'static str,
    parameters: Vec<(&'static str, &'static str, Value)>,
    body: Option<Schema>,
    answer: Option<Schema>,
    media: &'static str,
    open: bool,
}

/// An entry that answers nothing but its status (204).
pub(crate) fn endpoint(summary: &'static str) -> Endpoint {
    Endpoint {
        summary,
        parameters: Vec::new(),
        body: None,
        answer: None,
        media: "application/json",
        open: false,
    }
}

impl Endpoint {
    /// It answers this, as JSON.
    pub(crate) fn answers<T: JsonSchema>(mut self) -> Self {
        self.answer = Some(schema_of::<T>);
        self
    }

    /// It takes this, as JSON.
    pub(crate) fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(schema_of::<T>);
        self
    }

    /// Its answer is a stream of server-sent events, each of this.
    pub(crate) fn streams<T: JsonSchema>(mut self) -> Self {
        self.media = "text/event-stream";
        self.answers::<T>()
    }

    /// A parameter behind the question mark; `schema` is its JSON Schema.
    pub(crate) fn parameter(mut self, name: &'static str, description: &'static str, schema: Value) -> Self {
        self.parameters.push((name, description, schema));
        self
    }

    /// `limit` and `cursor`.
    pub(crate) fn pages(self) -> Self {
        self.parameter(
            "limit",
            "How many entries",
            json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
        )
        .parameter("cursor", "`nextCursor` of the page before", json!({ "type": "string" }))
    }

    /// It needs no key.
    pub(crate) fn open(mut self) -> Self {
        self.open = true;
        self
    }
}

impl Routes {
    pub(crate) fn get<H, T>(self, path: &'static str, handler: H, endpoint: Endpoint) -> Self
    where
        H: Handler<T, Console>,
        T: 'static,
    {
        self.route(Method::GET, MethodFilter::GET, path, handler, endpoint)
    }

    pub(crate) fn post<H, T>(self, path: &'static str, handler: H, endpoint: Endpoint) -> Self
    where
        H: Handler<T, Console>,
        T: 'static,
    {
        self.route(Method::POST, MethodFilter::POST, path, handler, endpoint)
    }

    pub(crate) fn put<H, T>(self, path: &'static str, handler: H, endpoint: Endpoint) -> Self
    where
        H: Handler<T, Console>,
        T: 'static,
    {
        self.route(Method::PUT, MethodFilter::PUT, path, handler, endpoint)
    }

    pub(crate) fn delete<H, T>(self, path: &'static str, handler: H, endpoint: Endpoint) -> Self
    where
        H: Handler<T, Console>,
        T: 'static,
    {
        self.route(Method::DELETE, MethodFilter::DELETE, path, handler, endpoint)
    }

    fn route<H, T>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        handler: H,
        endpoint: Endpoint,
    ) -> Self
    where
        H: Handler<T, Console>,
        T: 'static,
    {
        self.router = self.router.route(path, on(filter, handler));
        self.entries.push((method, path, endpoint));
        self
    }

    /// All of another table, too.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.entries.extend(other.entries);
        self
    }

    /// The router, and the OpenAPI document of all entries.
    pub(crate) fn finish(self) -> (Router<Console>, Arc<Value>) {
        let document = Arc::new(document(&self.entries));
        (self.router, document)
    }
}

fn document(entries: &[(Method, &'static str, Endpoint)]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = schema_of::<Problem>(&mut generator);
    let mut paths: Map<String, Value> = Map::new();
    for (method, path, endpoint) in entries {
        let operation = operation(path, endpoint, &mut generator);
        let item = paths.entry((*path).to_owned()).or_insert_with(|| json!({}));
        item[method.as_str().to_lowercase()] = operation;
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "tenant-sync console",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The admin API. Every change is in the audit log, under the name of the key that was used.",
        },
        "security": [{ "adminKey": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "adminKey": { "type": "http", "scheme": "bearer" } },
            "responses": {
                "Problem": {
                    "description": "Why it is not answered as asked",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
            "schemas": schemas,
        },
    })
}

fn operation(path: &str, endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let in_path = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).map(|name| {
        let uuid = ["tenancy_id", "request_id", "trigger_id"].contains(&name);
        let schema =
            if uuid { json!({ "type": "string", "format": "uuid" }) } else { json!({ "type": "string" }) };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let in_query = endpoint.parameters.iter().map(|(name, description, schema)| {
        json!({ "name": name, "in": "query", "description": description, "schema": schema })
    });
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let (status, answer) = match endpoint.answer {
        Some(schema) => {
            let content = json!({ endpoint.media: { "schema": schema(generator) } });
            ("200", json!({ "description": endpoint.summary, "content": content }))
        }
        None => ("204", json!({ "description": endpoint.summary })),
    };
    let mut operation = json!({
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": { status: answer, "default": { "$ref": "#/components/responses/Problem" } },
    });
    if let Some(schema) = endpoint.body {
        let content = json!({ "application/json": { "schema": schema(generator) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    if endpoint.open {
        operation["security"] = json!([]);
    }
    operation
}
