"use strict";
// How the page draws: every figure again and again into its own place, so that zoom and selection stay.

const dark = matchMedia("(prefers-color-scheme: dark)");
const COLOURS = [  // of selected runs, on light and dark ground; told apart with any colour vision
  ["#0067b1", "#6cb8ff"], ["#c2540a", "#ff9f4a"], ["#00795b", "#3ccfa2"], ["#9a3a80", "#e39ad2"],
  ["#6f6100", "#d8c64c"], ["#14171a", "#ffffff"], ["#c00020", "#ff8080"], ["#59616b", "#a3abb4"],
];
const DASHES = ["solid", "dash", "dot", "dashdot"];  // colours come again with the next

const colourOf = slot => COLOURS[slot % COLOURS.length][dark.matches ? 1 : 0];
const dashOf = slot => DASHES[Math.floor(slot / COLOURS.length) % DASHES.length];
const cssColour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const asText = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");  // plotly reads tags

function add(parent, tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  parent.append(element);
  return element;
}

function themed(layout) {  // a layout in the colours of the page
  const ink = cssColour("ink"), soft = cssColour("soft"), ground = cssColour("ground");
  const axis = {gridcolor: cssColour("grid"), linecolor: cssColour("edge"), zeroline: false, automargin: true};
  return {
    ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {...layout.font, color: ink, family: getComputedStyle(document.body).fontFamily},
    xaxis: {...axis, ...layout.xaxis, gridcolor: axis.gridcolor, linecolor: axis.linecolor},
    yaxis: {...axis, ...layout.yaxis, gridcolor: axis.gridcolor, linecolor: axis.linecolor},
    annotations: (layout.annotations || []).map(note => ({...note, bgcolor: note.bgcolor && ground, font: {...note.font, color: soft}})),
    shapes: (layout.shapes || []).map(shape => shape.type === "line" ? {...shape, line: {...shape.line, color: cssColour("edge")}} : shape),
    modebar: {orientation: "v", bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink},
    hoverlabel: {bgcolor: ground, font: {color: ink}, bordercolor: soft, align: "left"},
    ...(matchMedia("(pointer: coarse)").matches ? {dragmode: false} : {}),  // a finger scrolls the page
  };
}

function tinted(trace, colours) {  // a trace of the report in the colours of its role
  const own = colours[trace.meta.role]?.[dark.matches ? 1 : 0];
  if (!own) return trace;
  const tint = {};
  if (trace.line) tint.line = {...trace.line, color: own};
  if (trace.marker) tint.marker = {...trace.marker, color: own};
  if (trace.textfont) tint.textfont = {...trace.textfont, color: own};
  if (trace.type === "bar") {
    tint.marker.line = {...trace.marker.line, color: own};
    tint.insidetextfont = {color: trace.marker.pattern.shape ? cssColour("ink") : "#14171a", size: 11};
  }
  return {...trace, ...tint};
}

// ``kept``: while it is the same, what a person has zoomed to stays.
function show(plot, data, layout, kept) {
  Plotly.react(plot, data, {...themed(layout), uirevision: kept},
    {responsive: true, displaylogo: false, modeBarButtons: [["toImage", "resetScale2d"]]});
}

function showCurves(plot, runs, what, axis) {
  const few = runs.length <= 8 && innerWidth > 640;  // else the list is the legend
  const traces = runs.map(run => ({
    type: "scatter", mode: run.curve.steps.length < 3 ? "lines+markers" : "lines", name: asText(run.name), showlegend: few,
    x: run.curve[axis], y: run.curve[what], line: {color: colourOf(run.slot), dash: dashOf(run.slot), width: 2.2},
    hovertemplate: "%{fullData.name}<br>step %{x:,}: %{y:.6g}<extra></extra>",
  }));
  const title = axis === "all" ? "steps of all workers" : "steps of a member";
  show(plot, traces, {
    height: 440, margin: {l: 64, r: 24, t: 10, b: 44}, hovermode: "closest", hoverdistance: 30, font: {size: 13},
    xaxis: {title: {text: title, standoff: 8}, tickformat: "~s", rangemode: "tozero"},
    yaxis: {title: {text: "objective", standoff: 8}},
    legend: {orientation: "h", y: 1, yanchor: "bottom", x: 0},
  }, what + axis);
}

function showImportance(place, told) {
  place.replaceChildren();
  const most = Math.max(...told.importance.map(one => one.fall), 1e-9);
  for (const {name, fall, deviation} of told.importance) {
    add(place, "span", name, "name");
    add(add(place, "span", undefined, "bar"), "i").style.width = Math.max(0, 100 * fall / most) + "%";
    add(place, "span", fall.toFixed(2).replace("-", "−") + " ± " + deviation.toFixed(2), "figure");
  }
}

const counted = (n, one, more) => n.toLocaleString("en") + " " + (n === 1 ? one : more);

function saysOf(told) {  // what the figures of hyperparameters show, in sentences
  const from = counted(told.pieces, "piece", "pieces") + " of late training in " + counted(told.runs, "run", "runs") + " of " + told.task;
  const others = told.others ? ` ${counted(told.others, "selected run has", "selected runs have")} another task and ${told.others === 1 ? "is" : "are"} left out.` : "";
  if (!told.names.length) return "These runs tune no hyperparameter that all of them share." + others;
  const lines = ` A line is what one member trained with in the last third of its run, and what it reached; orange is the best eighth.`;
  if (told.explained === null) return `${from}: too few to say what matters.${lines}${others}`;
  const worth = told.explained > 0
    ? `A random forest explains ${Math.round(100 * told.explained)} % of the variance among workers that it has not seen. A bar is the share that hangs on one hyperparameter, alone or with others.`
    : "A random forest explains nothing among workers that it has not seen: these bars decide nothing.";
  return `${from}. ${worth}${lines}${others}`;
}

function showOne(place, id, told) {  // all of the chosen run
  const shape = JSON.stringify([id, told.parts.map(part => [part.title, part.figures.map(figure => figure.name)])]);
  if (place.dataset.shape !== shape) {
    place.replaceChildren();
    place.dataset.shape = shape;
    add(place, "h2");
    add(add(place, "p", undefined, "state"), "span", "", "badge");
    add(place, "p", "", "summary");
    const link = add(place, "a", "The whole report");
    Object.assign(link, {href: "/report?run=" + id, target: "_blank", rel: "noopener"});
    add(place, "dl", undefined, "key");
    for (const part of told.parts) {
      add(place, "h3", part.title);
      add(place, "p", "", "says part");
      const many = add(place, "div", undefined, part.figures.length > 1 ? "many" : "");
      for (const figure of part.figures) {
        const box = add(many, "figure");
        if (part.title === "Schedule") add(box, "figcaption", figure.name);
        Object.assign(add(box, "div", undefined, "plot of-run"), {ariaLabel: part.title + " " + figure.name, role: "img"});
      }
      if (part.items) add(place, "ul", undefined, "verdicts");
    }
  }
  place.querySelector("h2").textContent = told.name + " — " + told.title;
  place.querySelector(".badge").textContent = told.state;
  place.querySelector(".summary").textContent = told.summary;
  const key = place.querySelector(".key");
  key.replaceChildren();
  for (const [value, name] of told.key) {
    const box = add(key, "div");
    add(box, "dt", name);
    add(box, "dd", value);
  }
  place.querySelectorAll(".part").forEach((says, i) => { says.textContent = told.parts[i].says; });
  const lists = [...place.querySelectorAll(".verdicts")];
  for (const part of told.parts) if (part.items) {
    const list = lists.shift();
    list.hidden = !part.items.length;
    list.replaceChildren();
    for (const item of part.items) add(list, "li", item);
  }
  drawn(place, told, id);
}

let round = 0;
function drawn(place, told, id) {  // one figure after another, and in between the page answers
  const mine = ++round, figures = told.parts.flatMap(part => part.figures), plots = [...place.querySelectorAll(".of-run")];
  place.removeAttribute("data-drawn");
  (function next(i) {
    if (mine !== round) return;
    if (i === plots.length) { place.dataset.drawn = id; return; }
    const {data, layout} = figures[i];
    show(plots[i], data.map(trace => tinted(trace, told.colours)), layout, id);
    setTimeout(next, 0, i + 1);
  })(0);
}
