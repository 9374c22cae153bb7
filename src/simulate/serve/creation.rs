//! Templates and contact lists that a client creates. They become done after some polls, as at
//! Qontak after some time.

use axum::extract::{Path, Query, Request, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::page::{Cursors, PageQuery, millis};
use super::record::Created;
use super::response::error;
use super::state::{Fake, State};
use crate::simulate::world::Subject;

/// Number of polls after which something is done.
const POLLS: u32 = 2;

/// Routes of what is created.
pub fn routes() -> Router<Fake> {
    Router::new()
        .route("/templates/whatsapp", post(create_template))
        .route("/templates/{id}/whatsapp", get(show_template))
        .route("/contacts/contact_lists", get(list_contact_lists))
        .route("/contacts/contact_lists/async", post(create_contact_list))
        .route("/contacts/contact_lists/{id}", get(show_contact_list))
}

/// 201 with the template in two envelopes; 422 in Rails' form for a name that exists.
async fn create_template(Extract(fake): Extract<Fake>, Json(body): Json<Value>) -> Response {
    let mut state = fake.state();
    let name = body["name"].as_str().unwrap_or_default().to_owned();
    let is_taken = state.templates.iter().any(|it| it.row["name"] == name.as_str());
    let attributes = &body["attributes"][0];
    let text = attributes["components"].as_array().into_iter().flatten();
    let text = text.filter(|it| it["type"] == "BODY").map(|it| it["text"].clone()).next();
    let problem = match (&text, is_taken) {
        (None, _) => Some(("components", "can't be blank")),
        (_, true) => Some(("name", "has already been taken")),
        _ => None,
    };
    if let Some(problem) = problem {
        return invalid(problem);
    }
    let row = json!({
        "id": state.new_id(),
        "organization_id": state.organization_id(),
        "name": name,
        "language": attributes["language"],
        "header": null,
        "body": text,
        "footer": null,
        "buttons": [],
        "status": "PENDING",
        "category": body["category"],
        "quality_rating": null,
        "quality_rating_text": null,
    });
    state.templates.push(Created { row: row.clone(), polls: 0 });
    let data = json!({ "status": "success", "data": [row] });
    (StatusCode::CREATED, Json(json!({ "status": "success", "data": data }))).into_response()
}

async fn show_template(Extract(fake): Extract<Fake>, Path(id): Path<String>) -> Response {
    let mut state = fake.state();
    let outcome = state.outcome.clone();
    let Some(template) = find(&mut state.templates, &id) else { return not_found() };
    if outcome.as_deref() == Some("GONE") {
        return not_found();
    }
    template.polls += 1;
    if template.polls >= POLLS {
        template.row["status"] = outcome.as_deref().unwrap_or("APPROVED").into();
    }
    Json(json!({ "status": "success", "data": template.row })).into_response()
}

/// 201 with the id only. A form without a file or source is refused.
async fn create_contact_list(Extract(fake): Extract<Fake>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return StatusCode::BAD_REQUEST.into_response() };
    let content_type = head.headers.get("content-type").and_then(|it| it.to_str().ok());
    let form = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let boundary = content_type.and_then(|it| it.strip_prefix("multipart/form-data; boundary="));
    let Some(boundary) = boundary else { return invalid(("file", "is invalid")) };
    let part = |name: &str| {
        let head = format!("name=\"{name}\"");
        let part = form.split(&format!("--{boundary}")).find(|part| part.contains(&head))?;
        Some(part.split_once("\r\n\r\n")?.1.trim_end_matches("\r\n").to_owned())
    };
    let (Some(name), Some(source_type)) = (part("name"), part("source_type")) else {
        return invalid(("name", "can't be blank"));
    };
    let file = part("file");
    if file.is_none() && part("source_id").is_none() {
        return invalid(("file", "can't be blank"));
    }
    if fake.state().outcome.as_deref() == Some("REJECTED") {
        return invalid(("file", "Siti +62 812 0001 0001 is invalid"));
    }
    let header = file.as_deref().and_then(|file| file.lines().next()).unwrap_or_default();
    let variables: Vec<&str> = header.split(',').filter(|name| !name.is_empty()).collect();
    let count = file.as_deref().map_or(3, |file| file.lines().skip(1).count());
    let fields = json!({
        "source_type": source_type,
        "source_id": part("source_id"),
        "name": name,
        "contacts_count": count,
        "contact_variables": variables,
    });
    let data = json!({ "id": fake.state().create_contact_list(&fields) });
    (StatusCode::CREATED, Json(json!({ "status": "success", "data": data }))).into_response()
}

async fn show_contact_list(Extract(fake): Extract<Fake>, Path(id): Path<String>) -> Response {
    let mut state = fake.state();
    let (now, outcome) = (state.now(), state.outcome.clone().unwrap_or_default());
    let is_empty = outcome == "EMPTY";
    let Some(list) = find(&mut state.contact_lists, &id) else { return not_found() };
    if outcome == "GONE" {
        return not_found();
    }
    if outcome == "PENDING" {
        // As in the answer to its creation.
        return Json(json!({ "status": "success", "data": { "id": id } })).into_response();
    }
    list.polls += 1;
    if list.polls >= POLLS {
        let count = list.row["contacts_count"].clone();
        let of = if is_empty { "contacts_count_failed" } else { "contacts_count_success" };
        list.row[of] = count;
        if is_empty {
            // A number may also be a text.
            list.row["contacts_count_success"] = "0".into();
        }
        list.row["progress"] = "success".into();
        list.row["finished_at"] = json!(now);
        if is_empty {
            list.row["error_messages"] = json!({ "2": "6281200010001 is invalid" });
        }
    }
    Json(json!({ "status": "success", "data": list.row })).into_response()
}

async fn list_contact_lists(
    Extract(fake): Extract<Fake>,
    Query(query): Query<PageQuery>,
) -> Response {
    let state = fake.state();
    if !state.has_contact_lists {
        return error(StatusCode::FORBIDDEN, &["Access denied"]).into_response();
    }
    let rows = state.contact_lists.iter();
    let rows = rows.map(|list| (millis(&list.row["created_at"]), list.row.clone()));
    state.page(rows.collect(), &query, Cursors::Absent).into_response()
}

impl State {
    /// Rows of the templates that were created.
    pub fn created_templates(&self) -> impl Iterator<Item = Value> {
        self.templates.iter().map(|template| template.row.clone())
    }

    /// Adds a contact list with these fields, and returns its id.
    pub fn create_contact_list(&mut self, fields: &Value) -> String {
        let id = self.new_id();
        let mut row = json!({
            "id": id,
            "organization_id": self.organization_id(),
            "contacts_count": 0,
            "contacts_count_success": 0,
            "contacts_count_failed": 0,
            "created_at": self.now(),
            "updated_at": self.now(),
            "contact_variables": [],
            "finished_at": null,
            // Qontak changes its type, and quotes contacts in it.
            "error_messages": [],
            "progress": "processing",
        });
        for (name, value) in fields.as_object().into_iter().flatten() {
            row[name] = value.clone();
        }
        self.contact_lists.push(Created { row, polls: 0 });
        id
    }

    fn new_id(&self) -> String {
        let number = 2_000_000 + self.templates.len() + self.contact_lists.len();
        self.ids.of(Subject::Other, number as u32).to_string()
    }
}

fn find<'a>(all: &'a mut [Created], id: &str) -> Option<&'a mut Created> {
    all.iter_mut().find(|it| it.row["id"] == id)
}

fn invalid((field, problem): (&str, &str)) -> Response {
    let message = json!({ "active_model_errors": { field: [problem] }, "type": "record_invalid" });
    let error = json!({ "code": 422, "messages": [message] });
    let body = Json(json!({ "status": "error", "error": error }));
    (StatusCode::UNPROCESSABLE_ENTITY, body).into_response()
}

fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, &["Resource not found."]).into_response()
}
