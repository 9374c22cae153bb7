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
use super::api::ApiError;
use super::document::problem_of_page;
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
    let thread = match thread {
        // The list beside it may be there.
        Err(error) if error.is_cut() => Err(error),
        thread => Ok(thread?),
    };
    let list = list.draw(visitor, id);
    let title = match &thread {
        Ok(Some(thread)) => thread.room.title(words),
        _ => words.conversations,
    };
    Ok(Content {
        title: cut(title, 100),
        heading: Some(words.conversations),
        parent: id.map(|_| list::link(visitor)),
        actions: actions(visitor),
        body: html! {
            div.inbox.has-thread[id.is_some()] {
                (list)
                @match &thread {
                    Err(error) => section.card { (problem_of_page(words, error)) },
                    Ok(Some(thread)) => (thread.draw(visitor)),
                    Ok(None) => section.card.thread-empty { (choose_one(words)) },
                }
            }
        },
    })
}

/// Export of the list; that of the messages is with the details of a conversation, which a phone shows too.
fn actions(visitor: &Visitor) -> Markup {
    let export = visitor.link("/console/exports/rooms", &visitor.parameters.only(list::FILTERS));
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
