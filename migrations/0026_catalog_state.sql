-- States of templates and agents over time: what webhooks report, and what syncs with Qontak's lists find.
--
-- A row is one report. Nothing is merged while writing, so the order of webhooks cannot matter: the state at
-- a time is a function of the reports until then.

create table catalog_state (
    organization_id text        collate "C" not null,
    kind            text        collate "C" not null
        constraint catalog_state_kind_known check (kind in ('agent', 'template')),
    id              text        collate "C" not null,
    event_id        uuid        not null,
    at              timestamptz not null,
    data            jsonb       not null,
    source          text        collate "C" not null default 'event'
        constraint catalog_state_source_known check (source in ('event', 'sync')),
    constraint catalog_state_pkey primary key (kind, id, organization_id, event_id)
);

comment on table catalog_state is 'Reports of the states of templates and agents.';
comment on column catalog_state.organization_id is 'Organisation; empty if unknown.';
comment on column catalog_state.kind is 'agent or template.';
comment on column catalog_state.id is 'Qontak''s id.';
comment on column catalog_state.event_id is 'The event; of a sync a UUID of its own.';
comment on column catalog_state.at is 'Time of the report: by the body''s clock, else of its receipt. Of a sync: when Qontak was asked.';
comment on column catalog_state.data is 'Fields of the report that are known: status, category, quality_rating, is_online, …';
comment on column catalog_state.source is 'event: a webhook. sync: a sync with Qontak''s lists found another state than the one known.';

create index catalog_state_by_time on catalog_state (kind, id, organization_id, at, event_id);
comment on index catalog_state_by_time is 'GET /v1/agents/{id}/availability and GET /v1/templates/{id}/history; the newest reports of each row of GET /v1/agents and GET /v1/templates.';

create index catalog_state_by_age on catalog_state using brin (at);
comment on index catalog_state_by_age is '`qontak-receiver retention`: reports from before a time.';

-- As the service sends it: reports of webhooks.
call create_row_type('catalog_state', array['source']);

create function apply_catalog_states_1(states catalog_state_1[]) returns void
    language plpgsql
as $$
begin
    -- A row for the lists, even if no sync has found one yet.
    insert into catalog (organization_id, kind, id)
    select distinct organization_id, kind, id
    from unnest(states)
    order by kind, id, organization_id
    on conflict do nothing;
    insert into catalog_state (organization_id, kind, id, event_id, at, data)
    select organization_id, kind, id, event_id, at, data
    from unnest(states)
    -- A replay with a newer parser.
    on conflict (kind, id, organization_id, event_id) do update set
        at = excluded.at, data = excluded.data;
end
$$;

-- Later reports win, field by field. Each contains most fields, so the last 20 are enough.
create function catalog_data(known catalog, until timestamptz) returns jsonb
    language sql stable
    return (
        select jsonb_object_agg(field.key, field.value order by report.at, report.event_id)
        from (
            (
                select at, event_id, data
                from catalog_state as state
                where state.kind = (known).kind
                    and state.id = (known).id
                    and state.organization_id = (known).organization_id
                    and state.at <= until
                order by state.at desc, state.event_id desc
                limit 20
            )
            union all
            select (known).synced_at, null, (known).data where (known).synced_at <= until
        ) as report
        cross join lateral jsonb_each(report.data) as field
    );

create function tracked_state(data jsonb) returns jsonb
    language sql immutable parallel safe
    return (
        select coalesce(jsonb_object_agg(field.key, field.value), '{}')
        from jsonb_each(data) as field
        where field.key in (
                'status', 'category', 'quality_rating', 'quality_rating_text', 'reason', 'is_online'
            )
            and field.value <> 'null'
    );

comment on function apply_catalog_states_1 is 'Stores reports of webhooks.';
comment on function catalog_data is 'Fields of a template or agent as of a time: those of the last sync and of the reports; null without any.';
comment on function tracked_state is 'Those fields of a report that are a state, whose changes are kept.';
