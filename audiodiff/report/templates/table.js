// The table of a report's recordings: sorted by a press on a heading, and cut down to what is to be reviewed.
"use strict";
(() => {
  const table = document.querySelector(".summary");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const cards = new Map(rows.map((row) => [row, document.getElementById(row.dataset.card)]));
  const headings = [...table.querySelectorAll("[data-sort]")];
  const only = document.querySelector(".only");
  // what is pressed for shows what matters most first: most to review, most lost, most removed
  const FIRST = { name: 1, change: 1, removed: -1, review: -1 };

  function sort(heading) {
    const name = heading.dataset.sort;
    const turned = heading.getAttribute("aria-sort") === (FIRST[name] > 0 ? "ascending" : "descending");
    const sign = turned ? -FIRST[name] : FIRST[name];
    const known = (row) => row.dataset[name] !== "";
    rows.sort((one, two) =>
      known(two) - known(one)
      || sign * (Number(one.dataset[name]) - Number(two.dataset[name]))
      || Number(one.dataset.name) - Number(two.dataset.name));
    for (const each of headings) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const ordered = rows.map((row) => cards.get(row));
    table.tBodies[0].append(...rows);
    ordered[0]?.parentElement.append(...ordered);
  }

  function filter() {
    for (const row of rows) row.hidden = cards.get(row).hidden = only.checked && row.dataset.wants === "0";
    globalThis.audiodiffPlayers.quieten();
  }

  for (const heading of headings) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(heading));
  }
  only.closest("p").hidden = false;
  only.addEventListener("change", filter);
  filter(); // a browser may remember the tick
})();
