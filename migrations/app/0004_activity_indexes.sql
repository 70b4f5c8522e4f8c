-- tenant-sync: no-transaction
-- What the console reads by, on the application's own table, which may be large.

create index concurrently "Event_activity" on "Event" ("changedBy", "id") where '$user-activity' = any ("systemEventTypeIds");
