-- tenant-sync: no-transaction
-- What the console reads by, on the application's own tables, which may be large.

create index concurrently "Event_activity" on "Event" ("changedBy", "id") where '$user-activity' = any ("systemEventTypeIds");
create index concurrently "ProjectUser_activity" on "ProjectUser" ("activityBy", "tenancyId", "projectUserId");
create index concurrently "ProjectUser_signed_up" on "ProjectUser"
    ("tenancyId", "isAnonymous", (coalesce("signedUpAt", "createdAt")), "projectUserId");
