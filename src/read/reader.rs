//! Extractors that authenticate a request of the read API.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::key::Key;
use super::state::ReadState;
use crate::config::Scope;
use crate::http::Error;

/// A caller whose key may read.
///
/// Only this extractor makes one, and every question to the store wants to know the
/// organisations, so a handler cannot forget to check.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Key>);

impl Reader {
    /// Its key.
    pub fn key(&self) -> &Key {
        &self.0
    }

    /// The organisations whose data it may see; `None` for all.
    pub fn organizations(&self) -> Option<&[String]> {
        self.0.organizations.as_deref()
    }

    /// Refuses what its key may not do, with a 403 that names the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        let may = self.0.scopes.contains(&scope);
        may.then_some(()).ok_or(Error::Forbidden(scope.as_str()))
    }

    /// Whoever sends a key that is known, whatever it may do.
    async fn with_key(parts: &Parts, state: &ReadState) -> Result<Self, Error> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, sent) =
            header.and_then(|text| text.split_once(' ')).ok_or(Error::Unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Error::Unauthorized);
        }
        state.keys.admit(sent.trim()).await.map(Self)
    }
}

impl FromRequestParts<ReadState> for Reader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &ReadState) -> Result<Self, Error> {
        let reader = Self::with_key(parts, state).await?;
        reader.require(Scope::Read)?;
        Ok(reader)
    }
}

/// A caller whose key may have events read again.
#[derive(Debug)]
pub struct Replayer(pub Reader);

impl FromRequestParts<ReadState> for Replayer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &ReadState) -> Result<Self, Error> {
        let reader = Reader::with_key(parts, state).await?;
        reader.require(Scope::Replay)?;
        Ok(Self(reader))
    }
}
