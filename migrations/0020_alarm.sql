-- What the alarms need: how many events are usual, and which problems are open.

-- Each process counts in memory and adds its counts once per `alarm.interval`, so an event costs no
-- statement. A process that is killed loses the counts of one interval, which no alarm notices.
create table activity (
    hour            timestamptz not null,
    organization_id text        collate "C" not null,
    channel         text        collate "C" not null,
    kind            text        collate "C" not null,
    count           bigint      not null,
    minutes         bigint      not null,
    last_at         timestamptz not null,
    constraint activity_pkey primary key (hour, organization_id, channel, kind)
) with (fillfactor = 50);

comment on table activity is 'First deliveries of webhooks per hour, organisation, channel and kind, from which the usual traffic is learned; kept for alarm.weeks.';
comment on column activity.hour is 'Start of the hour (UTC) in which they were received.';
comment on column activity.organization_id is 'Organisation of the events; empty if unknown.';
comment on column activity.channel is 'Channel of the message or room; empty if the event has none.';
comment on column activity.kind is 'event.kind.';
comment on column activity.count is 'Number of events, without duplicates and those of a backfill.';
comment on column activity.minutes is 'Bit n is set if one of them was received in minute n of the hour.';
comment on column activity.last_at is 'Time the last of them was received, by this service''s clock.';

create table observed_hour (
    hour    timestamptz not null,
    minutes bigint      not null,
    constraint observed_hour_pkey primary key (hour)
) with (fillfactor = 50);

comment on table observed_hour is 'When at least one process could receive webhooks: an hour without events is no silence if nobody listened.';
comment on column observed_hour.hour is 'Start of the hour (UTC).';
comment on column observed_hour.minutes is 'Bit n is set if a process ran in minute n of the hour.';

create table problem (
    code            text        collate "C" not null,
    organization_id text        collate "C" not null,
    subject         text        collate "C" not null,
    detail          text        not null,
    since           timestamptz not null,
    seen_at         timestamptz not null,
    ended_at        timestamptz,
    notified        text        collate "C"
        constraint problem_notified_known check (notified in ('begin', 'end')),
    notified_at     timestamptz,
    constraint problem_pkey primary key (code, organization_id, subject)
);

comment on table problem is 'Problems that are open, and those that ended less than a day ago.';
comment on column problem.code is 'What is wrong: silence, hook, check, quarantine, spool, partitions or unknown_event.';
comment on column problem.organization_id is 'Organisation concerned; empty if it concerns all.';
comment on column problem.subject is 'What it is about: channel and kind, an event of a webhook setting, a host, an event name.';
comment on column problem.detail is 'One line with figures, as of the last check; no content of a message.';
comment on column problem.since is 'When it began.';
comment on column problem.seen_at is 'Last check that found it.';
comment on column problem.ended_at is 'First check that did not find it any more; null while it is open.';
comment on column problem.notified is 'What the last notification about it said: begin or end. Null if none was sent.';
comment on column problem.notified_at is 'When it was sent.';

create table lease (
    name       text        collate "C" not null,
    expires_at timestamptz not null,
    constraint lease_pkey primary key (name)
);

comment on table lease is 'Recurring work that one replica does at a time.';
comment on column lease.name is 'The work.';
comment on column lease.expires_at is 'Until when no other replica does it.';
