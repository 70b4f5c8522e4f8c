//! The console's pages in a real browser: an operator sees, stops, finds and mends.

use std::time::Duration;

use tenant_sync_tests::browser::Browser;
use tenant_sync_tests::hold::Hold;
use tenant_sync_tests::ports::free_port;
use tenant_sync_tests::receiver::Receiver;
use tenant_sync_tests::stack::{Stack, Workers};
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::urls;
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;
use uuid::Uuid;

const KEY: &str = "0123456789abcdef-browser";
/// What the script has to get through, in its own words.
const STEPS: [&str; 21] = [
    "logged in, and led to where it was going",
    "a change flows",
    "the sequencer stands still, and the road says so",
    "the sequencer goes on",
    "found the broken target and its reason",
    "sorted by lag",
    "an address at which there is nothing leads on",
    "repaired it",
    "the resync makes progress",
    "the resync is through",
    "paused and resumed",
    "saw the rows that the database refuses, until it took them",
    "saw the queues",
    "sent a request again",
    "the branch of HTTP requests says what it lacks",
    "found the failing trigger, and sent again what it had given up",
    "tested a trigger, and saw it delivered",
    "paused and resumed a trigger",
    "found a user",
    "saw the metrics",
    "without JavaScript it works, too",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_stops_finds_and_mends() {
    let browser = match Browser::find().await {
        Ok(browser) => browser,
        Err(why) => return eprintln!("NOT TESTED: the console's pages in a browser: {why}"),
    };
    let mut stack = Stack::plan().externals(2).start().await;
    stack.set("requests.allow_http", true);
    let mut stage = Stage::set(&stack).await;
    let environment = [
        ("CONSOLE_URL", stage.console_url.clone()),
        ("CONSOLE_KEY", KEY.to_owned()),
        ("STAGE", stage.describe().to_string()),
    ];
    let mut walk = browser.walk("console.mjs", &environment);
    let (mut steps, mut complaints) = (Vec::new(), Vec::new());
    while let Some(line) = walk.line().await {
        match line.split_once(' ') {
            Some(("cue", cue)) => {
                stage.act(cue).await;
                walk.say(&format!("done {cue}")).await;
            }
            Some(("step", step)) => steps.push(step.to_owned()),
            Some(("complaint", complaint)) => complaints.push(complaint.replace(" ⏎ ", "\n")),
            _ => panic!("the script said {line:?}"),
        }
    }
    let pictures = browser.screenshots();
    assert!(complaints.is_empty(), "{}\npictures: {}", complaints.join("\n"), pictures.display());
    let expected = STEPS.iter().chain(&["the connection was lost, and came back", "logged out"]);
    assert_eq!(steps, expected.copied().collect::<Vec<_>>());
}

/// What the script walks through, and what has to happen behind it.
struct Stage<'a> {
    stack: &'a Stack,
    console: Worker,
    console_url: String,
    workers: Workers,
    /// Runs from its cue on.
    request_worker: Option<Worker>,
    /// Takes what a trigger sends.
    receiver: Receiver,
    acme: Tenant<'a>,
    globex: Tenant<'a>,
    /// Whose password the broken target has wrong.
    role: String,
    /// A sync worker that stops after each turn, and where it stops.
    slow: Option<(Worker, Hold)>,
}

impl<'a> Stage<'a> {
    async fn set(stack: &'a Stack) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let console = stack
            .worker("console")
            .set("console.listen", &listen)
            .set("console.admin_keys", format!("ann:{KEY}"))
            .set("console.sample_interval", "1s");
        let mut workers = stack.start_workers().await;
        workers.sync_worker.allow("the target failed");
        workers.sync_worker.allow("the target refuses a row");
        let acme = Tenant::of(stack, stack.tenancy("acme").await);
        let globex = Tenant::of(stack, stack.tenancy("globex").await);
        acme.users(1, 20).await;
        people(&globex).await;
        given_up(stack).await;
        let receiver = Receiver::start().await;
        triggers(stack, &receiver).await;
        stack.target(acme.id(), "main", stack.external(0).url(), &[]).await;
        let good = acme.target(stack.external(0));
        let role = stack.external(1).role("superuser").await;
        let wrong = urls::with_user(stack.external(1).url(), &role.name, "forgotten");
        stack.target(globex.id(), "main", &wrong, &["--no-check"]).await;
        globex.target_at(&wrong).is("broken|passwordRefused").await;
        good.caught_up().await;
        let console = console.start().await;
        let console_url = format!("http://{listen}");
        Self {
            stack,
            console,
            console_url,
            workers,
            request_worker: None,
            receiver,
            acme,
            globex,
            role: role.name,
            slow: None,
        }
    }

    fn describe(&self) -> serde_json::Value {
        serde_json::json!({
            "operator": "ann",
            "project": "globex",
            "broken": "globex / main",
            "user": "Ada Lovelace",
            "nobody": "no-such-target",
            "receiver": self.receiver.url(),
        })
    }

    async fn act(&mut self, cue: &str) {
        match cue {
            "change a row" => self.acme.users(1_000, 10).await,
            "change a row while the sequencer is off" => {
                // It follows its switch within a second, and what is changed before that gets its id.
                eventually(Duration::from_secs(30), "the sequencer to follow its switch", async || {
                    let not_made = "tenant_sync_passes_total{outcome=\"disabled\"}";
                    let passes = self.workers.sequencer.series(not_made).await;
                    if passes > Some(0.0) { Ok(()) } else { Err(format!("{passes:?}")) }
                })
                .await;
                self.acme.user("late").await;
            }
            "repair the broken target" => {
                let repair = format!("alter role {} password 'forgotten'", self.role);
                self.stack.external(1).sql(&repair).await;
            }
            "start a request worker" => {
                let worker = self.stack.request_worker();
                let worker = worker.allow("cannot be sent from here").allow("a destination fails");
                self.request_worker = Some(worker.start().await);
            }
            "let the target refuse rows" => {
                let refuse = "alter table tenant_sync.users add constraint no_refused check (display_name not like 'refused%')";
                self.stack.external(1).sql(refuse).await;
                self.globex
                    .sql(
                        r#"insert into "ProjectUser" ("tenancyId", "displayName")
                           select '{tenancy}', 'refused ' || n from generate_series(1, 12) n"#,
                    )
                    .await;
            }
            "let the target take them" => {
                let take = "alter table tenant_sync.users drop constraint no_refused;
                            update tenant_sync._sync_refused set retry_at = now()";
                self.stack.external(1).sql(take).await;
                self.stack.internal().sql("select enqueue_tenant_sync(id) from \"Tenancy\"").await;
            }
            "slow the target down" => self.slow_down().await,
            "let the resync go a step" => self.one_step().await,
            "let the resync go" => self.let_go().await,
            "stop the console" => self.console.terminate().await,
            "start the console again" => {
                self.console.launch_again();
                self.console.wait_ready().await;
            }
            _ => panic!("nobody knows the cue {cue:?}"),
        }
    }

    /// From now on a turn takes a hundred rows, and waits before its end.
    async fn slow_down(&mut self) {
        self.workers.sync_worker.terminate().await;
        let hold = self.stack.hold("sync.before_finish");
        let worker = self
            .stack
            .sync_worker()
            .set("sync.batch_rows", 100)
            .set("sync.atomic_rows", 100)
            .set("sync.turn_rows", 100)
            .failpoint(hold.failpoint())
            .start()
            .await;
        self.slow = Some((worker, hold));
    }

    async fn one_step(&mut self) {
        let (_, hold) = self.slow.as_ref().expect("it is slow");
        let position = format!(
            r#"select coalesce(max("fillPosition"::text), '') from "SyncState" where "tenancyId" = '{}'"#,
            self.globex.id()
        );
        let before = self.stack.internal().value(&position).await;
        eventually(Duration::from_secs(60), "the fill to get on", async || {
            hold.reached().await;
            hold.release();
            let now = self.stack.internal().value(&position).await;
            if now == before { Err(format!("it stands at {now}")) } else { Ok(()) }
        })
        .await;
    }

    async fn let_go(&mut self) {
        let (mut worker, hold) = self.slow.take().expect("it is slow");
        let release = async {
            loop {
                hold.release();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = worker.terminate() => (),
            () = release => (),
        }
        self.workers.sync_worker.launch_again();
        self.workers.sync_worker.wait_ready().await;
    }
}

/// A request that nobody took, with its attempt.
async fn given_up(stack: &Stack) {
    stack
        .internal()
        .sql(
            r#"
select enqueue_http_request('https://hooks.example.com/in', 'POST', '{}', '{"hello": "world"}'::text);
delete from "OutgoingRequest" where "kind" = 'deliveryAsk';
update "OutgoingRequest" set "state" = 'dead', "diedAt" = now(), "attempts" = 1, "lastStatus" = 507,
  "lastError" = 'The endpoint answered with an error.' where "kind" = 'http';
insert into "HttpAttempt" ("requestId", "destinationId", "number", "outcome", "durationMillis", "status", "error",
  "responseExcerpt")
select "id", "destinationId", 1, 'dead', 41, 507, "lastError", 'no room left' from "OutgoingRequest"
where "kind" = 'http';"#,
        )
        .await;
}

/// Triggers: one whose receiver works, one that was paused, and one whose receiver fails, with two requests that were
/// given up.
async fn triggers(stack: &Stack, receiver: &Receiver) {
    let cli = stack.cli();
    let add = ["trigger", "add", "--all", "--event", "source.rewound", "--url"];
    cli.json(&[&add[..], &[&receiver.url()]].concat()).await;
    let paused = cli.json(&[&add[..], &["https://paused.example.com/hook"]].concat()).await;
    cli.json(&["trigger", "pause", paused["id"].as_str().expect("an id")]).await;
    let failing = cli
        .json(&[&add[..], &["http://127.0.0.1:9/hook", "--header", "X-Key: k", "--rate", "5"]].concat())
        .await;
    let id = failing["id"].as_str().expect("an id");
    stack
        .internal()
        .sql(&format!(
            r#"
update "HttpDestination" set "state" = 'broken', "consecutiveFailures" = 12, "failingSince" = now() - interval '2 hours',
  "lastError" = 'The receiver cannot be reached.', "lastErrorClass" = 'noConnection', "nextAttemptAt" = now() + interval '2 minutes',
  "lastSuccessAt" = now() - interval '3 hours' where "id" = '{id}';
insert into "OutgoingRequest" ("kind", "destinationId", "position", "eventType", "body", "state", "diedAt", "attempts", "lastError")
select 'http', '{id}', nextval('outgoing_request_seq'), e, '{{}}', 'dead', now() - interval '1 hour', 10, 'The receiver cannot be reached.'
from unnest(array['order.placed', 'order.paid']) e;"#
        ))
        .await;
}

/// 400 users who signed up within 30 days, come from ten countries and were active since.
async fn people(tenant: &Tenant<'_>) {
    tenant.users(1, 400).await;
    let ada = Uuid::new_v4();
    tenant
        .sql(&format!(
            r#"
update "ProjectUser" set "signedUpAt" = now() - ((ctid::text::point)[1]::int % 30) * interval '1 day'
where "tenancyId" = '{{tenancy}}';
insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName", "signedUpAt")
values ('{{tenancy}}', '{ada}', 'Ada Lovelace', now() - interval '2 hours');
insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary", "isVerified")
values ('{{tenancy}}', '{ada}', 'ada@example.com', true, true);
insert into "AuthMethod" ("tenancyId", "id", "projectUserId", "type", "provider")
select "tenancyId", gen_random_uuid(), "projectUserId", case when n % 3 = 0 then 'oauth' else 'password' end,
       case when n % 3 = 0 then 'github' end
from (select *, row_number() over () as n from "ProjectUser" where "tenancyId" = '{{tenancy}}') u;
with places as (
    insert into "EventIpInfo" ("id", "ip", "countryCode")
    select gen_random_uuid(), '192.0.2.' || n, (array['DE','US','FR','GB','ES','IT','JP','BR','IN','CA'])[n]
    from generate_series(1, 10) n returning "id", "ip")
insert into "Event" ("id", "eventStartedAt", "systemEventTypeIds", "data", "endUserIpInfoGuessId")
select gen_random_uuid(), now() - (n % 30) * interval '1 day', array['$user-activity'],
       jsonb_build_object('projectId', 'globex', 'branchId', 'main', 'userId', u."projectUserId", 'isAnonymous', false),
       (select "id" from places where "ip" = '192.0.2.' || 1 + (n * n) % 10)
from (select *, row_number() over () as n from "ProjectUser" where "tenancyId" = '{{tenancy}}') u;
analyze "ProjectUser"; analyze "ContactChannel";"#
        ))
        .await;
}
