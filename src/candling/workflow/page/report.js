// Moves the limit over the severities in this file and redraws; knows nothing but the JSON beside it, asks no server.
// Words and rounding are those of workflow/words.py. Only text nodes are ever written: names are untrusted.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("evaluation").textContent);
  const count = data.severity.length;
  const isDefect = data.label.map((label) => label > 0);
  const unjudged = new Set(data.unjudged);
  const goods = isDefect.filter((defect) => !defect).length;
  const defects = count - goods;
  const byId = (id) => document.getElementById(id);
  const say = (id, text) => { byId(id).textContent = text; };
  const MOST_MARKS = 6000; // more would make a slow page and no clearer picture

  // ---- numbers ------------------------------------------------------------------------------------------------
  const percent = (share) => (share * 100).toFixed(1);
  const confidence = (data.confidence * 100).toFixed(0);

  // P(X <= hits) of a binomial, summed from logarithms.
  function binomialTail(hits, total, share) {
    if (share <= 0) return 1;
    if (share >= 1) return hits >= total ? 1 : 0;
    const odds = Math.log(share) - Math.log1p(-share);
    let term = total * Math.log1p(-share);
    let sum = Math.exp(term);
    for (let k = 1; k <= hits; k += 1) {
      term += Math.log((total - k + 1) / k) + odds;
      sum += Math.exp(term);
    }
    return Math.min(sum, 1);
  }

  function bisect(isBelow) {
    let low = 0, high = 1;
    for (let step = 0; step < 60; step += 1) {
      const middle = (low + high) / 2;
      if (isBelow(middle)) low = middle; else high = middle;
    }
    return (low + high) / 2;
  }

  const intervals = new Map();
  // Clopper and Pearson 1934: the exact interval of hits out of total.
  function clopperPearson(hits, total) {
    const key = hits * (count + 1) + total;
    if (!intervals.has(key)) {
      const tail = (1 - data.confidence) / 2;
      const low = hits === 0 ? 0 : bisect((share) => 1 - binomialTail(hits - 1, total, share) < tail);
      const high = hits === total ? 1 : bisect((share) => binomialTail(hits, total, share) > tail);
      intervals.set(key, [low, high]);
    }
    return intervals.get(key);
  }

  function rateInWords(hits, total) {
    if (total === 0) return "–";
    const [low, high] = clopperPearson(hits, total);
    return `${hits} of ${total} (${percent(hits / total)} %, ${confidence} % interval ${percent(low)} to ${percent(high)} %)`;
  }

  // At the bundle's own limits the verdicts that were given count; elsewhere the severity decides. NaN never got here.
  function acceptedAt(limit) {
    if (limit === 1) return data.accepted.map(Boolean);
    return data.severity.map((severity, index) => severity <= limit && !unjudged.has(index));
  }

  function outcome(limit) {
    const accepted = acceptedAt(limit);
    let missed = 0, rejects = 0;
    accepted.forEach((yes, index) => {
      if (yes && isDefect[index]) missed += 1;
      if (!yes && !isDefect[index]) rejects += 1;
    });
    const found = defects - missed;
    return {accepted, missed, rejects, found, f1: defects ? (2 * found) / (defects + found + rejects) : null};
  }

  // Every state a falling limit goes through: [false rejects, defects found], from all accepted to all rejected.
  function sweep() {
    const order = [...data.severity.keys()].sort((a, b) => data.severity[b] - data.severity[a]);
    const states = [[0, 0]];
    let rejects = 0, found = 0;
    order.forEach((image, place) => {
      if (isDefect[image]) found += 1; else rejects += 1;
      const next = order[place + 1];
      if (next === undefined || data.severity[next] !== data.severity[image]) states.push([rejects, found]);
    });
    return states;
  }

  // ---- drawing ------------------------------------------------------------------------------------------------
  const SVG = document.querySelector("svg").namespaceURI;
  function draw(parent, name, attributes, text) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.appendChild(document.createTextNode(text));
    parent.appendChild(node);
    return node;
  }
  function canvas(id, width, height, label) {
    const holder = byId(id);
    holder.replaceChildren();
    return draw(holder, "svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label});
  }
  const round = (value) => Math.round(value * 100) / 100;

  // The severity axis: linear while everything lies within four limits, else inverse hyperbolic sine.
  const known = data.severity.filter((_, index) => !unjudged.has(index));
  const lowest = (values, start) => values.reduce((least, value) => Math.min(least, value), start);
  const highest = (values, start) => values.reduce((most, value) => Math.max(most, value), start);
  const least = lowest(known, 0), most = highest(data.severity, 1.25);
  const wide = most > 4 || least < -4;
  const bend = (severity) => (wide ? Math.asinh(severity) : severity);
  const unbend = (place) => (wide ? Math.sinh(place) : place);
  const pad = (bend(most) - bend(least)) * 0.02;
  const from = bend(least) - pad, to = bend(most) + pad;
  const share = (severity) => Math.min(1, Math.max(0, (bend(severity) - from) / (to - from)));

  function ticks(width) {
    const steps = wide ? [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1e4, 1e5, -1, -2, -5, -10, -100, 0.5, -0.5]
                       : [0, 1, 2, 3, 4, -1, -2, -3, -4, 0.5, 1.5, 2.5, 3.5, -0.5, -1.5, 0.25, 0.75, 1.25];
    const chosen = [];
    for (const step of steps) {
      if (bend(step) < from || bend(step) > to) continue;
      if (chosen.every((other) => Math.abs(share(other) - share(step)) * width > 38)) chosen.push(step);
    }
    return chosen;
  }

  const narrow = () => document.documentElement.clientWidth < 600;

  function axis(svg, left, width, top, bottom) {
    for (const tick of ticks(width)) {
      const x = round(left + share(tick) * width);
      draw(svg, "line", {x1: x, x2: x, y1: top, y2: bottom, class: "grid"});
      draw(svg, "text", {x, y: bottom + 16, class: "tick middle"}, String(tick));
    }
    draw(svg, "text", {x: left + width, y: bottom + 32, class: "tick end"}, "severity (1 = the bundle's limit)");
  }

  function limitLine(svg, severity, kind, left, width, top, bottom) {
    const x = round(left + share(severity) * width);
    return draw(svg, "line", {x1: x, x2: x, y1: top, y2: bottom, class: kind});
  }

  function drawHistogram() {
    const small = narrow(), width = small ? 400 : 960, left = 34, inner = width - left - 12, half = small ? 100 : 120;
    const middle = 22 + half, bottom = middle + half;
    const svg = canvas("histogram", width, bottom + 40, "Histogram of severities, good above, defects below the line");
    const bins = small ? 30 : 60, heights = [new Array(bins).fill(0), new Array(bins).fill(0)];
    data.severity.forEach((severity, index) => {
      heights[Number(isDefect[index])][Math.min(bins - 1, Math.floor(share(severity) * bins))] += 1;
    });
    const shade = draw(svg, "rect", {x: left, y: 22, width: 0, height: bottom - 22, class: "accept-zone"});
    axis(svg, left, inner, 22, bottom);
    heights.forEach((bars, kind) => {
      const tallest = Math.max(...bars, 1);
      bars.forEach((bar, place) => {
        if (bar === 0) return;
        const height = round((bar / tallest) * (half - 8));
        const rect = draw(svg, "rect", {x: round(left + (place / bins) * inner + 0.5), width: round(inner / bins - 1), height,
          y: kind === 0 ? middle - height : middle, class: kind === 0 ? "good" : "defect"});
        draw(rect, "title", {}, `${bar} ${kind === 0 ? "good" : "defect"}`);
      });
      const y = kind === 0 ? middle - half + 12 : bottom - 4;
      draw(svg, "text", {x: left - 6, y, class: "tick end"}, String(tallest));
    });
    draw(svg, "text", {x: left - 6, y: middle + 4, class: "tick end"}, "0");
    draw(svg, "text", {x: 0, y: 12, class: "tick"}, "images");
    draw(svg, "line", {x1: left, x2: left + inner, y1: middle, y2: middle, class: "frame"});
    limitLine(svg, 1, "limit-bundle", left, inner, 22, bottom);
    const line = limitLine(svg, 1, "limit-now", left, inner, 14, bottom);
    const labels = [draw(svg, "text", {y: 12, class: "tick end strong"}, "accepted"),
                    draw(svg, "text", {y: 12, class: "tick strong"}, "rejected")];
    return (limit) => {
      const x = round(left + share(limit) * inner);
      line.setAttribute("x1", x); line.setAttribute("x2", x);
      shade.setAttribute("width", Math.max(0, x - left));
      labels[0].setAttribute("x", Math.max(x - 6, 60)); labels[1].setAttribute("x", Math.min(x + 6, width - 60));
      labels[0].setAttribute("visibility", x < 66 ? "hidden" : "visible");
      labels[1].setAttribute("visibility", x > width - 66 ? "hidden" : "visible");
    };
  }

  function square(id, label, across, up) {
    const size = narrow() ? 380 : 440, left = 48, top = 10, inner = size - left - 18;
    const svg = canvas(id, size, top + inner + 40, label);
    const x = (value) => round(left + value * inner), y = (value) => round(top + (1 - value) * inner);
    for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
      draw(svg, "line", {x1: x(tick), x2: x(tick), y1: y(0), y2: y(1), class: "grid"});
      draw(svg, "line", {x1: x(0), x2: x(1), y1: y(tick), y2: y(tick), class: "grid"});
      draw(svg, "text", {x: x(tick), y: y(0) + 15, class: "tick middle"}, String(tick * 100));
      draw(svg, "text", {x: left - 6, y: y(tick) + 4, class: "tick end"}, String(tick * 100));
    }
    draw(svg, "text", {x: x(0.5), y: y(0) + 32, class: "tick middle"}, across);
    draw(svg, "text", {x: 0, y: 0, class: "tick middle", transform: `translate(11 ${y(0.5)}) rotate(-90)`}, up);
    return {svg, x, y};
  }

  function curve(plot, points, place) {
    const path = points.map(([a, b], index) => `${index ? "L" : "M"}${plot.x(a)} ${plot.y(b)}`).join("");
    draw(plot.svg, "path", {d: path, class: "curve"});
    const bundle = place(outcome(1));
    if (bundle) {
      draw(plot.svg, "rect", {x: plot.x(bundle[0]) - 5, y: plot.y(bundle[1]) - 5, width: 10, height: 10, class: "mark-bundle",
        transform: `rotate(45 ${plot.x(bundle[0])} ${plot.y(bundle[1])})`});
    }
    const dot = draw(plot.svg, "circle", {r: 5, class: "mark-now"});
    return (state) => {
      const now = place(state);
      dot.setAttribute("visibility", now ? "visible" : "hidden");
      if (now) { dot.setAttribute("cx", plot.x(now[0])); dot.setAttribute("cy", plot.y(now[1])); }
    };
  }

  function drawCurves() {
    if (goods === 0 || defects === 0) {
      for (const id of ["roc", "pr"]) byId(id).textContent = "Needs good images and defects.";
      return [];
    }
    const states = sweep();
    const roc = square("roc", "ROC curve", "false rejects, % of good", "defects found, %");
    draw(roc.svg, "line", {x1: roc.x(0), y1: roc.y(0), x2: roc.x(1), y2: roc.y(1), class: "guess"});
    const pr = square("pr", "Precision and detection curve", "defects found, %", "precision of rejects, %");
    const precise = ([rejects, found]) => [found / defects, found / (rejects + found)];
    const steps = states.slice(1).map(precise);
    const stairs = [[0, steps[0][1]], ...steps];
    return [
      curve(roc, states.map(([rejects, found]) => [rejects / goods, found / defects]),
        (state) => [state.rejects / goods, state.found / defects]),
      curve(pr, stairs, (state) => (state.found + state.rejects ? precise([state.rejects, state.found]) : null)),
    ];
  }

  function drawStrip() {
    if (!byId("strip")) return () => {};
    const small = narrow(), width = small ? 400 : 960, left = small ? 92 : 150, inner = width - left - 12, row = 34;
    const bottom = 8 + row * data.labels.length, letters = small ? 12 : 20;
    const svg = canvas("strip", width, bottom + 40, "Severity of every image by class");
    axis(svg, left, inner, 8, bottom);
    data.labels.forEach((label, kind) => {
      const shown = label.length > letters ? `${label.slice(0, letters - 1)}…` : label;
      draw(svg, "text", {x: left - 8, y: 8 + row * (kind + 0.5) + 4, class: "tick end"}, shown);
    });
    const every = Math.ceil(count / MOST_MARKS);
    if (every > 1) say("strip-note", `One image in ${every} is drawn.`);
    const marks = data.severity.map((severity, index) => {
      if (index % every) return null;
      const jitter = ((index * 0.618034) % 1) - 0.5; // golden ratio: even, and the same at every opening
      const x = round(left + share(severity) * inner), y = round(8 + row * (data.label[index] + 0.5 + jitter * 0.6));
      const mark = isDefect[index]
        ? draw(svg, "path", {d: `M${x} ${round(y - 4)}l4 7h-8z`, class: "dot defect"})
        : draw(svg, "circle", {cx: x, cy: y, r: 3.2, class: "dot good"});
      if (data.names.length) draw(mark, "title", {}, `${data.names[index]}: ${unjudged.has(index) ? "not judged" : severity.toFixed(3)}`);
      return mark;
    });
    limitLine(svg, 1, "limit-bundle", left, inner, 4, bottom);
    const line = limitLine(svg, 1, "limit-now", left, inner, 4, bottom);
    return (limit, state) => {
      const x = round(left + share(limit) * inner);
      line.setAttribute("x1", x); line.setAttribute("x2", x);
      marks.forEach((mark, index) => mark && mark.classList.toggle("wrong", state.accepted[index] === isDefect[index]));
    };
  }

  // ---- the page -----------------------------------------------------------------------------------------------
  const four = (value) => (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5) ? value.toExponential(3) : String(Number(value.toPrecision(4))));

  function tell(column, state) {
    const accepted = state.accepted.filter(Boolean).length;
    say(`missed-${column}`, rateInWords(state.missed, defects));
    say(`rejects-${column}`, rateInWords(state.rejects, goods));
    say(`counts-${column}`, `${accepted} accepted, ${count - accepted} rejected`);
    say(`f1-${column}`, state.f1 === null ? "–" : state.f1.toFixed(3));
  }

  // Bayes' rule with the measured rates; the range takes both intervals at their worst and at their best.
  function predictive(state) {
    const list = byId("predictive");
    list.replaceChildren();
    const tell = (text) => list.appendChild(document.createElement("li")).appendChild(document.createTextNode(text));
    const rare = Number(byId("prevalence").value) / 1000;
    if (!(rare >= 0 && rare <= 1)) return tell("State a number between 0 and 1000.");
    if (goods === 0 || defects === 0) return tell("Needs good images and defects.");
    const [missLow, missHigh] = clopperPearson(state.missed, defects), [rejectLow, rejectHigh] = clopperPearson(state.rejects, goods);
    const miss = state.missed / defects, reject = state.rejects / goods;
    const worth = (m, r) => (rare * (1 - m) + (1 - rare) * r ? (rare * (1 - m)) / (rare * (1 - m) + (1 - rare) * r) : null);
    const escapes = (m, r) => (rare * m + (1 - rare) * (1 - r) ? (rare * m) / (rare * m + (1 - rare) * (1 - r)) * 1e6 : null);
    const range = (values, write) => values.some((value) => value === null) ? "–" : `${write(values[0])} (${write(values[1])} to ${write(values[2])})`;
    const whole = (value) => value.toFixed(0);
    tell(`Of 10,000 products, ${whole(1e4 * (1 - rare) * reject)} good ones would be rejected and ${(1e4 * rare * miss).toFixed(1)} defective ones accepted.`);
    tell(`Of the rejected products, ${range([worth(miss, reject), worth(missHigh, rejectHigh), worth(missLow, rejectLow)], percent)} % would really be defective.`);
    tell(`Of a million accepted products, ${range([escapes(miss, reject), escapes(missLow, rejectLow), escapes(missHigh, rejectHigh)], whole)} would be defective.`);
    return undefined;
  }

  function units(limit) {
    const moved = data.limits.filter(([, , , high]) => high !== null).slice(0, 6)
      .map(([region, score, typical, high]) => `${score}${region === "whole" ? "" : ` in ${region}`} ${four(typical + limit * (high - typical))}`);
    say("units", moved.length ? `In the scores' own units, the chosen limit is: ${moved.join("; ")}.` : "");
  }

  let limit = 1;
  let redraw = () => {};

  function show(next) {
    if (!Number.isFinite(next)) return;
    limit = next;
    const state = outcome(limit);
    byId("slide").value = String(Math.round(share(limit) * 1000));
    if (document.activeElement !== byId("exact")) byId("exact").value = String(Number(limit.toFixed(4)));
    tell(1, state);
    predictive(state);
    units(limit);
    redraw(limit, state);
  }

  // The middle between the last severity on one side and the next on the other, so that no image sits on the limit.
  function between(keepBelow, keepAbove) {
    if (keepBelow === -Infinity) return keepAbove - 0.01;
    if (keepAbove === Infinity) return keepBelow + 0.01;
    return (keepBelow + keepAbove) / 2;
  }
  const severities = (defect) => data.severity.filter((_, index) => isDefect[index] === defect && !unjudged.has(index));
  const jumps = {
    bundle: () => 1,
    best: () => data.best,
    "no-miss": () => {
      const first = lowest(severities(true), Infinity);
      return between(highest(known.filter((severity) => severity < first), -Infinity), first);
    },
    "no-reject": () => {
      const last = highest(severities(false), -Infinity);
      return between(last, lowest(known.filter((severity) => severity > last), Infinity));
    },
  };

  // A click on a panel shows all panels of its image enlarged; where the map is, it can be faded over the original.
  function enlarge(example) {
    const holder = byId("closer-panels"), figures = [...example.querySelectorAll(".panels figure")];
    holder.replaceChildren(...figures.map((figure) => figure.cloneNode(true)));
    byId("closer-title").textContent = example.querySelector(".file").textContent;
    const caption = (figure) => figure.querySelector("figcaption").textContent;
    const original = figures.find((figure) => caption(figure) === "original");
    const map = figures.find((figure) => caption(figure) === "anomaly map");
    if (original && map) {
      const figure = original.cloneNode(true), above = map.querySelector("img").cloneNode(true);
      const slide = Object.assign(document.createElement("input"), {type: "range", min: 0, max: 100, value: 40});
      const stack = document.createElement("div");
      stack.className = "stack";
      stack.append(figure.querySelector("img"), above);
      slide.setAttribute("aria-label", "opacity of the map");
      slide.addEventListener("input", () => { above.style.opacity = String(slide.value / 100); });
      above.style.opacity = "0.4";
      figure.prepend(stack);
      figure.querySelector("figcaption").textContent = "map over original ";
      figure.querySelector("figcaption").appendChild(slide);
      holder.appendChild(figure);
    }
    byId("closer").showModal();
  }

  function drawAll() {
    const histogram = drawHistogram(), curves = drawCurves(), strip = drawStrip();
    redraw = (next, state) => { histogram(next); curves.forEach((move) => move(state)); strip(next, state); };
  }

  function fromAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (asked.has("prevalence")) byId("prevalence").value = asked.get("prevalence");
    return asked.has("limit") && asked.get("limit") !== "" ? Number(asked.get("limit")) : 1;
  }

  byId("live").hidden = false;
  document.querySelectorAll(".scripted").forEach((node) => { node.hidden = false; });
  say("axis-note", `${wide ? "The scale is logarithmic beyond 1." : ""}${unjudged.size ? " What could not be judged stands at the right end." : ""}`);
  byId("slide").addEventListener("input", () => show(unbend(from + (Number(byId("slide").value) / 1000) * (to - from))));
  byId("exact").addEventListener("input", () => { if (byId("exact").value !== "") show(Number(byId("exact").value)); });
  byId("prevalence").addEventListener("input", () => predictive(outcome(limit)));
  document.querySelectorAll("button[data-go]").forEach((button) => {
    const target = jumps[button.dataset.go]();
    button.disabled = target === null || !Number.isFinite(target);
    button.addEventListener("click", () => { byId("exact").blur(); show(target); });
  });
  document.querySelectorAll(".example .panels").forEach((panels) => {
    panels.addEventListener("click", () => enlarge(panels.closest(".example")));
    panels.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); enlarge(panels.closest(".example")); }
    });
    panels.classList.add("opens");
    panels.tabIndex = 0;
    panels.setAttribute("role", "button");
    panels.setAttribute("aria-label", "enlarge");
  });
  window.addEventListener("hashchange", () => show(fromAddress()));
  let wasNarrow = narrow();
  window.addEventListener("resize", () => {
    if (narrow() !== wasNarrow) { wasNarrow = narrow(); drawAll(); show(limit); }
  });
  drawAll();
  tell(0, outcome(1));
  show(fromAddress());
})();
