"use strict";
// The view of scenes: a mesh or a cloud (z up, metres) in the colours of one layer, boxes with names, highlighted points, and cameras.

// Arrays are embedded as base64 of little-endian numbers.
G3D.array = (text, Type) => new Type(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

G3D.views.scene = {
  names: { question: "Sentence and scene", scene: "3D view", objects: "Objects" },
  panels: [["question"], ["scene", "objects"]],
  nothing: "Nothing was found in this scene.",
  outlined: false,
  state: (page) => ({ boxes: true, names: true, cameras: true, layer: Object.keys(page.data.scenes[page.items[0].scene].layers)[0] }),
  detects: (page) => page.items.some((item) => item.truth),
  detections: (page) => (page.items.some((item) => item.predictions.some((o) => o.score !== undefined)) ? "Detections" : "Objects"),
  colour: (page, object) => object.colour,

  switches: [
    { name: "truth", words: "Ground truth", key: "g", when: (page) => page.items.some((item) => item.truth) },
    { name: "boxes", words: "Boxes", key: "b", when: (page) => page.view.some(page, (o) => o.corners) },
    { name: "names", words: "Names", key: "l", when: (page) => page.view.some(page, (o) => o.corners) },
    { name: "cameras", words: "Cameras", key: "c", when: (page) => page.data.scenes.some((scene) => scene.cameras.length) },
  ],
  some: (page, test) => page.items.some((item) => item.predictions.some(test) || item.truth?.some(test)),

  // Buttons for the layers, if there are several.
  controls(page) {
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
    return [G3D.make("span", { class: "layers", id: "layers" }, ...buttons)];
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
      ...(truth.length ? [["ground truth", label]] : []),
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
      about.textContent = [`Scene ${scene.name}: ${scene.summary}.`, ...scene.notes].join(" ");
      legend.replaceChildren(...meanings(item, scene.layers[state.layer]).map(([words, colour]) => {
        const swatch = make("span", { class: "swatch" });
        swatch.style.background = colour;
        return make("span", {}, swatch, words);
      }));
    },
  };
};

G3D.RoomSpace = class RoomSpace extends G3D.Space {
  static DIMMED = 0.45; // share of its own colour that a point outside the shown masks keeps; the rest is grey
  static GREY = 150 / 255;
  static MOST_NAMES = 80;

  constructor(root, page) {
    super(root, page, { orbit: "Orbit", top: "Top view", answer: "Close view" }, { fov: 50, near: 0.02, far: 500 });
    this.camera.up.set(0, 0, 1);
    [this.boxes, this.names, this.cameras] = [new THREE.Group(), new THREE.Group(), new THREE.Group()];
    this.scene.add(this.boxes, this.names, this.cameras);
  }

  targets() { return this.boxes.children.filter((part) => part.isMesh && !part.isLineSegments2); }

  update(state, changed) {
    const any = (...names) => names.some((name) => changed.includes(name));
    const scene = this.page.data.scenes[this.page.item.scene];
    const opened = this.opened !== scene;
    if (opened) this.open(scene);
    if (opened || any("theme")) this.scene.background = this.colours().ground;
    if (opened || any("item", "layer", "truth", "threshold", "selected")) this.paint();
    if (opened || any("item", "boxes", "names", "truth", "threshold", "selected")) this.drawBoxes();
    this.cameras.visible = state.cameras;
    const located = this.page.item.predictions.some((o) => o.corners || o.spans) || this.page.item.truth?.length;
    this.button.answer.hidden = !located;
    if (opened || any("item")) this.openView(opened, Boolean(located));
    if (any("selected") && state.selected !== null) this.centre(this.extent(this.page.shown.filter((o) => o.id === state.selected)));
    this.draw();
  }

  // ---- drawing

  open(scene) {
    this.opened = scene;
    if (this.surfaceMesh) {
      this.scene.remove(this.surfaceMesh);
      this.surfaceMesh.geometry.dispose();
      this.surfaceMesh.material.dispose();
    }
    const { low, step, positions, faces } = scene;
    const places = G3D.array(positions, Uint16Array);
    this.places = Float32Array.from(places, (v, k) => low[k % 3] + v * step[k % 3]);
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(this.places, 3));
    this.paints = new THREE.BufferAttribute(new Float32Array(places.length), 3);
    geometry.setAttribute("color", this.paints);
    if (faces) {
      geometry.setIndex(new THREE.BufferAttribute(G3D.array(faces, Uint32Array), 1));
      this.surfaceMesh = new THREE.Mesh(geometry, new THREE.MeshBasicMaterial({ vertexColors: true, side: THREE.DoubleSide }));
    } else {
      this.surfaceMesh = new THREE.Points(geometry, new THREE.PointsMaterial({ vertexColors: true, size: 0.02 }));
    }
    this.scene.add(this.surfaceMesh);
    this.bounds = new THREE.Box3().setFromBufferAttribute(geometry.attributes.position);
    this.empty(this.cameras);
    for (const { corners } of scene.cameras) {
      const [eye, ...rim] = corners;
      this.cameras.add(this.lines([...rim.flatMap((c) => [eye, c]), ...rim.flatMap((c, k) => [c, rim[(k + 1) % 4]])], "#f5a623", 1.5));
    }
  }

  // The layer's colours, overlaid with the points of masks. Of several masks, the selected one or the answer is shown.
  paint() {
    const layer = this.opened.layers[this.page.state.layer];
    const target = this.paints.array;
    const colour = new THREE.Color();
    if (layer.colours) {
      const levels = G3D.array(layer.colours, Uint8Array);
      const linear = Float32Array.from({ length: 256 }, (_, k) => colour.setRGB(k / 255, 0, 0, THREE.SRGBColorSpace).r);
      for (let k = 0; k < target.length; k += 1) target[k] = linear[levels[k]];
    } else {
      const ids = G3D.array(layer.ids, Int32Array);
      const painted = new Map(Object.entries(layer.palette).map(([id, words]) => [Number(id), new THREE.Color(words)]));
      ids.forEach((id, k) => painted.get(id).toArray(target, 3 * k));
    }
    const masks = this.page.shown.filter((o) => o.spans);
    if (masks.length) this.highlight(masks);
    this.paints.needsUpdate = true;
  }

  highlight(masks) {
    const target = this.paints.array;
    const { DIMMED, GREY } = RoomSpace;
    const grey = new THREE.Color().setRGB(GREY, GREY, GREY, THREE.SRGBColorSpace).r;
    for (let k = 0; k < target.length; k += 1) target[k] = target[k] * DIMMED + grey * (1 - DIMMED);
    const chosen = masks.find((o) => o.id === this.page.state.selected);
    const asked = this.page.item.expression;
    const found = chosen && !chosen.truth ? [chosen] : masks.filter((o) => !o.truth && (o.answer || !asked));
    const painted = new Uint8Array(target.length / 3);
    const put = (object, words, bit) => {
      const [own, both] = [new THREE.Color(words), new THREE.Color(this.page.data.answer_colours.both)];
      const spans = G3D.array(object.spans, Uint32Array);
      for (let s = 0; s < spans.length; s += 2) {
        for (let k = spans[s]; k < spans[s + 1]; k += 1) {
          (painted[k] && bit === 2 ? both : own).toArray(target, 3 * k);
          painted[k] |= bit;
        }
      }
    };
    for (const object of found) put(object, object.colour, 1);
    for (const object of masks.filter((o) => o.truth)) put(object, object.colour, 2);
  }

  drawBoxes() {
    this.empty(this.boxes);
    this.empty(this.names);
    const { state, shown, data } = this.page;
    const inOrder = [...shown.filter((o) => o.truth), ...shown.filter((o) => !o.truth)]; // predictions are drawn over labels
    const visible = inOrder.filter((o) => o.corners && (state.boxes || o.id === state.selected));
    for (const object of visible) {
      const { corners, colour } = object;
      const selected = object.id === state.selected;
      const ends = data.edges.flatMap(([a, b]) => [corners[a], corners[b]]);
      const width = selected ? 5 : object.answer ? 3.5 : object.truth ? 1.6 : 2.2;
      const solid = this.lines(ends, colour, width);
      const behind = this.lines(ends, colour, width, { depthTest: false, transparent: true, opacity: 0.3 }); // visible through walls
      const hull = this.surface(corners, RoomSpace.TRIANGLES, colour, selected ? 0.22 : object.answer ? 0.12 : 0);
      for (const part of [solid, behind, hull]) {
        part.userData.id = object.id;
        part.renderOrder = object.truth ? 1 : 2;
        this.boxes.add(part);
      }
    }
    const found = visible.filter((o) => !o.truth);
    const named = visible.length <= RoomSpace.MOST_NAMES ? visible : found.length <= RoomSpace.MOST_NAMES ? found : [];
    if (!state.names || !state.boxes) return;
    for (const object of named) {
      const words = object.truth ? `${object.class} (label)` : [object.class, object.score?.toFixed(2)].filter(Boolean).join("  ");
      const sign = this.sign(words, "#ffffff", "rgba(13, 17, 23, 0.72)");
      sign.position.set(...[0, 1].map((k) => object.corners.reduce((sum, c) => sum + c[k] / 8, 0)), Math.max(...object.corners.map((c) => c[2])));
      sign.center.set(0.5, object.truth ? 1.1 : -0.1);
      this.names.add(sign);
    }
  }

  static TRIANGLES = [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]].flatMap(([a, b, c, d]) => [a, b, c, a, c, d]);

  // ---- camera

  // Show the objects of a sentence from close by, until the reader chooses another view or moves the camera. The camera is then kept while
  // the scene stays the same.
  openView(opened, located) {
    const close = this.page.item.expression && located;
    if (opened || this.following) {
      this.look(close ? "answer" : "orbit", !opened);
      this.following = true;
    }
  }

  release() {
    super.release();
    this.following = false;
  }

  // Return the bounds of some objects: of their boxes and points.
  extent(objects) {
    const box = new THREE.Box3();
    const point = new THREE.Vector3();
    for (const object of objects) {
      for (const corner of object.corners ?? []) box.expandByPoint(point.set(...corner));
      const spans = object.spans ? G3D.array(object.spans, Uint32Array) : [];
      for (let s = 0; s < spans.length; s += 2) {
        for (let k = spans[s]; k < spans[s + 1]; k += 1) box.expandByPoint(point.fromArray(this.places, 3 * k));
      }
    }
    return box;
  }

  // Move the camera so that the bounds are in the middle of the view.
  centre(bounds) {
    if (bounds.isEmpty()) return;
    const middle = bounds.getCenter(new THREE.Vector3());
    this.camera.position.add(middle.clone().sub(this.controls.target));
    this.controls.target.copy(middle);
    this.controls.update();
    this.release();
  }

  viewpoint(view) {
    const shown = this.page.item.expression ? this.page.shown.filter((o) => o.answer || o.truth) : this.page.shown;
    const close = view === "answer" ? this.extent(shown.length ? shown : this.page.shown) : this.bounds;
    const bounds = close.isEmpty() ? this.bounds : close;
    const middle = bounds.getCenter(new THREE.Vector3());
    const size = bounds.getSize(new THREE.Vector3());
    const tangent = Math.tan((this.camera.fov / 2) * (Math.PI / 180));
    const { fov, aspect } = this.camera;
    const reach = (1.2 * Math.max(size.y / 2, size.x / 2 / aspect)) / tangent;
    if (view === "top") return { position: new THREE.Vector3(middle.x, middle.y - 1e-3 * reach, this.bounds.max.z + reach), target: middle, fov };
    if (view === "orbit") return { position: new THREE.Vector3(middle.x - 0.25 * reach, middle.y - 0.75 * reach, middle.z + 0.95 * reach), target: middle, fov };
    const away = Math.max(1.6, (0.9 * size.length()) / tangent / Math.min(1, aspect));
    const inward = this.bounds.getCenter(new THREE.Vector3()).sub(middle).setZ(0); // from the side of the scene's centre, so that no wall is in between
    if (inward.length() < 0.1) inward.set(-0.3, -1, 0);
    inward.normalize().multiplyScalar(0.75 * away);
    return { position: new THREE.Vector3(middle.x + inward.x, middle.y + inward.y, middle.z + 0.65 * away), target: middle, fov };
  }

  look(view, smoothly) {
    this.view = view;
    this.following = view === "answer";
    this.mark(view);
    this.fly(this.viewpoint(view), smoothly);
  }
};

G3D.panels.scene = G3D.Space.panel(G3D.RoomSpace);
