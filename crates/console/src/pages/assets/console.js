// What the pages gain from a script: numbers that move by themselves, questions asked in place, a choice of
// theme. Without it they are read by reloading, and everything can still be done.
"use strict";

(() => {
  const say = (text) => {
    const place = document.getElementById("announce");
    if (place && place.textContent !== text) place.textContent = text;
  };

  // Theme: as the system is set, unless one was chosen.
  const THEMES = ["system", "light", "dark"];
  const themeButton = document.getElementById("theme");
  const showTheme = () => {
    const theme = document.documentElement.dataset.theme || "system";
    themeButton.textContent = `Theme: ${theme}`;
    return theme;
  };
  if (themeButton) {
    showTheme();
    themeButton.hidden = false;
    themeButton.addEventListener("click", () => {
      const next = THEMES[(THEMES.indexOf(showTheme()) + 1) % THEMES.length];
      if (next === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = next;
      const age = next === "system" ? 0 : 31536000;
      document.cookie = `tenant_sync_theme=${next}; path=/; max-age=${age}; samesite=strict`;
      showTheme();
    });
  }

  // Questions are asked in a dialog; the link's own page asks the same.
  document.addEventListener("click", (event) => {
    const close = event.target.closest("[data-close]");
    if (close && close.closest("dialog")) {
      event.preventDefault();
      close.closest("dialog").close();
      return;
    }
    const opener = event.target.closest("[data-dialog]");
    const dialog = opener && document.getElementById(opener.dataset.dialog);
    if (dialog && dialog.showModal && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
      event.preventDefault();
      dialog.showModal();
    }
  });
  document.addEventListener("keydown", (event) => {
    // A link that looks like a button answers to the space bar, too.
    if (event.key === " " && event.target.matches("a[role=button]")) {
      event.preventDefault();
      event.target.click();
    }
  });

  // A form is sent once.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method === "get") return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    for (const button of form.querySelectorAll("button[type=submit]")) button.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      for (const button of form.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
    }
  });
  for (const select of document.querySelectorAll("select[data-submits]")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }

  // A page that could not be made is tried again.
  if (document.querySelector("[data-again]")) setTimeout(() => location.reload(), 4000);

  // What became of an action is said once.
  const here = new URL(location.href);
  if (here.searchParams.has("did")) {
    here.searchParams.delete("did");
    history.replaceState(null, "", here);
  }

  // Relative times go on while nothing else changes. The server's clock counts, not this one.
  let clockAhead = 0;
  const span = (seconds) => {
    const two = (large, unit, small, smallUnit) => (small ? `${large} ${unit} ${small} ${smallUnit}` : `${large} ${unit}`);
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 86400) return two(Math.floor(seconds / 3600), "h", Math.floor((seconds % 3600) / 60), "min");
    return two(Math.floor(seconds / 86400), "d", Math.floor((seconds % 86400) / 3600), "h");
  };
  const refreshTimes = () => {
    const now = Date.now() - clockAhead;
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const passed = Math.trunc((now - Date.parse(time.dateTime)) / 1000);
      const text = passed < 0 ? `in ${span(-passed)}` : passed === 0 ? "just now" : `${span(passed)} ago`;
      if (time.textContent !== text) time.textContent = text;
    }
  };

  // Live regions: the server sends the HTML of each that changed.
  const address = document.body.dataset.live;
  const connection = document.getElementById("connection");
  if (!address || !connection || !window.EventSource) return;

  const WAITS = [1000, 2000, 5000, 10000];
  let failures = 0;
  let lastSeen = Date.now();
  let source = null;

  const show = (state, text) => {
    connection.className = `connection ${state}`;
    if (connection.textContent !== text) connection.textContent = text;
    document.body.classList.toggle("stale", state === "lost");
  };

  const replace = (region, html) => {
    const there = document.querySelector(`[data-region="${CSS.escape(region)}"]`);
    if (!there || there.dataset.shown === html) return;
    if (there.querySelector("dialog[open]")) return;
    const focused = there.contains(document.activeElement) ? document.activeElement : null;
    const focusedId = focused && focused.id;
    const focusedHref = focused && focused.getAttribute("href");
    const open = [...there.querySelectorAll("details")].map((details) => details.open);
    const scrolled = [...there.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
    there.innerHTML = html;
    there.dataset.shown = html;
    [...there.querySelectorAll("details")].forEach((details, at) => { details.open = open[at] || false; });
    [...there.querySelectorAll(".scroll")].forEach((box, at) => { if (scrolled[at]) [box.scrollLeft, box.scrollTop] = scrolled[at]; });
    const again = focusedId ? document.getElementById(focusedId)
      : focusedHref ? there.querySelector(`a[href="${CSS.escape(focusedHref)}"]`) : null;
    if (again) again.focus({ preventScroll: true });
    const spoken = there.querySelector("[data-say]");
    if (spoken) say(spoken.dataset.say);
  };

  const retry = () => {
    if (source) source.close();
    source = null;
    const wait = WAITS[Math.min(failures, WAITS.length - 1)];
    failures += 1;
    show("lost", `Connection lost ${span(Math.round((Date.now() - lastSeen) / 1000))} ago, trying again`);
    setTimeout(connect, wait);
  };

  // A session that has ended cannot be told from a lost connection by the stream alone.
  const connect = async () => {
    if (failures > 0) {
      try {
        const answer = await fetch("/session", { cache: "no-store" });
        if (answer.status === 401) {
          show("lost", "Signed out: ");
          const link = document.createElement("a");
          link.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
          link.textContent = "log in again";
          connection.append(link);
          return;
        }
      } catch {
        retry();
        return;
      }
    }
    source = new EventSource(address);
    source.addEventListener("region", (event) => {
      const end = event.data.indexOf("\n");
      replace(event.data.slice(0, end), event.data.slice(end + 1));
    });
    source.addEventListener("beat", (event) => {
      lastSeen = Date.now();
      clockAhead = Date.now() - Date.parse(event.data);
      failures = 0;
      show("live", "Live");
    });
    // The server cannot read anything new, and says why; the stream stays.
    source.addEventListener("trouble", (event) => {
      lastSeen = Date.now();
      show("lost", `No new numbers: ${event.data}`);
    });
    // Streams end by themselves now and then, so that a session that is over does not go on.
    source.addEventListener("again", () => {
      source.close();
      failures = 1;
      connect();
    });
    source.onerror = retry;
  };

  setInterval(() => {
    refreshTimes();
    // A stream that says nothing for long is as good as lost.
    if (source && Date.now() - lastSeen > 20000) retry();
  }, 1000);
  window.addEventListener("pagehide", () => source && source.close());
  window.addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
  connect();
})();
