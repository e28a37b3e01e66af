// How recordings shall be cleaned: the settings above the list, which this browser remembers.
import { clock } from "./listen.js";

const find = (id) => document.getElementById(id);

function seconds(text) {
  return text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0) || 0;
}

export function wish() {
  const number = (id) => (find(id).value === "" ? {} : { [id]: Number(find(id).value) });
  const { lufs, "max-reduction": limit } = { ...number("lufs"), ...number("max-reduction") };
  const asked = {
    quality: document.querySelector("[name=quality]:checked").value,
    strength: Number(find("strength").value) / 100,
  };
  if (lufs !== undefined) asked.lufs = lufs;
  if (limit !== undefined) asked.max_reduction_db = limit;
  if (find("preview").value !== "") asked.preview_s = seconds(find("from").value);
  return asked;
}

export function valid() {
  const form = find("wish");
  return form.checkValidity() || (form.reportValidity(), false);
}

// The settings of this browser; a preview is asked for each time.
const KEPT = ["strength", "lufs", "max-reduction"];

function remember() {
  const kept = Object.fromEntries(KEPT.map((id) => [id, find(id).value]));
  kept.quality = document.querySelector("[name=quality]:checked").value;
  try { localStorage.setItem("wish", JSON.stringify(kept)); } catch { /* the browser keeps nothing */ }
}

function recall() {
  let kept = null;
  try { kept = JSON.parse(localStorage.getItem("wish")); } catch { /* as above */ }
  for (const id of KEPT) if (kept && id in kept) find(id).value = kept[id];
  const chosen = document.querySelector(`[name=quality][value="${CSS.escape(kept?.quality ?? "balanced")}"]`);
  if (chosen) chosen.checked = true;
  tellStrength();
}

function tellStrength() {
  find("strength-text").textContent = `${find("strength").value} %`;
}

export function inWords(asked) {
  const words = [asked.quality, `strength ${Math.round(100 * asked.strength)} %`];
  if (asked.lufs !== null) words.push(`${String(asked.lufs).replace("-", "−")} LUFS`);
  if (asked.max_reduction_db !== null) words.push(`at most ${asked.max_reduction_db} dB`);
  if (asked.preview_s !== null) words.push(`preview from ${clock(asked.preview_s)}`);
  return words.join(", ");
}

find("wish").addEventListener("submit", (event) => event.preventDefault());
find("wish").addEventListener("change", remember);
find("strength").addEventListener("input", tellStrength);
find("preview").addEventListener("change", (event) => {
  find("from-box").hidden = event.target.value === "";
  find("part-note").hidden = event.target.value !== "";
});
recall();
