//! The description of the API, and a page to browse it without a script.

use std::fmt::Write;

use serde_json::Value;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};

/// The head of the description; the routes add themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bash Gym",
        description = "What your coding agents did becomes a student model. Errors are application/problem+json with \
            a stable `code`. Lists come in pages: `next` of one is `after` of the next. A POST that creates takes an \
            `Idempotency-Key`; a GET of JSON has an `ETag`. Names may have a slash, as it is or as `%2F`.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    components(schemas(crate::problem::ProblemBody, crate::gateway::ErrorBody)),
    modifiers(&Keys),
    security(("key" = []), ("cookie" = [])),
    tags(
        (name = "server", description = "The server itself"),
        (name = "hugging face", description = "The account, jobs and datasets on the Hub"),
        (name = "spaces", description = "Spaces on the Hub: demos that serve a model"),
        (name = "training", description = "Runs, plans and tasks"),
        (name = "data", description = "Sessions and datasets of this machine"),
        (name = "money", description = "What may be spent and what was"),
        (name = "events", description = "What happens, as it happens"),
        (name = "gateway", description = "OpenAI's API; errors have its shape"),
        (name = "router", description = "Which model answers, why, and what that costs and is worth"),
        (name = "settings", description = "Settings and the token"),
    )
)]
pub(crate) struct ApiDoc;

struct Keys;

impl Modify for Keys {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme(
            "cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(crate::security::COOKIE))),
        );
    }
}

/// Adds what any operation can answer with before its handler is reached, where it does not say so itself.
pub(crate) fn add_common_answers(whole: &mut utoipa::openapi::OpenApi) {
    const COMMON: [(&str, &str); 6] = [
        ("400", "The request cannot be read"),
        ("401", "No valid key, cookie or code"),
        ("403", "The request comes from elsewhere, or it is not allowed"),
        ("429", "Too many wrong keys"),
        ("503", "The store failed, or the server is ending"),
        ("504", "It took too long"),
    ];
    let body = || {
        ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("ProblemBody")))
            .build()
    };
    for item in whole.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            for (status, words) in COMMON {
                let answers = &mut operation.responses.responses;
                answers.entry(status.to_owned()).or_insert_with(|| {
                    ResponseBuilder::new()
                        .description(words)
                        .content("application/problem+json", body())
                        .build()
                        .into()
                });
            }
        }
    }
}

/// Names each operation after its method and its path: `get_hf_jobs_id`. A handler's own name is not the only one of its kind.
pub(crate) fn name_operations(whole: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut whole.paths.paths {
        let words = path.trim_start_matches("/api").replace(['{', '}'], "");
        let words = words.replace(['/', '-', '.'], "_");
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}{words}"));
            }
        }
    }
}

/// The page: every operation with what it takes and answers.
pub(crate) fn page(description: &Value) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Bash Gym API</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"stylesheet\" href=\"/assets/page.css\"></head><body><main><h1>Bash Gym API</h1>",
    );
    let info = escape(description["info"]["description"].as_str().unwrap_or_default());
    // Writing to a text does not fail.
    let _ = write!(
        html,
        "<p>{info}</p><p>The whole description: <a href=\"/api/openapi.json\">/api/openapi.json</a></p>"
    );
    let mut by_tag: Vec<(&str, Vec<String>)> = Vec::new();
    for (path, item) in description["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let tag = operation["tags"][0].as_str().unwrap_or("other");
            let shown = operation_html(path, method, operation);
            match by_tag.iter_mut().find(|(name, _)| *name == tag) {
                Some((_, shown_there)) => shown_there.push(shown),
                None => by_tag.push((tag, vec![shown])),
            }
        }
    }
    for (tag, operations) in by_tag {
        let _ = write!(html, "<h2>{}</h2>{}", escape(tag), operations.concat());
    }
    html.push_str("<h2>Shapes</h2>");
    for (name, schema) in description["components"]["schemas"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let _ = write!(
            html,
            "<details id=\"{0}\"><summary>{0}</summary><pre>{1}</pre></details>",
            escape(name),
            escape(&pretty(schema))
        );
    }
    html.push_str("</main></body></html>");
    html
}

fn operation_html(path: &str, method: &str, operation: &Value) -> String {
    let mut html = format!(
        "<details><summary><b>{}</b> <code>{}</code> {}</summary>",
        escape(&method.to_uppercase()),
        escape(path),
        escape(operation["summary"].as_str().unwrap_or_default())
    );
    if let Some(text) = operation["description"].as_str() {
        let _ = write!(html, "<p>{}</p>", escape(text));
    }
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let mut rows = String::new();
    for one in parameters {
        let text = |key: &str| escape(one[key].as_str().unwrap_or_default());
        let _ = write!(
            rows,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            text("name"),
            text("in"),
            text("description")
        );
    }
    if !rows.is_empty() {
        let _ = write!(html, "<table>{rows}</table>");
    }
    if operation["requestBody"].is_object() {
        let _ = write!(
            html,
            "<h4>Takes</h4><pre>{}</pre>",
            escape(&pretty(&operation["requestBody"]["content"]))
        );
    }
    html.push_str("<h4>Answers</h4><table>");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let text = escape(answer["description"].as_str().unwrap_or_default());
        let _ = write!(html, "<tr><td>{}</td><td>{text}</td></tr>", escape(status));
    }
    html.push_str("</table></details>");
    html
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
