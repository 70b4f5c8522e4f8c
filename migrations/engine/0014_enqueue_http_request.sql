-- Plain HTTP requests, asked for by any SQL, and what is wrong with bad ones.

create function http_url_problem(url text) returns text
    language plpgsql stable set search_path from current as $$
declare
    parts text[];
    host text;
    port text;
begin
    if coalesce(url, '') = '' then
        return 'there is no URL';
    elsif octet_length(url) > 2048 then
        return format('the URL has %s bytes, and may have 2048', octet_length(url));
    elsif url !~ '^[!-~]+$' or url ~ '["<>\\^`{|}]' then
        return 'the URL contains a character that has to be percent-encoded: a space, a line break, one beyond ASCII, or one of "<>\^`{|}';
    end if;
    parts := regexp_match(url, '^([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)(#?)');
    if parts is null or parts[2] = '' then
        return 'the URL is none: write it like https://example.org/path';
    elsif lower(parts[1]) not in ('http', 'https') then
        return format('the URL''s scheme is %s: only https is spoken', lower(parts[1]));
    elsif lower(parts[1]) = 'http' and not (select s."allowHttp" from "HttpSettings" s) then
        return 'the URL is not https: an operator can allow http with requests.allow_http';
    elsif position('@' in parts[2]) > 0 then
        return 'the URL contains a user or a password: send them in a header';
    elsif parts[4] <> '' then
        return 'the URL has a fragment (#), which no server ever sees: leave it out';
    end if;
    host := lower(substring(parts[2] from '^(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)'));
    port := substring(parts[2] from char_length(host) + 1);
    if host is null or port !~ '^(:[0-9]{1,5})?$' then
        return 'the URL''s host cannot be read: it is a name or an address, with a port after a colon if need be';
    elsif port <> '' and ltrim(port, ':')::integer not between 1 and 65535 then
        return 'the URL''s port is not between 1 and 65535';
    elsif host ~ '^\[' then
        begin
            perform trim(both '[]' from host)::inet;
        exception when others then
            return 'the URL''s host is no IPv6 address';
        end;
    elsif host !~ '^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$' or char_length(host) > 253 then
        return 'the URL''s host is no name: letters, digits and hyphens between dots (other letters as punycode)';
    elsif rtrim(host, '.') ~ '(^|\.)(0x[0-9a-f]*|[0-9]+)$' then
        -- A name whose last part is a number is an address, in whatever spelling: only the usual one is taken.
        begin
            if rtrim(host, '.') !~ '^([0-9]{1,3}\.){3}[0-9]{1,3}$' then
                return 'the URL''s host is no IPv4 address: write it as four numbers';
            end if;
            perform rtrim(host, '.')::inet;
        exception when others then
            return 'the URL''s host is no IPv4 address: write it as four numbers';
        end;
    end if;
    return null;
end $$;
comment on function http_url_problem(text) is 'What is wrong with a URL, as a sentence; null if it can be called.';

create function http_origin(url text) returns text
    language sql immutable as $$
    select lower(p[1]) || '://' || lower(p[2])
           || case when p[2] ~ ':[0-9]+$' then '' when lower(p[1]) = 'http' then ':80' else ':443' end
    from regexp_match(url, '^([A-Za-z]+)://([^/?#]*)') p
$$;
comment on function http_origin(text) is 'Scheme, host and port of a URL that has no problem.';

create function http_origin_id(origin text) returns uuid
    language sql immutable as $$ select md5('origin:' || origin)::uuid $$;
comment on function http_origin_id(text) is 'Id of an origin''s destination: known without looking, so that whoever asks only inserts.';

create function http_headers_problem(headers jsonb) returns text
    language plpgsql stable set search_path from current as $$
declare
    one record;
    total integer := 0;
    seen text[] := '{}';
begin
    if headers is null then
        return null;
    elsif jsonb_typeof(headers) <> 'object' then
        return 'the headers are no JSON object of names and values';
    elsif (select count(*) from jsonb_object_keys(headers)) > 50 then
        return 'there are more than 50 headers';
    end if;
    for one in select e.key, e.value, e.value #>> '{}' as text from jsonb_each(headers) e order by 1 loop
        if one.key !~ '^[-!#$%&''*+.^_`|~0-9A-Za-z]{1,100}$' then
            return format('the header name %s is none: letters, digits and hyphens, at most 100', to_json(left(one.key, 120)));
        elsif jsonb_typeof(one.value) <> 'string' then
            return format('the value of the header %s is no string', one.key);
        elsif one.text !~ '^[\t -~]*$' then
            return format('the value of the header %s contains a line break or another character that headers cannot have', one.key);
        elsif lower(one.key) in ('host', 'content-length', 'transfer-encoding', 'connection', 'keep-alive', 'te', 'trailer',
                                 'upgrade', 'expect', 'proxy-authorization', 'proxy-connection',
                                 'webhook-id', 'webhook-timestamp', 'webhook-signature') then
            return format('the header %s is set by tenant-sync itself', one.key);
        elsif lower(one.key) = any (seen) then
            return format('the header %s is there twice', one.key);
        end if;
        seen := seen || lower(one.key);
        total := total + octet_length(one.key) + octet_length(one.text);
    end loop;
    if total > 8192 then
        return format('the headers have %s bytes together, and may have 8192', total);
    end if;
    return null;
end $$;
comment on function http_headers_problem(jsonb) is 'What is wrong with headers, as a sentence; null if they can be sent.';

create function http_request_options_problem(options jsonb) returns text
    language plpgsql stable set search_path from current as $$
declare
    unknown text;
    at timestamptz;
begin
    if jsonb_typeof(options) <> 'object' then
        return 'the options are no JSON object';
    end if;
    select string_agg(k, ', ' order by k) into unknown from jsonb_object_keys(options) k
    where k not in ('not_before', 'order_key', 'timeout_ms', 'tenancy_id');
    if unknown is not null then
        return format('there is no option %s; there are not_before, order_key, timeout_ms and tenancy_id', left(unknown, 200));
    end if;
    if options ? 'not_before' then
        begin
            at := (options ->> 'not_before')::timestamptz;
        exception when others then
            at := null;
        end;
        if at is null or not isfinite(at) then
            return 'the option not_before is no time: write it like 2030-01-31T12:00:00Z';
        elsif at > now() + interval '366 days' then
            return 'the option not_before is more than 366 days ahead';
        end if;
    end if;
    if options ? 'order_key' and (jsonb_typeof(options -> 'order_key') <> 'string'
                                  or char_length(options ->> 'order_key') not between 1 and 200) then
        return 'the option order_key is no string of 1 to 200 characters';
    elsif options ? 'timeout_ms' and not coalesce(options ->> 'timeout_ms' ~ '^[0-9]{1,6}$'
                                                  and (options ->> 'timeout_ms')::integer between 100 and 120000, false) then
        return 'the option timeout_ms is no number from 100 to 120000';
    elsif options ? 'tenancy_id' and not exists (select from "Tenancy" t where t."id"::text = lower(options ->> 'tenancy_id')) then
        return 'the option tenancy_id is no tenancy''s';
    end if;
    return null;
end $$;
comment on function http_request_options_problem(jsonb) is 'What is wrong with the options of a request, as a sentence; null if nothing is.';

-- As the owner of our schema: whoever may execute it needs no right on our tables. It only inserts, so that nothing
-- of ours ever waits for the caller's transaction.
create function enqueue_http_request(url text, method text default 'POST', headers jsonb default '{}', body text default null,
                                     deduplication_key text default null, options jsonb default '{}') returns uuid
    language plpgsql security definer set search_path from current set "TimeZone" = 'UTC' set "DateStyle" = 'ISO, YMD' as $$
#variable_conflict use_column
declare
    verb constant text := upper(coalesce($2, 'POST'));
    wishes constant jsonb := coalesce($6, '{}');
    body_limit constant integer := (select s."maxBodyBytes" from "HttpSettings" s);
    problem text;
    origin text;
    destination uuid;
    request uuid;
    due timestamptz;
begin
    problem := coalesce(
        http_url_problem($1),
        case when verb not in ('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE')
             then format('the method is %s; it can be GET, HEAD, POST, PUT, PATCH or DELETE', to_json(left($2, 40)))
             when verb in ('GET', 'HEAD') and $4 is not null then format('a %s request has no body', verb)
             when octet_length($4) > body_limit
             then format('the body has %s bytes, and may have %s (requests.max_body_bytes)', octet_length($4), body_limit)
             when char_length($5) not between 1 and 200 then 'the deduplication key has not 1 to 200 characters' end,
        http_headers_problem($3),
        http_request_options_problem(wishes));
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = 'enqueue_http_request: ' || problem;
    end if;
    origin := http_origin($1);
    destination := http_origin_id(origin);
    due := greatest(now(), coalesce((wishes ->> 'not_before')::timestamptz, now()));
    -- While a request with this key waits, another is the same one. It may leave just now: then this one goes, too.
    for attempt in 1 .. 10 loop
        insert into "OutgoingRequest" ("kind", "destinationId", "position", "deduplicationKey", "tenancyId", "dueAt", "method",
                                       "url", "headers", "body", "orderKey", "timeoutMillis")
        values ('http', destination, nextval('outgoing_request_seq'), $5, (wishes ->> 'tenancy_id')::uuid, due, verb,
                $1, nullif($3, '{}'), $4, wishes ->> 'order_key', (wishes ->> 'timeout_ms')::integer)
        on conflict ("destinationId", "deduplicationKey")
            where "kind" = 'http' and "state" = 'pending' and "deduplicationKey" is not null do nothing
        returning "id" into request;
        if request is not null then
            insert into "OutgoingRequest" ("kind", "destinationId", "dueAt", "url", "askedBy")
            values ('deliveryAsk', destination, due, origin, pg_current_xact_id());
            return request;
        end if;
        select r."id" into request from "OutgoingRequest" r
        where r."kind" = 'http' and r."state" = 'pending' and r."destinationId" = destination and r."deduplicationKey" = $5;
        if request is not null then
            return request;
        end if;
    end loop;
    return null;
end $$;
comment on function enqueue_http_request(text, text, jsonb, text, text, jsonb) is 'Sends an HTTP request once the transaction is committed; returns its id, or that of the one that waits with the same deduplication key.';

-- A JSON body as it is, without a cast by the caller.
create function enqueue_http_request(url text, method text, headers jsonb, body jsonb,
                                     deduplication_key text default null, options jsonb default '{}') returns uuid
    language sql security definer set search_path from current as $$
    select enqueue_http_request($1, $2, $3, $4::text, $5, $6)
$$;
comment on function enqueue_http_request(text, text, jsonb, jsonb, text, jsonb) is 'As the other one, with a body of JSON.';

revoke all on function enqueue_http_request(text, text, jsonb, text, text, jsonb),
    enqueue_http_request(text, text, jsonb, jsonb, text, jsonb) from public;
