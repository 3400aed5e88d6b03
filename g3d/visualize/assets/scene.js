"use strict";
// The view of scenes: its controls, the columns of the list of objects, the sentence and the legend. The 3D view is in room.js.

G3D.views.scene = {
  names: { question: "Sentence and scene", scene: "3D view", objects: "Objects" },
  panels: [["question"], ["scene", "objects"]],
  nothing: "This scene has no objects.",
  outlined: false,

  // The boxes of walls and floor are hidden at first, unless there are no others. `cut` is null for the height that the scene suggests.
  state: (page) => ({
    boxes: true,
    names: true,
    cameras: true,
    structure: !page.view.some(page, (o) => !o.structure),
    open: true,
    cut: null,
    classes: new Set(),
    layer: Object.keys(page.data.scenes[page.items[0].scene].layers)[0],
  }),
  passes: ({ state, item }, object) => Boolean(item.expression)
    || (state.classes.size ? state.classes.has(object.class) : state.structure || !object.structure),
  detects: (page) => page.items.some((item) => item.truth),
  detections: (page) => (page.items.some((item) => item.predictions.some((o) => o.score !== undefined)) ? "Detections" : "Objects"),
  colour: (page, object) => object.colour,

  switches: [
    { name: "truth", words: "Ground truth", key: "g", when: (page) => page.items.some((item) => item.truth) },
    { name: "boxes", words: "Boxes", key: "b", when: (page) => page.view.some(page, (o) => o.corners) },
    { name: "names", words: "Names", key: "l", when: (page) => page.view.some(page, (o) => o.corners) },
    {
      name: "structure", words: "Walls and floor", key: "w",
      when: (page) => page.items.some((item) => !item.expression) && page.view.some(page, (o) => o.structure) && page.view.some(page, (o) => !o.structure),
    },
    { name: "open", words: "Hide near walls", key: "o", when: (page) => page.data.scenes.some((scene) => scene.inward) },
    { name: "cameras", words: "Cameras", key: "c", when: (page) => page.data.scenes.some((scene) => scene.cameras.length) },
  ],
  some: (page, test) => page.items.some((item) => item.predictions.some(test) || item.truth?.some(test)),

  // The height at which the scene is cut, and buttons for the layers, if there are several.
  controls(page) { return [this.cutter(page), ...this.layers(page)]; },

  cutter(page) {
    const { make } = G3D;
    const slider = make("input", { id: "cut", type: "range", min: 0, max: 1, step: 0.01 });
    const shown = make("output", { for: "cut", id: "cut-value" });
    const label = make("label", { class: "slider cut", hidden: "", title: "Hide surfaces above this height over the lowest point" }, "Hide above ", slider, shown);
    slider.addEventListener("input", () => page.set({ cut: Number(slider.value) >= 1 ? Infinity : page.space.height(Number(slider.value)) }));
    page.showCut = (share, metres) => { // called by the 3D view, which knows the height of the scene
      label.hidden = false;
      slider.value = share;
      shown.textContent = share >= 1 ? "nothing" : `${metres.toFixed(1)} m`;
    };
    return label;
  },

  layers(page) {
    const names = Object.keys(page.data.scenes[page.item.scene].layers);
    if (names.length < 2) return [];
    const buttons = names.map((name) => {
      const button = G3D.make("button", { type: "button", class: "layer", "aria-pressed": name === page.state.layer }, name);
      button.addEventListener("click", () => {
        for (const other of buttons) other.setAttribute("aria-pressed", other === button);
        page.set({ layer: name });
      });
      return button;
    });
    return [G3D.make("span", { class: "quiet colour-by" }, "Colour by"), G3D.make("span", { class: "layers", id: "layers" }, ...buttons)];
  },

  columns(page) {
    const boxes = page.view.some(page, (o) => o.corners);
    const points = page.view.some(page, (o) => o.points !== undefined);
    const scored = page.view.some(page, (o) => o.score !== undefined);
    return [G3D.columns.name("Object"), ...(scored ? [G3D.columns.score] : []),
      ...(page.view.some(page, (o) => o.iou !== undefined) ? [G3D.columns.iou] : []),
      ...(boxes || !points ? [{ title: "Size x × y × z", room: scored ? "wide" : "", cell: (o) => [o.size ? o.size.map((v) => v.toFixed(2)).join(" × ") : "–"] }] : []),
      ...(points ? [{ title: "Points", cell: (o) => [o.points === undefined ? "–" : o.points.toLocaleString("en")] }] : []),
      ...(boxes || !points ? [{ title: "Id", room: scored ? "widest" : "", cell: (o) => [String(o.number ?? "–")] }] : [])];
  },

  summary({ asked, items, data: { scenes } }) {
    const { count } = G3D;
    if (asked) return `${count(scenes.length, "scene")}, ${count(items.length, "sentence")}`;
    if (items.length === 1) return `${scenes[0].summary}, ${count(items[0].predictions.length, "object")}`;
    return `${count(items.length, "scene")}, ${count(items.flatMap((item) => item.predictions).length, "object")}`;
  },
};

// The sentence, a description of the scene, and the legend.
G3D.panels.question = (root, page) => {
  const { make } = G3D;
  const [sentence, about, legend] = [make("p", { class: "sentence" }), make("p", { class: "about quiet" }), make("p", { class: "legend", id: "legend" })];
  root.append(sentence, about, legend);

  const meanings = (item, layer) => {
    const { answer, label, both, other } = page.data.answer_colours;
    const [found, truth] = [item.predictions, page.state.truth ? item.truth ?? [] : []];
    const points = (objects) => objects.some((o) => o.points !== undefined);
    return [
      ...(item.expression && found.some((o) => o.answer) ? [["answer", answer]] : []),
      ...(item.expression && found.some((o) => !o.answer) ? [["other candidates", other]] : []),
      ...(truth.length && (item.expression || points(truth)) ? [["ground truth", label]] : []),
      ...(truth.length && !item.expression && found.length ? [["ground truth (dashed)", null]] : []),
      ...(points(found) && points(truth) ? [["points of both", both]] : []),
      ...(layer.legend ?? []),
    ];
  };

  return {
    update(state, changed) {
      if (!changed.some((name) => ["item", "layer", "truth"].includes(name))) return;
      const { item, data } = page;
      const scene = data.scenes[item.scene];
      sentence.textContent = item.expression ?? "";
      sentence.hidden = !item.expression;
      const named = item.expression || page.items.length > 1; // otherwise the header says it
      about.textContent = [...(named ? [`Scene ${scene.name}: ${scene.summary}.`] : []), ...scene.notes].join(" ");
      legend.replaceChildren(...meanings(item, scene.layers[state.layer]).map(([words, colour]) => {
        const swatch = make("span", { class: "swatch" });
        if (colour) swatch.style.background = colour;
        else swatch.classList.add("truth");
        return make("span", {}, swatch, words);
      }));
    },
  };
};
