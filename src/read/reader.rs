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

use super::caller::Caller;
use super::dialect::Dialect;
use super::hmac::SignedRequest;
use super::key::Key;
use super::keys::Keys;
use super::page::Page;
use super::state::ReadState;
use super::validity::Validity;
use crate::config::Scope;
use crate::http::query::value::Text;
use crate::http::query::{Parameters, Query};
use crate::http::server::admission::authenticate;
use crate::http::{Error, trace};
use crate::query;

/// The key of a caller, and the organisation that it asks for.
#[derive(Clone)]
pub struct Reader {
    key: Arc<Key>,
    keys: Keys,
    /// One of the key's organisations.
    organization: Option<[String; 1]>,
}

/// Extension of a request that the console makes in process: the visitor's key, which was admitted
/// already. No request from outside has it.
#[derive(Clone)]
pub struct Admitted(pub Arc<Key>);

query! {
    /// Parameter of every route that returns data of organisations.
    pub struct OrganizationQuery {
        /// Only data of this organisation; 404 if the key may not see it.
        organization_id: Text,
    }
}

impl Reader {
    /// Organisations whose data to show; `None` for all.
    pub fn organizations(&self) -> Option<&[String]> {
        match &self.organization {
            Some(one) => Some(one),
            None => self.key.organizations.as_deref(),
        }
    }

    /// Whether data of this organisation is to be shown; `None` is unknown.
    pub fn shows(&self, organization_id: Option<&str>) -> bool {
        self.organizations().is_none_or(|organizations| {
            organization_id.is_some_and(|id| organizations.iter().any(|own| own == id))
        })
    }

    /// The validity of the key while a response runs.
    pub fn validity(&self) -> Validity {
        Validity::new(self.keys.clone(), self.key.clone())
    }

    /// The key itself.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Narrows it to the organisation of something that it may see.
    pub fn of(self, organization_id: String) -> Self {
        Self { organization: Some([organization_id]), ..self }
    }

    /// Narrows it to the organisation of the query. Fails if the key may not see this one.
    fn narrow(self, query: OrganizationQuery) -> Result<Self, Error> {
        let Some(Text(id)) = query.organization_id else { return Ok(self) };
        if !self.shows(Some(&id)) {
            return Err(Error::NotFound);
        }
        trace::note(|facts| facts.organization_id = Some(id.clone()));
        Ok(Self { organization: Some([id]), ..self })
    }

    /// Fails with a 403 that names the scope if the key lacks it.
    pub fn require(&self, scope: Scope) -> Result<(), Error> {
        let scopes = &self.key.scopes;
        // The middleware of `caller` masks the response.
        let is_masked = scope == Scope::Read && scopes.contains(&Scope::ReadMasked);
        let has_scope = scopes.contains(&scope) || is_masked;
        has_scope.then_some(()).ok_or(Error::Forbidden(scope.as_str()))
    }

    /// Authenticates a request whose key must have the scope.
    async fn authenticate(parts: &Parts, state: &ReadState, scope: Scope) -> Result<Self, Error> {
        let reader = Self::identify(parts, state).await?;
        reader.require(scope)?;
        Ok(reader)
    }

    /// Authenticates a request by its header `Authorization`: with a key, or on Qontak's own routes
    /// also with a signature.
    async fn identify(parts: &Parts, state: &ReadState) -> Result<Self, Error> {
        let key = match parts.extensions.get::<Admitted>() {
            Some(Admitted(key)) => key.clone(),
            None => Self::admit(parts, state).await?,
        };
        trace::note(|facts| facts.key = Some(key.name.clone()));
        Caller::set(parts, &key)?;
        Ok(Self { key, keys: state.keys.clone(), organization: None })
    }

    /// Returns the key of the header `Authorization`.
    async fn admit(parts: &Parts, state: &ReadState) -> Result<Arc<Key>, Error> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, sent) =
            header.and_then(|text| text.split_once(' ')).ok_or(Error::Unauthorized)?;
        let is_qontak = parts.extensions.get::<Dialect>().is_some();
        let key = if scheme.eq_ignore_ascii_case("bearer") {
            state.keys.admit(sent.trim()).await
        } else if scheme.eq_ignore_ascii_case("hmac") && is_qontak {
            let request = SignedRequest::parse(parts).ok_or(Error::UnknownKey)?;
            state.keys.admit_signed(&request).await
        } else {
            Err(Error::Unauthorized)
        };
        if matches!(key, Ok(_) | Err(Error::TooManyRequests(_))) {
            authenticate(&parts.extensions);
        }
        key
    }
}

/// A request of a key with scope `read`, with query parameters `Q` and [`OrganizationQuery`], and no
/// others.
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
        let organization = OrganizationQuery::read(&mut parameters);
        parameters.finish()?;
        Ok(Self { reader: reader.narrow(organization)?, query })
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
        let organization = OrganizationQuery::read(&mut parameters);
        let page = Page::read(&reader, &mut parameters)?;
        parameters.finish()?;
        Ok(Self { reader: reader.narrow(organization)?, query, page })
    }
}

/// A request of any key, without query parameters.
pub struct AuthorizedKey {
    /// The caller.
    pub reader: Reader,
}

impl FromRequestParts<ReadState> for AuthorizedKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &ReadState) -> Result<Self, Error> {
        let reader = Reader::identify(parts, state).await?;
        Parameters::new(parts)?.finish()?;
        Ok(Self { reader })
    }
}

/// A request without a key, or of a key with scope `read`; without query parameters.
pub struct MaybeAuthorized {
    /// The caller; `None` without a key.
    pub reader: Option<Reader>,
}

impl FromRequestParts<ReadState> for MaybeAuthorized {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &ReadState) -> Result<Self, Error> {
        let has_key = parts.headers.contains_key(AUTHORIZATION)
            || parts.extensions.get::<Admitted>().is_some();
        let reader = if has_key {
            Some(Reader::authenticate(parts, state, Scope::Read).await?)
        } else {
            None
        };
        Parameters::new(parts)?.finish()?;
        Ok(Self { reader })
    }
}

/// A request of a key with scope `write`, with [`OrganizationQuery`] and no other query parameters.
pub struct AuthorizedWrite {
    /// The caller.
    pub reader: Reader,
}

impl FromRequestParts<ReadState> for AuthorizedWrite {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &ReadState) -> Result<Self, Error> {
        let reader = Reader::authenticate(parts, state, Scope::Write).await?;
        let mut parameters = Parameters::new(parts)?;
        let organization = OrganizationQuery::read(&mut parameters);
        parameters.finish()?;
        Ok(Self { reader: reader.narrow(organization)? })
    }
}

/// A request of a key with scope `replay`, with query parameters `Q`.
pub struct AuthorizedReplay<Q = ()> {
    /// The caller.
    pub reader: Reader,
    /// Its parameters.
    pub query: Q,
}

impl<Q: Query> FromRequestParts<ReadState> for AuthorizedReplay<Q> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &ReadState) -> Result<Self, Error> {
        let reader = Reader::authenticate(parts, state, Scope::Replay).await?;
        let mut parameters = Parameters::new(parts)?;
        let query = Q::read(&mut parameters);
        parameters.finish()?;
        Ok(Self { reader, query })
    }
}
