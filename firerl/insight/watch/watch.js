"use strict";
// The list of runs, what is selected and chosen of it, and the questions that keep the page up to date.

const POLL = 3000;  // milliseconds between two looks at the runs
const FIT = 20000;  // at most so often is a forest fitted for runs that go on
const MOST = 40;  // runs at once
const by = id => document.getElementById(id);
const ORDERS = {
  "latest first": (a, b) => b.changed - a.changed,
  "best first": (a, b) => (b.best ?? -Infinity) - (a.best ?? -Infinity) || 0,
  "by name": (a, b) => a.name.localeCompare(b.name, "en", {numeric: true}),
  "by task": (a, b) => a.task.localeCompare(b.task) || a.algorithm.localeCompare(b.algorithm) || ORDERS["best first"](a, b),
  "by state": (a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state) || b.changed - a.changed,
};
const STATES = ["running", "stopping", "interrupted", "stopped", "finished", "died", "damaged"];
const FILTERS = {task: "task", algorithm: "algorithm", state: "state"};

let rows = new Map();  // by id
const items = new Map();  // of the list, by id
const selected = new Map();  // id -> its colour's number
const curves = new Map();  // id -> {mark, steps, ...} or {mark, error}
let chosen = null, one = null, fit = null, fitted = {key: "", marks: "", time: 0};
const busy = new Set();

async function ask(question, ids = []) {
  const answer = await fetch(question + (ids.length ? "?" : "") + ids.map(id => "run=" + id).join("&"), {cache: "no-store"});
  return answer.json();
}

// Ask once, however often it is wanted meanwhile; what came is drawn then.
async function once(key, work) {
  if (busy.has(key)) return;
  busy.add(key);
  try { await work(); } catch { standing(true); } finally { busy.delete(key); }
}

function freeSlot() {
  const taken = new Set(selected.values());
  let slot = 0;
  while (taken.has(slot)) slot++;
  return slot;
}

function select(id, on) {
  if (on && !selected.has(id) && selected.size < MOST) selected.set(id, freeSlot());
  if (!on) selected.delete(id);
}

function remember() {
  const words = new URLSearchParams();
  if (selected.size) words.set("select", [...selected.keys()].join(","));
  if (chosen) words.set("run", chosen);
  history.replaceState(null, "", "#" + words.toString().replaceAll("%2C", ","));
}

function recall() {  // false: nothing was asked for
  const words = new URLSearchParams(location.hash.slice(1));
  const ids = (words.get("select") || "").split(",").filter(id => /^[0-9a-f]{12}$/.test(id));
  selected.clear();
  for (const id of ids) select(id, true);
  chosen = /^[0-9a-f]{12}$/.test(words.get("run") || "") ? words.get("run") : null;
  return Boolean(ids.length || chosen);
}

function first() {  // the latest run, beside others of its task
  const sound = [...rows.values()].filter(row => row.state !== "damaged").sort(ORDERS["latest first"]);
  for (const row of sound.filter(row => row.task === sound[0].task).slice(0, 4)) select(row.id, true);
  chosen = sound[0]?.id ?? null;
}

function shown() {
  const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  return [...rows.values()]
    .filter(row => words.every(word => [row.name, row.task, row.algorithm].join(" ").toLowerCase().includes(word)))
    .filter(row => Object.keys(FILTERS).every(key => !by(key).value || row[key] === by(key).value))
    .sort(ORDERS[by("sort").value]);
}

function age(seconds) {
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]])
    if (seconds >= length) return Math.floor(seconds / length) + " " + unit;
  return Math.max(0, Math.floor(seconds)) + " s";
}

const short = x => x === null ? "" : Math.abs(x) >= 1e5 || (x && Math.abs(x) < 1e-3) ? x.toExponential(2)
  : x.toLocaleString("en", {maximumSignificantDigits: 5});

function newItem(id) {
  const item = document.createElement("li");
  const box = add(add(item, "label"), "input");
  box.type = "checkbox";
  box.onchange = () => { select(id, box.checked); changed(); };
  const name = add(item, "button", "", "name");
  name.type = "button";
  name.onclick = () => { chosen = id; changed(); by("one").scrollIntoView({block: "nearest"}); };
  add(item, "span", "", "best");
  const about = add(item, "span", "", "about");
  add(about, "span");
  add(about, "span");
  add(item, "span", "", "age");
  add(add(item, "span", undefined, "line"), "i");
  return item;
}

function list() {
  const now = Date.now() / 1000, order = shown();
  for (const row of order) {
    if (!items.has(row.id)) items.set(row.id, newItem(row.id));
    const item = items.get(row.id), box = item.querySelector("input"), part = kind => item.querySelector("." + kind);
    item.className = row.id === chosen ? "chosen" : "";
    box.checked = selected.has(row.id);
    box.setAttribute("aria-label", "Select " + row.name);
    item.style.setProperty("--mine", box.checked ? colourOf(selected.get(row.id)) : "");
    part("name").textContent = row.name;
    part("best").textContent = short(row.best);
    const [about, state] = part("about").children;
    about.textContent = [row.task, row.algorithm, ""].filter((text, i) => text || i === 2).join(" · ");
    state.textContent = row.state;
    state.className = row.state;
    item.title = row.why || curves.get(row.id)?.error || `step ${row.step.toLocaleString("en")} of ${row.steps.toLocaleString("en")}`;
    part("age").textContent = age(now - row.changed);
    part("line").hidden = row.state !== "running";
    part("line").firstChild.style.width = (row.steps ? 100 * row.step / row.steps : 0) + "%";
  }
  const wanted = order.map(row => items.get(row.id)), there = [...by("list").children];
  if (wanted.length !== there.length || wanted.some((item, i) => item !== there[i])) by("list").replaceChildren(...wanted);
}

function options() {  // of the filters: what is there, and what is asked for stays
  for (const [key, every] of Object.entries(FILTERS)) {
    const values = [...new Set([...rows.values()].map(row => row[key]))].filter(Boolean).sort();
    const place = by(key), kept = place.value, names = JSON.stringify(values);
    if (place.dataset.names === names) continue;
    place.dataset.names = names;
    place.replaceChildren(new Option(every, ""), ...values.map(value => new Option(value, value)));
    place.value = values.includes(kept) ? kept : "";
  }
}

function standing(lost = false) {
  const place = by("standing"), all = [...rows.values()];
  const states = STATES.map(state => [state, all.filter(row => row.state === state).length]).filter(([, n]) => n);
  place.className = lost ? "lost" : "soft";
  place.textContent = lost ? "firerl watch does not answer. The page shows what it knew last."
    : all.length ? counted(all.length, "run", "runs") + ": " + states.map(([state, n]) => n + " " + state).join(", ")
    : "There is no run here yet. The page shows one as soon as it begins.";
}

const loaded = () => [...selected].filter(([id]) => rows.has(id) && curves.get(id)?.steps)
  .map(([id, slot]) => ({id, slot, name: rows.get(id).name, curve: curves.get(id)}));

function draw() {
  const runs = loaded(), tasks = new Set(runs.map(run => run.curve.task));
  const broken = [...selected.keys()].filter(id => rows.has(id) && curves.get(id)?.error).map(id => rows.get(id).name);
  by("curves-says").textContent = !selected.size ? "Select runs in the list."
    : (tasks.size > 1 ? "These runs have several tasks: their objectives do not mean the same. " : "")
    + (broken.length ? "Cannot be read: " + broken.join(", ") + "." : "");
  showCurves(by("curves"), runs, by("what").value, by("axis").value);
  by("curves").dataset.points = runs.reduce((sum, run) => sum + run.curve.steps.length, 0);
  by("hyperparameters").hidden = !fit || !runs.length;
  if (fit && runs.length) {
    by("hyperparameters-says").textContent = saysOf(fit);
    showImportance(by("importance"), fit);
    by("parallel").hidden = !fit.figure;
    const bands = Object.fromEntries(fit.colours.map((pair, i) => ["band-" + i, pair]));
    if (fit.figure) show(by("parallel"), fit.figure.data.map(trace => tinted(trace, bands)), fit.figure.layout, fitted.key);
  }
}

function update() {  // ask for what is missing or has changed
  for (const id of selected.keys()) {
    const row = rows.get(id);
    if (row && curves.get(id)?.mark !== row.mark) once("curve " + id, async () => {
      const answer = await ask("/api/curve", [id]);
      curves.set(id, answer.error ? {...answer, mark: row.mark} : answer);
      draw();
      forest();
    });
  }
  forest();
  const row = rows.get(chosen);
  by("one").hidden = !row;
  if (row && (one?.id !== chosen || one.mark !== row.mark)) once("run", async () => {
    do await tell(rows.get(chosen)); while (one.id !== chosen && rows.has(chosen));  // another was chosen meanwhile
  });
}

async function tell(row) {
  const answer = await ask("/api/run", [row.id]);
  one = {mark: row.mark, ...answer, id: row.id, name: row.name};
  if (!one.error) return showOne(by("one"), row.id, one);
  by("one").replaceChildren();
  by("one").removeAttribute("data-shape");
  add(by("one"), "h2", row.name);
  add(by("one"), "p", one.error, "says");
}

function forest() {  // of the selected runs, when all their curves are there
  const runs = loaded(), key = runs.map(run => run.id).sort().join(), marks = runs.map(run => run.curve.mark).join();
  const old = marks !== fitted.marks && Date.now() - fitted.time > FIT;
  if (!runs.length || [...selected.keys()].some(id => rows.has(id) && !curves.has(id)) || (key === fitted.key && !old)) return;
  once("fit", async () => {
    const answer = await ask("/api/hyperparameters", runs.map(run => run.id));
    fitted = {key, marks, time: Date.now()};
    fit = answer.error ? null : answer;
    by("hyperparameters").dataset.fitted = key;
    draw();
  });
}

function changed() {
  remember();
  list();
  draw();
  update();
}

async function look() {
  const told = await ask("/api/runs");
  const start = !rows.size;
  rows = new Map(told.runs.map(row => [row.id, row]));
  by("folder").textContent = told.folder;
  document.title = told.folder + ": runs";
  options();
  standing();
  if (start && rows.size && !recall()) first();
  list();
  if (start) draw();
  update();
}

by("sort").replaceChildren(...Object.keys(ORDERS).map(name => new Option(name, name)));
for (const id of ["search", "sort", ...Object.keys(FILTERS)]) by(id).oninput = list;
for (const id of ["what", "axis"]) by(id).onchange = draw;
by("all").onclick = () => { for (const row of shown()) if (row.state !== "damaged") select(row.id, true); changed(); };
by("none").onclick = () => { selected.clear(); changed(); };
addEventListener("hashchange", () => { recall(); list(); draw(); update(); });
dark.addEventListener("change", () => { list(); draw(); if (one?.parts) showOne(by("one"), one.id, one); });
(async function poll() {
  if (!document.hidden || !rows.size) await once("runs", look);
  setTimeout(poll, POLL);
})();
