"use strict";
const run = JSON.parse(document.getElementById("data").textContent);
const select = document.getElementById("worker"), panel = document.getElementById("panel");
const plots = [...document.querySelectorAll(".plot")];
const slider = document.getElementById("smooth"), whole = document.getElementById("whole");
const steps = run.figures.objectives.layout.xaxis.range.slice();  // of the whole run
let chosen = null, strength = 0, span = null;  // the worker, the share of the past in a smoothed point, the steps shown

function paint(traces, layout) {  // the colours of the page's theme
  const style = getComputedStyle(document.documentElement);
  const colour = name => style.getPropertyValue("--" + name).trim();
  for (const trace of traces) {
    const own = colour(trace.meta.role);
    if (trace.line) trace.line.color = own;
    if (trace.marker) trace.marker.color = own;
    if (trace.textfont) trace.textfont.color = own;
    if (trace.type === "bar") {
      trace.marker.line.color = own;
      trace.insidetextfont = {color: trace.marker.pattern.shape ? colour("ink") : "#14171a", size: 11};
    }
  }
  Object.assign(layout.font, {color: colour("ink"), family: getComputedStyle(document.body).fontFamily});
  layout.modebar = {orientation: "v", bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("ink")};
  layout.hoverlabel = {bgcolor: colour("ground"), font: {color: colour("ink")}, bordercolor: colour("soft"), align: "left"};
  for (const axis of [layout.xaxis, layout.yaxis]) Object.assign(axis, {gridcolor: colour("grid"), linecolor: colour("edge")});
  for (const note of layout.annotations || []) note.font = {...note.font, color: colour("soft")};
}

function path(traces, legs) {  // the chosen network's past, put together from the workers' own lines
  const lives = new Map(traces.filter(t => t.meta.kind === "life").map(t => [t.meta.worker, t]));
  const xs = [], ys = [];
  for (const [worker, from, to] of legs) {
    const {x, meta} = lives.get(worker), y = meta.raw ?? lives.get(worker).y;
    for (let begin = 0, end; begin < x.length; begin = end + 1) {  // a line's parts lie between its gaps
      end = x.indexOf(null, begin);
      if (end < 0) end = x.length;
      if (x[end - 1] <= from || x[begin] > to || (meta.held && x[begin] === to)) continue;
      let last = null;
      for (let i = begin; i < end && x[i] <= to; i++) if (x[i] >= from) { xs.push(x[i]); ys.push(last = y[i]); }
      if (meta.held && last !== null) { xs.push(to); ys.push(last); }
    }
  }
  return [xs, ys];
}

function emphasise(traces) {  // the chosen worker and its ancestors in front, the others faint
  const one = run.workers[chosen];
  for (const trace of traces) {
    const {kind, worker} = trace.meta;
    trace.meta.opacity ??= trace.opacity ?? 1;
    trace.meta.width ??= trace.line?.width;
    if (kind === "chosen") {
      [trace.x, trace.y] = one ? path(trace.meta.objective ? run.figures.objectives.data : traces, one.legs) : [[], []];
      trace.meta.raw = trace.y;
      trace.showlegend = Boolean(one);
      trace.name = one ? one.title.split(",")[0] + "'s path" : "";
    }
    else if (kind === "evaluation")
      trace.marker.opacity = trace.customdata.map(who => !one || who.includes(one.id) ? 1 : 0.15);
    else if (kind !== "legend") {
      trace.opacity = !one ? trace.meta.opacity : kind === "life" ? (worker === one.id ? 1 : 0.13) : 0.3;
      if (kind === "life") trace.line.width = trace.meta.width + (one && worker === one.id ? 1.7 : 0);
    }
  }
}

function smoothed(values) {  // an exponential mean without the bias of its start, as TensorBoard's; anew after a gap
  let mean = 0, weight = 0;
  return values.map(value => {
    if (value === null) { mean = weight = 0; return null; }
    mean = strength * mean + (1 - strength) * value;
    weight = strength * weight + 1 - strength;
    return mean / weight;
  });
}

function smooth(traces) {  // the lines, and whatever lies on one
  for (const trace of traces.filter(t => ["life", "line", "chosen"].includes(t.meta.kind))) {
    trace.meta.raw ??= trace.y;
    trace.meta.says ??= trace.hovertemplate;
    trace.y = strength ? smoothed(trace.meta.raw) : trace.meta.raw;
    trace.customdata = trace.meta.raw;
    trace.hovertemplate = strength ? trace.meta.says?.replace(/%{y(:[^}]*)}/, "%{customdata$1}, smoothed %{y$1}") : trace.meta.says;
  }
  for (const {meta, x, y} of traces.filter(t => ["label", "marks"].includes(t.meta.kind))) {
    const role = meta.kind === "label" ? meta.role : "winner";
    const line = traces.find(t => t.meta.kind === "line" && t.meta.role === role);
    x.forEach((step, i) => { y[i] = line.y[line.x.lastIndexOf(step)]; });
  }
}

function add(parent, tag, text) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function tell() {  // the panel
  panel.replaceChildren();
  const one = run.workers[chosen];
  if (!one) {
    add(panel, "p", "…or click a line: its ancestors and its verdicts appear here and in every figure.").className = "soft idle";
    return;
  }
  add(panel, "h2", one.title);
  const table = add(panel, "table");
  for (const [name, value] of one.facts) {
    const row = add(table, "tr");
    add(row, "td", name);
    add(row, "td", value);
  }
  add(panel, "h3", "Ancestors of its network");
  const list = add(panel, one.legs.length ? "ol" : "p", one.legs.length ? undefined : "none: it has not trained yet");
  for (const [worker, , , text] of one.legs) {
    const button = add(add(list, "li"), "button", text);
    button.type = "button";
    button.onclick = () => choose(worker);
  }
  for (const [part, title] of [["parent", "As parent"], ["child", "As child"], ["evaluator", "As evaluator"]]) {
    const mine = run.measurements.filter(m => m[part] === one.id);
    if (!mine.length) continue;
    const box = add(panel, "details");
    box.open = mine.length <= 30;
    add(box, "summary", title + ": " + mine.length + (mine.length === 1 ? " verdict" : " verdicts"));
    const items = add(box, "ul");
    for (const m of mine) add(items, "li", m.text);
  }
}

let round = 0;
function each(concerned = () => true) {  // draws these figures anew, those in view first, and in between the page answers
  const mine = ++round;
  for (const plot of plots) plot.stale ||= !plot.drawn || concerned(plot);
  const shown = plots.filter(plot => plot.stale && plot.offsetParent);  // not what is folded away
  const seen = plot => { const box = plot.getBoundingClientRect(); return box.bottom > 0 && box.top < innerHeight; };
  const waiting = [...shown.filter(seen), ...shown.filter(plot => !seen(plot))];
  document.body.removeAttribute("data-drawn");
  (function next() {
    if (mine !== round) return;
    if (!waiting.length) { document.body.dataset.drawn = "yes"; return; }
    draw(waiting.shift());
    setTimeout(next, 0);
  })();
}

function draw(plot) {
  const {data, layout} = plot.drawn ? plot : run.figures[plot.id];
  paint(data, layout);
  emphasise(data);
  if (layout.meta.smooth) smooth(data);
  Object.assign(layout.xaxis, {range: [...span ?? steps], autorange: false});
  plot.stale = false;
  if (plot.drawn) { Plotly.redraw(plot); return; }
  plot.drawn = true;
  plot.heights = {range: layout.yaxis.range?.slice(), autorange: layout.yaxis.autorange ?? !layout.yaxis.range};
  if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;  // a finger scrolls the page
  Plotly.newPlot(plot, data, layout, {responsive: true, displaylogo: false, doubleClick: false, modeBarButtons: [["toImage"]]});
  plot.on("plotly_click", event => {
    const {data, customdata} = event.points[0];
    if (data.meta.kind === "life") choose(data.meta.worker);
    if (data.meta.role === "winner") choose(run.leader);
    if (data.meta.kind === "evaluation") choose(customdata[0]);
  });
  plot.on("plotly_relayout", change => {
    if (Object.keys(change).some(name => name.startsWith("xaxis"))) zoom(plot.layout.xaxis.range);
  });
  plot.on("plotly_doubleclick", showAll);
}

const asked = () => new URLSearchParams(location.hash.slice(1));
function remember() {  // in the address, so that the page comes back as it was, also when it renews itself
  const state = new URLSearchParams();
  if (chosen !== null) state.set("worker", chosen);
  if (strength) state.set("smooth", strength);
  if (span) state.set("steps", span.map(Math.round).join("_"));
  const open = folds.filter(fold => fold.open).map(fold => fold.id);
  if (open.length) state.set("open", open.join("_"));
  history.replaceState(null, "", location.pathname + location.search + (state.size ? "#" + state : ""));
  slider.nextElementSibling.value = slider.value = strength;
  whole.hidden = !span;
}

function choose(worker) {
  chosen = run.workers[worker] ? Number(worker) : null;
  select.value = chosen ?? "";
  remember();
  tell();
  each();
}

function zoom(range) {  // the same steps in every figure
  span = range;
  remember();
  each();
}

function showAll() {
  for (const plot of plots.filter(plot => plot.drawn))
    Object.assign(plot.layout.yaxis, {range: plot.heights.range?.slice(), autorange: plot.heights.autorange});
  zoom(null);
}

function comeBack() {  // to what the address says
  const state = asked(), share = Number(state.get("smooth")), range = (state.get("steps") ?? "").split("_").map(Number);
  strength = share > 0 && share < 1 ? share : 0;
  span = range.length === 2 && range[0] < range[1] ? range : null;
  for (const id of (state.get("open") ?? "").split("_")) folds.filter(fold => fold.id === id).forEach(fold => { fold.open = true; });
  choose(state.get("worker") ?? "");
}

const folds = [...document.querySelectorAll("main details")];
for (const fold of folds) fold.addEventListener("toggle", () => { remember(); each(() => false); });
slider.oninput = () => { strength = Number(slider.value); remember(); each(plot => plot.layout.meta.smooth); };
whole.onclick = showAll;
select.onchange = () => choose(select.value);
document.getElementById("clear").onclick = () => choose(null);
addEventListener("keydown", event => { if (event.key === "Escape") choose(null); });
addEventListener("hashchange", comeBack);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => each());
comeBack();
