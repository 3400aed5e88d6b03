"use strict";
// State, toolbar, and the panels that need no file of their own. A panel is a function (root, page) that builds its section and returns
// { update(state, changed) }; it is called once per change, `changed` being the names of the state's fields that differ. To add a panel,
// write `G3D.panels.name = ...` in a file of its own and a <section data-panel="name"> in page.html.

const G3D = { panels: {} };

// A small element builder: make("p", { class: "x" }, "words", child, ...). Words are always set as text, never as HTML.
G3D.make = (tag, attributes = {}, ...children) => {
  const svg = ["svg", "g", "line", "rect", "polygon", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

G3D.Page = class {
  constructor(data) {
    this.data = data;
    this.dark = window.matchMedia("(prefers-color-scheme: dark)");
    this.state = { frame: 0, threshold: data.threshold, truth: true, boxes2d: false, labels: true, selected: null };
    this.panels = [];
  }

  get frame() { return this.data.frames[this.state.frame]; }

  // What the present settings show of this frame: predictions, then labels.
  get shown() {
    const { threshold, truth } = this.state;
    return [...this.frame.predictions.filter((o) => o.score >= threshold), ...(truth ? this.frame.truth ?? [] : [])];
  }

  colour(object, deep = false) {
    if (object.truth) return this.data.truth_colour[deep ? 1 : 0];
    return this.data.colours[object.class][deep ? 1 : 0];
  }

  set(changes) {
    const changed = Object.keys(changes).filter((name) => this.state[name] !== changes[name]);
    if (!changed.length) return;
    Object.assign(this.state, changes);
    if (changed.includes("frame")) this.state.selected = null;
    this.update(changed);
  }

  update(changed) {
    for (const panel of this.panels) panel.update(this.state, changed);
  }

  step(by) {
    const to = this.state.frame + by;
    if (to >= 0 && to < this.data.frames.length) this.set({ frame: to });
  }
};

G3D.label = (object) => [object.class, object.score?.toFixed(2), `${object.distance.toFixed(0)} m`].filter(Boolean).join("  ");

G3D.toolbar = (page) => {
  const $ = (id) => document.getElementById(id);
  const { frames } = page.data;
  const scores = frames.flatMap((f) => f.predictions.map((o) => o.score));
  const slider = $("threshold");
  slider.min = Math.min(0, Math.floor(Math.min(...scores, 0)));
  slider.max = Math.max(1, Math.ceil(Math.max(...scores, 1)));
  slider.step = (slider.max - slider.min) / 100;
  slider.value = page.state.threshold;
  slider.addEventListener("input", () => page.set({ threshold: Number(slider.value) }));
  $("frame").append(...frames.map((f, k) => G3D.make("option", { value: k }, f.expression ? `${f.name} – ${f.expression}` : f.name)));
  $("frame").addEventListener("change", (event) => page.set({ frame: Number(event.target.value) }));
  $("previous").addEventListener("click", () => page.step(-1));
  $("next").addEventListener("click", () => page.step(1));
  const switches = { "show-truth": "truth", "show-boxes2d": "boxes2d", "show-labels": "labels" };
  for (const [id, name] of Object.entries(switches)) $(id).addEventListener("change", (event) => page.set({ [name]: event.target.checked }));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input[type=range], canvas")) return;
    if (event.key === "ArrowLeft") page.step(-1);
    else if (event.key === "ArrowRight") page.step(1);
    else if (event.key === "g") $("show-truth").click();
    else if (event.key === "b") $("show-boxes2d").click();
    else if (event.key === "l") $("show-labels").click();
    else if (event.key === "Escape") page.set({ selected: null });
  });
  return {
    update(state) {
      $("frame").value = state.frame;
      $("previous").disabled = state.frame === 0;
      $("next").disabled = state.frame === frames.length - 1;
      $("position").textContent = `${state.frame + 1} of ${frames.length}`;
      $("threshold-value").textContent = state.threshold.toFixed(2);
      $("show-truth").disabled = !page.frame.truth;
    },
  };
};

G3D.panels.objects = (root, page) => {
  const { make } = G3D;
  const count = make("span", { class: "quiet", id: "count" });
  const rows = make("tbody");
  const columns = [["Class"], ["Score"], ["Distance"], ["Size h × w × l", "wide"], ["Heading", "wide"]];
  const head = make("tr", {}, ...columns.map(([words, kind = ""]) => make("th", { scope: "col", class: kind }, words)));
  const table = make("table", {}, make("thead", {}, head), rows);
  const none = make("p", { class: "none" });
  root.append(make("div", { class: "head" }, make("h2", {}, "Detections"), count), make("div", { class: "scroll" }, none, table));

  const row = (object) => {
    const colour = page.colour(object, !page.dark.matches);
    const swatch = make("span", { class: `swatch ${object.truth ? "truth" : ""}` });
    const score = make("td");
    if (!object.truth) {
      swatch.style.background = colour;
      const bar = make("i");
      bar.style.cssText = `background:${colour};width:${100 * Math.min(1, Math.max(0, object.score))}%`;
      score.append(make("span", { class: "bar" }, bar), object.score.toFixed(2));
    } else score.append("label");
    const line = make("tr", { tabindex: 0, class: object.truth ? "truth" : "found", "data-id": object.id },
      make("td", {}, swatch, object.class), score, make("td", {}, `${object.distance.toFixed(1)} m`),
      make("td", { class: "wide" }, object.size ? object.size.map((v) => v.toFixed(2)).join(" × ") : "–"),
      make("td", { class: "wide" }, object.size ? `${object.heading.toFixed(0)}°` : "–"));
    const select = () => page.set({ selected: page.state.selected === object.id ? null : object.id });
    line.addEventListener("click", select);
    line.addEventListener("keydown", (event) => event.key === "Enter" && select());
    return line;
  };

  return {
    update(state, changed) {
      if (changed.some((name) => ["frame", "threshold", "truth", "theme"].includes(name))) {
        const { shown, frame } = page;
        const found = shown.filter((o) => !o.truth).length;
        rows.replaceChildren(...shown.map(row));
        count.textContent = `${found} of ${frame.predictions.length} shown` + (frame.truth ? `, ${frame.truth.length} labelled` : "");
        table.hidden = !shown.length;
        none.textContent = frame.predictions.length ? "All detections score below the threshold." : "Nothing was found in this frame.";
        none.hidden = found > 0;
      }
      for (const line of rows.children) line.classList.toggle("selected", line.dataset.id === state.selected);
      if (changed.includes("selected")) rows.querySelector(".selected")?.scrollIntoView({ block: "nearest" });
    },
  };
};

G3D.panels.figures = (root, page) => {
  const { make } = G3D;
  const { table } = page.data;
  if (table) {
    const several = table.rows.some((r) => r.lines.length > 1);
    const figure = (value, sign = "") => make("td", {}, value === null ? "–" : sign + value.toFixed(2));
    const body = make("tbody");
    let group = "";
    for (const { group: name, label, lines } of table.rows) {
      if (name && name !== group) body.append(make("tr", { class: "group" }, make("td", { colspan: table.columns.length + 2 }, name)));
      group = name;
      lines.forEach((line, k) => body.append(make("tr", { class: k ? "aside" : "begins" }, make("td", {}, k ? "" : label),
        ...(several ? [make("td", { class: "first" }, line.name)] : []), ...line.values.map((value) => figure(value)))));
    }
    const tabulate = (columns, rows) => {
      const head = make("tr", {}, ...columns.map((words) => make("th", { scope: "col" }, words)));
      return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), rows));
    };
    const parts = [make("div", {}, make("h2", {}, table.title), tabulate(["", ...(several ? [""] : []), ...table.columns], body))];
    if (table.published) {
      const beside = make("tbody");
      for (const [name, measured, expected] of table.published.figures) {
        const difference = measured === null || expected === null ? null : measured - expected;
        beside.append(make("tr", { class: "begins" }, make("td", {}, name), figure(measured), figure(expected), figure(difference, difference > 0 ? "+" : "")));
      }
      parts.push(make("div", {}, make("h2", {}, "Measured and published"), tabulate(["", "measured", "published", "difference"], beside),
        make("p", { class: "note" }, `Published: ${table.published.source}`)));
    }
    root.append(make("div", { class: "tables" }, ...parts), ...table.notes.map((words) => make("p", { class: "note" }, words)));
  }
  return { update() {} };
};

G3D.start = () => {
  const { make } = G3D;
  const data = JSON.parse(document.getElementById("data").textContent);
  const page = new G3D.Page(data);
  for (const frame of data.frames) {
    frame.predictions.forEach((object, k) => { object.id = `found-${k}`; });
    frame.truth?.forEach((object, k) => { object.id = `truth-${k}`; object.truth = true; });
  }
  const total = data.frames.reduce((sum, f) => sum + f.predictions.length, 0);
  const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
  document.getElementById("title").textContent = data.title;
  document.getElementById("summary").textContent = `${plural(data.frames.length, "frame")}, ${plural(total, "detection")}`;
  const keys = [["←", "→"], "frames, ", ["G"], "ground truth, ", ["B"], "2D boxes, ", ["L"], "labels"];
  document.getElementById("footer").append(
    ...data.notes.map((words) => make("p", {}, words)),
    make("p", {}, ...keys.flatMap((key) => (Array.isArray(key) ? key.flatMap((k) => [make("kbd", {}, k), " "]) : [key]))));
  const wanted = data.frames.findIndex((f) => f.name === decodeURIComponent(location.hash.slice(1)));
  if (wanted > 0) page.state.frame = wanted;
  page.panels.push(G3D.toolbar(page));
  for (const section of document.querySelectorAll("[data-panel]")) page.panels.push(G3D.panels[section.dataset.panel](section, page));
  page.update(Object.keys(page.state));
  page.dark.addEventListener("change", () => page.update(["theme"]));
};

document.addEventListener("DOMContentLoaded", G3D.start);
