"use strict";
// The list of an item's objects: rows with the columns that the view chooses, and a filter by class for views that offer one.

// Columns of the list of objects that views choose from: { title, cell(object, page), room }; columns with room "wide" and "widest" are
// hidden in a narrow list.
G3D.columns = {
  name: (title) => ({ title, cell: (object, page) => [G3D.swatch(object, page), object.class] }),
  score: { title: "Score", cell: (object, page) => G3D.score(object, page) },
  iou: { title: "IoU", cell: (object) => [object.iou === undefined ? "–" : object.iou.toFixed(2)] },
};

G3D.swatch = (object, page) => {
  const swatch = G3D.make("span", { class: "swatch" });
  if (object.truth && page.view.outlined) swatch.classList.add("truth");
  else swatch.style.background = page.view.colour(page, object, !page.dark.matches);
  return swatch;
};

G3D.score = (object, page) => {
  if (object.score === undefined) return [object.truth ? "label" : "–"];
  const bar = G3D.make("i");
  bar.style.cssText = `background:${page.view.colour(page, object, !page.dark.matches)};width:${100 * Math.min(1, Math.max(0, object.score))}%`;
  return [G3D.make("span", { class: "bar" }, bar), object.score.toFixed(2)];
};

G3D.panels.objects = (root, page) => {
  const { make } = G3D;
  const { data, view } = page;
  const columns = view.columns(page);
  const [heading, badge, count, rows] = [make("h2"), make("span", { id: "verdict", class: "badge" }), make("span", { class: "quiet", id: "count" }), make("tbody")];
  const kind = ({ room }) => (room ? { class: room } : {});
  const head = make("tr", {}, ...columns.map((column) => make("th", { scope: "col", ...kind(column) }, column.title)));
  const table = make("table", {}, make("thead", {}, head), rows);
  const [none, label, rule] = [make("p", { class: "none" }), make("p", { class: "blank" }, "The label says: no such object."), make("p", { class: "rule quiet" })];
  const list = make("div", { class: "scroll" }, none, table, label);
  const choice = G3D.classChoice(page);
  root.append(make("div", { class: "head" }, heading, badge, count), choice.element, list, rule);

  const row = (object) => {
    const line = make("tr", { tabindex: 0, class: object.truth ? "truth" : "found", "data-id": object.id },
      ...columns.map((column) => make("td", kind(column), ...column.cell(object, page))));
    line.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && page.set({ hovered: object.id }));
    line.addEventListener("pointerleave", () => page.set({ hovered: null }));
    const select = () => page.set({ selected: page.state.selected === object.id ? null : object.id });
    line.addEventListener("click", select);
    line.addEventListener("keydown", (event) => event.key === "Enter" && select());
    return line;
  };

  const counted = (item, found) => {
    const labelled = item.truth ? `${item.truth.length} labelled` : "";
    if (data.labels_only) return labelled;
    if (item.iou !== null) return `${item.measure} with the label ${item.iou.toFixed(2)}`;
    if (item.predictions.some((o) => o.score !== undefined) || view.detects(page)) return [`${found} of ${item.predictions.length} shown`, labelled].filter(Boolean).join(", ");
    const objects = item.predictions.length;
    return [found < objects ? `${found} of ${G3D.count(objects, "object")} shown` : G3D.count(objects, "object"), labelled].filter(Boolean).join(", ");
  };
  const absent = (item) => {
    if (page.found(item).length) return "The choice above hides all objects.";
    if (item.expression) return item.predictions.length ? "No object scores as high as the threshold." : "No such object.";
    return item.predictions.length ? "All detections score below the threshold." : view.nothing;
  };

  return {
    update(state, changed) {
      if (changed.some((name) => ["item", "threshold", "truth", "theme", "structure", "classes"].includes(name))) {
        const { shown, item } = page;
        const found = shown.filter((o) => !o.truth).length;
        rows.replaceChildren(...shown.map(row));
        heading.textContent = data.labels_only ? "Labels" : item.expression ? "Answer" : view.detections(page);
        count.textContent = counted(item, found);
        badge.hidden = rule.hidden = item.right === null;
        badge.textContent = item.right ? "right" : "wrong";
        badge.className = `badge ${item.right ? "right" : "wrong"}`;
        rule.textContent = `Right: ${item.measure} with the label of at least ${item.bound}.`;
        table.hidden = !shown.length;
        none.textContent = absent(item);
        none.hidden = found > 0 || data.labels_only;
        label.hidden = !(item.expression && item.truth?.length === 0 && state.truth);
      }
      choice.update(state, changed);
      for (const line of rows.children) {
        line.classList.toggle("selected", line.dataset.id === state.selected);
        line.classList.toggle("hovered", line.dataset.id === state.hovered);
      }
      const selected = rows.querySelector(".selected");
      if (selected && changed.includes("selected")) G3D.keepInView(list, selected, head.offsetHeight);
    },
  };
};

// Buttons for the classes of an item's objects: chosen classes are shown alone, and all classes without a choice. Views with the state
// `classes`, a set of names, have them.
G3D.classChoice = (page) => {
  const { make } = G3D;
  const element = make("div", { class: "classes", role: "group", "aria-label": "Show classes" });

  const build = (item, chosen) => {
    const objects = [...item.predictions, ...(item.truth ?? [])].filter((o) => o.corners || o.points === undefined);
    const numbers = new Map();
    const colours = new Map();
    for (const object of [...objects].sort((a, b) => Boolean(a.structure) - Boolean(b.structure) || a.class.localeCompare(b.class))) {
      colours.set(object.class, page.view.colour(page, object));
      numbers.set(object.class, (numbers.get(object.class) ?? 0) + 1);
    }
    const button = (words, pressed, press) => {
      const made = make("button", { type: "button", "aria-pressed": pressed }, ...words);
      made.addEventListener("click", press);
      return made;
    };
    const choose = (name) => page.set({ classes: new Set(chosen.has(name) ? [...chosen].filter((one) => one !== name) : [...chosen, name]) });
    const buttons = [...numbers].map(([name, number]) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = colours.get(name);
      return button([swatch, name, make("span", { class: "quiet" }, ` ${number}`)], chosen.has(name), () => choose(name));
    });
    element.hidden = numbers.size < 2 || Boolean(item.expression);
    element.replaceChildren(button(["All classes"], !chosen.size, () => page.set({ classes: new Set() })), ...buttons);
  };

  return {
    element,
    update(state, changed) {
      if (!state.classes) element.hidden = true;
      else if (changed.includes("item") || changed.includes("classes")) {
        const place = element.scrollTop;
        build(page.item, state.classes);
        element.scrollTop = place;
      }
    },
  };
};
