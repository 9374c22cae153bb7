//! Recurring work on the organisations of the settings.

use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::store::Failure;

/// Does the work once per `pause`, until `stopping`, which interrupts it. Work fails only if the database
/// does: then `interrupted` is logged, once per outage.
pub async fn repeat<F: Future<Output = Result<(), Failure>>>(
    pause: Duration,
    mut stopping: Receiver<bool>,
    interrupted: &'static str,
    work: impl Fn() -> F,
) {
    let mut tick = interval(pause);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let done = tokio::select! {
            done = work() => done,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        if let Err(cause) = &done
            && !is_failing
        {
            warn!(error = %cause, "{interrupted}");
        }
        is_failing = done.is_err();
    }
}
