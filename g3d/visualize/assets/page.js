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
    this.asked = data.frames.every((f) => f.expression); // sentences, not detection
    this.state = { frame: 0, threshold: data.threshold, truth: true, boxes2d: this.asked, labels: true, map: "", filter: "", selected: null };
    this.panels = [];
  }

  get frame() { return this.data.frames[this.state.frame]; }
  get picture() { return this.data.pictures[this.frame.image]; }

  // Numbers of the frames whose name or sentence has all words of the filter.
  get matching() {
    const words = this.state.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = ({ name, expression }) => words.every((word) => `${name} ${expression ?? ""}`.toLowerCase().includes(word));
    return this.data.frames.flatMap((f, k) => (matches(f) ? [k] : []));
  }

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

  // The number of the next frame that matches the filter, or of the one before; undefined where there is none.
  next(by) {
    const { frame } = this.state;
    return by > 0 ? this.matching.find((k) => k > frame) : this.matching.findLast((k) => k < frame);
  }

  step(by) {
    const to = this.next(by);
    if (to !== undefined) this.set({ frame: to });
  }

  find(filter) {
    this.set({ filter });
    const { matching } = this;
    if (matching.length && !matching.includes(this.state.frame)) this.set({ frame: matching[0] });
  }
};

G3D.label = (object) => [object.class, object.score?.toFixed(2), `${object.distance.toFixed(0)} m`].filter(Boolean).join("  ");

G3D.toolbar = (page) => {
  const $ = (id) => document.getElementById(id);
  const { frames } = page.data;
  $("scores").hidden = page.data.labels_only || (page.asked && frames.every((f) => f.predictions.length < 2)); // the one answer is shown however sure it is
  const scores = frames.flatMap((f) => f.predictions.map((o) => o.score));
  const slider = $("threshold");
  slider.min = Math.min(0, Math.floor(Math.min(...scores, 0)));
  slider.max = Math.max(1, Math.ceil(Math.max(...scores, 1)));
  slider.step = (slider.max - slider.min) / 100;
  slider.value = page.state.threshold;
  slider.addEventListener("input", () => page.set({ threshold: Number(slider.value) }));
  const title = ({ name, expression }) => (expression ? `${name} – ${expression.length > 90 ? `${expression.slice(0, 88)}…` : expression}` : name);
  const options = frames.map((f, k) => G3D.make("option", { value: k }, title(f)));
  $("frame").addEventListener("change", (event) => page.set({ frame: Number(event.target.value) }));
  $("previous").addEventListener("click", () => page.step(-1));
  $("next").addEventListener("click", () => page.step(1));
  $("find").hidden = !frames.some((f) => f.expression);
  $("filter").addEventListener("input", (event) => page.find(event.target.value));
  const maps = Object.keys(page.data.maps).filter((name) => frames.some((f) => f.maps[name]));
  $("maps").hidden = !maps.length;
  $("map").append(...maps.map((name) => G3D.make("option", { value: name }, page.data.maps[name].title.toLowerCase())));
  $("map").addEventListener("change", (event) => page.set({ map: event.target.value }));
  const nextMap = () => page.set({ map: ["", ...maps][(maps.indexOf(page.state.map) + 2) % (maps.length + 1)] });
  const switches = { "show-truth": "truth", "show-boxes2d": "boxes2d", "show-labels": "labels" };
  for (const [id, name] of Object.entries(switches)) $(id).addEventListener("change", (event) => page.set({ [name]: event.target.checked }));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input[type=range], input[type=search], canvas")) return;
    if (event.key === "ArrowLeft") page.step(-1);
    else if (event.key === "ArrowRight") page.step(1);
    else if (event.key === "g") $("show-truth").click();
    else if (event.key === "b") $("show-boxes2d").click();
    else if (event.key === "l") $("show-labels").click();
    else if (event.key === "m" && maps.length) nextMap();
    else if (event.key === "Escape") page.set({ selected: null });
  });
  return {
    update(state, changed) {
      const { matching } = page;
      if (changed.includes("filter")) $("frame").replaceChildren(...matching.map((k) => options[k]));
      $("frame").value = state.frame;
      $("previous").disabled = page.next(-1) === undefined;
      $("next").disabled = page.next(1) === undefined;
      const place = matching.indexOf(state.frame);
      $("position").textContent = place < 0 ? "none found" : `${place + 1} of ${matching.length}`;
      $("show-boxes2d").checked = state.boxes2d;
      $("map").value = state.map;
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
  const heading = make("h2");
  root.append(make("div", { class: "head" }, heading, count), make("div", { class: "scroll" }, none, table));

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
        heading.textContent = page.data.labels_only ? "Labels" : frame.expression ? "Answer" : "Detections";
        const labelled = frame.truth ? `${frame.truth.length} labelled` : "";
        count.textContent = page.data.labels_only ? labelled : frame.iou !== null ? `3D IoU with the label ${frame.iou.toFixed(2)}`
          : [`${found} of ${frame.predictions.length} shown`, labelled].filter(Boolean).join(", ");
        table.hidden = !shown.length;
        none.textContent = frame.predictions.length ? "All detections score below the threshold." : "Nothing was found in this frame.";
        none.hidden = found > 0 || page.data.labels_only;
      }
      for (const line of rows.children) line.classList.toggle("selected", line.dataset.id === state.selected);
      if (changed.includes("selected")) rows.querySelector(".selected")?.scrollIntoView({ block: "nearest" });
    },
  };
};

// All sentences about the image that is shown; a click shows the answer to another one.
G3D.panels.sentences = (root, page) => {
  const { make } = G3D;
  const list = make("ol");
  const count = make("span", { class: "quiet" });
  root.append(make("div", { class: "head" }, make("h2", {}, "Sentences about this image"), count), list);

  const entry = ([frame, k]) => {
    const object = page.data.labels_only ? frame.truth?.[0] : frame.predictions[0];
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = object ? page.data.colours[object.class][page.dark.matches ? 0 : 1] : "transparent";
    const answer = [object ? G3D.label(object) : "nothing found", frame.iou !== null && `IoU ${frame.iou.toFixed(2)}`].filter(Boolean).join("  ");
    const button = make("button", { type: "button", "data-frame": k },
      swatch, make("span", { class: "words" }, frame.expression), make("span", { class: "answer" }, answer));
    button.addEventListener("click", () => page.set({ frame: k }));
    return make("li", {}, button);
  };

  let shown; // the image whose sentences are listed
  return {
    update(state, changed) {
      const { frame, data, matching } = page;
      const asked = data.frames.map((f, k) => [f, k]).filter(([f]) => f.image === frame.image && f.expression);
      root.hidden = asked.length < 2;
      if (root.hidden) return;
      if (shown !== frame.image || changed.includes("theme")) {
        list.replaceChildren(...asked.map(entry));
        shown = frame.image;
      }
      count.textContent = `${asked.findIndex(([, k]) => k === state.frame) + 1} of ${asked.length}`;
      for (const button of list.querySelectorAll("button")) {
        const k = Number(button.dataset.frame);
        button.setAttribute("aria-pressed", k === state.frame);
        button.classList.toggle("aside", !matching.includes(k));
        if (k === state.frame && changed.includes("frame")) keepInView(list, button);
      }
    },
  };

  // Scrolls the list, never the page.
  function keepInView(box, item) {
    const top = item.parentElement.offsetTop - box.offsetTop;
    const bottom = top + item.offsetHeight;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
  }
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
  const count = (items, word) => `${items.length.toLocaleString("en")} ${word}${items.length === 1 ? "" : "s"}`;
  document.getElementById("title").textContent = data.title;
  document.getElementById("summary").textContent = page.asked
    ? `${count([...new Set(data.frames.map((f) => f.image))], "image")}, ${count(data.frames, "sentence")}`
    : `${count(data.frames, "frame")}, ${data.labels_only ? count(data.frames.flatMap((f) => f.truth ?? []), "label")
      : count(data.frames.flatMap((f) => f.predictions), "detection")}`;
  const keys = [["←", "→"], "frames, ", ["G"], "ground truth, ", ["B"], "2D boxes, ", ["L"], "labels",
    ...(data.frames.some((f) => Object.keys(f.maps).length) ? [", ", ["M"], "maps"] : [])];
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
