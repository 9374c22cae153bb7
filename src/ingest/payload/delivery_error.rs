//! Parser of WhatsApp's errors: why a message was not delivered.
//!
//! Meta's error objects are in different places of a body, depending on when a message failed, and
//! `details` is beside the code or in `error_data`. All places are read on logs and messages alike.

use super::Fields;
use super::fields::Element;
use crate::model::Timestamp;

/// WhatsApp's error of one message.
#[derive(Default)]
pub struct DeliveryError {
    /// WhatsApp error code.
    pub code: Option<i64>,
    /// Meta's title of the error, or else its message.
    pub title: Option<String>,
    /// Which parameter, media or recipient was the cause.
    pub details: Option<String>,
    /// Time of the failure, by WhatsApp's clock.
    pub at: Option<Timestamp>,
    /// WhatsApp's id of the message that failed.
    pub message_id: Option<String>,
}

impl DeliveryError {
    /// Reads the errors in these parts of a body. The first code wins; title and details come from
    /// errors with that code.
    pub fn read(parts: &[Option<&Fields<'_>>]) -> Self {
        let mut error = Self::default();
        for part in parts.iter().flatten() {
            error.add_part(part);
        }
        error
    }

    fn add_part(&mut self, part: &Fields<'_>) {
        self.add_errors(part, "errors");
        for failed in part.elements("failed") {
            let Element::Object(failed) = failed else { continue };
            self.add_errors(&failed, "errors");
            for status in failed.elements("statuses") {
                let Element::Object(status) = status else { continue };
                self.add_status(&status);
            }
        }
        for status in part.elements("statuses") {
            let Element::Object(status) = status else { continue };
            if status.has("errors") {
                self.add_status(&status);
            }
        }
        for message in part.elements("messages") {
            let Element::Object(message) = message else { continue };
            self.add_errors(&message, "errors");
        }
        self.add_errors(part, "error");
    }

    fn add_status(&mut self, status: &Fields<'_>) {
        self.at = self.at.or_else(|| status.time("timestamp"));
        self.message_id = self.message_id.take().or_else(|| status.id("id"));
        self.add_errors(status, "errors");
    }

    fn add_errors(&mut self, fields: &Fields<'_>, key: &str) {
        for error in fields.elements(key) {
            match error {
                Element::Text(text) => {
                    self.add(code_from_text(&text), Some(text.into_owned()), None);
                }
                Element::Object(error) => {
                    let texts = ["title", "message"].map(|key| error.non_placeholder(key));
                    let code = error.integer("code").filter(|code| *code >= 0);
                    let of_text = || texts.iter().flatten().find_map(|text| code_from_text(text));
                    let code = code.or_else(of_text);
                    let title = texts.into_iter().flatten().next();
                    let details = error.non_placeholder("details").or_else(|| details(&error));
                    self.add(code, title, details);
                }
            }
        }
    }

    fn add(&mut self, code: Option<i64>, title: Option<String>, details: Option<String>) {
        match (self.code, code) {
            (Some(known), Some(code)) if known != code => {}
            (None, Some(_)) => {
                self.code = code;
                self.title = title.or_else(|| self.title.take());
                self.details = details.or_else(|| self.details.take());
            }
            _ => {
                self.title = self.title.take().or(title);
                self.details = self.details.take().or(details);
            }
        }
    }
}

/// `error_data.details`.
fn details(error: &Fields<'_>) -> Option<String> {
    error.elements("error_data").find_map(|data| match data {
        Element::Text(text) => Some(text.into_owned()),
        Element::Object(data) => data.non_placeholder("details"),
    })
}

/// The code `131026` from the text `… (#131026) …`, for errors without a code field.
pub fn code_from_text(text: &str) -> Option<i64> {
    let (_, after) = text.split_once("(#")?;
    let (code, _) = after.split_once(')')?;
    code.parse::<u32>().ok().map(i64::from)
}

#[cfg(test)]
mod tests {
    use super::code_from_text;

    #[test]
    fn error_code_is_read_from_text() {
        assert_eq!(code_from_text("(#131026) Undeliverable"), Some(131_026));
        assert_eq!(code_from_text("Message Undeliverable."), None);
        assert_eq!(code_from_text("(#131026"), None);
    }
}
