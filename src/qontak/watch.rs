//! Drift watch: compares Qontak's webhook settings with what is expected, and reads its status page.
//!
//! One replica makes each check (`store/qontak_check.rs`); all of them export the stored result as
//! metrics. A problem is logged when it begins and when it ends.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use sqlx::PgPool;
use tokio::sync::watch::Receiver;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::Clients;
use super::client::Client;
use super::error::Error;
use super::hook::{Assessment, Hooks};
use super::register::{RegisterError, Registration};
use super::status_page;
use super::transport::Transport;
use crate::config::{Config, HookEvent, WebhookUrl};
use crate::store::qontak_check::{self, Check, Kind, claim, finish};
use crate::store::qontak_hook::{self, HookRow};
use crate::store::{Failure, qontak_status};

/// Longest poll interval for what the replicas stored.
const MAX_TICK: Duration = Duration::from_secs(60);

/// The check of the status page, which belongs to no organisation.
const STATUS_PAGE: Check<'_> = Check { name: "", kind: Kind::StatusPage };

/// Everything that is watched.
pub struct Watch {
    organizations: Vec<Organization>,
    /// Names of all organisations of the settings.
    names: Vec<String>,
    status_page: Option<String>,
    interval: Duration,
    repair: bool,
    transport: Transport,
    db: PgPool,
}

struct Organization {
    client: Arc<Client>,
    url: WebhookUrl,
    events: Vec<HookEvent>,
}

#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Qontak(#[from] Error),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Watch {
    /// What the settings ask to watch; `None` if nothing.
    pub fn new(config: &Config, clients: &Clients, db: PgPool) -> Option<Self> {
        let organization = |(name, settings): (&String, &crate::config::Qontak)| {
            let client = clients[name].clone();
            let url = settings.webhook_url.clone()?;
            Some(Organization { client, url, events: settings.events.clone() })
        };
        let organizations: Vec<_> = config.qontak.iter().filter_map(organization).collect();
        let status_page = config.watch.status_page.0.clone();
        (!organizations.is_empty() || status_page.is_some()).then(|| Self {
            organizations,
            names: clients.keys().cloned().collect(),
            status_page,
            interval: config.watch.interval,
            repair: config.register.repair,
            transport: Transport::default(),
            db,
        })
    }

    /// Watches until `stopping`. A check that has begun is finished: it may hold new tokens.
    pub async fn run(self, mut stopping: Receiver<bool>) {
        let mut tick = interval(self.interval.min(MAX_TICK));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
            match self.check_all().await {
                Ok(()) if is_failing => info!("watch of webhook settings works again"),
                Ok(()) => {}
                Err(_) if is_failing => {}
                Err(cause) => {
                    warn!(error = %Failure::from(cause), "watch of webhook settings interrupted");
                    is_failing = true;
                    continue;
                }
            }
            is_failing = false;
        }
    }

    /// Checks what is due and exports the stored results. Fails only if the database does.
    async fn check_all(&self) -> sqlx::Result<()> {
        // Replicas do not tick at the same moment.
        let interval = self.interval.mul_f64(0.9);
        if let Some(page) = &self.status_page
            && claim(&self.db, STATUS_PAGE, interval).await?
        {
            let result = self.check_status_page(page).await;
            self.store_result(STATUS_PAGE, result).await?;
        }
        for organization in &self.organizations {
            let check = Check { name: organization.client.name(), kind: Kind::Hooks };
            if claim(&self.db, check, interval).await? {
                let result = self.check_hooks(organization).await;
                self.store_result(check, result).await?;
            }
        }
        let names = self.organizations.iter().map(|organization| organization.client.name());
        let page = self.status_page.as_ref().map(|_| STATUS_PAGE.name);
        let names: Vec<&str> = names.chain(page).collect();
        let all: Vec<&str> = self.names.iter().map(String::as_str).collect();
        qontak_check::retain(&self.db, &names, &all).await?;
        self.export().await
    }

    async fn check_status_page(&self, page: &str) -> Result<(), CheckError> {
        let rows = status_page::fetch(&self.transport, page).await?;
        Ok(qontak_status::replace(&self.db, &rows).await?)
    }

    async fn check_hooks(&self, organization: &Organization) -> Result<(), CheckError> {
        let Organization { client, url, events } = organization;
        let hooks = Hooks::fetch(client).await?;
        let assessments = hooks.assess(url, events);
        self.store(client.name(), &assessments).await?;
        let registration = Registration { client, url, events };
        let is_wrong = assessments.iter().any(|it| it.problem.is_some());
        if self.repair && is_wrong && !registration.outdated(&hooks).is_empty() {
            let before = registration.prepare(&self.transport).await?;
            let report = registration.run(&before).await?;
            let categories = report.changed.join(",");
            info!(organization = client.name(), categories, "webhook registered again at qontak");
            self.store(client.name(), &report.hooks.assess(url, events)).await?;
        }
        Ok(())
    }

    /// Stores what was found and logs what has changed.
    async fn store(&self, organization: &str, assessments: &[Assessment]) -> sqlx::Result<()> {
        let rows: Vec<HookRow> = assessments.iter().map(|it| row(organization, it)).collect();
        let changed = qontak_hook::replace(&self.db, organization, &rows).await?;
        if changed.is_empty() {
            return Ok(());
        }
        let incidents = qontak_status::list(&self.db).await?;
        let incidents: Vec<_> = incidents.into_iter().map(|row| row.name).collect();
        let reported = incidents.join("; ");
        for (event, problem) in changed {
            match problem {
                Some(problem) => error!(
                    organization,
                    event, problem, reported, "webhook setting at qontak is wrong"
                ),
                None => info!(organization, event, "webhook setting at qontak is right again"),
            }
        }
        Ok(())
    }

    /// Stores whether a check succeeded; logs the first and the last failure of a series.
    async fn store_result(
        &self,
        check: Check<'_>,
        result: Result<(), CheckError>,
    ) -> sqlx::Result<()> {
        let error = match result {
            Ok(()) => None,
            Err(CheckError::Database(error)) => return Err(error),
            Err(error) => Some(error.to_string()),
        };
        if finish(&self.db, check, error.as_deref()).await? {
            let (organization, check) = (check.name, check.kind.as_str());
            match error {
                Some(error) => warn!(organization, check, error, "check at qontak failed"),
                None => info!(organization, check, "check at qontak succeeds again"),
            }
        }
        Ok(())
    }

    /// Sets the gauges, on every replica.
    async fn export(&self) -> sqlx::Result<()> {
        for row in qontak_hook::list(&self.db).await? {
            let enabled = f64::from(u8::from(row.is_enabled));
            let (organization, category) = (row.name, row.category);
            gauge!("qontak_receiver_qontak_hook_urls", "organization" => organization.clone(), "category" => category)
                .set(f64::from(row.own_urls));
            // An event that is not wanted may be off, and the alert has no list of those that are.
            if row.is_wanted {
                gauge!("qontak_receiver_qontak_hook_enabled", "organization" => organization, "event" => row.event)
                    .set(enabled);
            }
        }
        for row in qontak_check::list(&self.db).await? {
            let failed = f64::from(u8::from(row.error.is_some()));
            gauge!("qontak_receiver_qontak_check_failed", "organization" => row.name, "check" => row.kind)
                .set(failed);
        }
        Ok(())
    }
}

fn row(organization: &str, assessment: &Assessment) -> HookRow {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    HookRow {
        name: organization.to_owned(),
        event: assessment.event.as_str().to_owned(),
        category: assessment.category.to_owned(),
        is_enabled: assessment.is_enabled,
        is_wanted: assessment.is_wanted,
        own_urls: count(assessment.own_urls),
        other_urls: count(assessment.other_urls),
        problem: assessment.problem.map(|problem| problem.as_str().to_owned()),
        since: crate::model::Timestamp::now(),
    }
}
