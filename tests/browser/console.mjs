// Walks through the console's pages in a real browser, as an operator would. Started by the end-to-end suite
// `dashboard`, which makes the stage, and reads what was done from standard output: one line a step.
//
// Environment: CONSOLE_URL, CONSOLE_KEY, CHROMIUM, MODULES and SCREENSHOTS (folders), STAGE (JSON: what is to be found).
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

// Packages lie where the test installed them, not beside this file.
const require = createRequire(join(process.env.MODULES, "resolve.js"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const { CONSOLE_URL, CONSOLE_KEY, CHROMIUM, SCREENSHOTS } = process.env;
const stage = JSON.parse(process.env.STAGE);
const PATIENCE = 60_000;
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const PHONE = { width: 390, height: 844 };
const DESK = { width: 1440, height: 900 };

const complaints = [];
const asked = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Tells the suite that something is to be done on its side, and waits until it says so. */
const stagehand = async (cue) => {
  console.log(`cue ${cue}`);
  const { value } = await asked.next();
  if (value !== `done ${cue}`) throw new Error(`expected "done ${cue}", got ${value}`);
};
const step = (name) => console.log(`step ${name}`);

const listen = (page) => {
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`script: ${error.message}`));
  page.on("requestfailed", (request) => {
    const [url, why] = [request.url(), request.failure()?.errorText];
    // What a page leaves behind when the next one comes is no failure: its stream, and its icon, which is fetched after the page
    // has loaded, so that nobody waits for it.
    const leftBehind = url.includes("/live/") || (url.includes("/icon.svg") && why === "net::ERR_ABORTED");
    if (!leftBehind) complaints.push(`request: ${url} ${why}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(CONSOLE_URL) && !request.url().startsWith("data:")) complaints.push(`elsewhere: ${request.url()}`);
  });
};

/** Checks accessibility and layout of the page as it is now, in light and dark, wide and narrow, and keeps pictures. */
const look = async (page, name) => {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    for (const [size, viewport] of [["desk", DESK], ["phone", PHONE]]) {
      await page.setViewportSize(viewport);
      const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (tooWide > 0) complaints.push(`${name}, ${size}: ${tooWide} px wider than the window`);
      await page.screenshot({ path: join(SCREENSHOTS, `${name}-${size}-${scheme}.png`), fullPage: true });
      await page.evaluate(AXE);
      const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
      for (const violation of found.violations) {
        const where = violation.nodes.map((node) => node.html.slice(0, 160)).join(" | ");
        complaints.push(`${name}, ${size}, ${scheme}: ${violation.id}: ${violation.help}: ${where}`);
      }
    }
  }
  await page.setViewportSize(DESK);
  await page.emulateMedia({ colorScheme: "light" });
};

const region = (page, name) => page.locator(`[data-region="${name}"]`);
const live = (page) => page.locator("#connection.live").waitFor({ timeout: PATIENCE });
const shows = (locator, text) => locator.filter({ hasText: text }).first().waitFor({ timeout: PATIENCE });

const logIn = async (page) => {
  await page.goto(`${CONSOLE_URL}/targets?state=broken`);
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await look(page, "login");
  const icon = new URL(await page.locator('link[rel="icon"]').getAttribute("href"), CONSOLE_URL).href;
  if (!(await page.request.get(icon)).ok()) complaints.push(`the icon does not come: ${icon}`);
  await page.getByLabel("Admin key").fill("this-is-not-the-key");
  const refusal = page.waitForResponse((answer) => answer.url().endsWith("/login") && answer.status() === 401);
  await page.getByRole("button", { name: "Log in" }).click();
  await refusal;
  await page.getByRole("alert").waitFor();
  // A browser reports each answer of 4xx as an error; this one was meant.
  complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("401")));
  await page.getByLabel("Admin key").fill(CONSOLE_KEY);
  await page.keyboard.press("Enter");
  await page.waitForURL(`${CONSOLE_URL}/targets?state=broken`);
  const cookies = await page.context().cookies();
  const session = cookies.find((cookie) => cookie.name === "tenant_sync_session");
  if (!session?.httpOnly || session.sameSite !== "Strict") complaints.push(`the session's cookie: ${JSON.stringify(session)}`);
  step("logged in, and led to where it was going");
};

const overview = async (page) => {
  await page.goto(CONSOLE_URL);
  await live(page);
  await shows(region(page, "verdict"), "in trouble");
  await stagehand("change a row");
  // Numbers move without a reload: the rate of the last stretch is no longer zero.
  await page.waitForFunction(
    () => [...document.querySelectorAll(".flow.moving")].some((flow) => flow.textContent.includes("rows/s")),
    null, { timeout: PATIENCE },
  );
  step("a change flows");
  await look(page, "overview");
};

const switches = async (page) => {
  const button = page.getByRole("button", { name: "Switch off the sequencer" });
  await button.click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await look(page, "switch-question");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  // By keyboard alone.
  await button.focus();
  await page.keyboard.press("Space");
  await dialog.waitFor();
  await dialog.getByRole("button", { name: "Switch off" }).click();
  await page.waitForURL(`${CONSOLE_URL}/`);
  await page.getByRole("status").filter({ hasText: "switched off" }).waitFor();
  await live(page);
  await stagehand("change a row while the sequencer is off");
  await shows(region(page, "verdict"), "held back by a switch");
  await shows(region(page, "verdict"), "waits for an id");
  await page.locator(".station.off").filter({ hasText: "Sequencer" }).waitFor({ timeout: PATIENCE });
  await page.locator(".flow.stuck").first().waitFor({ timeout: PATIENCE });
  step("the sequencer stands still, and the road says so");
  await look(page, "overview-off");
  // The same question on a page of its own, as without JavaScript.
  await page.goto(`${CONSOLE_URL}/switches/sequencer/on`);
  await look(page, "switch-page");
  await page.getByRole("button", { name: "Switch on" }).click();
  await live(page);
  await region(page, "verdict").filter({ hasText: "held back" }).waitFor({ state: "detached", timeout: PATIENCE });
  await shows(region(page, "changes"), stage.operator);
  step("the sequencer goes on");
};

const targets = async (page) => {
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Targets" }).click();
  await live(page);
  await look(page, "targets");
  await page.getByRole("link", { name: "1 target: password refused" }).click();
  await page.waitForURL(/cause=passwordRefused/);
  await shows(region(page, "lines"), "refused the login");
  if (await region(page, "lines").locator("tbody tr").count() !== 1) complaints.push("the cause shows other targets, too");
  await look(page, "targets-by-cause");
  await region(page, "lines").getByRole("link", { name: stage.broken }).click();
  await live(page);
  await shows(region(page, "state"), "Check user and password");
  await look(page, "target-broken");
  step("found the broken target and its reason");
  await page.goto(`${CONSOLE_URL}/targets?query=${encodeURIComponent(stage.nobody)}`);
  await page.getByText("No target is like that").waitFor();
  await look(page, "targets-empty");
  await page.goto(`${CONSOLE_URL}/targets`);
  await region(page, "lines").getByRole("link", { name: "Lag" }).click();
  await page.waitForURL(/sort=lag/);
  await page.getByText("that wait longest").waitFor();
  await region(page, "lines").locator('th[aria-sort="descending"]').filter({ hasText: "Lag" }).waitFor();
  await shows(region(page, "lines"), stage.broken);
  await look(page, "targets-by-lag");
  step("sorted by lag");
  await page.goto(`${CONSOLE_URL}/no-such-page`);
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  await look(page, "no-such-page");
  // It was meant.
  complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("404")));
  await page.getByRole("link", { name: "To the overview" }).click();
  await page.waitForURL(`${CONSOLE_URL}/`);
  step("an address at which there is nothing leads on");
};

const resync = async (page) => {
  await stagehand("repair the broken target");
  await page.goto(`${CONSOLE_URL}/targets?query=${encodeURIComponent(stage.project)}`);
  await region(page, "lines").getByRole("link", { name: stage.broken }).click();
  await live(page);
  await page.getByRole("button", { name: "Sync now" }).click();
  await page.getByRole("status").filter({ hasText: "Asked for" }).waitFor();
  await shows(region(page, "state"), "Everything is there");
  step("repaired it");
  await stagehand("slow the target down");
  await page.getByRole("button", { name: "Resync" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Resync" }).click();
  await live(page);
  await shows(region(page, "mappings"), "asked for");
  await stagehand("let the resync go a step");
  const bar = region(page, "mappings").locator("progress[value]").first();
  await bar.waitFor({ timeout: PATIENCE });
  const first = Number(await bar.getAttribute("value"));
  await look(page, "target-resync");
  await stagehand("let the resync go a step");
  await page.waitForFunction(
    (before) => [...document.querySelectorAll("progress[value]")].some((bar) => Number(bar.value) > before),
    first, { timeout: PATIENCE },
  );
  step("the resync makes progress");
  await stagehand("let the resync go");
  await shows(region(page, "state"), "Everything is there");
  await page.locator("progress").first().waitFor({ state: "detached", timeout: PATIENCE });
  step("the resync is through");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
  await shows(region(page, "state"), "Paused");
  await page.getByRole("button", { name: "Resume" }).click();
  await shows(region(page, "state"), "Everything is there");
  await look(page, "target-ok");
  step("paused and resumed");
  await stagehand("let the target refuse rows");
  await shows(region(page, "mappings"), "12 rows are set aside");
  await shows(region(page, "mappings"), "no_refused");
  await look(page, "target-refuses");
  await page.getByRole("link", { name: "All refused rows" }).click();
  await page.getByRole("heading", { name: "Refused rows" }).waitFor();
  if (await page.locator("tbody tr").count() !== 12) complaints.push("not all refused rows are listed");
  await look(page, "refused-rows");
  await page.goBack();
  await live(page);
  await stagehand("let the target take them");
  await shows(region(page, "state"), "Everything is there");
  await region(page, "mappings").filter({ hasText: "set aside" }).waitFor({ state: "detached", timeout: PATIENCE });
  step("saw the rows that the database refuses, until it took them");
};

const queues = async (page) => {
  await page.goto(`${CONSOLE_URL}/queues`);
  await live(page);
  await shows(region(page, "queues"), "tenant-sync.live");
  await look(page, "queues");
  step("saw the queues");
};

const requests = async (page) => {
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Requests" }).click();
  await live(page);
  await shows(region(page, "lines"), "given up");
  await look(page, "requests");
  await region(page, "lines").getByRole("link").first().click();
  await page.getByRole("heading", { name: "Attempts" }).waitFor();
  await page.getByText("no room left").waitFor();
  await look(page, "request");
  await page.getByRole("button", { name: "Send again" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Send again" }).click();
  await page.getByRole("status").filter({ hasText: "sent again" }).waitFor();
  await page.getByRole("heading", { name: "waiting" }).waitFor();
  step("sent a request again");
};

const branch = async (page) => {
  await page.goto(CONSOLE_URL);
  await live(page);
  const workers = page.locator(".road.branch .station").filter({ hasText: "Request workers" });
  await workers.filter({ hasText: "Start a request-worker" }).waitFor({ timeout: PATIENCE });
  await page.locator(".road.branch .flow.stuck").first().waitFor({ timeout: PATIENCE });
  await shows(region(page, "verdict"), "1 HTTP request waits");
  await look(page, "overview-requests");
  await stagehand("start a request worker");
  await workers.filter({ hasNotText: "none runs" }).waitFor({ timeout: PATIENCE });
  step("the branch of HTTP requests says what it lacks");
};

const triggers = async (page) => {
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Triggers" }).click();
  await live(page);
  await shows(region(page, "lines"), "source.rewound");
  await look(page, "triggers");
  await page.getByLabel("State").selectOption("failing");
  await page.waitForURL(/state=failing/);
  if (await region(page, "lines").locator("tbody tr").count() !== 1) complaints.push("other triggers fail, too");
  await shows(region(page, "lines"), "The receiver cannot be reached");
  await region(page, "lines").getByRole("link").first().click();
  await live(page);
  await shows(region(page, "state"), "takes no requests");
  await look(page, "trigger-failing");
  // What it gave up: one by its event, the rest from its own page.
  await region(page, "state").getByRole("link", { name: "2", exact: true }).click();
  await page.waitForURL(/state=dead/);
  await page.getByLabel("Event").fill("order.placed");
  await page.keyboard.press("Enter");
  await page.waitForURL(/event=order.placed/);
  await live(page);
  await look(page, "requests-filtered");
  await page.getByRole("button", { name: "Send them again" }).click();
  await look(page, "requests-question");
  await page.getByRole("dialog").getByRole("button", { name: "Send them again" }).click();
  await page.getByRole("status").filter({ hasText: "1 request is sent again" }).waitFor();
  await page.goto(`${CONSOLE_URL}/triggers?state=failing`);
  await region(page, "lines").getByRole("link").first().click();
  await live(page);
  await page.getByRole("button", { name: "Send dead ones again" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Send dead ones again" }).click();
  await page.getByRole("status").filter({ hasText: "1 request is sent again" }).waitFor();
  step("found the failing trigger, and sent again what it had given up");
  await page.goto(`${CONSOLE_URL}/triggers?query=${encodeURIComponent(stage.receiver)}`);
  await region(page, "lines").getByRole("link").first().click();
  await live(page);
  await shows(region(page, "state"), "Active");
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Send a test" }).click();
  // The page takes what was done out of its address at once.
  await page.waitForURL(/\/requests\/[0-9a-f-]{36}/);
  await shows(region(page, "state"), "delivered");
  await look(page, "request-delivered");
  await region(page, "about").getByRole("link").first().click();
  await live(page);
  step("tested a trigger, and saw it delivered");
  await page.getByRole("button", { name: "Pause" }).click();
  await look(page, "trigger-question");
  await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
  await shows(region(page, "state"), "Paused");
  await shows(region(page, "state"), `${stage.operator[0].toUpperCase()}${stage.operator.slice(1)} paused it`);
  await look(page, "trigger-paused");
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Resume" }).click();
  await shows(region(page, "state"), "Active");
  step("paused and resumed a trigger");
  await page.goto(`${CONSOLE_URL}/triggers?query=${encodeURIComponent(stage.nobody)}`);
  await page.getByText("No trigger is like that").waitFor();
  await look(page, "triggers-empty");
};

const tenant = async (page) => {
  await page.goto(`${CONSOLE_URL}/tenants?query=${encodeURIComponent(stage.project)}`);
  await look(page, "tenants");
  await page.getByRole("link", { name: `Users of ${stage.project}` }).click();
  await page.getByLabel("Search").fill(stage.user);
  await page.keyboard.press("Enter");
  await page.waitForURL(/query=/);
  const rows = page.locator("tbody tr");
  await rows.first().waitFor();
  if (await rows.count() !== 1) complaints.push(`the search for ${stage.user} shows ${await rows.count()} users`);
  await look(page, "users");
  step("found a user");
  await page.getByRole("link", { name: "Clear" }).click();
  await page.getByRole("link", { name: "Signed up" }).click();
  await page.getByRole("link", { name: "Next page" }).click();
  await page.waitForURL(/cursor=/);
  await page.getByRole("link", { name: "Metrics" }).click();
  await page.getByRole("heading", { name: "Sign-ups" }).waitFor();
  await look(page, "metrics");
  step("saw the metrics");
};

const lost = async (page) => {
  await page.goto(CONSOLE_URL);
  await live(page);
  await stagehand("stop the console");
  await page.locator("#connection.lost").waitFor({ timeout: PATIENCE });
  await look(page, "connection-lost");
  await stagehand("start the console again");
  await live(page);
  step("the connection was lost, and came back");
};

const withoutScript = async (browser, state) => {
  const context = await browser.newContext({ javaScriptEnabled: false, storageState: state, viewport: DESK });
  const page = await context.newPage();
  await page.goto(CONSOLE_URL);
  await page.getByRole("button", { name: "Switch off the poller" }).click();
  await page.getByRole("button", { name: "Switch off" }).click();
  await page.getByRole("status").filter({ hasText: "switched off" }).waitFor();
  await page.getByRole("button", { name: "Switch on the poller" }).click();
  await page.getByRole("button", { name: "Switch on" }).click();
  await page.getByRole("status").filter({ hasText: "switched on" }).waitFor();
  await context.close();
  step("without JavaScript it works, too");
};

mkdirSync(SCREENSHOTS, { recursive: true });
const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
const context = await browser.newContext({ viewport: DESK });
context.setDefaultTimeout(PATIENCE);
const page = await context.newPage();
try {
  listen(page);
  await logIn(page);
  await overview(page);
  await switches(page);
  await targets(page);
  await resync(page);
  await queues(page);
  await requests(page);
  await branch(page);
  await triggers(page);
  await tenant(page);
  await withoutScript(browser, await context.storageState());
  const before = [...complaints];
  await lost(page);
  // While nobody listened, refused connections were reported; that was meant.
  complaints.splice(0, complaints.length, ...before, ...complaints.slice(before.length).filter((text) => !text.includes("ERR_")));
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByText("You are logged out").waitFor();
  step("logged out");
} catch (error) {
  await page.screenshot({ path: join(SCREENSHOTS, "failed.png"), fullPage: true });
  complaints.push(`at ${page.url()}: ${error.stack}`);
} finally {
  await browser.close();
}
for (const complaint of new Set(complaints)) console.log(`complaint ${complaint.replaceAll("\n", " ⏎ ")}`);
console.log("end");
process.exit(0);
