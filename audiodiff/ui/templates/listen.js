// The player of a row: recording and result run side by side, so a switch keeps the position, to the sample.
const FADE_S = 0.01;
const JUMP_S = 2;
const AHEAD_S = 3; // a hidden page is woken once a second
const CACHED = 4;
const SHORTEST_LOOP_S = 0.1;
const contexts = new Map();
let recent = null;

export function clock(seconds, tenths = false) {
  const all = Math.max(0, tenths ? Math.round(seconds * 10) / 10 : Math.round(seconds));
  const rest = (all % 60).toFixed(tenths ? 1 : 0).padStart(tenths ? 4 : 2, "0");
  const minutes = Math.floor(all / 60);
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

// At the recording's own rate the pieces follow each other without a seam.
function contextOf(rate) {
  if (!contexts.has(rate)) {
    let made;
    try {
      made = new AudioContext({ sampleRate: rate });
    } catch {
      made = new AudioContext();
    }
    contexts.set(rate, made);
  }
  return contexts.get(rate);
}

const amplitude = (db) => 10 ** (db / 20);

export class Player {
  // root: filled from the template; base: address of the row; sound: what there is to hear; gainDb: of the result
  constructor(root, base, sound, gainDb) {
    Object.assign(this, { root, base, sound, gainDb, key: "a", position: 0, wanted: false, turn: 0 });
    this.seconds = sound.seconds;
    this.loop = null;
    this.looping = false;
    this.parts = [];
    this.cache = new Map();
    this.listen();
    this.find("seek").max = this.seconds;
    for (const name of ["from", "to"]) this.find(name).max = this.seconds.toFixed(1);
    this.select("a");
    this.mark(null);
    this.draw();
    this.picture();
  }

  find(name) { return this.root.querySelector("." + name); }

  listen() {
    this.find("play").addEventListener("click", () => this.toggle());
    this.find("seek").addEventListener("input", (event) => this.seek(Number(event.target.value)));
    this.find("match").addEventListener("change", () => this.blend());
    for (const button of this.root.querySelectorAll(".versions button")) {
      button.addEventListener("click", () => this.select(button.dataset.key));
    }
    this.find("loop").addEventListener("change", (event) => this.setLooping(event.target.checked));
    for (const name of ["from", "to"]) {
      this.find(name).addEventListener("change", () => {
        this.mark([Number(this.find("from").value), Number(this.find("to").value || this.seconds)]);
      });
    }
    this.drag(this.find("wave"));
    for (const kind of ["pointerdown", "focusin"]) this.root.addEventListener(kind, () => { recent = this; });
  }

  drag(wave) {
    let first = null;
    const at = (event) => {
      const box = wave.getBoundingClientRect();
      return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.seconds;
    };
    const wide = (event) => Math.abs(event.clientX - first.x) > 4;
    wave.addEventListener("pointerdown", (event) => {
      first = { x: event.clientX, s: at(event) };
      wave.setPointerCapture(event.pointerId);
    });
    wave.addEventListener("pointermove", (event) => {
      if (first && wide(event)) this.show([first.s, at(event)].sort((p, q) => p - q));
    });
    wave.addEventListener("pointerup", (event) => {
      if (!first) return;
      if (wide(event)) {
        this.mark([first.s, at(event)].sort((p, q) => p - q));
        this.setLooping(true);
      } else this.seek(first.s);
      first = null;
    });
    wave.addEventListener("pointercancel", () => { first = null; this.show(this.loop); });
  }

  async picture() {
    const answer = await fetch(this.base + "peaks");
    if (!answer.ok) return;
    const peaks = await answer.json();
    const top = Math.max(1, ...peaks.before, ...peaks.after);
    for (const [name, key] of [["before", "a"], ["after", "b"]]) {
      const width = 1000 / peaks[name].length;
      const columns = peaks[name].map((value, i) => {
        const half = Math.max(0.4, (48 * value) / top);
        return `M${(i * width).toFixed(1)} ${(50 - half).toFixed(1)}h${width.toFixed(2)}v${(2 * half).toFixed(1)}h-${width.toFixed(2)}z`;
      });
      this.find("wave").querySelector("path." + key).setAttribute("d", columns.join(""));
    }
  }

  // The part that is looped, in seconds; null for none.
  mark(loop) {
    if (loop) {
      const start = Math.min(Math.max(0, loop[0] || 0), Math.max(0, this.seconds - SHORTEST_LOOP_S));
      loop = [start, Math.min(this.seconds, Math.max(loop[1], start + SHORTEST_LOOP_S))];
    }
    this.loop = loop;
    this.find("from").value = loop ? loop[0].toFixed(1) : "";
    this.find("to").value = loop ? loop[1].toFixed(1) : "";
    this.show(loop);
    if (this.looping) this.setLooping(Boolean(loop));
  }

  show(loop) {
    const region = this.find("region");
    region.toggleAttribute("hidden", !loop);
    if (!loop) return;
    region.setAttribute("x", (1000 * loop[0]) / this.seconds);
    region.setAttribute("width", (1000 * (loop[1] - loop[0])) / this.seconds);
  }

  setLooping(on) {
    if (on && !this.loop) this.mark([0, this.seconds]);
    this.looping = on;
    this.find("loop").checked = on;
    this.root.classList.toggle("looping", on);
    this.seek(on ? this.inside(this.now()) : this.now());
  }

  inside(position) {
    return position >= this.loop[0] && position < this.loop[1] ? position : this.loop[0];
  }

  now() {
    if (!this.parts.length) return this.position;
    const time = this.context.currentTime;
    const part = this.parts.findLast((each) => each.at <= time) ?? this.parts[0];
    return Math.min(part.from + Math.max(0, time - part.at), part.to);
  }

  toggle() {
    if (this.wanted) this.stop();
    else this.play();
  }

  async play() {
    if (recent && recent !== this) recent.stop();
    recent = this;
    const turn = ++this.turn;
    this.pressed(true);
    this.context = contextOf(this.sound.sample_rate);
    await this.context.resume();
    if (turn !== this.turn) return;
    this.bus ??= this.makeBus();
    this.blend(true);
    if (this.position >= this.seconds - 0.02) this.position = 0;
    if (this.looping) this.position = this.inside(this.position);
    try {
      await this.feed(turn);
    } catch {
      if (turn !== this.turn) return;
      this.stop();
      this.find("verdict").textContent = "The sound cannot be fetched; is audiodiff still running?";
    }
  }

  // before and after are channels of the same sound: what was removed is the one less the other
  makeBus() {
    const n = this.sound.channels;
    const input = new ChannelSplitterNode(this.context, { numberOfOutputs: 2 * n });
    const gains = [0, 1].map((version) => {
      const gain = new GainNode(this.context, { gain: 0, channelCount: n, channelCountMode: "explicit" });
      const merger = new ChannelMergerNode(this.context, { numberOfInputs: n });
      for (let c = 0; c < n; c++) input.connect(merger, version * n + c, c);
      merger.connect(gain).connect(this.context.destination);
      return gain.gain;
    });
    return { input, gains };
  }

  async feed(turn) {
    this.find("verdict").textContent = "";
    let at = 0;
    let from = this.position;
    this.draw();
    while (turn === this.turn) {
      const number = Math.min(Math.floor(from / this.sound.chunk_s), this.sound.chunks - 1);
      const buffer = await this.chunk(number);
      if (turn !== this.turn) return;
      const start = number * this.sound.chunk_s;
      const end = Math.min(start + buffer.duration, this.looping ? this.loop[1] : this.seconds);
      at = Math.max(at, this.context.currentTime + 0.02);
      const source = new AudioBufferSourceNode(this.context, { buffer });
      source.connect(this.bus.input);
      source.start(at, from - start, end - from);
      this.parts.push({ source, at, from, to: end });
      at += end - from;
      from = end;
      if (this.looping && from >= this.loop[1] - 1e-6) from = this.loop[0];
      const last = from >= this.seconds - 1e-6;
      await this.until(last ? at : at - AHEAD_S, turn);
      if (last && turn === this.turn) {
        this.stop();
        this.position = 0;
        this.draw();
      }
    }
  }

  // Until the sound has come that far, drawing meanwhile; a timer, since a hidden page has no frames.
  async until(time, turn) {
    while (turn === this.turn && this.context.currentTime < time) {
      this.draw();
      await new Promise((resume) => setTimeout(resume, 30));
    }
    const current = this.context.currentTime;
    this.parts = this.parts.filter((part, i, all) => i === all.length - 1 || part.at + part.to - part.from > current);
  }

  async chunk(number) {
    if (!this.cache.has(number)) {
      const answer = await fetch(`${this.base}sound/${number}`);
      if (!answer.ok) throw new Error("gone");
      const buffer = await this.context.decodeAudioData(await answer.arrayBuffer());
      if (this.cache.size >= CACHED) this.cache.delete(this.cache.keys().next().value);
      this.cache.set(number, buffer);
    }
    return this.cache.get(number);
  }

  stop() {
    this.position = this.now();
    this.turn++;
    if (this.bus) {
      const end = this.context.currentTime + 2 * FADE_S;
      for (const gain of this.bus.gains) gain.setTargetAtTime(0, this.context.currentTime, FADE_S / 3);
      for (const part of this.parts) part.source.stop(end);
    }
    this.parts = [];
    this.bus = null; // a new one for the next sound: this one fades out
    this.pressed(false);
    this.draw();
  }

  seek(position) {
    const playing = this.wanted;
    this.stop();
    this.position = Math.min(Math.max(position, 0), this.seconds);
    this.draw();
    if (playing) this.play();
  }

  pressed(on) {
    this.wanted = on;
    this.find("play").setAttribute("aria-pressed", String(on));
    this.find("play").setAttribute("aria-label", on ? "Pause" : "Play");
  }

  levels() {
    const equal = this.find("match").checked;
    const [before, after] = this.sound.match_db;
    if (this.key === "a") return [equal ? amplitude(before) : 1, 0];
    // the sound of the result lies here without its gain for loudness
    if (this.key === "b") return [0, amplitude(equal ? after : this.gainDb)];
    return [1, -1];
  }

  blend(now = false) {
    if (!this.bus) return;
    const at = this.context.currentTime;
    this.levels().forEach((level, i) => {
      const gain = this.bus.gains[i];
      gain.cancelScheduledValues(at);
      gain.setValueAtTime(now ? level : gain.value, at);
      gain.linearRampToValueAtTime(level, at + FADE_S);
    });
  }

  select(key) {
    this.key = key;
    this.root.dataset.active = key;
    for (const button of this.root.querySelectorAll(".versions button")) {
      button.setAttribute("aria-pressed", String(button.dataset.key === key));
    }
    this.blend();
  }

  draw() {
    const now = this.now();
    const x = this.seconds ? (1000 * now) / this.seconds : 0;
    for (const name of ["x1", "x2"]) this.find("head").setAttribute(name, x);
    this.find("seek").value = now;
    this.find("seek").setAttribute("aria-valuetext", clock(now, true));
    this.find("time").textContent = `${clock(now, true)} / ${clock(this.seconds)}`;
  }

  pressKey(name) {
    if (name === " ") this.toggle();
    else if ("abr".includes(name)) this.select(name);
    else if (name === "arrowleft") this.seek(this.now() - JUMP_S);
    else if (name === "arrowright") this.seek(this.now() + JUMP_S);
    else if (name === "[") this.mark([this.now(), this.loop && this.loop[1] > this.now() ? this.loop[1] : this.seconds]);
    else if (name === "]") this.mark([this.loop && this.loop[0] < this.now() ? this.loop[0] : 0, this.now()]);
    else this.setLooping(!this.looping);
  }
}

document.addEventListener("keydown", (event) => {
  const box = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || !recent?.root.isConnected) return;
  if (box.matches("textarea, select, input:not([type=range]):not([type=checkbox]):not([type=radio])")) return;
  const name = event.key.toLowerCase();
  if (![" ", "a", "b", "r", "l", "[", "]", "arrowleft", "arrowright"].includes(name)) return;
  if (name === " " && box.matches("button, summary, a, input")) return;
  if (name.startsWith("arrow") && box.matches("input")) return;
  recent.pressKey(name);
  event.preventDefault();
});
