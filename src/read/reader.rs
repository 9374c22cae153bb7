//! Extractors of the read API: authentication, query parameters and page in one.
//!
//! A handler gets a [`Reader`] only from one of these, so it can forget neither the key nor to
//! reject unknown parameters.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::key::Key;
use super::page::Page;
use super::state::ReadState;
use crate::config::Scope;
use crate::http::Error;
use crate::http::query::{Parameters, Query};

/// The key of a caller.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Key>);

impl Reader {
    /// Organisations whose data it may see; `None` for all.
    pub fn organizations(&self) -> Option<&[String]> {
        self.0.organizations.as_deref()
    }

    /// The key itself.
    pub fn key(&self) -> &Key {
        &self.0
    }

    /// Fails with a 403 that names the scope if the key lacks it.
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        let has_scope = self.0.scopes.contains(&scope);
        has_scope.then_some(()).ok_or(Error::Forbidden(scope.as_str()))
    }

    async fn authenticate(parts: &Parts, state: &ReadState, scope: Scope) -> Result<Self, Error> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, sent) =
            header.and_then(|text| text.split_once(' ')).ok_or(Error::Unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Error::Unauthorized);
        }
        let reader = state.keys.admit(sent.trim()).await.map(Self)?;
        reader.require(scope)?;
        Ok(reader)
    }
}

/// A request of a key with scope `read`, with query parameters `Q` and no others.
pub struct Authorized<Q = ()> {
    /// The caller.
    pub reader: Reader,
    /// Its parameters.
    pub query: Q,
}

impl<Q: Query> FromRequestParts<ReadState> for Authorized<Q> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &ReadState) -> Result<Self, Error> {
        let reader = Reader::authenticate(parts, state, Scope::Read).await?;
        let mut parameters = Parameters::new(parts)?;
        let query = Q::read(&mut parameters);
        parameters.finish()?;
        Ok(Self { reader, query })
    }
}

/// A list request of a key with scope `read`: filters `Q` and a page. `Place` is the sort key in its
/// cursor.
pub struct AuthorizedList<Place, Q = ()> {
    /// The caller.
    pub reader: Reader,
    /// Its filters.
    pub query: Q,
    /// The page.
    pub page: Page<Place>,
}

impl<Place, Q> FromRequestParts<ReadState> for AuthorizedList<Place, Q>
where
    Place: Serialize + DeserializeOwned + Send + 'static,
    Q: Query,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &ReadState) -> Result<Self, Error> {
        let reader = Reader::authenticate(parts, state, Scope::Read).await?;
        let mut parameters = Parameters::new(parts)?;
        let query = Q::read(&mut parameters);
        let page = Page::read(&reader, &mut parameters)?;
        parameters.finish()?;
        Ok(Self { reader, query, page })
    }
}

/// A request of a key with scope `replay`, without query parameters.
pub struct AuthorizedReplay {
    /// The caller.
    pub reader: Reader,
}

impl FromRequestParts<ReadState> for AuthorizedReplay {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &ReadState) -> Result<Self, Error> {
        let reader = Reader::authenticate(parts, state, Scope::Replay).await?;
        Parameters::new(parts)?.finish()?;
        Ok(Self { reader })
    }
}
