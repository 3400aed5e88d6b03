"use strict";
// The view of images: the image with boxes and masks, and a 3D view of the boxes in the camera frame. Python has done the projection and
// clipping: this view only draws lines that are given in pixels of the image.

G3D.views.image = {
  names: { picture: "Image with boxes", scene: "3D view", objects: "Detections" },
  panels: [["picture"], ["scene", "objects"]],
  nothing: "Nothing was found in this frame.",
  outlined: true, // ground truth has no hue
  state: (page) => ({ boxes2d: page.asked, labels: true, map: "" }),
  detects: () => true,
  detections: () => "Detections",
  colour(page, object, deep = false) {
    if (object.truth) return page.data.truth_colour[deep ? 1 : 0];
    return page.data.colours[object.class][deep ? 1 : 0];
  },

  switches: [
    { name: "truth", words: "Ground truth", key: "g", when: () => true },
    { name: "boxes2d", words: "2D boxes", key: "b", when: (page) => page.items.some((item) => item.camera) },
    { name: "labels", words: "Labels", key: "l", when: () => true },
  ],

  // Buttons to choose a map.
  controls(page, keys) {
    const { make } = G3D;
    const maps = this.maps(page);
    const select = make("select", { id: "map" }, make("option", { value: "" }, "none"), ...maps.map((name) => make("option", { value: name }, page.data.maps[name].title.toLowerCase())));
    const choice = make("label", { id: "maps" }, "Map ", select);
    choice.hidden = !maps.length;
    const choose = (map) => {
      select.value = map;
      page.set({ map });
    };
    select.addEventListener("change", () => choose(select.value));
    if (maps.length) keys.m = () => choose(["", ...maps][(maps.indexOf(page.state.map) + 2) % (maps.length + 1)]);
    return [choice];
  },
  keys(page) { return this.maps(page).length ? [[["m"], "Maps"]] : []; },
  maps: (page) => Object.keys(page.data.maps).filter((name) => page.items.some((item) => item.maps[name])),

  columns(page) {
    const spatial = page.items.some((item) => item.camera);
    const masked = page.items.some((item) => [...item.predictions, ...(item.truth ?? [])].some((o) => o.mask !== undefined));
    return [G3D.columns.name("Class"), G3D.columns.score,
      ...(spatial ? [
        { title: "Distance", cell: (o) => [o.distance === undefined ? "–" : `${o.distance.toFixed(1)} m`] },
        { title: "Size h × w × l", room: "wide", cell: (o) => [o.size ? o.size.map((v) => v.toFixed(2)).join(" × ") : "–"] },
        { title: "Heading", room: "widest", cell: (o) => [o.size ? `${o.heading.toFixed(0)}°` : "–"] },
      ] : [{ title: "Width × height", cell: ({ box2d: [x1, y1, x2, y2] }) => [`${(x2 - x1).toFixed(0)} × ${(y2 - y1).toFixed(0)} px`] }]),
      ...(masked ? [{ title: "Pixels", cell: (o) => [o.pixels === undefined ? "–" : o.pixels.toLocaleString("en")] }] : [])];
  },

  summary({ asked, items, data }) {
    const { count } = G3D;
    if (asked) return `${count(new Set(items.map((item) => item.image)).size, "image")}, ${count(items.length, "sentence")}`;
    const things = data.labels_only ? count(items.flatMap((item) => item.truth ?? []).length, "label") : count(items.flatMap((item) => item.predictions).length, "detection");
    return `${count(items.length, "frame")}, ${things}`;
  },
};

G3D.panels.picture = (root, page) => {
  const { make } = G3D;
  const sentence = make("p", { class: "sentence" });
  const image = make("img", { alt: "" });
  const map = make("img", { alt: "", class: "map" });
  const drawing = make("svg", { "aria-hidden": "true" });
  const tags = make("div");
  const masks = make("div");
  const stage = make("div", { class: "stage" }, image, map, masks, drawing, tags);
  const legend = make("div", { class: "scale" });
  root.append(sentence, stage, legend);

  const box = (object) => {
    const colour = page.view.colour(page, object);
    const group = make("g", { class: object.truth ? "truth" : "found", "data-id": object.id });
    if (object.front.length) group.append(make("polygon", { class: "front", points: object.front.join(" "), fill: object.truth ? "none" : colour }));
    const line = ([x1, y1, x2, y2], kind, stroke) => make("line", { class: kind, x1, y1, x2, y2, ...(stroke && { stroke }) });
    object.edges.forEach((edge, k) => object.hidden[k] || group.append(line(edge, "casing")));
    object.edges.forEach((edge, k) => group.append(line(edge, object.hidden[k] ? "edge hidden" : "edge", colour)));
    const [x1, y1, x2, y2] = object.box2d;
    const rectangle = (kind, extra) => make("rect", { class: kind, x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1), fill: "none", ...extra });
    if (object.flat) group.append(rectangle("casing"), rectangle("edge", { stroke: colour }));
    else if (object.mask === undefined && page.state.boxes2d) group.append(rectangle("box2d", { stroke: colour }));
    return group;
  };

  // Invisible areas to click on, small areas above large ones.
  const hits = (objects) => {
    const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
    return objects.filter((o) => o.bounds).sort((a, b) => area(b.bounds) - area(a.bounds)).map((object) => {
      const [x1, y1, x2, y2] = object.bounds;
      const hit = make("rect", { class: "hit", x: x1, y: y1, width: x2 - x1, height: y2 - y1 }, make("title", {}, G3D.label(object)));
      hit.addEventListener("click", (event) => {
        event.stopPropagation();
        page.set({ selected: page.state.selected === object.id ? null : object.id });
      });
      return hit;
    });
  };

  // Labels keep their size while the image scales. The nearest object gets its position first, the others move up past it.
  const placeTags = (objects) => {
    const scale = stage.clientWidth / page.item.size[0];
    const narrow = stage.clientWidth < 560;
    const onlyTruth = !page.item.predictions.length;
    const chosen = objects.filter((o) => o.bounds && (o.id === page.state.selected || (page.state.labels && !narrow && (onlyTruth || !o.truth))));
    const taken = [];
    tags.replaceChildren();
    for (const object of chosen.sort((a, b) => (a.distance ?? 0) - (b.distance ?? 0))) {
      const tag = make("div", { class: "tag", "data-id": object.id }, G3D.label(object));
      tag.style.whiteSpace = "pre";
      tag.style.background = page.view.colour(page, object);
      tags.append(tag);
      const { offsetWidth: width, offsetHeight: height } = tag;
      const [x1, y1, x2] = object.bounds.map((v) => v * scale);
      const x = Math.min(Math.max((x1 + x2 - width) / 2, 2), stage.clientWidth - width - 2);
      const start = Math.max(2, y1 - height - 4);
      let y = start;
      for (let covered; (covered = taken.filter((t) => t.x < x + width && x < t.x + t.width && t.y < y + height && y < t.y + t.height)).length;) {
        y = Math.min(...covered.map((t) => t.y)) - height - 1;
        if (y < 0) { y = start; break; }
      }
      taken.push({ x, y, width, height });
      tag.style.transform = `translate(${x}px, ${y}px)`;
    }
  };

  // The map over the image, and its legend below.
  const drawMap = () => {
    const shown = page.item.maps[page.state.map];
    map.hidden = legend.hidden = !shown;
    if (!shown) return;
    map.src = page.data.pictures[shown.image];
    const { title, unit, colours } = page.data.maps[page.state.map];
    const bar = make("i");
    bar.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
    const value = (share) => `${Number((share * shown.reach).toPrecision(3))}${unit && ` ${unit}`}`;
    legend.replaceChildren(make("b", {}, title), make("span", {}, value(0)), bar, make("span", {}, value(1)));
  };

  // As wide as the panel, but not so high that the other panels are pushed out of the window.
  const fit = () => {
    const [width, height] = page.item.size;
    const available = root.clientWidth;
    const shown = Math.min(available, (Math.max(320, window.innerHeight * 0.62) * width) / height);
    stage.style.width = `${shown}px`;
    stage.style.height = `${(shown * height) / width}px`;
  };

  const select = () => {
    for (const element of root.querySelectorAll("[data-id]")) element.classList.toggle("selected", element.dataset.id === page.state.selected);
  };

  stage.addEventListener("click", () => page.set({ selected: null }));
  new ResizeObserver(() => { fit(); placeTags(page.shown); select(); }).observe(root);

  return {
    update(state, changed) {
      if (changed.every((name) => name === "hovered")) return;
      const { item, shown } = page;
      if (changed.includes("item")) {
        const picture = page.data.pictures[item.image];
        if (image.src !== picture) image.src = picture;
        image.alt = `Image of ${item.name}`;
        sentence.textContent = item.expression ?? "";
        sentence.hidden = !item.expression;
        drawing.setAttribute("viewBox", `-0.5 -0.5 ${item.size[0]} ${item.size[1]}`); // integers are pixel centres
        fit();
      }
      if (changed.includes("item") || changed.includes("map")) drawMap();
      if (changed.some((name) => name !== "selected")) {
        const far = [...shown].sort((a, b) => (a.truth ?? false) === (b.truth ?? false) ? (b.distance ?? 0) - (a.distance ?? 0) : a.truth ? -1 : 1);
        drawing.replaceChildren(...far.map(box), ...hits(shown));
        masks.replaceChildren(...far.filter((o) => o.mask !== undefined).map((o) => make("img", { class: "mask", alt: "", src: page.data.pictures[o.mask], "data-id": o.id })));
      }
      placeTags(shown);
      select();
    },
  };
};

// The boxes in the camera frame (x right, y down, z forward, metres), rotated about x so that up is upwards on the screen.
G3D.CameraSpace = class CameraSpace extends G3D.Space {
  static PICTURE_DEPTH = 3; // depth of the image plane that is drawn in the camera's frustum, metres

  constructor(root, page) {
    super(root, page, { orbit: "Orbit", camera: "Camera view", top: "Top view" }, { fov: 50, near: 0.1, far: 1000 });
    this.world = new THREE.Group(); // everything in the camera frame
    this.world.rotation.x = Math.PI;
    this.scene.add(this.world);
    this.ground = this.layer();
    this.rig = this.layer();
    this.boxes = this.layer();
    this.controls.maxPolarAngle = Math.PI * 0.495;
    this.controls.minDistance = 0.5;
    this.controls.maxDistance = 400;
  }

  layer() {
    const group = new THREE.Group();
    this.world.add(group);
    return group;
  }

  targets() { return this.boxes.children.filter((part) => part.isMesh && !part.isLineSegments2); }

  update(state, changed) {
    this.root.hidden = !this.page.item.camera;
    this.root.parentElement.classList.toggle("alone", this.root.hidden);
    if (this.root.hidden) return;
    if (changed.includes("item") || changed.includes("theme")) {
      this.theme = this.colours();
      this.scene.background = this.theme.ground;
      this.drawGround();
    }
    if (changed.includes("item")) this.drawRig();
    if (changed.some((name) => ["item", "threshold", "truth", "theme", "selected"].includes(name))) this.drawBoxes();
    if (changed.includes("item")) this.look(this.view, false);
    this.draw();
  }

  // ---- drawing

  drawGround() {
    this.empty(this.ground);
    const { line, strong, words } = this.theme;
    const y = this.page.item.ground;
    const far = this.reach() + 20;
    const side = 50;
    const grid = [];
    for (let x = -side; x <= side; x += 10) grid.push([x, y, -10], [x, y, far]);
    for (let z = -10; z <= far; z += 10) grid.push([-side, y, z], [side, y, z]);
    this.ground.add(this.lines(grid, line, 1));
    for (let r = 20; r <= far; r += 20) {
      const at = (k) => [r * Math.sin((k / 48 - 0.5) * Math.PI * 0.55), y, r * Math.cos((k / 48 - 0.5) * Math.PI * 0.55)];
      this.ground.add(this.lines(Array.from({ length: 48 }, (_, k) => [at(k), at(k + 1)]).flat(), strong, 1.2));
      if (far > 80 && r % 40) continue;
      const label = this.sign(`${r} m`, words);
      label.center.set(0, 0);
      label.position.set(0, y, r);
      this.ground.add(label);
    }
  }

  // The camera: its frustum with the image in it. The image is drawn before everything else, so that boxes are always over it.
  drawRig() {
    this.empty(this.rig);
    const { eye, rays } = this.page.item.camera;
    const corners = rays.map((ray) => ray.map((v, k) => eye[k] + v * CameraSpace.PICTURE_DEPTH));
    const frustum = [...corners.flatMap((c) => [eye, c]), ...corners.flatMap((c, k) => [c, corners[(k + 1) % 4]])];
    this.frustum = this.lines(frustum, this.theme.strong, 1.5);
    this.rig.add(this.frustum);
    const plane = this.surface(corners, [0, 1, 2, 0, 2, 3], 0xffffff, 1);
    plane.geometry.setAttribute("uv", new THREE.Float32BufferAttribute([0, 1, 1, 1, 1, 0, 0, 0], 2));
    Object.assign(plane.material, { transparent: false, depthTest: false, visible: false });
    plane.renderOrder = -1;
    this.rig.add(plane);
    const image = new Image();
    image.onload = () => {
      const map = new THREE.Texture(image);
      map.colorSpace = THREE.SRGBColorSpace;
      map.anisotropy = 8;
      map.needsUpdate = true;
      Object.assign(plane.material, { map, visible: true, needsUpdate: true });
      this.draw();
    };
    image.src = this.page.data.pictures[this.page.item.image];
  }

  drawBoxes() {
    this.empty(this.boxes);
    const { edges, faces, front } = this.page.data.box;
    const triangles = ([a, b, c, d]) => [a, b, c, a, c, d];
    for (const object of this.page.shown.filter((o) => o.corners)) {
      const { corners } = object;
      const color = this.page.view.colour(this.page, object, !this.page.dark.matches);
      const selected = object.id === this.page.state.selected;
      const parts = [this.lines(edges.flatMap(([a, b]) => [corners[a], corners[b]]), color, selected ? 4 : object.truth ? 1.5 : 2.2,
        object.truth ? { dashed: true, dashSize: 0.28, gapSize: 0.2 } : {})];
      if (!object.truth) {
        parts.push(this.surface(corners, faces.flatMap(triangles), color, selected ? 0.4 : 0.13));
        parts.push(this.surface(corners, triangles(front), color, 0.35));
      }
      parts.push(...this.arrow(corners, color, object.truth ? 0.5 : 0.95));
      for (const part of parts) {
        part.userData.id = object.id;
        this.boxes.add(part);
      }
    }
  }

  // The heading: a line on the ground from the middle of the box to beyond its front.
  arrow(corners, color, opacity) {
    const middle = (...ids) => [0, 1, 2].map((k) => ids.reduce((sum, id) => sum + corners[id][k], 0) / ids.length);
    const [centre, front] = [middle(0, 1, 2, 3), middle(0, 1)];
    const length = Math.hypot(front[0] - centre[0], front[2] - centre[2]) || 1;
    const [dx, dz] = [(front[0] - centre[0]) / length, (front[2] - centre[2]) / length];
    const y = centre[1] - 0.02;
    const at = (along, across) => [front[0] + dx * along - dz * across, y, front[2] + dz * along + dx * across];
    return [this.lines([[centre[0], y, centre[2]], at(0.8, 0)], color, 2, { transparent: true, opacity }),
      this.surface([at(0.7, -0.4), at(0.7, 0.4), at(1.5, 0)], [0, 1, 2], color, opacity)];
  }

  // ---- camera

  reach() {
    const { predictions, truth } = this.page.item;
    const depths = [...predictions, ...(truth ?? [])].filter((o) => o.corners).map((o) => Math.max(...o.corners.map((c) => c[2])));
    return Math.min(120, Math.max(30, 10 * Math.ceil((depths.length ? Math.max(...depths) : 40) / 10)));
  }

  // Return position, target and field of view; `world` flips y and z.
  viewpoint(view) {
    const turned = (x, y, z) => new THREE.Vector3(x, -y, -z);
    const { ground, camera: { eye, rays } } = this.page.item;
    const reach = this.reach();
    const aspect = this.camera.aspect;
    if (view === "camera") {
      const span = (k) => Math.max(...rays.map((ray) => Math.abs(ray[k])));
      const half = Math.max(span(1), span(0) / aspect) * 1.01;
      const [x, y, z] = eye;
      return { position: turned(x, y, z), target: turned(x, y, z + 10), fov: (2 * Math.atan(half) * 180) / Math.PI };
    }
    const fov = 50;
    const tangent = Math.tan((fov / 2) * (Math.PI / 180));
    if (view === "top") {
      const height = Math.max((reach + 6) / 2, (reach * 0.6) / aspect) / tangent;
      return { position: turned(0, ground - height, reach / 2 - 3 - height * 1e-3), target: turned(0, ground, reach / 2 - 3), fov };
    }
    const back = (4 + 0.22 * reach) * Math.max(1, 1.4 / aspect);
    return { position: turned(-0.3 * back, ground - 0.95 * back, -back), target: turned(0, ground, 0.3 * reach), fov: 42 };
  }

  look(view, smoothly) {
    this.view = view;
    this.mark(view);
    this.ground.visible = this.frustum.visible = view !== "camera"; // in the camera view, the image itself shows the ground
    this.fly(this.viewpoint(view), smoothly);
  }

  release() {
    super.release();
    this.ground.visible = this.frustum.visible = true;
  }
};

G3D.panels.scene = G3D.Space.panel(G3D.CameraSpace);
