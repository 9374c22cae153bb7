//! A signed-in browser without JavaScript.

use axum::body::Body;
use axum::http::Request;
use axum::http::header::{CONTENT_TYPE, COOKIE, HOST as HOST_HEADER, ORIGIN, SET_COOKIE};
use form_urlencoded::Serializer;
use sqlx::PgPool;

use crate::harness::{Response, Service};

/// The setting that enables the console.
pub const ENABLED: (&str, &str) = ("RECEIVER__CONSOLE__ENABLED", "true");
/// Host of the requests.
pub const HOST: &str = "console.example.com";

/// Starts a service with the console.
pub async fn start(db: PgPool) -> Service {
    Service::start_with(db, &[ENABLED]).await
}

/// A form that a page of the console sends.
pub fn form(path: &str, fields: &[(&str, &str)], cookie: &str) -> Request<Body> {
    let body = Serializer::new(String::new()).extend_pairs(fields).finish();
    Request::post(path)
        .header(HOST_HEADER, HOST)
        .header(ORIGIN, format!("https://{HOST}"))
        .header(COOKIE, cookie)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.into())
        .unwrap()
}

/// A session.
pub struct Browser<'a> {
    service: &'a Service,
    cookie: String,
}

impl<'a> Browser<'a> {
    /// Signs in with a key.
    pub async fn sign_in(service: &'a Service, key: &str) -> Self {
        let response = service.send(form("/console/sign-in", &[("key", key)], "")).await;
        let cookie = response.headers[SET_COOKIE].to_str().unwrap();
        Self { service, cookie: cookie.split(';').next().unwrap().to_owned() }
    }

    /// The header `Cookie` of its requests.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// A request of a page.
    pub fn request(&self, path: &str) -> Request<Body> {
        Request::get(path).header(COOKIE, &self.cookie).body(Body::empty()).unwrap()
    }

    pub async fn get(&self, path: &str) -> Response {
        self.service.send(self.request(path)).await
    }

    /// The page, which must be there.
    pub async fn text(&self, path: &str) -> String {
        self.get(path).await.text()
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.service.send(form(path, fields, &self.cookie)).await
    }
}
