//! Conversations: the list beside one conversation, as in a messenger.

mod bubble;
mod list;
mod media;
pub mod message;
mod page;
pub mod room;
mod thread;

use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};

use self::list::List;
use self::thread::Thread;
use super::api::{ApiError, encode};
use super::format::text::cut;
use super::icon::{Icon, icon};
use super::language::Words;
use super::layout::{Content, Section, page};
use super::session::Visitor;

/// `GET /console/conversations`.
pub async fn list(visitor: Visitor) -> Response {
    let content = inbox(&visitor, None).await;
    page(&visitor, Section::Conversations, content).await
}

/// `GET /console/conversations/{id}`.
pub async fn show(visitor: Visitor, Path(id): Path<String>) -> Response {
    let content = inbox(&visitor, Some(&id)).await;
    page(&visitor, Section::Conversations, content).await
}

async fn inbox(visitor: &Visitor, id: Option<&str>) -> Result<Content, ApiError> {
    let words = visitor.words();
    let (list, thread) = tokio::join!(List::load(visitor, id), async {
        match id {
            Some(id) => Thread::load(visitor, id).await.map(Some),
            None => Ok(None),
        }
    });
    let thread = thread?;
    let list = list.draw(visitor, id);
    let title = thread
        .as_ref()
        .map_or(words.conversations.to_owned(), |thread| thread.room.title(words).to_owned());
    Ok(Content {
        title: cut(&title, 100),
        heading: Some(words.conversations),
        actions: actions(visitor, id),
        body: html! {
            div.inbox.has-thread[thread.is_some()] {
                (list)
                @match &thread {
                    Some(thread) => (thread.draw(visitor)),
                    None => section.card.thread-empty { (choose_one(words)) },
                }
            }
        },
    })
}

fn actions(visitor: &Visitor, id: Option<&str>) -> Markup {
    let export = match id {
        Some(id) => visitor.link(&format!("/console/exports/rooms/{}/messages", encode(id)), &[]),
        None => visitor.link("/console/exports/rooms", &visitor.parameters.only(list::FILTERS)),
    };
    html! {
        @if visitor.can_export { a.button href=(export) download { (visitor.words().export_csv) } }
    }
}

fn choose_one(words: &Words) -> Markup {
    html! {
        div.empty {
            (icon(Icon::Conversations))
            p { strong { (words.choose_conversation) } }
            p.muted { (words.keyboard_hint) }
        }
    }
}
