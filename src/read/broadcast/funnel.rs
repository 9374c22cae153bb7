//! Delivery funnel of a broadcast.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::times::{self, Durations, Hour};
use crate::model::Status;
use crate::read::status::Explained;
use crate::store::broadcast_log::count::Counted;
use crate::store::broadcast_log::funnel::{Example, Group};

/// Recipients by effective status, each of which counts once, and by statuses reached.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Counts {
    /// All recipients: the sum of the counts below.
    total: i64,
    /// Created: known to Qontak only.
    created: i64,
    /// Pending: held back by Meta's template pacing.
    pending: i64,
    /// Sent: accepted by WhatsApp.
    sent: i64,
    /// Delivered to the device, no read receipt.
    delivered: i64,
    /// Read: has a read receipt.
    read: i64,
    /// Failed, and neither delivered nor read.
    failed: i64,
    /// No status, or an unknown one.
    other: i64,
    reached: Reached,
}

impl Counts {
    /// Counts of each of `broadcasts` broadcasts, in their order.
    pub fn of_each(broadcasts: usize, counted: &[Counted]) -> Vec<Self> {
        let mut counts = vec![Self::default(); broadcasts];
        for counted in counted {
            let place = usize::try_from(counted.place - 1).ok();
            if let Some(one) = place.and_then(|place| counts.get_mut(place)) {
                one.add(counted);
            }
        }
        counts
    }

    fn add(&mut self, &Counted { statuses, count, .. }: &Counted) {
        self.total += count;
        *match Status::effective(statuses) {
            Some(Status::Created) => &mut self.created,
            Some(Status::Pending) => &mut self.pending,
            Some(Status::Sent) => &mut self.sent,
            Some(Status::Delivered) => &mut self.delivered,
            Some(Status::Read) => &mut self.read,
            Some(Status::Failed) => &mut self.failed,
            None => &mut self.other,
        } += count;
        let is_seen = |status: Status| status.is_in(statuses);
        let is_read = is_seen(Status::Read);
        let is_delivered = is_read || is_seen(Status::Delivered);
        let add = |to: &mut i64, is_so| *to += if is_so { count } else { 0 };
        add(&mut self.reached.sent, is_delivered || is_seen(Status::Sent));
        add(&mut self.reached.delivered, is_delivered);
        add(&mut self.reached.read, is_read);
        add(&mut self.reached.failed, is_seen(Status::Failed));
    }
}

/// Delivery funnel of one broadcast.
#[derive(Default, Serialize, ToSchema)]
pub struct Funnel {
    #[serde(flatten)]
    counts: Counts,
    implied: Implied,
    conflicts: Conflicts,
    /// Failed recipients by WhatsApp error code, most frequent first.
    failed_by_code: Vec<Failures>,
    /// Billable recipients by pricing category, most frequent first. Meta charges per delivered
    /// message, so only recipients that are delivered or read count.
    billable_by_category: Vec<Billable>,
    seconds_to_delivery: Durations,
    seconds_to_read: Durations,
    /// Recipients that reached each status, by hours since their logs were created; hours in which
    /// nothing happened are omitted. Whoever read it counts as delivered and sent, reported or not: the
    /// sums are those of `reached`, and of `failed`.
    by_hour: Vec<Hour>,
}

/// Recipients that reached at least this status, including those that failed later. A recipient
/// counts in every status it reached, so the list of broadcasts can show a funnel for each.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
struct Reached {
    /// Sent, delivered or read.
    sent: i64,
    /// Delivered or read.
    delivered: i64,
    /// Read.
    read: i64,
    /// Reported as failed, also those that were delivered or read as well.
    failed: i64,
}

/// Recipients that reached a status without a report of it, because a later one was reported.
#[derive(Default, Serialize, ToSchema)]
struct Implied {
    /// Delivered or read, but never reported as sent.
    sent: i64,
    /// Read, but never reported as delivered.
    delivered: i64,
}

/// Recipients with contradicting reports. They count as delivered or read.
#[derive(Default, Serialize, ToSchema)]
struct Conflicts {
    /// Reported as failed and delivered, not as read.
    failed_and_delivered: i64,
    /// Reported as failed and read.
    failed_and_read: i64,
}

/// Failed recipients with one error code.
#[derive(Serialize, ToSchema)]
struct Failures {
    /// WhatsApp error code; null if none was reported.
    error_code: Option<i64>,
    /// Meta's title of the error.
    error_title: Option<String>,
    /// Meta's details of the error for one of these recipients, as an example.
    error_details: Option<String>,
    #[serde(flatten)]
    explained: Explained,
    /// Number of recipients.
    count: i64,
}

/// Billable recipients of one pricing category.
#[derive(Serialize, ToSchema)]
struct Billable {
    /// `marketing`, `utility`, `authentication`, …; open list.
    pricing_category: Option<String>,
    /// Number of recipients.
    count: i64,
}

impl Funnel {
    /// Aggregates recipients: their statuses from `counted`, all else from groups of equal ones.
    pub fn of(counted: &[Counted], groups: Vec<Group>) -> Self {
        let mut funnel = Self::default();
        for counted in counted {
            funnel.counts.add(counted);
            funnel.add_contradictions(counted);
        }
        funnel.by_hour = times::by_hour(&groups);
        let (mut failed, mut billable) = (BTreeMap::new(), BTreeMap::new());
        let mut seconds: [BTreeMap<i32, i64>; 2] = Default::default();
        for group in groups {
            let times = [group.delivery_seconds, group.read_seconds];
            for (seconds, after) in seconds.iter_mut().zip(times) {
                if let Some(after) = after {
                    *seconds.entry(after).or_default() += group.count;
                }
            }
            if group.of != "status" {
                continue;
            }
            if group.status.as_deref() == Some("failed") {
                *failed.entry(group.error_code).or_default() += group.count;
            }
            // Reports of `sent` have the pricing too, but as an estimate.
            let is_delivered = matches!(group.status.as_deref(), Some("delivered" | "read"));
            if is_delivered && group.billable == Some(true) {
                *billable.entry(group.pricing_category).or_default() += group.count;
            }
        }
        let failed = most_first(failed).map(|(error_code, count)| Failures {
            error_code,
            error_title: None,
            error_details: None,
            explained: Explained::of(error_code),
            count,
        });
        let billable = most_first(billable)
            .map(|(pricing_category, count)| Billable { pricing_category, count });
        (funnel.failed_by_code, funnel.billable_by_category) =
            (failed.collect(), billable.collect());
        [funnel.seconds_to_delivery, funnel.seconds_to_read] =
            seconds.map(|seconds| Durations::of(&seconds));
        funnel
    }

    /// Adds recipients to the statuses that were not reported, or against each other.
    fn add_contradictions(&mut self, &Counted { statuses, count, .. }: &Counted) {
        let [sent, delivered, read, failed] =
            [Status::Sent, Status::Delivered, Status::Read, Status::Failed]
                .map(|status| status.is_in(statuses));
        let add = |to: &mut i64, is_so| *to += if is_so { count } else { 0 };
        add(&mut self.implied.sent, !sent && (delivered || read));
        add(&mut self.implied.delivered, !delivered && read);
        add(&mut self.conflicts.failed_and_delivered, failed && delivered && !read);
        add(&mut self.conflicts.failed_and_read, failed && read);
    }

    /// Error codes of failed recipients.
    pub fn error_codes(&self) -> Vec<i64> {
        self.failed_by_code.iter().filter_map(|failures| failures.error_code).collect()
    }

    /// Sets an example of Meta's texts for each error code.
    pub fn set_examples(&mut self, examples: &[Example]) {
        for failures in &mut self.failed_by_code {
            let of_code = |example: &&Example| example.error_code == failures.error_code;
            if let Some(example) = examples.iter().find(of_code) {
                failures.error_title.clone_from(&example.error_title);
                failures.error_details.clone_from(&example.error_details);
            }
        }
    }
}

/// Sorts by count, descending; equal counts by value, absent values last.
fn most_first<T>(counted: BTreeMap<Option<T>, i64>) -> impl Iterator<Item = (Option<T>, i64)> {
    let mut counted: Vec<_> = counted.into_iter().collect();
    counted.sort_by_key(|(what, count)| (Reverse(*count), what.is_none()));
    counted.into_iter()
}
