-- Mekari's HMAC needs the secret itself to check a signature, and a hash does not give it. So such a
-- secret is derived from the id of its key and the setting `api.hmac_secret`: a copy of the database
-- holds no secret. Its SHA-256 is stored as of any key, so it also works as a bearer key, and shows
-- whether the setting is still the one that the key was created with.
alter table api_key add column is_hmac boolean not null default false;

comment on column api_key.is_hmac is 'Whether the secret is derived from api.hmac_secret and api_key_id, so that it can check signatures.';

-- Agents of an organisation. Of the senders only they are in it, and its columns never change, so
-- messages of customers do not touch it.
create index sender_agent on sender (organization_id, sender_id) where type = 'agent';
