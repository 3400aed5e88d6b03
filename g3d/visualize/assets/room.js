"use strict";
// A room in 3D: a mesh or a cloud (z up, metres) in the colours of one layer at a time, boxes with names, cameras, and a list of objects.

const ROOM = {};

ROOM.make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// Arrays travel as base64 of little-endian numbers.
ROOM.array = (text, Type) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Type(bytes.buffer);
};

ROOM.View = class {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.renderer = new THREE.WebGLRenderer({ antialias: true });
    this.renderer.setPixelRatio(Math.min(2, window.devicePixelRatio));
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(50, 1, 0.02, 500);
    this.camera.up.set(0, 0, 1);
    this.boxes = new THREE.Group();
    this.names = new THREE.Group();
    this.cameras = new THREE.Group();
    this.scene.add(this.boxes, this.names, this.cameras);
    const canvas = this.renderer.domElement;
    canvas.setAttribute("aria-label", "3D view: drag to turn, wheel to zoom, right drag to move");
    this.controls = new THREE.OrbitControls(this.camera, canvas);
    this.controls.addEventListener("change", () => this.draw());
    const views = ROOM.make("div", { class: "views" });
    for (const [view, words] of [["orbit", "Orbit"], ["top", "Top view"]]) {
      const button = ROOM.make("button", { type: "button", "data-view": view }, words);
      button.addEventListener("click", () => this.look(view));
      views.append(button);
    }
    root.append(canvas, views, ROOM.make("p", { class: "hint" }, "drag to turn, wheel to zoom"));
    this.addSurface();
    this.addBoxes();
    this.addCameras();
    this.theme();
    this.look("orbit");
    new ResizeObserver(() => this.resize()).observe(root);
  }

  addSurface() {
    const { low, step, positions, faces } = this.data;
    const places = ROOM.array(positions, Uint16Array);
    const geometry = new THREE.BufferGeometry();
    const metres = Float32Array.from(places, (v, k) => low[k % 3] + v * step[k % 3]);
    geometry.setAttribute("position", new THREE.BufferAttribute(metres, 3));
    this.colours = new THREE.BufferAttribute(new Float32Array(places.length), 3);
    geometry.setAttribute("color", this.colours);
    if (faces) {
      geometry.setIndex(new THREE.BufferAttribute(ROOM.array(faces, Uint32Array), 1));
      this.surface = new THREE.Mesh(geometry, new THREE.MeshBasicMaterial({ vertexColors: true, side: THREE.DoubleSide }));
    } else {
      this.surface = new THREE.Points(geometry, new THREE.PointsMaterial({ vertexColors: true, size: 0.02 }));
    }
    this.scene.add(this.surface);
    this.bounds = new THREE.Box3().setFromBufferAttribute(geometry.attributes.position);
  }

  paint(name) {
    const layer = this.data.layers[name];
    const levels = layer.colours && ROOM.array(layer.colours, Uint8Array);
    const ids = layer.ids && ROOM.array(layer.ids, Int32Array);
    const target = this.colours.array;
    const colour = new THREE.Color();
    const painted = new Map();
    for (let k = 0; k < target.length / 3; k += 1) {
      let rgb;
      if (levels) {
        colour.setRGB(levels[3 * k] / 255, levels[3 * k + 1] / 255, levels[3 * k + 2] / 255, THREE.SRGBColorSpace);
        rgb = colour;
      } else {
        rgb = painted.get(ids[k]);
        if (!rgb) painted.set(ids[k], (rgb = new THREE.Color(layer.palette[ids[k]] ?? ROOM.colourOf(ids[k]))));
      }
      target[3 * k] = rgb.r;
      target[3 * k + 1] = rgb.g;
      target[3 * k + 2] = rgb.b;
    }
    this.colours.needsUpdate = true;
    this.draw();
  }

  lines(points, color, width) {
    const geometry = new THREE.LineSegmentsGeometry().setPositions(points.flat());
    return new THREE.LineSegments2(geometry, new THREE.LineMaterial({ color, linewidth: width }));
  }

  addBoxes() {
    for (const object of this.data.objects.filter((o) => o.corners)) {
      const box = this.lines(this.data.edges.flatMap(([a, b]) => [object.corners[a], object.corners[b]]), object.colour, 2);
      box.userData.id = object.id;
      this.boxes.add(box);
      const sign = this.sign(object.name);
      sign.position.set(...object.corners.reduce((sum, c) => sum.map((v, k) => v + c[k] / 8), [0, 0, 0]));
      sign.position.z = Math.max(...object.corners.map((c) => c[2]));
      this.names.add(sign);
    }
  }

  sign(text) {
    const canvas = document.createElement("canvas");
    const pen = canvas.getContext("2d");
    const font = "26px system-ui, sans-serif";
    pen.font = font;
    [canvas.width, canvas.height] = [Math.ceil(pen.measureText(text).width) + 20, 40];
    pen.font = font;
    pen.fillStyle = "rgba(13, 17, 23, 0.72)";
    pen.beginPath();
    pen.roundRect(0, 0, canvas.width, canvas.height, 8);
    pen.fill();
    pen.fillStyle = "#ffffff";
    pen.textBaseline = "middle";
    pen.fillText(text, 10, 21);
    const map = new THREE.CanvasTexture(canvas);
    map.colorSpace = THREE.SRGBColorSpace;
    const sprite = new THREE.Sprite(new THREE.SpriteMaterial({ map, sizeAttenuation: false, depthTest: false, transparent: true }));
    sprite.scale.set(canvas.width * 0.00085, canvas.height * 0.00085, 1);
    return sprite;
  }

  addCameras() {
    for (const { corners } of this.data.cameras) {
      const [eye, ...rim] = corners;
      this.cameras.add(this.lines([...rim.flatMap((c) => [eye, c]), ...rim.flatMap((c, k) => [c, rim[(k + 1) % 4]])], "#f5a623", 1.5));
    }
  }

  select(id) {
    for (const box of this.boxes.children) box.material.linewidth = box.userData.id === id ? 5 : 2;
    const object = this.data.objects.find((o) => o.id === id);
    if (object?.corners) {
      const middle = object.corners.reduce((sum, c) => sum.map((v, k) => v + c[k] / 8), [0, 0, 0]);
      this.camera.position.add(new THREE.Vector3(...middle).sub(this.controls.target));
      this.controls.target.set(...middle);
      this.controls.update();
    }
    this.draw();
  }

  look(view) {
    const middle = this.bounds.getCenter(new THREE.Vector3());
    const size = this.bounds.getSize(new THREE.Vector3());
    const tangent = Math.tan((this.camera.fov / 2) * (Math.PI / 180));
    const reach = (1.2 * Math.max(size.y / 2, size.x / 2 / this.camera.aspect)) / tangent;
    this.controls.target.copy(middle);
    if (view === "top") this.camera.position.set(middle.x, middle.y - 1e-3 * reach, this.bounds.max.z + reach);
    else this.camera.position.set(middle.x - 0.25 * reach, middle.y - 0.75 * reach, middle.z + 0.95 * reach);
    this.controls.update();
    this.draw();
  }

  theme() {
    const style = getComputedStyle(document.documentElement);
    this.scene.background = new THREE.Color(style.getPropertyValue("--scene").trim());
    this.draw();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  draw() {
    cancelAnimationFrame(this.pending);
    this.pending = requestAnimationFrame(() => this.renderer.render(this.scene, this.camera));
  }
};

// Neighbouring numbers get unlike hues.
ROOM.colourOf = (id) => `hsl(${(id * 137.508) % 360} 62% ${52 + 12 * (id % 3)}%)`;

ROOM.list = (root, data, view) => {
  const { make } = ROOM;
  const rows = make("tbody");
  const head = make("tr", {}, ...["Object", "Size x × y × z", "Id"].map((words) => make("th", { scope: "col" }, words)));
  root.append(make("div", { class: "head" }, make("h2", {}, "Objects"), make("span", { class: "quiet" }, String(data.objects.length))),
    make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), rows)));
  for (const object of data.objects) {
    const swatch = make("span", { class: "swatch" });
    swatch.style.background = object.colour;
    const row = make("tr", { tabindex: 0, "data-id": object.id }, make("td", {}, swatch, object.name),
      make("td", {}, object.size ? object.size.map((v) => v.toFixed(2)).join(" × ") : "–"), make("td", {}, String(object.id)));
    const select = () => {
      const chosen = !row.classList.contains("selected");
      for (const other of rows.children) other.classList.toggle("selected", chosen && other === row);
      view?.select(chosen ? object.id : null);
    };
    row.addEventListener("click", select);
    row.addEventListener("keydown", (event) => event.key === "Enter" && select());
    rows.append(row);
  }
};

ROOM.start = () => {
  const { make } = ROOM;
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  $("title").textContent = data.title;
  $("summary").textContent = data.summary;
  $("footer").append(make("p", { id: "legend" }), ...data.notes.map((words) => make("p", {}, words)));
  const probe = document.createElement("canvas").getContext("webgl2");
  let view = null;
  if (probe) {
    probe.getExtension("WEBGL_lose_context")?.loseContext();
    view = new ROOM.View($("view"), data);
  } else {
    $("view").append(make("p", { class: "missing" }, "The 3D view needs WebGL, which this browser does not offer here."));
  }
  const names = Object.keys(data.layers);
  for (const name of names) {
    const button = make("button", { type: "button", role: "radio", class: "layer" }, name);
    button.addEventListener("click", () => {
      view?.paint(name);
      $("legend").replaceChildren(...(data.layers[name].legend ?? []).map(([words, colour]) => {
        const swatch = make("span", { class: "swatch" });
        swatch.style.background = colour;
        return make("span", {}, swatch, words);
      }));
      for (const other of $("layers").children) other.setAttribute("aria-pressed", other === button);
    });
    $("layers").append(button);
  }
  $("layers").children[0]?.click();
  for (const [id, group] of [["show-boxes", "boxes"], ["show-names", "names"], ["show-cameras", "cameras"]]) {
    $(id).addEventListener("change", (event) => {
      if (view) view[group].visible = event.target.checked;
      view?.draw();
    });
  }
  $("show-cameras").parentElement.hidden = !data.cameras.length;
  ROOM.list($("objects"), data, view);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view?.theme());
};

document.addEventListener("DOMContentLoaded", ROOM.start);
