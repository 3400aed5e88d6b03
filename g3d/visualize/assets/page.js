"use strict";
// The framework of all pages: state, toolbar, list of items, search, filter, keys, addresses, and the panels that every view has.
//
// A view (image.js, scene.js) registers itself as G3D.views.name with
//   state(page): its own fields of the state;         panels: names of panels, in rows;
//   switches: [{ name, words, key, when(page) }];     columns(page): columns of the list of objects, see objects.js;
//   summary(page): text for the header;               start(page): optional, called once before the panels are built;
//   passes(page, object): optional, false for objects that the view's own settings hide.
// A panel is a function (root, page) that fills its section and returns { update(state, changed) }; it is called once per change, with
// `changed` the names of the fields of the state that differ. Panels are in G3D.panels by name.

const G3D = { panels: {}, views: {} };

// Build an element: make("p", { class: "x" }, "words", child, ...). Strings are always set as text, never as HTML.
G3D.make = (tag, attributes = {}, ...children) => {
  const svg = ["svg", "g", "line", "rect", "polygon", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

G3D.count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

// Return name, score and, if known, distance of an object.
G3D.label = (object) => [object.class, object.score?.toFixed(2), object.distance !== undefined && `${object.distance.toFixed(0)} m`].filter(Boolean).join("  ");

// Scroll a list so that an entry of it is visible, never the page; `covered` is the height of a heading that sticks to its top.
G3D.keepInView = (list, entry, covered = 0) => {
  const [outer, inner] = [list.getBoundingClientRect(), entry.getBoundingClientRect()];
  if (inner.top < outer.top + covered) list.scrollTop -= outer.top + covered - inner.top;
  else if (inner.bottom > outer.bottom) list.scrollTop += inner.bottom - outer.bottom;
};

G3D.Page = class {
  constructor(data) {
    this.data = data;
    this.items = data.items;
    this.view = G3D.views[data.view];
    this.dark = window.matchMedia("(prefers-color-scheme: dark)");
    this.asked = this.items.every((item) => item.expression); // sentences, not detection
    for (const item of this.items) this.prepare(item);
    this.state = { item: 0, threshold: data.threshold, truth: true, search: "", filter: "all", selected: null, hovered: null };
    Object.assign(this.state, this.view.state(this));
    this.panels = [];
  }

  // Give each object an id, and mark the best answer to a sentence, which is shown whatever its score.
  prepare(item) {
    item.predictions.forEach((object, k) => { object.id = `found-${k}`; });
    item.truth?.forEach((object, k) => { object.id = `truth-${k}`; object.truth = true; });
    if (!item.expression || this.data.view !== "image" || !item.predictions.length) return;
    item.predictions.reduce((best, object) => (object.score > best.score ? object : best)).answer = true;
  }

  get item() { return this.items[this.state.item]; }

  found(item) { return item.predictions.filter((o) => o.answer || o.score === undefined || o.score >= this.state.threshold); }

  // Return the objects of this item that the current settings show: predictions, then labels.
  get shown() {
    const objects = [...this.found(this.item), ...(this.state.truth ? this.item.truth ?? [] : [])];
    return this.view.passes ? objects.filter((object) => this.view.passes(this, object)) : objects;
  }

  // Return the numbers of the items that pass the filter and whose name or sentence contains all words of the search.
  get matching() {
    const words = this.state.search.toLowerCase().split(/\s+/).filter(Boolean);
    const passes = G3D.filters[this.state.filter];
    const matches = (item) => {
      const text = `${item.name} ${item.expression ?? ""}`.toLowerCase();
      return passes(item, this) && words.every((word) => text.includes(word));
    };
    return this.items.flatMap((item, k) => (matches(item) ? [k] : []));
  }

  set(changes) {
    const changed = Object.keys(changes).filter((name) => this.state[name] !== changes[name]);
    if (!changed.length) return;
    Object.assign(this.state, changes);
    const { selected } = this.state;
    if (selected !== null && (changed.includes("item") || !this.shown.some((object) => object.id === selected))) {
      this.state.selected = null;
      if (!changed.includes("selected")) changed.push("selected");
    }
    this.update(changed);
    if (changed.includes("item")) location.replace(G3D.address(this.item.name));
  }

  update(changed) {
    for (const panel of this.panels) panel.update(this.state, changed);
  }

  // Return the number of the next or previous matching item; undefined if there is none.
  next(by) {
    const { item } = this.state;
    return by > 0 ? this.matching.find((k) => k > item) : this.matching.findLast((k) => k < item);
  }

  step(by) {
    const to = this.next(by);
    if (to !== undefined) this.set({ item: to });
  }

  // Change search or filter, and go to the first matching item if the current one does not match.
  narrow(changes) {
    this.set(changes);
    const { matching } = this;
    if (matching.length && !matching.includes(this.state.item)) this.set({ item: matching[0] });
  }

  // Go to the item that the page's address names; show a message if it is not on the page.
  follow() {
    const name = G3D.named(location.hash);
    const wanted = name === null ? -1 : this.items.findIndex((item) => item.name === name);
    const missing = document.getElementById("missing");
    missing.hidden = name === null || wanted >= 0;
    missing.textContent = missing.hidden ? "" : `This page has no item “${name}”.`;
    if (wanted >= 0) this.set({ item: wanted });
  }
};

G3D.filters = {
  all: () => true,
  right: (item) => item.right === true,
  wrong: (item) => item.right === false,
  answered: (item, page) => page.found(item).length > 0,
  empty: (item, page) => page.found(item).length === 0,
};

// Return an item's address, and the name in an address, null if there is none.
G3D.address = (name) => `#item=${encodeURIComponent(name)}`;
G3D.named = (hash) => {
  if (!hash.startsWith("#item=")) return null;
  try {
    return decodeURIComponent(hash.slice("#item=".length));
  } catch (error) {
    if (error instanceof URIError) return hash.slice("#item=".length); // an address that this page has not made
    throw error;
  }
};

G3D.toolbar = (page) => {
  const $ = (id) => document.getElementById(id);
  const { make } = G3D;
  const { items, data, view } = page;
  const several = items.length > 1;
  $("steps").hidden = $("find").hidden = !several;
  const things = page.asked ? "an answer" : "detections";
  const judged = items.some((item) => item.right !== null);
  const choices = [["all", "all"], ...(judged ? [["right", "right"], ["wrong", "wrong"]] : []), ["answered", `with ${things}`], ["empty", `without ${things}`]];
  $("filter").append(...choices.map(([value, words]) => make("option", { value }, words)));
  $("choose").hidden = !several || data.labels_only;
  $("filter").addEventListener("change", (event) => page.narrow({ filter: event.target.value }));
  $("search").addEventListener("input", (event) => page.narrow({ search: event.target.value }));
  $("search").addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      $("search").value = "";
      page.narrow({ search: "" });
    }
    if (event.key === "Escape" || event.key === "Enter") $("search").blur();
  });
  $("previous").addEventListener("click", () => page.step(-1));
  $("next").addEventListener("click", () => page.step(1));

  const scores = items.flatMap((item) => item.predictions.flatMap((o) => (o.score === undefined ? [] : [o.score])));
  $("scores").hidden = data.labels_only || !scores.length || (page.asked && items.every((item) => item.predictions.length < 2));
  const slider = $("threshold");
  slider.min = Math.floor(scores.reduce((a, b) => Math.min(a, b), 0));
  slider.max = Math.ceil(scores.reduce((a, b) => Math.max(a, b), 1));
  slider.step = (slider.max - slider.min) / 100;
  slider.value = page.state.threshold;
  slider.addEventListener("input", () => page.set({ threshold: Number(slider.value) }));

  const keys = {};
  const switches = view.switches.filter(({ when }) => when(page)).map(({ name, words, key }) => {
    const box = make("input", { id: `show-${name}`, type: "checkbox" });
    box.addEventListener("change", () => page.set({ [name]: box.checked }));
    keys[key] = () => box.click();
    $("switches").append(make("label", {}, box, words));
    return [name, box];
  });
  $("switches").append(...(view.controls?.(page, keys) ?? []));
  const bar = $("switches").parentElement; // the list of items sticks below it
  new ResizeObserver(() => document.documentElement.style.setProperty("--toolbar", `${bar.offsetHeight}px`)).observe(bar);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input[type=range], input[type=search], canvas")) return;
    const inList = event.target.closest("#items");
    if (event.key === "ArrowLeft" || event.key === "k" || (inList && event.key === "ArrowUp")) page.step(-1);
    else if (event.key === "ArrowRight" || event.key === "j" || (inList && event.key === "ArrowDown")) page.step(1);
    else if (event.key === "/" && several) $("search").focus();
    else if (event.key === "Escape") page.set({ selected: null });
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  });
  G3D.footer(page);
  return {
    update(state, changed) {
      if (changed.every((name) => name === "hovered")) return;
      const { matching } = page;
      $("previous").disabled = page.next(-1) === undefined;
      $("next").disabled = page.next(1) === undefined;
      const place = matching.indexOf(state.item);
      $("position").textContent = place < 0 ? "none found" : `${place + 1} of ${matching.length}`;
      $("threshold-value").textContent = state.threshold.toFixed(2);
      for (const [name, box] of switches) {
        box.checked = state[name];
        box.disabled = name === "truth" && !page.item.truth;
      }
    },
  };
};

// Notes, and the keyboard shortcuts of this page.
G3D.footer = (page) => {
  const { make } = G3D;
  const { view, items } = page;
  const steps = items.length > 1 ? [[["←", "→"], "or", ["k", "j"], "Step"], [["/"], "Search"]] : [];
  const keys = [...steps, ...view.switches.filter(({ when }) => when(page)).map(({ key, words }) => [[key], words]), ...(view.keys?.(page) ?? [])];
  const parts = keys.map((parts) => make("span", {}, ...parts.flatMap((part) => (Array.isArray(part) ? part.flatMap((key) => [make("kbd", {}, key), " "]) : [`${part} `]))));
  document.getElementById("footer").append(...page.data.notes.map((words) => make("p", {}, words)), make("p", { class: "keys" }, ...parts));
};

// The list of all items: a click shows one.
G3D.list = (root, page) => {
  const { make } = G3D;
  const { items, data } = page;
  root.hidden = items.length < 2;
  document.querySelector(".body").classList.toggle("single", root.hidden);
  const list = make("ol");
  const none = make("p", { class: "none quiet", hidden: "" }, "No item matches.");
  root.append(none, list);

  const answer = (item) => {
    if (!item.expression) return data.labels_only ? G3D.count(item.truth?.length ?? 0, "label") : G3D.count(item.predictions.length, "detection");
    const object = data.labels_only ? item.truth?.[0] : item.predictions.find((o) => o.answer) ?? item.predictions[0];
    if (!object) return "no such object";
    return item.iou === null ? G3D.label(object) : `IoU ${item.iou.toFixed(2)}`;
  };
  const entries = items.map((item, k) => {
    const mark = make("span", { class: "mark", title: item.right === null ? "" : item.right ? "right" : "wrong" }, item.right === null ? "" : item.right ? "✓" : "✗");
    if (item.right !== null) mark.classList.add(item.right ? "right" : "wrong");
    const button = make("button", { type: "button", "data-item": k }, mark, make("span", { class: "name" }, item.name), make("span", { class: "answer" }, answer(item)),
      ...(item.expression ? [make("span", { class: "words" }, item.expression)] : []));
    button.addEventListener("click", () => page.set({ item: k }));
    const entry = make("li", { "data-group": item.group }, button);
    if (k && items[k - 1].group !== item.group && page.asked) entry.classList.add("begins");
    return entry;
  });
  list.append(...entries);

  return {
    update(state, changed) {
      if (root.hidden) return;
      if (changed.some((name) => ["search", "filter", "threshold"].includes(name))) {
        const matching = new Set(page.matching);
        entries.forEach((entry, k) => { entry.hidden = !matching.has(k); });
        none.hidden = matching.size > 0;
      }
      if (!changed.includes("item")) return;
      list.querySelector("[aria-current]")?.removeAttribute("aria-current");
      entries[state.item].firstChild.setAttribute("aria-current", "true");
      G3D.keepInView(root, entries[state.item]);
    },
  };
};

G3D.panels.figures = (root, page) => {
  const { make } = G3D;
  const { table } = page.data;
  if (table) {
    const several = table.rows.some((r) => r.lines.length > 1);
    const body = make("tbody");
    let group = "";
    for (const { group: name, label, lines } of table.rows) {
      if (name && name !== group) body.append(make("tr", { class: "group" }, make("td", { colspan: table.columns.length + 2 }, name)));
      group = name;
      lines.forEach((line, k) => body.append(make("tr", { class: k ? "aside" : "begins" }, make("td", {}, k ? "" : label),
        ...(several ? [make("td", { class: "first" }, line.name)] : []), ...line.values.map((value) => make("td", {}, value === null ? "–" : value.toFixed(2))))));
    }
    const head = make("tr", {}, ...["", ...(several ? [""] : []), ...table.columns].map((words) => make("th", { scope: "col" }, words)));
    const whole = make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), body));
    root.append(make("h2", {}, table.title), whole, ...table.notes.map((words) => make("p", { class: "note" }, words)));
  }
  return { update() {} };
};

G3D.start = () => {
  const { make } = G3D;
  const page = G3D.page = new G3D.Page(JSON.parse(document.getElementById("data").textContent));
  const { view, data } = page;
  document.body.dataset.view = data.view;
  view.start?.(page);
  document.getElementById("title").textContent = data.title;
  document.getElementById("summary").textContent = view.summary(page);
  page.panels.push(G3D.toolbar(page), G3D.list(document.getElementById("items"), page));
  const main = document.getElementById("main");
  for (const row of [...view.panels, ["figures"]]) {
    const sections = row.map((name) => make("section", { class: `panel ${name}`, "data-panel": name, "aria-label": view.names[name] ?? "Figures" }));
    main.append(...(sections.length > 1 ? [make("div", { class: "columns" }, ...sections)] : sections));
    sections.forEach((section, k) => page.panels.push(G3D.panels[row[k]](section, page)));
  }
  page.update(Object.keys(page.state));
  page.follow();
  window.addEventListener("hashchange", () => page.follow());
  page.dark.addEventListener("change", () => page.update(["theme"]));
};

document.addEventListener("DOMContentLoaded", G3D.start);
