// The page of an evaluation: figures, replays of storms, tables that sort. It reads the block #data and draws with Plotly.
// Every name comes from a user: it reaches the page by textContent, or by esc() where Plotly reads a little HTML.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const replay = data.replay;
  const byId = (id) => document.getElementById(id);
  const GROUP_COLOURS = ["#D55E00", "#009E73", "#0072B2", "#CC79A7", "#E69F00", "#56B4E9"]; // Okabe-Ito
  const GROUP_SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "pentagon"];
  const CREW_COLOUR = "#cc79a7";
  const PLAIN = { displaylogo: false, displayModeBar: false, responsive: true };
  const FRAME_MS = 90;

  const esc = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (text) => (text.length > 24 ? `${text.slice(0, 23)}…` : text);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const colourOf = (group) => GROUP_COLOURS[group % GROUP_COLOURS.length];
  const symbolOf = (group) => GROUP_SYMBOLS[group % GROUP_SYMBOLS.length];

  function element(tag, text, attributes = {}) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function layout(more) {
    const axis = { gridcolor: css("line"), zeroline: false, linecolor: css("line"), tickcolor: css("line"), automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: css("ink"), family: getComputedStyle(document.body).fontFamily, size: 12 },
      hoverlabel: { bgcolor: css("wash"), bordercolor: css("soft"), font: { color: css("ink") }, align: "left" },
      margin: { l: 8, r: 8, t: 8, b: 8 },
      showlegend: false,
      ...more,
      xaxis: { ...axis, ...more.xaxis },
      yaxis: { ...axis, ...more.yaxis },
    };
  }

  // ---------------------------------------------------------------------------------------------- who is shown

  const state = { storm: 0, frame: 0, chosen: [], timer: null };
  const first = replay ? data.first.filter((name) => name in replay.storms[0].agents) : data.first;
  state.chosen = first.slice(0, data.most);

  function choose(name) {
    const place = state.chosen.indexOf(name);
    let said = "";
    if (replay && !(name in replay.storms[0].agents)) {
      said = `There is no replay of ${name} here.`;
    } else if (place >= 0) {
      if (state.chosen.length === 1) said = "One agent at least stays.";
      else state.chosen.splice(place, 1);
    } else {
      state.chosen.push(name);
      if (state.chosen.length > data.most) said = `${state.chosen.shift()} made room for ${name}.`;
    }
    byId("said").textContent = said;
    drawFrontier();
    drawGroups();
    drawReplay();
  }

  // -------------------------------------------------------------------------------------------------- frontier

  const KINDS = [
    { kind: "plain", name: "rules and planners", symbol: "circle", colour: () => css("link") },
    { kind: "learned", name: "trained", symbol: "square", colour: () => css("learned") },
    { kind: "privileged", name: "look at the future", symbol: "diamond-open", colour: () => css("privileged") },
  ];

  // Where each label goes so that it covers no point and no other label; null for one that there is no room for. The best
  // heuristic, with whom others are compared, is labelled first, farther off with a line to it where it stands in a crowd.
  function placeLabels(points, range, width, height) {
    const toX = (x) => ((x - range.x[0]) / (range.x[1] - range.x[0])) * width;
    const toY = (y) => (1 - (y - range.y[0]) / (range.y[1] - range.y[0])) * height;
    const ends = (p, key) => (p[`${key}_ci`] && p[`${key}_ci`][0] !== null ? p[`${key}_ci`] : [p[key], p[key]]);
    const taken = points.flatMap((p) => [
      [toX(p.x) - 7, toY(p.y) - 7, toX(p.x) + 7, toY(p.y) + 7],
      [toX(ends(p, "x")[0]), toY(p.y) - 3, toX(ends(p, "x")[1]), toY(p.y) + 3],
      [toX(p.x) - 3, toY(ends(p, "y")[1]), toX(p.x) + 3, toY(ends(p, "y")[0])],
    ]);
    if (data.limit !== null) taken.push([toX(data.limit) - 1, 0, toX(data.limit) + 1, height]);
    const spots = [["left", 9, -21], ["left", 9, 5], ["right", -9, -21], ["right", -9, 5], ["left", 12, -8], ["right", -12, -8],
                   ["center", 0, -25], ["center", 0, 10]]; // which end of the label, and how far it is off
    const far = [40, 70, 100, 140].flatMap((d) => [["left", d, -d - 8], ["right", -d, -d - 8], ["left", d, d - 8], ["right", -d, d - 8]]);
    const place = (p) => {
      const long = 6.7 * short(p.label).length;
      for (const [xanchor, right, down] of p.name === data.best ? [...spots, ...far] : spots) {
        const left = toX(p.x) + right - long * { left: 0, center: 0.5, right: 1 }[xanchor];
        const box = [left, toY(p.y) + down, left + long, toY(p.y) + down + 15];
        const inside = box[0] > 0 && box[2] < width && box[1] > 0 && box[3] < height;
        if (inside && taken.every((t) => t[2] < box[0] || t[0] > box[2] || t[3] < box[1] || t[1] > box[3])) {
          taken.push(box);
          const text = { x: p.x, y: p.y, xanchor, yanchor: "middle", text: esc(short(p.label)), font: { size: 12 } };
          if (Math.abs(right) < 40) return { ...text, xshift: right, yshift: -(down + 7.5), showarrow: false };
          return { ...text, ax: right, ay: down + 7.5, showarrow: true, arrowhead: 0, arrowwidth: 1, arrowcolor: css("soft"), standoff: 7 };
        }
      }
      return null;
    };
    const best = points.findIndex((p) => p.name === data.best), first = best < 0 ? null : place(points[best]);
    return points.map((p, i) => (i === best ? first : place(p)));
  }

  function arms(agents, key) {
    const ends = agents.map((a) => a[`${key}_ci`]);
    if (ends.some((end) => !end || end[0] === null)) return { visible: false };
    return {
      type: "data", symmetric: false, thickness: 1.2, width: 3,
      array: agents.map((a, i) => ends[i][1] - a[key]),
      arrayminus: agents.map((a, i) => a[key] - ends[i][0]),
    };
  }

  function spread(values, pad) {
    const low = Math.min(...values), high = Math.max(...values), room = (high - low || Math.abs(high) || 1) * pad;
    return [low - room, high + room];
  }

  function hover(agent) {
    return [`<b>${esc(agent.label)}</b>`, ...agent.lines.filter(Boolean).map(esc)].join("<br>");
  }

  function drawFrontier() {
    const div = byId("frontier");
    const agents = data.agents.filter((a) => a.y !== null);
    if (agents.length === 0) return;
    const flat = data.constraint === null; // nothing is limited: a row an agent
    const rows = [...agents].reverse().map((a) => a.label);
    const height = flat ? 90 + 30 * agents.length : 460;
    const valuesOf = (key) => agents.flatMap((a) => [a[key], ...(a[`${key}_ci`] || []).filter((v) => v !== null)]);
    const range = flat ? null : { x: spread([...valuesOf("x"), ...(data.limit === null ? [] : [data.limit])], 0.07), y: spread(valuesOf("y"), 0.08) };
    const labels = flat ? [] : placeLabels(agents, range, div.clientWidth - 70, height - 100);
    const colours = Object.fromEntries(KINDS.map(({ kind, colour }) => [kind, colour()]));
    labels.forEach((label, i) => label && (label.font.color = colours[agents[i].kind]));
    const traces = KINDS.map(({ kind, name, symbol, colour }) => {
      const own = agents.filter((a) => a.kind === kind);
      const chosen = own.map((a) => state.chosen.includes(a.name));
      const size = own.map((a, i) => (replay && chosen[i] ? 15 : 10));
      return {
        type: "scatter", mode: "markers", name, showlegend: own.length > 0,
        x: own.map((a) => (flat ? a.y : a.x)), y: own.map((a) => (flat ? a.label : a.y)),
        error_x: { ...arms(own, flat ? "y" : "x"), color: colour() },
        error_y: flat ? { visible: false } : { ...arms(own, "y"), color: colour() },
        customdata: own.map((a) => a.name), hovertext: own.map(hover), hovertemplate: "%{hovertext}<extra></extra>",
        marker: { symbol, size, opacity: 1, color: colour(), line: { width: own.map((a, i) => (replay && chosen[i] ? 3 : kind === "privileged" ? 2 : 0)), color: kind === "privileged" ? colour() : css("ink") } },
      };
    });
    const limited = !flat && data.limit !== null;
    const line = { type: "line", xref: "x", x0: data.limit, x1: data.limit, yref: "paper", y0: 0, y1: 1, line: { color: css("limit"), dash: "dash", width: 1.3 } };
    const side = { type: "rect", xref: "x", x0: data.limit, x1: range ? range.x[1] : 0, yref: "paper", y0: 0, y1: 1, fillcolor: css("limit"), opacity: 0.06, line: { width: 0 }, layer: "below" };
    const told = { text: esc(data.limit_text), x: data.limit, xref: "x", y: 1, yref: "paper", yanchor: "bottom", showarrow: false, font: { color: css("limit") } };
    const drawn = layout({
      height, margin: { l: 10, r: 10, t: 30, b: 10 }, dragmode: false, showlegend: true,
      legend: { orientation: "h", x: 0, y: -0.16, yanchor: "top" },
      shapes: limited ? [side, line] : [], annotations: [...labels.filter(Boolean), ...(limited ? [told] : [])],
      xaxis: { title: { text: esc(flat ? data.objective : data.constraint) }, ...(range ? { range: range.x } : {}) },
      yaxis: flat ? { type: "category", categoryorder: "array", categoryarray: rows, tickvals: rows, ticktext: rows.map(esc) }
                  : { title: { text: esc(data.objective) }, range: range.y },
    });
    Plotly.react(div, traces, drawn, { displaylogo: false, responsive: true, modeBarButtons: [["toImage"]] });
    div.setAttribute("role", "img");
    div.setAttribute("aria-label", `${data.objective}${flat ? "" : ` against ${data.constraint}`} of ${agents.length} agents; the numbers are in the table Agents`);
    if (!div.dataset.listens) {
      div.dataset.listens = "yes";
      if (replay) div.on("plotly_click", (event) => choose(event.points[0].customdata));
    }
  }

  // ------------------------------------------------------------------------------- groups, over all scenarios

  function drawGroups() {
    const box = byId("groups");
    if (!box) return;
    box.replaceChildren();
    if (data.curves) {
      // All cards first: each is narrower for those beside it, and Plotly draws at the width that it finds.
      const names = state.chosen.filter((n) => n in data.curves.agents);
      const cards = names.map((name) => [name, chartIn(box, labelOf(name))]);
      for (const [name, div] of cards) {
        const traces = data.curves.agents[name].map((y, g) => lineOf(data.curves.hours, y, data.curves.groups[g], g));
        Plotly.newPlot(div, traces, layout({
          height: 230, legend: { orientation: "h", y: -0.45 }, showlegend: true, hovermode: "x",
          xaxis: { title: { text: "hours since the storm" } }, yaxis: { range: [0, 1.03], tickformat: ".0%" },
        }), PLAIN);
      }
    } else if (data.group_means) {
      const div = chartIn(box, "");
      const traces = data.group_means.groups.map((group, g) => ({
        type: "bar", name: esc(group), x: data.agents.map((a) => a.label), y: data.group_means.means[g], marker: { color: colourOf(g) },
        error_y: data.group_means.ci[g].some((end) => !end || end[0] === null) ? { visible: false } : {
          type: "data", symmetric: false, thickness: 1, color: css("ink"),
          array: data.group_means.ci[g].map((end, i) => end[1] - data.group_means.means[g][i]),
          arrayminus: data.group_means.ci[g].map((end, i) => data.group_means.means[g][i] - end[0]),
        },
      }));
      const names = data.agents.map((a) => a.label);
      Plotly.newPlot(div, traces, layout({ height: 340, margin: { l: 8, r: 8, t: 34, b: 8 }, showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
        xaxis: { type: "category", tickvals: names, ticktext: names.map(esc) }, yaxis: { title: { text: "group mean" } } }), PLAIN);
    }
  }

  // -------------------------------------------------------------------------------------- curves of a training

  function drawTraining() {
    if (!data.training) return;
    byId("learning").hidden = false;
    byId("training").replaceChildren();
    const cards = data.training.series.map((series) => [series, chartIn(byId("training"), series.title)]);
    for (const [{ steps, y, limited }, div] of cards) {
      const line = { type: "line", xref: "paper", x0: 0, x1: 1, y0: data.limit, y1: data.limit, line: { color: css("limit"), dash: "dash", width: 1.3 } };
      const trace = { type: "scatter", mode: steps.length > 1 ? "lines" : "markers", x: steps, y, line: { color: css("link"), width: 1.6 } };
      Plotly.newPlot(div, [trace], layout({ height: 210, shapes: limited && data.limit !== null ? [line] : [], xaxis: { title: { text: "steps" } } }), PLAIN);
    }
  }

  const doesOf = (name) => (data.agents.find((a) => a.name === name) || { does: "" }).does;
  const labelOf = (name) => (data.agents.find((a) => a.name === name) || { label: name }).label;

  function chartIn(box, heading) {
    const panel = element("div", undefined, { class: "panel" });
    if (heading) panel.append(element("h3", heading));
    const div = element("div", undefined, { class: "chart" });
    panel.append(div);
    box.append(panel);
    return div;
  }

  function lineOf(x, y, name, group, more = {}) {
    const colour = group === null ? css("soft") : colourOf(group);
    const dash = group === null ? "dot" : ["solid", "dash", "dashdot", "longdash", "dot", "longdashdot"][group % 6];
    return { type: "scatter", mode: "lines", x, y, name: esc(name), line: { color: colour, width: 2, dash }, hoverlabel: { namelength: -1 }, ...more };
  }

  // ---------------------------------------------------------------------------------------------------- replay

  const scene = replay && replay.scene;
  const storm = () => replay.storms[state.storm];

  function stateAt(changes, frame) {
    let at = -1;
    for (const [begin, value] of changes) if (begin <= frame) at = value;
    return at;
  }

  // What a place looks like in its state. Sizes are the same in all states: then a frame only changes colours.
  function look(fill, group) {
    const own = colourOf(group);
    return { dark: [css("dark"), own], work: [css("work"), own], lit: [css("paper"), own], absent: [css("line"), css("line")] }[fill] || [css("paper"), own];
  }

  function veil(level) {
    const hex = css("dark");
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
    return `rgba(${r},${g},${b},${level})`;
  }

  const places = () => scene.groups.map((_, g) => scene.places.flatMap((_, p) => (scene.group[p] === g ? [p] : [])));
  const MARKS = ["square", "star"]; // fills that are drawn on top of a place
  const slow = () => scene.count_title !== null || scene.states.some(({ fill }) => MARKS.includes(fill));

  const crowd = () => Math.max(0.45, Math.min(1, 5 / Math.sqrt(scene.places.length)));
  const sizeOf = (p) => (scene.size ? 8 + 26 * scene.size[p] : 15) * crowd();

  // Numbers below places are annotations: Plotly loses the text of points when a window changes its size.
  function countNotes(told, frame) {
    if (!told.count) return [];
    const counted = scene.places.map((_, p) => p).filter((p) => told.count[frame][p] > 0);
    return counted.map((p) => ({ x: scene.x[p], y: scene.y[p], yshift: -sizeOf(p) / 2 - 8, showarrow: false, text: String(told.count[frame][p]), font: { size: 11 } }));
  }

  function placeTraces(told, frame) {
    const states = scene.places.map((_, p) => (told.state ? stateAt(told.state[p], frame) : -1));
    const colours = (p) => {
      const [fill, line] = look(states[p] < 0 ? "lit" : scene.states[states[p]].fill, scene.group[p]);
      return told.level ? [veil(told.level[frame][p]), colourOf(scene.group[p])] : [fill, line];
    };
    const said = (p) => {
      const lines = [`<b>${esc(scene.places[p])}</b>`, esc(scene.groups[scene.group[p]])];
      if (states[p] >= 0 && slow()) lines.push(esc(scene.states[states[p]].label));
      if (told.level) lines.push(`${esc(scene.level_title)}: ${(100 * told.level[frame][p]).toFixed(0)} %`);
      if (told.count) lines.push(`${esc(scene.count_title)}: ${told.count[frame][p]}`);
      if (told.waits[p] !== null) lines.push(`${esc(scene.wait_title)}: ${told.waits[p].toFixed(2)}`);
      return lines.join("<br>");
    };
    const traces = places().map((own, g) => ({
      type: "scatter", mode: "markers", x: own.map((p) => scene.x[p]), y: own.map((p) => scene.y[p]),
      hovertext: own.map(said), hovertemplate: "%{hovertext}<extra></extra>",
      marker: {
        symbol: symbolOf(g), opacity: 1, size: own.map(sizeOf),
        color: own.map((p) => colours(p)[0]), line: { width: 2.2, color: own.map((p) => colours(p)[1]) },
      },
    }));
    const paint = { square: css("link"), star: css("work") };
    for (const fill of MARKS) {
      const own = scene.places.flatMap((_, p) => (states[p] >= 0 && scene.states[states[p]].fill === fill ? [p] : []));
      traces.push({ type: "scatter", mode: "markers", x: own.map((p) => scene.x[p]), y: own.map((p) => scene.y[p]), hoverinfo: "skip",
        marker: { symbol: fill, size: fill === "star" ? 14 : 10, color: paint[fill], line: { width: 1, color: css("ink") } } });
    }
    return traces;
  }

  function mapTraces(told, frame) {
    const depots = { type: "scatter", mode: "markers", x: scene.depots.map((d) => d[0]), y: scene.depots.map((d) => d[1]), hoverinfo: "skip",
      marker: { symbol: "star", size: 13, color: css("ink") } };
    return [...placeTraces(told, frame), depots];
  }

  // Crews and the ways behind them are shapes, which Plotly moves without drawing the map anew.
  function crewShapes(told, frame) {
    const several = told.vehicles.length > 1;
    return told.vehicles.flatMap((v, i) => {
      const way = [];
      for (let k = 0; k <= frame; k += 1) if (k === 0 || v.x[k] !== v.x[k - 1] || v.y[k] !== v.y[k - 1]) way.push(`${v.x[k]},${v.y[k]}`);
      const trail = { type: "path", path: `M${way.join("L")}L${v.x[frame]},${v.y[frame]}`, line: { color: css("soft"), width: several ? 0.8 : 1.2 }, opacity: several ? 0.4 : 0.75, layer: "below" };
      const wide = several ? 16 : 13, off = 3; // beside the place, whose colour says that somebody works there
      const crew = { type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: v.x[frame], yanchor: v.y[frame], x0: off, x1: off + wide, y0: off, y1: off + wide,
        fillcolor: CREW_COLOUR, line: { color: "#000000", width: 1.5 }, label: { text: several ? String(i) : "", font: { size: 10, color: "#000000" } } };
      return [trail, crew];
    });
  }

  const FIXED = { fixedrange: true, automargin: false };

  function mapLayout(told, frame) {
    const bare = { ...FIXED, showgrid: false, showticklabels: false, showline: false, ticks: "" };
    const xs = [...scene.x, ...scene.depots.map((d) => d[0])], ys = [...scene.y, ...scene.depots.map((d) => d[1])];
    return layout({ height: 270, dragmode: false, hovermode: "closest", margin: { l: 4, r: 4, t: 4, b: 4 }, shapes: crewShapes(told, frame), annotations: countNotes(told, frame),
      xaxis: { ...bare, range: spread(xs, 0.09), constrain: "domain" }, yaxis: { ...bare, range: spread(ys, 0.09), scaleanchor: "x", constrain: "domain" } });
  }

  // What is still to come lies under a veil, and a line says when it is.
  function nowShapes(frame) {
    const times = storm().times, now = times[frame];
    return [{ type: "rect", x0: now, x1: times.at(-1) * 1.02, yref: "paper", y0: 0, y1: 1, fillcolor: css("paper"), opacity: 0.72, line: { width: 0 } },
            { type: "line", x0: now, x1: now, yref: "paper", y0: 0, y1: 1, line: { color: css("ink"), width: 1, dash: "dot" } }];
  }

  const timeAxis = () => ({ ...FIXED, title: { text: esc(scene.time_title), standoff: 4 }, range: [storm().times[0], storm().times.at(-1)] });
  const curveTraces = (told) => told.curves.map((c) => lineOf(storm().times, c.y, c.name, c.group));

  function curveLayout(frame) {
    const top = Math.max(1e-9, ...Object.values(storm().agents).flatMap((told) => told.curves.flatMap((c) => c.y)));
    return layout({ height: 190, dragmode: false, hovermode: "x", margin: { l: 46, r: 8, t: 6, b: 38 }, shapes: nowShapes(frame), xaxis: timeAxis(),
      yaxis: { ...FIXED, range: [0, 1.04 * (scene.curve_percent ? 1 : top)], ...(scene.curve_percent ? { tickformat: ".0%" } : {}) } });
  }

  function barTraces(told) {
    return scene.bar_kinds.map((kind, k) => {
      const own = told.bars.filter((bar) => bar[3] === k);
      const place = (bar) => (bar[4] >= 0 ? scene.places[bar[4]] : "");
      return { type: "bar", orientation: "h", name: esc(kind), base: own.map((b) => b[1]), x: own.map((b) => b[2] - b[1]), y: own.map((b) => b[0]),
        width: k === 0 ? 0.25 : 0.7, hovertext: own.map((b) => `${esc(scene.lanes[b[0]])}: ${esc(kind)}<br>${esc(place(b))}<br>${b[1].toFixed(1)} to ${b[2].toFixed(1)}`),
        hovertemplate: "%{hovertext}<extra></extra>",
        marker: { color: own.map((b) => (k === 0 || b[4] < 0 ? css("soft") : colourOf(scene.group[b[4]]))), line: { width: 0.5, color: css("paper") } } };
    });
  }

  function barLayout(frame) {
    const lanes = scene.lanes.map((lane, i) => (lane.endsWith(` ${i}`) ? lane : `${i}: ${short(lane)}`)); // the number on the map
    const n = lanes.length, wide = Math.min(150, 12 + 6.5 * Math.max(...lanes.map((lane) => lane.length)));
    return layout({ height: 60 + 17 * n, barmode: "overlay", dragmode: false, margin: { l: wide, r: 8, t: 6, b: 38 }, shapes: nowShapes(frame), xaxis: timeAxis(),
      yaxis: { ...FIXED, range: [n - 0.4, -0.6], tickvals: scene.lanes.map((_, i) => i), ticktext: lanes.map(esc), showgrid: false } });
  }

  // Told against what came: on the line it was exact; a hollow point came within its interval. [name, place, at, low, middle, high, came]
  const within = (t) => t[6] >= t[3] && t[6] <= t[5];

  function toldTraces(told) {
    const lines = (t) => [`<b>${esc(t[0])}</b>, ${esc(scene.places[t[1]])}`, `told at ${t[2].toFixed(1)}: ${t[4].toFixed(1)} (${t[3].toFixed(1)} to ${t[5].toFixed(1)})`, `came at ${t[6].toFixed(1)}`];
    return scene.groups.map((name, g) => {
      const own = told.told.rows.filter((t) => scene.group[t[1]] === g);
      return { type: "scatter", mode: "markers", name: esc(name), x: own.map((t) => t[4]), y: own.map((t) => t[6]),
        error_x: { type: "data", symmetric: false, thickness: 0.9, width: 0, color: colourOf(g), array: own.map((t) => t[5] - t[4]), arrayminus: own.map((t) => t[4] - t[3]) },
        hovertext: own.map((t) => lines(t).join("<br>")), hovertemplate: "%{hovertext}<extra></extra>",
        marker: { symbol: symbolOf(g), size: 9, opacity: 1, color: own.map((t) => (within(t) ? css("paper") : colourOf(g))), line: { width: 1.8, color: colourOf(g) } } };
    });
  }

  function toldLayout() {
    const all = Object.values(storm().agents).flatMap((told) => (told.told ? told.told.rows.flatMap((t) => t.slice(3)) : []));
    const top = 1.04 * Math.max(1e-9, ...all);
    return layout({ height: 250, dragmode: false, hovermode: "closest", margin: { l: 46, r: 8, t: 6, b: 38 },
      shapes: [{ type: "line", x0: 0, y0: 0, x1: top, y1: top, line: { color: css("soft"), width: 1, dash: "dot" }, layer: "below" }],
      xaxis: { ...FIXED, title: { text: `told: ${esc(scene.time_title)}`, standoff: 4 }, range: [0, top] }, yaxis: { ...FIXED, title: { text: "came", standoff: 4 }, range: [0, top] } });
  }

  let panels = []; // of each chosen agent: what happened, and the charts of its panel

  function drawReplay() {
    if (!replay) return;
    byId("slider").max = storm().times.length - 1;
    state.frame = Math.min(state.frame, storm().times.length - 1);
    for (const { charts } of panels) Object.values(charts).forEach((chart) => Plotly.purge(chart));
    byId("panels").replaceChildren();
    panels = state.chosen.map((name) => {
      const told = storm().agents[name], panel = element("div", undefined, { class: "panel" });
      panel.dataset.agent = name;
      panel.append(element("h3", labelOf(name)));
      if (doesOf(name)) panel.append(element("p", doesOf(name), { class: "does" }));
      panel.append(element("p", told.text, { class: "note" }));
      const charts = {};
      const chart = (key, heading) => {
        if (heading) panel.append(element("h4", heading));
        charts[key] = panel.appendChild(element("div", undefined, { class: `chart ${key}` }));
      };
      chart("map");
      chart("curves", scene.curve_title);
      if (scene.lanes.length) chart("bars", scene.bar_title);
      if (told.told) {
        const held = told.told.rows.filter(within).length;
        chart("told", told.told.title);
        panel.append(element("p", `${held} of ${told.told.rows.length} within their interval (hollow)`, { class: "note" }));
      }
      panel.append(element("h4", `waited longest: ${scene.wait_title}`), longest(told));
      byId("panels").append(panel);
      return { told, charts };
    });
    for (const { told, charts } of panels) {
      Plotly.newPlot(charts.map, mapTraces(told, state.frame), mapLayout(told, state.frame), PLAIN);
      Plotly.newPlot(charts.curves, curveTraces(told), curveLayout(state.frame), PLAIN);
      if (charts.bars) Plotly.newPlot(charts.bars, barTraces(told), barLayout(state.frame), PLAIN);
      if (charts.told) Plotly.newPlot(charts.told, toldTraces(told), toldLayout(), PLAIN);
    }
    for (const box of byId("picks").querySelectorAll("input")) box.checked = state.chosen.includes(box.value);
    drawWaits();
    sayWhen();
  }

  function sayWhen() {
    byId("slider").value = state.frame;
    byId("slider").setAttribute("aria-valuetext", storm().labels[state.frame]);
    byId("time").textContent = storm().labels[state.frame];
  }

  // Move every panel to a frame: only what changes is drawn anew.
  function show(frame) {
    state.frame = frame;
    sayWhen();
    for (const { told, charts } of panels) {
      if (slow()) {
        Plotly.react(charts.map, mapTraces(told, frame), mapLayout(told, frame), PLAIN);
      } else {
        const own = placeTraces(told, frame).slice(0, scene.groups.length);
        const colours = { "marker.color": own.map((t) => t.marker.color), "marker.line.color": own.map((t) => t.marker.line.color) };
        if (JSON.stringify(colours) !== charts.map.dataset.shows) Plotly.restyle(charts.map, colours, own.map((_, i) => i));
        charts.map.dataset.shows = JSON.stringify(colours);
        Plotly.relayout(charts.map, { shapes: crewShapes(told, frame) });
      }
      Plotly.relayout(charts.curves, { shapes: nowShapes(frame) });
      if (charts.bars) Plotly.relayout(charts.bars, { shapes: nowShapes(frame) });
    }
  }

  function longest(told) {
    const list = element("ol");
    const order = scene.places.map((_, p) => p).filter((p) => told.waits[p] !== null).sort((a, b) => told.waits[b] - told.waits[a]);
    for (const p of order.slice(0, 5)) list.append(element("li", `${scene.places[p]} (${scene.groups[scene.group[p]]}): ${told.waits[p].toFixed(2)}`));
    return list;
  }

  function play(on) {
    clearTimeout(state.timer);
    state.timer = null;
    byId("play").textContent = on ? "Pause" : "Play";
    if (!on) return;
    const last = storm().times.length - 1;
    if (state.frame >= last) show(0);
    const wait = Math.max(FRAME_MS, 8000 / last / 2); // few frames are days or turns: slower
    const tick = () => {
      show(state.frame + 1);
      if (state.frame >= last) play(false);
      else state.timer = setTimeout(tick, wait);
    };
    state.timer = setTimeout(tick, wait);
  }

  function mark(shape, fill, line) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", "13");
    svg.setAttribute("height", "13");
    svg.setAttribute("viewBox", "0 0 14 14");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", { circle: "M7 2A5 5 0 1 1 6.9 2Z", square: "M2 2H12V12H2Z", "triangle-up": "M7 1L13 12H1Z", diamond: "M7 1L13 7L7 13L1 7Z",
      "triangle-down": "M7 13L1 2H13Z", pentagon: "M7 1L13 6L11 13H3L1 6Z", "triangle-right": "M2 1L13 7L2 13Z",
      star: "M7 0L9 5H14L10 8L11.5 13L7 10L2.5 13L4 8L0 5H5Z" }[shape]);
    path.setAttribute("fill", fill);
    path.setAttribute("stroke", line);
    path.setAttribute("stroke-width", "1.8");
    svg.append(path);
    return svg;
  }

  function drawKey() {
    const entries = scene.groups.map((name, g) => [mark(symbolOf(g), css("paper"), colourOf(g)), name]);
    for (const { label, fill } of scene.states) {
      if (fill === "square" || fill === "star") entries.push([mark(fill, css(fill === "square" ? "link" : "work"), css("ink")), label]);
      else entries.push([mark("circle", look(fill, 0)[0], css("soft")), label]);
    }
    if (scene.level_title) entries.push([mark("circle", css("dark"), css("soft")), `${scene.level_title}: ${scene.level_of_one}`]);
    if (Object.values(storm().agents).some((told) => told.vehicles.length)) entries.push([mark("circle", CREW_COLOUR, css("ink")), "crew"]);
    if (scene.depots.length) entries.push([mark("star", css("ink"), css("ink")), "depot"]);
    if (scene.count_title) entries.push([document.createTextNode("3 "), `number beside a ${scene.place_word}: ${scene.count_title}`]);
    byId("key").replaceChildren(...entries.map(([sign, text]) => {
      const entry = element("span");
      entry.append(sign, text);
      return entry;
    }));
  }

  const waitsOpen = () => Boolean(byId("waits").querySelector("details[open]"));

  function drawWaits() {
    const columns = [scene.place_word, "group", ...state.chosen];
    const rows = scene.places.map((name, p) => [name, scene.groups[scene.group[p]], ...state.chosen.map((agent) => storm().agents[agent].waits[p])]);
    const table = element("table"), head = table.createTHead().insertRow(), body = table.createTBody();
    [scene.place_word, "group", ...state.chosen.map(labelOf)].forEach((name) => head.append(element("th", name, { scope: "col" })));
    for (const row of rows) {
      const line = body.insertRow();
      row.forEach((cell) => line.append(element("td", cell === null ? "-" : typeof cell === "number" ? cell.toFixed(2) : cell)));
    }
    const section = element("details", undefined, { class: "table", "data-table": "waits" }), scroll = element("div", undefined, { class: "scroll" });
    scroll.append(table);
    section.open = waitsOpen();
    section.append(element("summary", `${scene.wait_title[0].toUpperCase()}${scene.wait_title.slice(1)}, by ${scene.place_word}: storm ${storm().episode}`), scroll);
    byId("waits").replaceChildren(section);
    data.tables.waits = { columns, rows };
    furnish(section);
  }

  function setUpReplay() {
    byId("replay").hidden = false;
    replay.storms.forEach((s, i) => byId("storm").append(element("option", `${s.episode}: ${s.why}`, { value: i })));
    byId("storm").addEventListener("change", (event) => {
      play(false);
      state.storm = Number(event.target.value);
      state.frame = 0;
      drawReplay();
    });
    for (const { name, label } of data.agents.filter((a) => a.name in replay.storms[0].agents)) {
      const box = element("input", undefined, { type: "checkbox", value: name }), holder = element("label");
      holder.append(box, ` ${label}`);
      box.addEventListener("change", () => {
        choose(name);
        for (const each of byId("picks").querySelectorAll("input")) each.checked = state.chosen.includes(each.value);
      });
      byId("picks").append(holder);
    }
    byId("said").textContent = replay.left_out;
    byId("slider").addEventListener("input", (event) => {
      play(false);
      show(Number(event.target.value));
    });
    byId("slider").addEventListener("keydown", (event) => {
      if (event.key !== " ") return;
      event.preventDefault();
      play(state.timer === null);
    });
    byId("play").addEventListener("click", () => play(state.timer === null));
  }

  // ---------------------------------------------------------------------------------------------------- tables

  // The first number of a cell; cells without one come last in either order.
  function keyOf(text) {
    const found = text.replace(/(\d),(?=\d{3})/g, "$1").match(/[-+]?\d+(\.\d+)?/);
    return found ? Number(found[0]) : null;
  }

  function sortBy(table, column, head) {
    const up = head.getAttribute("aria-sort") !== "ascending", body = table.tBodies[0], rows = [...body.rows];
    const texts = rows.map((row) => row.cells[column].textContent), keys = texts.map(keyOf);
    const numbers = column > 0 && keys.some((key) => key !== null) && texts.every((text, i) => keys[i] !== null || text === "-" || text === "");
    const order = rows.map((_, i) => i).sort((a, b) => {
      if (!numbers) return (up ? 1 : -1) * texts[a].localeCompare(texts[b], undefined, { numeric: true });
      if (keys[a] === null || keys[b] === null) return (keys[a] === null) - (keys[b] === null);
      return (up ? 1 : -1) * (keys[a] - keys[b]);
    });
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...order.map((i) => rows[i]));
  }

  // A text that a spreadsheet would run as a formula gets an apostrophe in front.
  function csvCell(cell) {
    if (cell === null) return "";
    if (typeof cell === "number") return String(cell);
    const text = /^[=+\-@\t\r]/.test(cell) && !Number.isFinite(Number(cell)) ? `'${cell}` : String(cell);
    return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }

  function download(key, table) {
    const { columns, rows } = data.tables[key];
    const order = [...table.tBodies[0].rows].map((row) => Number(row.dataset.row));
    const text = [columns, ...order.map((i) => rows[i])].map((row) => row.map(csvCell).join(",")).join("\n") + "\n";
    const link = element("a", undefined, { download: `${data.file}-${key}.csv`, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  function furnish(section) {
    const table = section.querySelector("table"), key = section.dataset.table;
    [...table.tBodies[0].rows].forEach((row, i) => (row.dataset.row = i));
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = element("button", undefined, { type: "button", title: "sort" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortBy(table, column, head));
    });
    const button = element("button", "CSV", { type: "button", class: "csv", title: "download these numbers, unrounded" });
    button.addEventListener("click", () => download(key, table));
    if (section.tagName === "DETAILS") section.querySelector(".scroll").before(button);
    else section.querySelector("h2").append(" ", button);
  }

  // ----------------------------------------------------------------------------------------------------- theme

  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";

  function drawAll() {
    byId("theme").textContent = isDark() ? "Light" : "Dark";
    drawFrontier();
    drawGroups();
    drawTraining();
    if (replay) {
      drawKey();
      drawReplay();
    }
  }

  byId("theme").hidden = false;
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    drawAll();
  });
  system.addEventListener("change", drawAll);
  document.querySelectorAll("section.table").forEach(furnish);
  if (replay) setUpReplay();
  drawAll();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    drawFrontier(); // labels are placed anew; Plotly fits the rest
  });
})();
