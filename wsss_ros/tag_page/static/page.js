// The tag page. It asks for pictures and the status all the time, so it reconnects without help after a break.
// scores.js draws the held-out scores of the rounds.
"use strict";

const PICTURE_MS = 150, STATUS_MS = 1000, ANSWER_MS = 5000, COMMAND_MS = 25000;
const OLD_S = 2, SILENT_S = 5;
// Keys of actions; the other digits and letters are keys of the classes, in order.
const ACTIONS = {
  o: () => toggleOverlay(), s: () => aim(about === "image" ? "scene" : "image"), n: () => command("start_scene"),
  f: () => command("finish_scene"), p: () => command(pauseCommand()), t: () => command("train"),
  " ": () => hold(!held), enter: () => send(), escape: () => clear(),
};
const KEYS = [..."1234567890abcdefghijklmnopqrstuvwxyz"].filter((key) => !(key in ACTIONS));
const STATES = { collecting: "collecting", training: "training", idle: "idle", paused: "paused" };

let classes = [], about = "image", held = false, overlay = true, sending = false;
let learner = null, present = false, sceneName = "";
const ABSENT = "-";  // the sign before the name of a class that is not there
const chosen = { image: new Map(), scene: new Map() };  // by class name: "" where it is there, ABSENT where it is not
const shown = { mark: "", stamp: "", at: 0, url: "", trouble: "" };  // the picture on the screen; `at`: when it was taken, by the clock of this browser
const drawn = {};  // the values that each part was drawn from; it is drawn again only when they change

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// All text from outside passes this function, so none of it becomes markup.
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

// --- requests to the robot ---

async function fetchPicture() {
  const headers = shown.mark ? { "If-None-Match": shown.mark } : {};
  const source = overlay ? "overlay" : "color";
  const answer = await fetch(`/image.jpg?source=${source}`, { headers, cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
  const header = (name) => answer.headers.get(name) || "";
  if (answer.status === 304) shown.at = performance.now() - 1000 * header("X-Age");
  shown.trouble = answer.status >= 400 ? (await answer.json()).message : "";
  if (answer.status !== 200) return;
  const url = URL.createObjectURL(await answer.blob());
  const next = new Image();
  next.src = url;
  await next.decode();
  if (held) return URL.revokeObjectURL(url);
  $("picture").src = url;
  URL.revokeObjectURL(shown.url);
  Object.assign(shown, { url, mark: header("ETag"), stamp: header("X-Stamp"), at: performance.now() - 1000 * header("X-Age") });
  write("source", overlay && header("X-Source") === "color" ? "no overlay: camera" : "");
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

// The first press says that the class is there, the second that it is not, the third says nothing again.
function choose(name) {
  const signs = chosen[about], sign = signs.get(name);
  if (sign === ABSENT) signs.delete(name);
  else signs.set(name, sign === undefined ? "" : ABSENT);
  // The tags belong to the picture that the person saw: it stays until they are sent.
  if (about === "image") hold(signs.size > 0);
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
  const signs = chosen[about];
  if (sending) return;
  if (!signs.size) return toast("Choose a class first.", false);
  sending = true;
  drawChosen();
  const sent = about, names = [...signs].map(([name, sign]) => sign + name);
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
  if (!present) return toast("There is no learner.", false);
  if (name === "reset" && !(await confirmReset())) return;
  // One after the other: ROS services keep no order among themselves, and "finish, then train" needs this order.
  const asked = before.then(() => post("/command", { command: name }));
  before = asked;
  const answer = await asked;
  toast(answer.message || (answer.ok ? "done" : "not done"), answer.ok);
  if (answer.ok && ["start_scene", "finish_scene"].includes(name)) chosen.scene.clear();
  drawChosen();
  fetchStatus();
}

function confirmReset() {
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
  drawWorth(status.worth);
  if (changed("rounds", [learner && learner.rounds, scoredSet])) drawScores((learner && learner.rounds) || []);
  write("nothing", shown.trouble || `No image yet. Waiting for ${status.topics.overlay} or ${status.topics.color}.`);
  document.querySelectorAll("[data-command]").forEach((button) => { button.disabled = !present; });
}

// What the network sees in the live image, the classes with the fewest sent tags first.
function drawWorth(worth) {
  const rarest = worth ? worth.classes.slice(0, 3).map(([name, sent]) => `${name} (${sent})`) : [];
  $("worth").hidden = rarest.length === 0;
  const text = `${worth && worth.high ? "Worth tagging" : "Seen"}, with the tags sent so far: ${rarest.join(", ")}`;
  write("worth", text, worth && worth.high ? "high" : "");
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
  const signs = chosen[about], what = about === "image" ? "this image" : "the scene";
  for (const button of $("classes").children) drawSign(button, signs.get(button.dataset.name));
  for (const at of ["image", "scene"]) {
    $(`about-${at}`).setAttribute("aria-pressed", at === about);
    write(`about-${at}`, (at === "image" ? "This image" : "Whole scene") + (chosen[at].size ? ` · ${chosen[at].size}` : ""));
  }
  const label = signs.size ? `Send ${signs.size} ${signs.size === 1 ? "tag" : "tags"} for ${what}` : `Choose classes for ${what}`;
  $("send").firstElementChild.textContent = sending ? "Sending…" : label;
  $("send").disabled = sending || !signs.size;
  $("clear").disabled = !signs.size;
}

function drawSign(button, sign) {
  button.setAttribute("aria-pressed", sign === "");
  button.classList.toggle("absent", sign === ABSENT);
  button.setAttribute("aria-label", sign === ABSENT ? `${button.dataset.name}: not there` : button.dataset.name);
}

function drawLearner({ learner_age_s: age, listeners }) {
  const silent = present && age > SILENT_S;
  const state = present ? STATES[learner.state] || String(learner.state) : "no learner";
  write("state", silent ? `silent for ${span(age)}` : state, `pill ${present && !silent ? STATES[learner.state] || "" : "none"}`);
  document.title = `Tag · ${$("state").textContent}`;
  write("version", present && learner.version ? `weights ${learner.version}` : "");
  const alone = listeners.image ? "Tags are received, but no learner reports a status." : "No learner is running. Start it: wsss up online:=true";
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
    chosen.scene.clear();  // they were chosen for the previous scene
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

function chip(tag) {
  const absent = tag.startsWith(ABSENT), name = absent ? tag.slice(ABSENT.length) : tag;
  const made = make("span", name, absent ? "absent" : ""), known = classes.find((each) => each.name === name);
  if (absent) made.title = `${name}: not there`;
  else if (known) {
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

// --- times ---

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
  // With the focus on a button (Tab), Enter and Space press that button.
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
// A button that was clicked by mouse or finger loses the focus, so that keys work on the page again.
document.addEventListener("click", (event) => { if (event.detail > 0 && !$("ask").open) document.activeElement.blur(); });
document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", () => { if (!document.hidden) fetchStatus(); });

setInterval(drawAge, 200);
drawChosen();
keepFetching(PICTURE_MS, async () => { if (!held) await fetchPicture(); });
keepFetching(STATUS_MS, fetchStatus);
