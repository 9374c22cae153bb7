//! The messages of one page of a conversation.

use axum::http::StatusCode;

use super::message::Message;
use crate::console::api::{ApiError, List};
use crate::console::session::Visitor;

/// Messages of a page.
const PAGE: &str = "50";
/// Messages of a refresh: room for as many new ones again, and more.
const REFRESH: &str = "150";
/// Messages before and after the one that a link names.
const AROUND: &str = "25";

/// One page, and what is beside it.
pub struct Page {
    /// Newest first.
    pub messages: Vec<Message>,
    /// Cursor of older messages.
    pub older: Option<String>,
    /// Cursor of newer messages.
    pub newer: Option<String>,
    /// Whether it ends with the newest message, so that new ones belong below it.
    pub is_newest: bool,
    /// Whether the message that a link names is not in the conversation.
    pub is_lost: bool,
}

impl Page {
    /// Requests the page that the parameters name: that of a cursor, that around a message, or the newest.
    /// `path` is that of the room.
    pub async fn load(visitor: &Visitor, path: &str) -> Result<Self, ApiError> {
        let get = |name| visitor.parameters.get(name);
        let path = format!("{path}/messages");
        let (cursor, oldest, message) = (get("cursor"), get("oldest"), get("message"));
        let mut is_lost = false;
        // A refresh of a page that reaches the newest message names its oldest one.
        if !message.is_empty() && cursor.is_empty() && oldest.is_empty() {
            match around(visitor, &path, message).await {
                Ok(page) => return Ok(page),
                Err(error) if error.status == StatusCode::NOT_FOUND => is_lost = true,
                Err(error) => return Err(error),
            }
        }
        let limit = if oldest.is_empty() { PAGE } else { REFRESH };
        let list = visitor.api.list(&path, &[("limit", limit), ("cursor", cursor)]).await?;
        let (older, newer) = cursors(&list);
        Ok(Self { messages: list.data, older, newer, is_newest: cursor.is_empty(), is_lost })
    }
}

/// The page with a message, some before it and some after it.
async fn around(visitor: &Visitor, path: &str, message: &str) -> Result<Page, ApiError> {
    let from = [("from_id", message), ("limit", AROUND)];
    let list: List<Message> = visitor.api.list(path, &from).await?;
    let (older, newer) = cursors(&list);
    let mut page =
        Page { messages: list.data, older, newer: None, is_newest: true, is_lost: false };
    if let Some(cursor) = newer {
        let next = [("cursor", cursor.as_str()), ("limit", AROUND)];
        let mut list: List<Message> = visitor.api.list(path, &next).await?;
        (_, page.newer) = cursors(&list);
        page.is_newest = page.newer.is_none();
        list.data.append(&mut page.messages);
        page.messages = list.data;
    }
    Ok(page)
}

/// Cursors of older and newer messages.
fn cursors(list: &List<Message>) -> (Option<String>, Option<String>) {
    (list.cursors().next.clone(), list.cursors().prev.clone())
}
