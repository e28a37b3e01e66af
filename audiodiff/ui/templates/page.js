// The local page: sends recordings, and shows what the server tells of all of them; it keeps nothing itself.
import { Player, clock } from "./listen.js";
import { inWords, valid, wish } from "./wish.js";

const BUSY_MS = 400;
const IDLE_MS = 2000;
const GONE_MS = 1000;
const PATIENCE_MS = 5000;
const STEPS = { waiting: "Waiting", done: "Done", failed: "Failed", stopped: "Stopped" };
const FINISHED = ["done", "failed", "stopped"];
const find = (id) => document.getElementById(id);
const rows = new Map();
const sending = [];
const arrived = []; // sent, and not yet among the rows of the server
let state = null;
let reachable = true;
let timer = null;
let polls = 0;

// What the server says -------------------------------------------------------------------------------------

async function poll() {
  clearTimeout(timer);
  const turn = ++polls;
  let landed = [];
  try {
    const answer = await fetch("state", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(String(answer.status));
    const told = await answer.json();
    if (turn !== polls) return; // a later question is on its way
    state = told;
    landed = arrived.splice(0);
    meet(true);
  } catch (error) {
    if (turn !== polls) return;
    meet(false, error.message === "404");
  }
  show(landed);
  const busy = sending.length || state?.rows.some((row) => !FINISHED.includes(row.state));
  timer = setTimeout(poll, !reachable ? GONE_MS : busy ? BUSY_MS : IDLE_MS);
}

function meet(there, moved = false) {
  const back = there && !reachable;
  reachable = there;
  find("gone").hidden = there;
  document.body.classList.toggle("unreachable", !there);
  if (!there) {
    const safe = state ? ` What is done is safe in ${state.folder}.` : "";
    find("gone").textContent = moved
      ? `audiodiff now has another address. Open the one that it printed.${safe}`
      : `audiodiff has stopped. Start it again with “audiodiff ui”: this page then goes on by itself.${safe}`;
  }
  if (back) sendNext();
}

async function ask(address, body) {
  let answer;
  try {
    answer = await fetch(address, { method: "POST", body });
  } catch {
    throw new Error("audiodiff cannot be reached; try again once it runs");
  }
  if (answer.status === 404) throw new Error("this recording is no longer in the list");
  const value = answer.status === 204 ? {} : await answer.json();
  if (!answer.ok) throw new Error(value.error);
  poll();
  return value;
}

function tell(line) {
  const item = document.createElement("li");
  const close = document.createElement("button");
  item.className = "fault";
  item.append(line, " ");
  close.type = "button";
  close.textContent = "Dismiss";
  close.addEventListener("click", () => item.remove());
  item.append(close);
  find("faults").append(item);
}

function attempt(promise) {
  promise.catch((error) => tell(error.message));
}

// Sending --------------------------------------------------------------------------------------------------

function take(files) {
  if (!valid()) return;
  const { max_bytes: most, suffixes } = state?.limits ?? { max_bytes: Infinity, suffixes: [""] };
  for (const file of files) {
    if (!suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix))) {
      tell(`${file.name}: not an audio file; choose one of ${suffixes.join(" ")}`);
    } else if (file.size > most) {
      tell(`${file.name}: larger than ${size(most)}; name its path below instead`);
    } else sending.push({ file, asked: wish(), element: pending(file), sent: 0 });
  }
  show();
  sendNext();
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"];
  const unit = Math.min(3, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${Number((bytes / 1024 ** unit).toFixed(1))} ${units[unit]}`;
}

function pending(file) {
  const element = find("row").content.cloneNode(true).firstElementChild;
  const part = (name) => element.querySelector("." + name);
  element.classList.add("sending");
  part("title").textContent = file.name;
  part("facts").textContent = size(file.size);
  part("status").textContent = "Waiting to be copied";
  part("remove").addEventListener("click", () => {
    const place = sending.findIndex((each) => each.element === element);
    if (place < 0) return;
    sending[place].request?.abort();
    sending.splice(place, 1);
    show([{ element }]);
    sendNext();
  });
  return element;
}

// One after the other, so that the list has their order. A recording that was cut short is sent anew.
function sendNext() {
  const next = sending[0];
  if (!next || next.request || !reachable) return;
  const request = (next.request = new XMLHttpRequest());
  const query = new URLSearchParams({ name: next.file.name, ...next.asked });
  const done = (line) => {
    if (sending[0] === next) sending.shift();
    if (line) (tell(line), show([next]));
    else arrived.push(next);
    poll();
    sendNext();
  };
  request.upload.addEventListener("progress", (event) => {
    next.element.querySelector("progress").value = event.loaded / (event.total || 1);
    next.element.querySelector(".status").textContent = "Copying";
  });
  request.addEventListener("load", () => {
    let answer = {};
    try { answer = JSON.parse(request.responseText); } catch { /* no words of ours */ }
    done(request.status === 201 ? "" : answer.error ?? `${next.file.name}: not taken (${request.status})`);
  });
  request.addEventListener("error", async () => {
    next.request = null;
    try {
      await next.file.slice(0, 1).arrayBuffer();
    } catch {
      return done(`${next.file.name}: cannot be read; if it is a folder, add the files in it`);
    }
    next.element.querySelector(".status").textContent = "Waiting to be copied";
    poll();
  });
  request.open("POST", "rows/new?" + query);
  request.send(next.file);
}

// The list -------------------------------------------------------------------------------------------------

// landed: rows of recordings that were on their way, and are no longer
function show(landed = []) {
  if (!state) return;
  const held = document.activeElement;
  const heldRow = held?.closest(".row");
  const heldPlace = [...find("rows").children].indexOf(heldRow);
  for (const each of landed) each.element.remove();
  find("folder").textContent = state.folder;
  find("limits").textContent = `Up to ${size(state.limits.max_bytes)} and ${state.limits.max_hours} hours each; they are cleaned one after the other.`;
  find("file").accept = ["audio/*", ...state.limits.suffixes].join(",");
  find("lufs").disabled = Boolean(state.no_loudness);
  if (state.no_loudness) find("lufs-note").textContent = state.no_loudness;
  const known = new Set(state.rows.map((row) => row.id));
  for (const [id, item] of rows) {
    if (!known.has(id)) (item.player?.stop(), item.element.remove(), rows.delete(id));
  }
  for (const row of state.rows) {
    if (!rows.has(row.id)) rows.set(row.id, made(row));
    update(rows.get(row.id), row);
  }
  const wanted = [...state.rows.map((row) => rows.get(row.id).element), ...[...arrived, ...sending].map((each) => each.element)];
  wanted.forEach((element, i) => {
    if (find("rows").children[i] !== element) find("rows").insertBefore(element, find("rows").children[i] ?? null);
  });
  find("list").hidden = !wanted.length;
  find("empty").hidden = Boolean(wanted.length);
  const count = (...states) => state.rows.filter((row) => states.includes(row.state)).length;
  const counts = [[count("done"), "done"], [count("working"), "in work"],
    [count("waiting") + arrived.length + sending.length, "waiting"], [count("stopped"), "stopped"], [count("failed"), "failed"]];
  setText(find("summary"), counts.filter(([n]) => n).map(([n, word]) => `${n} ${word}`).join(" · "));
  find("remove-finished").disabled = !count(...FINISHED);
  const working = state.rows.find((row) => row.state === "working");
  if (heldRow) keepKeyboard(held, heldRow, heldPlace);
  document.title = working ? `${Math.floor(100 * working.share)} % · audiodiff` : "audiodiff";
}

// Where the control that had the keyboard is gone, what took its place gets it.
function keepKeyboard(held, row, place) {
  const seen = (each) => each.isConnected && each.getClientRects().length;
  if (seen(held)) return;
  const next = row.isConnected ? row : find("rows").children[place] ?? find("rows").lastElementChild;
  const same = next?.querySelector(`.actions .${held.classList[0]}`);
  const other = [...(next?.querySelectorAll(".actions a, .actions button") ?? [])].find(seen);
  ((same && seen(same) ? same : other) ?? find("file")).focus();
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function made(row) {
  const element = find("row").content.cloneNode(true).firstElementChild;
  const part = (name) => element.querySelector("." + name);
  const base = `rows/${row.id}/`;
  element.dataset.id = row.id;
  part("title").textContent = row.name;
  for (const name of ["stop", "again", "remove"]) part(name).setAttribute("aria-label", `${part(name).textContent} ${row.name}`);
  element.querySelector("progress").setAttribute("aria-label", `Progress of ${row.name}`);
  part("stop").addEventListener("click", () => attempt(ask(base + "stop")));
  part("again").addEventListener("click", () => {
    if (valid()) attempt(ask(base + "again", JSON.stringify(wish())));
  });
  part("remove").addEventListener("click", () => {
    const loses = rows.get(row.id).row.target;
    if (!loses || confirm(`Remove ${row.name} and its result from this page and from the disk?`)) {
      attempt(ask(base + "remove"));
    }
  });
  part("download").href = base + "result";
  part("sidecar").href = base + "sidecar";
  part("report").href = base + "report";
  return { element, base, player: null, row: null };
}

function update(item, row) {
  const part = (name) => item.element.querySelector("." + name);
  const hide = (name, hidden) => { part(name).hidden = hidden; };
  const channels = { 1: "mono", 2: "stereo" }[row.channels] ?? `${row.channels} channels`;
  const length = row.seconds ? clock(row.seconds) : "unknown length";
  item.row = row;
  item.element.dataset.state = row.state;
  setText(part("facts"), `${length} · ${row.sample_rate / 1000} kHz · ${channels} · ${inWords(row.wish)}`);
  setText(part("status"), status(row));
  item.element.querySelector("progress").hidden = row.state !== "working";
  item.element.querySelector("progress").value = row.share;
  hide("stop", FINISHED.includes(row.state) || Boolean(row.target));
  part("stop").disabled = row.step === "stopping";
  hide("again", !FINISHED.includes(row.state));
  hide("download", !row.target);
  hide("links", !row.target);
  hide("path", !row.path);
  setText(part("path").querySelector("bdi"), row.path ?? "");
  if (row.target) part("download").download = row.target;
  hide("fault", !row.error);
  setText(part("fault"), row.error);
  hide("warnings", !row.warnings.length);
  if (part("warnings").children.length !== row.warnings.length) {
    part("warnings").replaceChildren(...row.warnings.map((line) => {
      const each = document.createElement("li");
      each.className = "warning";
      each.textContent = line;
      return each;
    }));
  }
  if (row.listening && !item.player) {
    part("player").append(find("player").content.cloneNode(true));
    part("player").setAttribute("role", "group");
    part("player").setAttribute("aria-label", `Player of ${row.name}`);
    item.player = new Player(part("player"), item.base, row.listening, row.gain_db);
    hide("player", false);
  }
}

function status(row) {
  if (row.state !== "working") return STEPS[row.state];
  const step = row.step[0].toUpperCase() + row.step.slice(1);
  if (row.step !== "cleaning") return step;
  const left = row.left_s === null ? "" : `, about ${clock(row.left_s)} left`;
  return `${step}, ${Math.floor(100 * row.share)} %${left}`;
}

// Controls -------------------------------------------------------------------------------------------------

const drop = find("drop");
addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files);
});
find("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = "";
});
find("open").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!valid()) return;
  const path = find("path").value;
  attempt(ask("rows/open", JSON.stringify({ path, wish: wish() })).then(() => { find("path").value = ""; }));
});
find("remove-finished").addEventListener("click", () => {
  const n = state.rows.filter((row) => FINISHED.includes(row.state)).length;
  if (confirm(`Remove ${n} finished recordings and their results from this page and from the disk?`)) {
    attempt(ask("rows/remove-finished"));
  }
});
addEventListener("beforeunload", (event) => { if (sending.length) event.preventDefault(); });
addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
poll();
