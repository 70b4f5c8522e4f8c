-- Ids of requests that begin with their time (48 bits of milliseconds since 1970, the rest as gen_random_uuid() gives
-- it): requests are written, looked up and logged in the order of their ids, so indexes are touched at their ends, and
-- not at a random page for each request, each of which would go to the WAL as a whole after a checkpoint.

alter table "OutgoingRequest" alter column "id" set default
    encode(overlay(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint << 16)
                   placing substring(uuid_send(gen_random_uuid()) from 7) from 7), 'hex')::uuid;
comment on column "OutgoingRequest"."id" is 'Begins with the time at which it was made, so that ids come in order. Of kind http: also the webhook-id.';
