// What every page of the console needs: theme, times in the reader's zone, copying, confirming.
const root = document.documentElement;
const isDark = () => root.dataset.theme
  ? root.dataset.theme === "dark"
  : matchMedia("(prefers-color-scheme: dark)").matches;

document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});

const format = new Intl.DateTimeFormat(root.lang, { dateStyle: "short", timeStyle: "short" });
function localize(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = format.format(at);
    time.title = at.toISOString();
  }
}
localize(document);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent);
  const asked = event.target.closest("[data-confirm]");
  if (asked && !confirm(asked.dataset.confirm)) event.preventDefault();
});

// A list that brings itself up to date while something in it is under way.
async function refresh() {
  const live = document.querySelector("[data-live]");
  if (!live) return;
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      if (fresh) { localize(fresh); live.replaceWith(document.adoptNode(fresh)); }
    } catch { /* the server is restarting: the next look will do */ }
  }
  schedule();
}
function schedule() {
  const live = document.querySelector("[data-live]");
  if (live) setTimeout(refresh, 1000 * Number(live.dataset.live));
}
schedule();
