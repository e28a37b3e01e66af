// The local page: send or name a recording, ask for jobs, show how far they are and what they gave.
"use strict";
(() => {
  const POLL_MS = 250;
  const find = (id) => document.getElementById(id);
  let recording = null;
  let job = null;

  function clock(seconds) {
    const whole = Math.round(seconds);
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  }

  function tell(line) {
    find("fault").textContent = line;
    find("fault").hidden = !line;
  }

  async function ask(address, body) {
    const answer = await fetch(address, { method: "POST", body });
    const text = await answer.text();
    let value;
    try {
      value = text ? JSON.parse(text) : {};
    } catch {
      value = { error: `the server answered: ${text}` };
    }
    if (!answer.ok) throw new Error(value.error ?? "the server does not know this any more; reload the page");
    return value;
  }

  async function take(promise) {
    tell("");
    busy("Taking the recording");
    try {
      recording = await promise;
    } catch (error) {
      return tell(error.message);
    } finally {
      idle();
    }
    find("name").textContent = recording.name;
    const channels = { 1: "mono", 2: "stereo" }[recording.channels] ?? `${recording.channels} channels`;
    const length = recording.seconds ? clock(recording.seconds) : "unknown length";
    find("facts").textContent = `${length} · ${recording.rate / 1000} kHz · ${channels}`;
    find("from").max = Math.floor(recording.latest_preview_s);
    find("from").value = 0;
    find("from").dispatchEvent(new Event("input"));
    find("from-box").hidden = recording.latest_preview_s < 1;
    find("replace-box").hidden = !recording.beside;
    find("saved").hidden = true;
    find("card").replaceChildren();
    find("work").hidden = false;
    find("preview").focus();
  }

  function send(file) {
    take(ask("recordings/new?name=" + encodeURIComponent(file.name), file));
  }

  function busy(step) {
    for (const id of ["preview", "clean"]) find(id).disabled = true;
    find("step").textContent = step;
    find("drop").setAttribute("aria-busy", "true");
  }

  function idle() {
    for (const id of ["preview", "clean"]) find(id).disabled = false;
    find("progress").hidden = true;
    find("drop").removeAttribute("aria-busy");
  }

  async function start(previewing) {
    tell("");
    busy("");
    find("saved").hidden = true;
    find("bar").value = 0;
    find("progress").hidden = false;
    try {
      const order = {
        recording: recording.recording,
        strength: Number(find("strength").value) / 100,
        quality: document.querySelector("[name=quality]:checked").value,
        preview_s: previewing ? Number(find("from").value) : null,
        overwrite: find("replace").checked,
      };
      job = (await ask("jobs/new", JSON.stringify(order))).job;
      await follow();
    } catch (error) {
      tell(error.message);
    } finally {
      job = null;
      idle();
    }
  }

  async function follow() {
    for (;;) {
      const answer = await fetch("jobs/" + job);
      if (!answer.ok) throw new Error("the page has ended; start audiodiff ui again");
      const state = await answer.json();
      find("bar").value = state.share;
      find("step").textContent = state.step;
      if (state.state === "failed") throw new Error(state.error);
      if (state.state === "cancelled") return;
      if (state.state === "done") return show(state);
      await new Promise((resume) => setTimeout(resume, POLL_MS));
    }
  }

  async function show(state) {
    const card = find("card");
    // made and escaped by the server; scripts in it would not run
    card.innerHTML = await (await fetch(`jobs/${job}/card`)).text();
    globalThis.audiodiffPlayers.attach(card);
    if (!state.name) return;
    find("saved-text").textContent = state.saved ? `Saved as ${state.saved}` : "Done.";
    find("whole").src = `jobs/${job}/result`;
    find("download").href = `jobs/${job}/result?save=1`;
    find("download").download = state.name;
    find("download").textContent = state.saved ? "Download a copy" : `Download ${state.name}`;
    find("saved").hidden = false;
  }

  const drop = find("drop");
  addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
  find("file").addEventListener("change", (event) => {
    if (event.target.files.length) send(event.target.files[0]);
    event.target.value = "";
  });
  find("open").addEventListener("submit", (event) => {
    event.preventDefault();
    take(ask("recordings/open", JSON.stringify({ path: find("path").value })));
  });
  find("strength").addEventListener("input", (event) => {
    find("strength-text").textContent = `${event.target.value} %`;
  });
  find("from").addEventListener("input", (event) => {
    find("from-text").textContent = clock(Number(event.target.value));
  });
  find("preview").addEventListener("click", () => start(true));
  find("clean").addEventListener("click", () => start(false));
  find("stop").addEventListener("click", () => { if (job) fetch(`jobs/${job}/stop`, { method: "POST" }); });
})();
