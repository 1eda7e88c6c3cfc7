// Search of the reference: what has all the words stays.
const search = document.getElementById("search");
const calls = [...document.querySelectorAll("[data-call]")].map((call) => ({
  call,
  entry: document.querySelector(`[data-entry="${call.id}"]`),
  text: call.textContent.toLowerCase(),
}));

function look() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const { call, entry, text } of calls) {
    const fits = words.every((word) => text.includes(word));
    call.hidden = entry.hidden = !fits;
    found += fits;
  }
  document.getElementById("nothing").hidden = found > 0;
}
search.addEventListener("input", look);

// A link to an endpoint opens all there is of it.
function open() {
  const call = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (const part of call ? call.querySelectorAll("details") : []) part.open = true;
}
addEventListener("hashchange", open);
open();
