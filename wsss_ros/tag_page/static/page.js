// The page to tag with. It asks for pictures and the status again and again, so it finds the robot again by itself.
"use strict";

const PICTURE_MS = 150, STATUS_MS = 1000, ANSWER_MS = 5000, COMMAND_MS = 25000;
const OLD_S = 2, SILENT_S = 5, ROUNDS_SHOWN = 6;
// Keys of actions; what they leave of digits and letters goes to the classes, in order.
const ACTIONS = {
  o: () => toggleOverlay(), s: () => aim(about === "image" ? "scene" : "image"), n: () => command("start_scene"),
  f: () => command("finish_scene"), p: () => command(pauseCommand()), t: () => command("train"),
  " ": () => hold(!held), enter: () => send(), escape: () => clear(),
};
const KEYS = [..."1234567890abcdefghijklmnopqrstuvwxyz"].filter((key) => !(key in ACTIONS));
const SERIES = { images: ["image_tags", "images"], clouds: ["cloud_tags", "clouds"], agreement: ["agreement", "agree"] };
const STATES = { collecting: "collecting", training: "training", idle: "idle", paused: "paused" };

let classes = [], about = "image", held = false, overlay = true, sending = false;
let learner = null, present = false, scoredSet = "", sceneName = "";
const chosen = { image: new Set(), scene: new Set() };
const shown = { mark: "", stamp: "", at: 0, url: "", trouble: "" };  // the picture on the screen; `at`: when it was new, by our clock
const drawn = {};  // what each part was drawn from, to draw it again only when that has changed

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Everything from outside becomes text by this function, never markup.
function make(tag, text = "", kind = "") {
  const made = document.createElement(tag);
  if (text !== "") made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function changed(part, value) {
  const text = JSON.stringify(value);
  if (drawn[part] === text) return false;
  drawn[part] = text;
  return true;
}

function write(id, text, kind) {
  if ($(id).textContent !== text) $(id).textContent = text;
  if (kind !== undefined) $(id).className = kind;
}

// --- talking to the robot ---

async function fetchPicture() {
  const headers = shown.mark ? { "If-None-Match": shown.mark } : {};
  const source = overlay ? "overlay" : "color";
  const answer = await fetch(`/image.jpg?source=${source}`, { headers, cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
  const told = (name) => answer.headers.get(name) || "";
  if (answer.status === 304) shown.at = performance.now() - 1000 * told("X-Age");
  shown.trouble = answer.status >= 400 ? (await answer.json()).message : "";
  if (answer.status !== 200) return;
  const url = URL.createObjectURL(await answer.blob());
  const next = new Image();
  next.src = url;
  await next.decode();
  if (held) return URL.revokeObjectURL(url);
  $("picture").src = url;
  URL.revokeObjectURL(shown.url);
  Object.assign(shown, { url, mark: told("ETag"), stamp: told("X-Stamp"), at: performance.now() - 1000 * told("X-Age") });
  write("source", overlay && told("X-Source") === "color" ? "no overlay: camera" : "");
  $("picture").hidden = false;
  $("nothing").hidden = true;
  drawAge();
}

async function keepFetching(period, fetchOnce) {
  for (;;) {
    if (!document.hidden) {
      try { await fetchOnce(); } catch (error) { console.debug(String(error)); }
    }
    await sleep(period);
  }
}

async function fetchStatus() {
  try {
    const answer = await fetch("/status", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    draw(await answer.json());
    $("offline").hidden = true;
  } catch (error) {
    $("offline").hidden = false;
    console.debug(String(error));
  }
}

async function post(path, value) {
  try {
    const answer = await fetch(path, {
      method: "POST", body: JSON.stringify(value), headers: { "Content-Type": "application/json" },
      signal: AbortSignal.timeout(COMMAND_MS),
    });
    return await answer.json();
  } catch (error) {
    return { ok: false, message: "No answer from the robot." };
  }
}

// --- tags ---

function aim(at) {
  about = at;
  drawChosen();
}

function choose(name) {
  const set = chosen[about];
  set.has(name) ? set.delete(name) : set.add(name);
  // The tags are about the picture that was seen: it stays until they are sent.
  if (about === "image") hold(set.size > 0);
  drawChosen();
}

function clear() {
  chosen[about].clear();
  if (about === "image") hold(false);
  drawChosen();
}

function hold(on) {
  held = on && shown.stamp !== "";
  $("hold").setAttribute("aria-pressed", held);
  $("screen").classList.toggle("held", held);
  drawAge();
}

async function send() {
  const set = chosen[about];
  if (sending) return;
  if (!set.size) return toast("Choose a class first.", false);
  sending = true;
  drawChosen();
  const sent = about, names = [...set];
  const answer = await post("/tags", { about: sent, names, stamp: sent === "image" ? shown.stamp : "" });
  sending = false;
  if (answer.ok && sent === "image") {
    chosen.image.clear();
    hold(false);
  }
  drawChosen();
  toast(answer.message, answer.ok);
  fetchStatus();
}

function toggleOverlay() {
  overlay = !overlay;
  if (!held) shown.mark = "";
  $("overlay").setAttribute("aria-pressed", overlay);
}

// --- commands ---

const pauseCommand = () => (learner && learner.paused ? "resume" : "pause");

let before = Promise.resolve();
async function command(name) {
  if (!present) return toast("There is no learner to tell.", false);
  if (name === "reset" && !(await sure())) return;
  // One after the other: services keep no order among themselves, and "finish, then train" is meant in this order.
  const asked = before.then(() => post("/command", { command: name }));
  before = asked;
  const answer = await asked;
  toast(answer.message || (answer.ok ? "done" : "not done"), answer.ok);
  if (answer.ok && ["start_scene", "finish_scene"].includes(name)) chosen.scene.clear();
  drawChosen();
  fetchStatus();
}

function sure() {
  $("ask").returnValue = "";
  $("ask").showModal();
  $("keep").focus();
  return new Promise((done) => $("ask").addEventListener("close", () => done($("ask").returnValue === "reset"), { once: true }));
}

let fading = 0;
function toast(text, ok = true) {
  write("toast", text, ok ? "" : "bad");
  $("toast").hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { $("toast").hidden = true; }, 3000 + 40 * text.length);
}

// --- drawing ---

function draw(status) {
  learner = status.learner;
  present = status.learner_there && learner !== null;
  if (changed("classes", status.classes)) drawClasses(status.classes);
  drawLearner(status);
  drawScene(present ? learner.scene : null);
  if (changed("rounds", [learner && learner.rounds, scoredSet])) drawScores((learner && learner.rounds) || []);
  write("nothing", shown.trouble || `No image yet. Waiting for ${status.topics.overlay} or ${status.topics.color}.`);
  document.querySelectorAll("[data-command]").forEach((button) => { button.disabled = !present; });
}

function drawClasses(list) {
  classes = list;
  const buttons = list.map(({ name, color }, place) => {
    const button = make("button");
    button.append(make("span", name));
    if (KEYS[place]) button.append(make("kbd", KEYS[place].toUpperCase()));
    button.dataset.name = name;
    button.style.setProperty("--c", `rgb(${color.join(" ")})`);
    button.style.setProperty("--on", inkOn(color));
    button.addEventListener("click", () => choose(name));
    return button;
  });
  $("classes").replaceChildren(...buttons);
  drawChosen();
}

const inkOn = ([red, green, blue]) => (0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000" : "#fff");

function drawChosen() {
  const set = chosen[about], what = about === "image" ? "this image" : "the scene";
  for (const button of $("classes").children) button.setAttribute("aria-pressed", set.has(button.dataset.name));
  for (const at of ["image", "scene"]) {
    $(`about-${at}`).setAttribute("aria-pressed", at === about);
    write(`about-${at}`, (at === "image" ? "This image" : "Whole scene") + (chosen[at].size ? ` · ${chosen[at].size}` : ""));
  }
  const label = set.size ? `Send ${set.size} ${set.size === 1 ? "tag" : "tags"} for ${what}` : `Choose classes for ${what}`;
  $("send").firstElementChild.textContent = sending ? "Sending…" : label;
  $("send").disabled = sending || !set.size;
  $("clear").disabled = !set.size;
}

function drawLearner({ learner_age_s: age, listeners }) {
  const silent = present && age > SILENT_S;
  const state = present ? STATES[learner.state] || String(learner.state) : "no learner";
  write("state", silent ? `silent for ${span(age)}` : state, `pill ${present && !silent ? STATES[learner.state] || "" : "none"}`);
  document.title = `Tag · ${$("state").textContent}`;
  write("version", present && learner.version ? `weights ${learner.version}` : "");
  const alone = listeners.image ? "Tags are heard, but no learner tells how it is." : "No learner is running. Start it: wsss up online:=true";
  write("message", present ? learner.message || "" : alone);
  const round = present ? learner.round : null;
  $("round").hidden = !round;
  if (round) {
    $("progress").value = Number.isFinite(round.step / round.steps) ? round.step / round.steps : 0;
    write("step", roundText(round));
  }
  $("pause").firstElementChild.textContent = pauseCommand() === "resume" ? "Resume" : "Pause";
  $("pause").dataset.command = pauseCommand();
  const facts = present ? { "Scenes kept": learner.scenes, "of them held out": learner.held_out, "new since the last round": learner.new_scenes } : {};
  drawFacts("facts", facts);
}

function roundText({ round, step, steps, loss, left_s: left, waiting }) {
  const parts = [`Round ${round}: step ${step} of ${steps}`];
  if (Number.isFinite(left)) parts.push(`${span(left)} left`);
  if (Number.isFinite(loss)) parts.push(`loss ${loss.toFixed(2)}`);
  if (waiting) parts.push("waits for the segmenters");
  return parts.join(" · ");
}

function drawScene(scene) {
  if (scene && sceneName && scene.name !== sceneName && chosen.scene.size) {
    chosen.scene.clear();  // they were chosen for the scene before
    drawChosen();
  }
  sceneName = scene ? scene.name : sceneName;
  write("scene-name", scene ? String(scene.name) : present ? "No scene is open." : "No learner, so no scenes are collected.");
  drawFacts("scene-facts", scene ? { "Frames kept": `${scene.frames} of ${scene.received}`, "Tags for images": scene.image_tags } : {});
  const tags = scene ? scene.tags || [] : [];
  if (!changed("tags", [tags, Boolean(scene), classes])) return;
  const chips = tags.map((name) => chip(String(name)));
  $("scene-tags").replaceChildren(...(scene && !tags.length ? [make("span", "no tags yet", "none")] : chips));
}

function chip(name) {
  const made = make("span", name), known = classes.find((each) => each.name === name);
  if (known) {
    made.style.background = `rgb(${known.color.join(" ")})`;
    made.style.color = inkOn(known.color);
  }
  return made;
}

function drawFacts(id, facts) {
  if (!changed(id, facts)) return;
  const parts = Object.entries(facts).filter(([, value]) => value !== undefined && value !== null);
  $(id).replaceChildren(...parts.flatMap(([name, value]) => [make("dt", name), make("dd", String(value))]));
}

// --- the rounds: held-out scores before and after ---

function drawScores(rounds) {
  $("scores").hidden = !present;
  const last = rounds[rounds.length - 1];
  write("decision", last ? `Round ${last.round} ${last.promoted ? "was taken" : "was refused"}: ${last.why}` : "No round yet.");
  const sets = [...new Set(rounds.flatMap((each) => Object.keys(each.after || {})))];
  if (!sets.includes(scoredSet)) scoredSet = sets[0] || "";
  $("sets").replaceChildren(...(sets.length > 1 ? sets.map(setButton) : []));
  $("chart").replaceChildren(...(last && scoredSet ? [chart(rounds), legend(last)] : []));
  $("rounds").replaceChildren(...(last ? table(rounds.slice(-ROUNDS_SHOWN).reverse()) : []));
}

function setButton(name) {
  const button = make("button", { new: "New scenes", memory: "Memory", base: "Base set" }[name] || name);
  button.setAttribute("aria-pressed", name === scoredSet);
  button.addEventListener("click", () => {
    scoredSet = name;
    drawScores(learner.rounds);
  });
  return button;
}

const score = (decision, when, key) => ((decision[when] || {})[scoredSet] || {})[key];

function shape(tag, facts, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(facts).forEach(([name, value]) => made.setAttribute(name, value));
  if (text) made.textContent = text;
  return made;
}

// A line through what is in use after each round; a hollow point is a candidate that was turned down.
function chart(rounds) {
  const wide = 330, high = 150, left = 30, low = 128;
  const x = (place) => left + 12 + (place * (wide - left - 24)) / Math.max(rounds.length - 1, 1);
  const y = (value) => low - value * 116;
  const svg = shape("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": "Held-out scores by round" });
  for (const value of [0, 0.5, 1]) {
    svg.append(shape("line", { class: "grid", x1: left, x2: wide, y1: y(value), y2: y(value) }));
    svg.append(shape("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, `${100 * value}`));
  }
  const every = Math.ceil(rounds.length / 8);
  rounds.forEach((each, place) => {
    if (place % every === 0) svg.append(shape("text", { x: x(place), y: high - 6, "text-anchor": "middle" }, String(each.round)));
  });
  for (const [kind, [key]] of Object.entries(SERIES)) {
    const used = rounds.map((each, place) => [x(place), score(each, each.promoted ? "after" : "before", key)]);
    const points = used.filter(([, value]) => Number.isFinite(value)).map(([at, value]) => `${at},${y(value)}`);
    svg.append(shape("polyline", { class: `line ${kind}`, points: points.join(" ") }));
    rounds.forEach((each, place) => {
      const value = score(each, "after", key);
      if (!Number.isFinite(value)) return;
      const point = shape("circle", { class: `${kind}${each.promoted ? "" : " hollow"}`, cx: x(place), cy: y(value), r: 3.5 });
      point.append(shape("title", {}, `round ${each.round}: ${percent(value)} %`));
      svg.append(point);
    });
  }
  return svg;
}

function legend(last) {
  const made = make("div", "", "legend");
  for (const [kind, [key, name]] of Object.entries(SERIES)) {
    const entry = make("span");
    entry.append(make("i", "", kind), `${name} ${percent(score(last, last.promoted ? "after" : "before", key))} %`);
    made.append(entry);
  }
  return made;
}

function table(rounds) {
  const cells = (tag, values) => values.map((value) => make(tag, value));
  const row = (parts) => {
    const made = make("tr");
    made.append(...parts);
    return made;
  };
  const head = row(cells("th", ["Round", ...Object.values(SERIES).map(([, name]) => name), ""]));
  return [head, ...rounds.flatMap((each) => {
    const scores = Object.values(SERIES).map(([key]) => `${percent(score(each, "before", key))} → ${percent(score(each, "after", key))}`);
    const why = make("td", String(each.why || ""), "why");
    why.colSpan = 5;
    const verdict = make("td", each.promoted ? "taken" : "refused", each.promoted ? "taken" : "refused");
    return [row([...cells("td", [String(each.round), ...scores]), verdict]), row([why])];
  })];
}

const percent = (value) => (Number.isFinite(value) ? (100 * value).toFixed(0) : "–");

function span(seconds) {
  if (seconds < 1.95) return `${Math.max(seconds, 0).toFixed(1)} s`;
  return seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function drawAge() {
  if (!shown.stamp) return;
  const age = (performance.now() - shown.at) / 1000;
  write("age", held ? `held for the tags · ${span(age)} ago` : age > OLD_S ? `last image ${span(age)} ago` : `live · ${span(age)}`,
    age > OLD_S && !held ? "badge old" : "badge");
}

// --- keys and clicks ---

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || $("ask").open) return;
  const key = event.key.toLowerCase(), place = KEYS.indexOf(key);
  // Who walks through the buttons by Tab presses them by Enter and Space.
  if (["enter", " "].includes(key) && document.activeElement.matches("button")) return;
  const act = ACTIONS[key] || (place >= 0 && place < classes.length && (() => choose(classes[place].name)));
  if (!act) return;
  event.preventDefault();
  act();
}

const CLICKS = {
  hold: () => hold(!held), overlay: toggleOverlay, clear, send,
  "about-image": () => aim("image"), "about-scene": () => aim("scene"),
  keep: () => $("ask").close(""), reset: () => $("ask").close("reset"),
};
Object.entries(CLICKS).forEach(([id, act]) => $(id).addEventListener("click", act));
document.querySelectorAll("[data-command]").forEach((button) => {
  button.addEventListener("click", () => command(button.dataset.command));
});
// A button that was clicked by mouse or finger gives the keys back to the page.
document.addEventListener("click", (event) => { if (event.detail > 0 && !$("ask").open) document.activeElement.blur(); });
document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", () => { if (!document.hidden) fetchStatus(); });

setInterval(drawAge, 200);
drawChosen();
keepFetching(PICTURE_MS, async () => { if (!held) await fetchPicture(); });
keepFetching(STATUS_MS, fetchStatus);
