"use strict";
const run = JSON.parse(document.getElementById("data").textContent);
const select = document.getElementById("worker"), panel = document.getElementById("panel");
const plots = [...document.querySelectorAll(".plot")];
let chosen = null;

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
    const {x, y, meta} = lives.get(worker);
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
function each(action) {  // for every figure, those in view first, and in between the page answers
  const mine = ++round;
  const seen = plot => { const box = plot.getBoundingClientRect(); return box.bottom > 0 && box.top < innerHeight; };
  const waiting = [...plots.filter(seen), ...plots.filter(plot => !seen(plot))];
  document.body.removeAttribute("data-drawn");
  (function next() {
    if (mine !== round) return;
    if (!waiting.length) { document.body.dataset.drawn = "yes"; return; }
    const plot = waiting.shift();
    if (plot.drawn) { action(plot); Plotly.redraw(plot); } else draw(plot);
    setTimeout(next, 0);
  })();
}

function choose(worker) {
  chosen = run.workers[worker] ? Number(worker) : null;
  select.value = chosen ?? "";
  history.replaceState(null, "", location.pathname + location.search + (chosen === null ? "" : "#worker=" + chosen));
  tell();
  each(plot => emphasise(plot.data));
}

const asked = () => /^#worker=(\d+)$/.exec(location.hash)?.[1];

function draw(plot) {
  const {data, layout} = run.figures[plot.id];
  paint(data, layout);
  emphasise(data);
  if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;  // a finger scrolls the page
  Plotly.newPlot(plot, data, layout, {responsive: true, displaylogo: false, modeBarButtons: [["toImage", "resetScale2d"]]});
  plot.drawn = true;
  plot.on("plotly_click", event => {
    const {data, customdata} = event.points[0];
    if (data.meta.kind === "life") choose(data.meta.worker);
    if (data.meta.role === "winner") choose(run.leader);
    if (data.meta.kind === "evaluation") choose(customdata[0]);
  });
}

select.onchange = () => choose(select.value);
document.getElementById("clear").onclick = () => choose(null);
addEventListener("keydown", event => { if (event.key === "Escape") choose(null); });
addEventListener("hashchange", () => choose(asked()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => each(plot => paint(plot.data, plot.layout)));
choose(asked());
