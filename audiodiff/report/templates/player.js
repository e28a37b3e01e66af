// The player of report and local page: before, after and removed run together, so a switch keeps the position.
"use strict";
(() => {
  const FADE_S = 0.01;
  const JUMP_S = 2;
  const LABELS = { a: "Before", b: "After", r: "Removed" };
  const players = new Map();
  let context = null;
  let recent = null;
  let place = null;
  let tabbed = false;

  async function bytes(address) {
    if (!address.startsWith("data:")) return (await fetch(address)).arrayBuffer();
    const text = atob(address.slice(address.indexOf(",") + 1));
    return Uint8Array.from(text, (c) => c.charCodeAt(0)).buffer;
  }

  function clock(seconds) {
    const tenths = Math.max(0, Math.round(seconds * 10));
    const minutes = Math.floor(tenths / 600);
    const rest = String(Math.floor((tenths % 600) / 10)).padStart(2, "0") + "." + (tenths % 10);
    if (minutes < 60) return `${minutes}:${rest}`;
    return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
  }

  class Excerpt {
    constructor(root) {
      this.root = root;
      this.start = Number(root.dataset.start);
      this.seconds = Number(root.dataset.seconds);
      this.heads = [...root.querySelectorAll(".head")];
      this.tracks = [...root.querySelectorAll("audio")].map((element) => ({
        key: element.dataset.key,
        gain: 10 ** (Number(element.dataset.gain) / 20),
        address: element.getAttribute("src"),
      }));
      this.decoded = null;
    }

    decode() {
      this.decoded ??= Promise.all(
        this.tracks.map(async (track) => context.decodeAudioData(await bytes(track.address))),
      );
      return this.decoded;
    }
  }

  class Player {
    constructor(root) {
      this.root = root;
      this.excerpts = [...root.querySelectorAll(".excerpt")].map((element) => new Excerpt(element));
      this.current = this.excerpts[0];
      this.key = "a";
      this.swapped = false;
      this.position = 0;
      this.voices = null;
      this.wanted = false;
      this.loop = null;
      this.find("play").addEventListener("click", () => this.toggle());
      this.find("seek").addEventListener("input", (event) => this.seek(Number(event.target.value)));
      this.find("match").addEventListener("change", () => this.blend());
      this.find("blind").addEventListener("change", (event) => this.setBlind(event.target.checked));
      this.versions = [...root.querySelectorAll(".versions button")];
      for (const button of this.versions) {
        button.addEventListener("click", () => this.press(button.dataset.key));
      }
      for (const button of root.querySelectorAll(".stretches button")) {
        button.addEventListener("click", () => this.choose(Number(button.dataset.excerpt), 0));
      }
      for (const picture of root.querySelectorAll(".picture")) {
        picture.addEventListener("click", (event) => {
          const box = picture.getBoundingClientRect();
          this.seek(((event.clientX - box.left) / box.width) * this.current.seconds);
        });
      }
      root.addEventListener("pointerdown", () => { recent = this; });
      root.addEventListener("focusin", () => { recent = this; });
      root.classList.add("live");
      root.querySelector(".controls").hidden = false;
      this.choose(0, 0);
      this.select("a");
    }

    find(name) { return this.root.querySelector("." + name); }

    get blind() { return this.find("blind").checked; }

    now() {
      if (!this.voices) return this.position;
      const at = this.voices.from + Math.max(0, context.currentTime - this.voices.at);
      if (this.loop && at >= this.loop.to) return this.loop.from + ((at - this.loop.from) % this.lap());
      return Math.min(at, this.current.seconds);
    }

    lap() { return this.loop.to - this.loop.from; }

    // Before and after in turn, lap by lap, until one of them is chosen.
    repeat(button) {
      const again = this.loop?.button === button;
      this.unloop();
      if (again) return;
      const { excerpt, from, to } = button.dataset;
      this.stop();
      this.choose(Number(excerpt), Number(from));
      this.loop = { from: Number(from), to: Number(to), button, inTurn: true, lap: 0 };
      button.setAttribute("aria-pressed", "true");
      this.select(this.blind ? this.key : "a");
      this.play();
    }

    unloop() {
      if (!this.loop) return;
      this.stop();
      this.loop.button.setAttribute("aria-pressed", "false");
      this.loop = null;
    }

    turn() {
      if (!this.loop?.inTurn) return;
      const at = this.voices.from + context.currentTime - this.voices.at;
      const lap = Math.max(0, Math.floor((at - this.loop.from) / this.lap()));
      if (lap === this.loop.lap) return;
      this.loop.lap = lap;
      this.select(this.key === "a" ? "b" : "a");
    }

    choose(number, position) {
      const playing = this.wanted;
      this.unloop();
      this.stop();
      this.current = this.excerpts[number];
      this.position = position;
      this.excerpts.forEach((excerpt) => { excerpt.root.hidden = excerpt !== this.current; });
      for (const button of this.root.querySelectorAll(".stretches button")) {
        button.setAttribute("aria-pressed", String(Number(button.dataset.excerpt) === number));
      }
      this.find("seek").max = this.current.seconds;
      this.find("matched").textContent = this.blind ? "on" : this.current.root.dataset.matched;
      this.draw();
      if (playing) this.play();
    }

    toggle() {
      if (this.wanted) this.stop();
      else this.play();
    }

    async play() {
      for (const other of players.values()) if (other !== this) other.stop();
      recent = this;
      context ??= new AudioContext();
      this.show(true);
      const excerpt = this.current;
      let buffers;
      try {
        await context.resume();
        buffers = await excerpt.decode();
      } catch {
        this.show(false);
        this.find("verdict").textContent = "This browser cannot play the sound.";
        return;
      }
      if (!this.wanted || excerpt !== this.current || this.voices) return;
      if (this.position >= excerpt.seconds - 0.02) this.position = 0;
      const at = context.currentTime + 0.02;
      const nodes = buffers.map((buffer, i) => {
        const source = new AudioBufferSourceNode(context, { buffer });
        const gain = new GainNode(context, { gain: this.loudness(excerpt.tracks[i]) });
        source.connect(gain).connect(context.destination);
        if (this.loop) {
          source.loop = true;
          source.loopStart = this.loop.from;
          source.loopEnd = this.loop.to;
        }
        source.start(at, this.position);
        return { source, gain, track: excerpt.tracks[i] };
      });
      this.voices = { nodes, at, from: this.position };
      if (this.loop) this.loop.lap = 0;
      const tick = () => {
        if (!this.voices || this.voices.nodes !== nodes) return;
        this.turn();
        if (!this.loop && this.now() >= this.current.seconds) {
          this.stop();
          this.position = 0;
        }
        this.draw();
        if (this.voices) requestAnimationFrame(tick);
      };
      tick();
    }

    stop() {
      this.position = this.now();
      if (this.voices) {
        for (const { source, gain } of this.voices.nodes) {
          gain.gain.setTargetAtTime(0, context.currentTime, FADE_S / 3);
          source.stop(context.currentTime + 2 * FADE_S);
        }
      }
      this.voices = null;
      this.show(false);
      this.draw();
    }

    seek(position) {
      const playing = this.wanted;
      this.unloop();
      this.stop();
      this.position = Math.min(Math.max(position, 0), this.current.seconds);
      this.draw();
      if (playing) this.play();
    }

    show(playing) {
      this.wanted = playing;
      const button = this.find("play");
      button.setAttribute("aria-pressed", String(playing));
      button.setAttribute("aria-label", playing ? "Pause" : "Play");
    }

    loudness(track) {
      if (track.key !== this.key) return 0;
      return this.find("match").checked ? track.gain : 1;
    }

    blend() {
      if (!this.voices) return;
      const at = context.currentTime;
      for (const { gain, track } of this.voices.nodes) {
        gain.gain.cancelScheduledValues(at);
        gain.gain.setValueAtTime(gain.gain.value, at);
        gain.gain.linearRampToValueAtTime(this.loudness(track), at + FADE_S);
      }
    }

    // In a blind comparison the buttons A and B may be exchanged.
    press(name) {
      if ((this.blind && name === "r") || !this.versions.some((b) => b.dataset.key === name)) return;
      if (this.loop) this.loop.inTurn = false;
      this.select(this.blind && this.swapped ? { a: "b", b: "a" }[name] : name);
    }

    select(key) {
      this.key = key;
      this.root.dataset.active = this.blind ? "blind" : key;
      const shown = this.blind && this.swapped ? { a: "b", b: "a" }[key] : key;
      for (const button of this.versions) {
        button.setAttribute("aria-pressed", String(button.dataset.key === shown));
      }
      this.blend();
    }

    setBlind(on) {
      const text = this.find("verdict");
      if (on) {
        this.swapped = crypto.getRandomValues(new Uint8Array(1))[0] % 2 === 1;
        this.find("match").checked = true;
        text.textContent = "Which one do you prefer? Untick to see which it was.";
      } else {
        text.textContent = this.swapped ? "X was after, Y was before." : "X was before, Y was after.";
        this.swapped = false;
      }
      this.find("match").disabled = on;
      this.find("matched").textContent = on ? "on" : this.current.root.dataset.matched;
      for (const button of this.versions) {
        const key = button.dataset.key;
        button.querySelector("span").textContent = on ? { a: "X", b: "Y", r: "Removed" }[key] : LABELS[key];
        button.disabled = on && key === "r";
      }
      this.select(on || this.key === "r" ? "ab"[on && this.swapped ? 1 : 0] : this.key);
    }

    draw() {
      const now = this.now();
      const share = this.current.seconds ? (100 * now) / this.current.seconds : 0;
      for (const head of this.current.heads) {
        head.setAttribute("x1", share + "%");
        head.setAttribute("x2", share + "%");
      }
      const seek = this.find("seek");
      const text = clock(this.current.start + now);
      seek.value = now;
      seek.setAttribute("aria-valuetext", text);
      this.find("time").textContent = text;
    }
  }

  const shown = (element) => element.isConnected && !element.closest("[hidden]");

  // What sounds; else what was touched last while it is in view; else the first in view.
  function target() {
    const all = [...document.querySelectorAll(".player")].filter(shown).map((e) => players.get(e.dataset.player));
    const inView = (player) => {
      const box = player.root.getBoundingClientRect();
      return box.bottom > innerHeight / 4 && box.top < (3 * innerHeight) / 4;
    };
    return all.find((player) => player.wanted)
      ?? (all.includes(recent) && inView(recent) ? recent : null)
      ?? all.find(inView)
      ?? (all.includes(recent) ? recent : null)
      ?? all.find((player) => player.root.getBoundingClientRect().bottom > innerHeight / 4)
      ?? all[0];
  }

  // To the next or previous place of the review lists, across recordings, in the order on the page.
  function step(direction) {
    const stops = [...document.querySelectorAll("[data-go]")].filter(shown);
    let number = stops.indexOf(place) + direction;
    if (!stops.includes(place)) {
      const below = stops.findIndex((each) => each.closest(".recording").getBoundingClientRect().bottom > innerHeight / 4);
      number = below < 0 ? stops.length : below;
      if (direction < 0) number -= 1;
    }
    stops[number]?.click();
  }

  function arrive(button) {
    place?.closest("li").removeAttribute("aria-current");
    place = button;
    place.closest("li").setAttribute("aria-current", "true");
  }

  const ACTIONS = {
    " ": () => target()?.toggle(),
    a: () => target()?.press("a"),
    b: () => target()?.press("b"),
    r: () => target()?.press("r"),
    n: () => step(1),
    p: () => step(-1),
    l: () => (place && shown(place) ? place.closest("li").querySelector("[data-loop]")?.click() : null),
    arrowleft: () => target()?.seek(target().now() - JUMP_S),
    arrowright: () => target()?.seek(target().now() + JUMP_S),
    "?": () => {
      const help = document.querySelector("details.keys");
      if (help) help.open = !help.open;
    },
  };

  // Whether a key belongs to what has the focus: all to a field, arrows to a slider, space to a box to tick that
  // the tabulator reached. Buttons have Enter; space plays.
  function taken(name, box) {
    if (box.matches("textarea, select, input:not([type=range]):not([type=checkbox])")) return true;
    if (name.startsWith("arrow")) return box.matches("input[type=range]:not(.seek)");
    return name === " " && tabbed && box.matches("input[type=checkbox]");
  }

  function key(event) {
    tabbed ||= event.key === "Tab";
    if (event.ctrlKey || event.metaKey || event.altKey || !players.size) return;
    const name = event.key.toLowerCase();
    if (!Object.hasOwn(ACTIONS, name) || taken(name, event.target)) return;
    event.preventDefault();
    if (!event.repeat || name.startsWith("arrow")) ACTIONS[name]();
  }

  function attach(root) {
    for (const element of root.querySelectorAll(".player")) {
      players.get(element.dataset.player)?.stop();
      players.set(element.dataset.player, new Player(element));
    }
    for (const button of root.querySelectorAll("[data-go]")) {
      button.addEventListener("click", () => {
        const player = players.get(button.dataset.go);
        arrive(button);
        player.choose(Number(button.dataset.excerpt), Number(button.dataset.at));
        player.root.scrollIntoView({ block: "nearest" });
        player.play();
      });
    }
    for (const button of root.querySelectorAll("[data-loop]")) {
      button.addEventListener("click", () => {
        arrive(button.closest("li").querySelector("[data-go]"));
        players.get(button.dataset.loop).repeat(button);
      });
    }
  }

  // Players that a filter took away fall silent.
  function quieten() {
    for (const player of players.values()) if (player.wanted && !shown(player.root)) player.stop();
  }

  document.addEventListener("keydown", key);
  // Firefox presses a button when space comes up
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && players.size && !taken(" ", event.target)) event.preventDefault();
  });
  document.addEventListener("pointerdown", () => { tabbed = false; }, true);
  globalThis.audiodiffPlayers = { attach, quieten };
  attach(document);
})();
