//! Files of messages, from the copies in `media.folder` or `media.bucket`.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::reader::{Authorized, OrganizationQuery};
use super::state::ReadState;
use crate::config::Scope;
use crate::http::extract::Id;
use crate::http::{Error, file};
use crate::media::kind;
use crate::media::storage::StorageError;
use crate::store::media::{self, MediaRow};
use crate::store::message;
use crate::telemetry::fault::Fault;

static UNREADABLE: Fault = Fault::error("copy of a file unreadable");

/// A copy of the file of a message, as `GET /v1/messages/{id}/file` returns it.
#[derive(Serialize, ToSchema)]
pub struct StoredFile {
    /// Media type.
    content_type: String,
    /// Size in bytes.
    bytes: i64,
    /// SHA-256 in hex, which is also its `ETag`.
    sha256: String,
}

impl From<media::Copy> for StoredFile {
    fn from(media::Copy { sha256, content_type, bytes }: media::Copy) -> Self {
        Self { content_type, bytes, sha256 }
    }
}

/// Bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "for the OpenAPI document")]
struct FileBytes(Vec<u8>);

/// Get the file of a message
///
/// The copy that this service has made (`media.folder` or `media.bucket`), whole or the part of `Range`. 404 if
/// the message has no file, or its file is not copied; the message says which. Keys with scope `read_masked`
/// get 403.
#[utoipa::path(
    get, path = "/messages/{id}/file", params(OrganizationQuery),
    responses(
        (
            status = OK, body = FileBytes, content_type = "application/octet-stream",
            description = "The file, with its own media type."
        ),
        (
            status = PARTIAL_CONTENT, body = FileBytes, content_type = "application/octet-stream",
            description = "The part that the header `Range` names."
        ),
        (
            status = NOT_MODIFIED,
            description = "The file has the `ETag` of the header `If-None-Match`."
        ),
        (
            status = RANGE_NOT_SATISFIABLE, body = crate::http::error::ErrorResponse,
            description = "The header `Range` begins behind the end of the file."
        ),
    )
)]
pub async fn show(
    Authorized { reader, .. }: Authorized,
    Id(id): Id,
    State(state): State<ReadState>,
    request: HeaderMap,
) -> Result<Response, Error> {
    // The middleware refuses it too, but only a successful response.
    if reader.key().scopes.contains(&Scope::ReadMasked) {
        return Err(Error::Forbidden(Scope::Read.as_str()));
    }
    let key = message::find(state.db(), reader.organizations(), &id).await?;
    let key = key.ok_or(Error::NotFound)?;
    let found = media::find(state.db(), &key).await?;
    let row = found.ok_or_else(|| Error::NoFile("the message has no file".to_owned()))?;
    let Some(storage) = &state.media else {
        let problem = "files are not copied; media.folder and media.bucket are not set";
        return Err(Error::NoFile(problem.to_owned()));
    };
    let (Some(sha256), Some(bytes), "stored") = (&row.sha256, row.bytes, row.state.as_str()) else {
        return Err(Error::NoFile(problem(&row)));
    };
    let read = async |first, length| match storage.read(sha256, first, length).await {
        Ok(content) => Ok(Body::from_stream(content)),
        Err(error) => Err(unreadable(error)),
    };
    file::respond(&request, bytes.unsigned_abs(), sha256, headers(&row), read).await
}

fn unreadable(error: StorageError) -> Error {
    let response = match &error {
        error if error.is_missing() => {
            Error::NoFile("the copy of the file is gone from media.folder or media.bucket".into())
        }
        error if error.is_temporary() => {
            Error::NotReady("the copy of the file cannot be read now, retry later")
        }
        _ => Error::Internal,
    };
    UNREADABLE.occurred(error);
    response
}

/// Why there is no copy.
fn problem(row: &MediaRow) -> String {
    match (row.state.as_str(), &row.error) {
        ("waiting", None) => "the file is not copied yet, retry later".to_owned(),
        ("waiting", Some(error)) => format!("the file is not copied yet, retry later: {error}"),
        ("failed", Some(error)) => format!("the file could not be copied: {error}"),
        _ => "the file was not copied: its message came before files were copied".to_owned(),
    }
}

/// Headers that keep a browser from running what somebody has sent as a file.
fn headers(row: &MediaRow) -> HeaderMap {
    let media_type = row.content_type.as_deref().unwrap_or("application/octet-stream");
    let disposition = if kind::is_inline(media_type) { "inline" } else { "attachment" };
    let name = row.filename.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let name = name.map(|name| name.chars().take(200).collect::<String>());
    let name = name.map(|name| utf8_percent_encode(&name, NON_ALPHANUMERIC).to_string());
    let name = name.map_or_else(String::new, |name| format!("; filename*=UTF-8''{name}"));
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(CONTENT_TYPE, media_type);
    set(CONTENT_DISPOSITION, &format!("{disposition}{name}"));
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    // In a sandbox browsers do not show PDF.
    if media_type != "application/pdf" {
        set(CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
    }
    headers
}
