// The held-out scores of the rounds, before and after each: a chart and a table. It uses page.js, which is loaded next.
"use strict";

const ROUNDS_SHOWN = 6;
const SERIES = { images: ["image_tags", "images"], clouds: ["cloud_tags", "clouds"], agreement: ["agreement", "agree"] };

let scoredSet = "";  // of the sets of held-out scenes, the one that is shown

// Whether the network that a measure judges was taken; earlier rounds have one answer for both networks.
const took = (decision, key) => ((decision.networks || {})[key.split("_")[0]] || decision).promoted;

function outcome(decision) {
  const [image, cloud] = ["image", "cloud"].map((kind) => took(decision, kind));
  if (image === cloud) return image ? "taken" : "refused";
  return image ? "taken for images" : "taken for clouds";
}

function drawScores(rounds) {
  $("scores").hidden = !present;
  const last = rounds[rounds.length - 1];
  write("decision", last ? `Round ${last.round} was ${outcome(last)}: ${last.why}` : "No round yet.");
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

// The line joins the scores in use after each round; a hollow point is a network that was refused.
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
    const used = rounds.map((each, place) => [x(place), score(each, took(each, key) ? "after" : "before", key)]);
    const points = used.filter(([, value]) => Number.isFinite(value)).map(([at, value]) => `${at},${y(value)}`);
    svg.append(shape("polyline", { class: `line ${kind}`, points: points.join(" ") }));
    rounds.forEach((each, place) => {
      const value = score(each, "after", key);
      if (!Number.isFinite(value)) return;
      const point = shape("circle", { class: `${kind}${took(each, key) ? "" : " hollow"}`, cx: x(place), cy: y(value), r: 3.5 });
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
    entry.append(make("i", "", kind), `${name} ${percent(score(last, took(last, key) ? "after" : "before", key))} %`);
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
    const verdict = make("td", outcome(each), each.promoted ? "taken" : "refused");
    return [row([...cells("td", [String(each.round), ...scores]), verdict]), row([why])];
  })];
}

const percent = (value) => (Number.isFinite(value) ? (100 * value).toFixed(0) : "–");
