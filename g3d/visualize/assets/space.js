"use strict";
// Base of the 3D views of images and scenes: a canvas with orbit controls, lines, surfaces and text sprites, picking and resizing.

G3D.Space = class {
  // Build a section with a 3D view of the class `Kind`; without WebGL it shows a message.
  static panel(Kind) {
    return (root, page) => {
      const probe = document.createElement("canvas").getContext("webgl2");
      if (!probe) {
        root.append(G3D.make("p", { class: "missing" }, "The 3D view needs WebGL, which this browser does not offer here. Everything else on this page works without it."));
        return { update() {} };
      }
      probe.getExtension("WEBGL_lose_context")?.loseContext();
      return new Kind(root, page);
    };
  }

  constructor(root, page, views, { fov, near, far }) {
    this.root = root;
    this.page = page;
    this.renderer = new THREE.WebGLRenderer({ antialias: true });
    this.renderer.setPixelRatio(Math.min(2, window.devicePixelRatio));
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(fov, 1, near, far);
    const canvas = this.renderer.domElement;
    canvas.setAttribute("aria-label", "3D view: drag to turn, wheel to zoom, right drag to move");
    this.controls = new THREE.OrbitControls(this.camera, canvas);
    this.controls.addEventListener("change", () => this.draw());
    this.controls.addEventListener("start", () => this.release());
    this.button = {};
    const buttons = Object.entries(views).map(([view, words]) => {
      this.button[view] = G3D.make("button", { type: "button", "data-view": view }, words);
      this.button[view].addEventListener("click", () => this.look(view, true));
      return this.button[view];
    });
    const hint = window.matchMedia("(pointer: coarse)").matches ? "drag to turn, pinch to zoom" : "drag to turn, wheel to zoom";
    root.append(canvas, G3D.make("div", { class: "views" }, ...buttons), G3D.make("p", { class: "hint" }, hint));
    this.view = Object.keys(views)[0];
    this.pick(canvas);
    new ResizeObserver(() => this.resize()).observe(root);
  }

  colours() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => new THREE.Color(style.getPropertyValue(name).trim());
    return { ground: colour("--scene"), line: colour("--scene-line"), strong: colour("--scene-line-strong"), words: style.getPropertyValue("--quiet").trim() };
  }

  // Build lines from pairs of points, `width` in pixels.
  lines(points, color, width, options = {}) {
    const geometry = new THREE.LineSegmentsGeometry().setPositions(points.flat());
    const material = new THREE.LineMaterial({ color, linewidth: width, ...options });
    const segments = new THREE.LineSegments2(geometry, material);
    if (options.dashed) segments.computeLineDistances();
    return segments;
  }

  surface(points, triangles, color, opacity) {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.Float32BufferAttribute(points.flat(), 3));
    geometry.setIndex(triangles);
    const material = new THREE.MeshBasicMaterial({ color, transparent: true, opacity, depthWrite: false, side: THREE.DoubleSide });
    return new THREE.Mesh(geometry, material);
  }

  // Build text that always faces the viewer and keeps its size on the screen.
  sign(text, colour) {
    const canvas = document.createElement("canvas");
    const pen = canvas.getContext("2d");
    const font = "26px system-ui, sans-serif";
    pen.font = font;
    [canvas.width, canvas.height] = [Math.ceil(pen.measureText(text).width) + 20, 40];
    pen.font = font;
    pen.fillStyle = colour;
    pen.textBaseline = "middle";
    pen.fillText(text, 10, 21);
    const map = new THREE.CanvasTexture(canvas);
    map.colorSpace = THREE.SRGBColorSpace;
    const sprite = new THREE.Sprite(new THREE.SpriteMaterial({ map, sizeAttenuation: false, depthTest: false, transparent: true }));
    sprite.scale.set(canvas.width * 0.001, canvas.height * 0.001, 1);
    return sprite;
  }

  empty(group) {
    for (const child of [...group.children]) {
      child.geometry?.dispose();
      child.material?.map?.dispose();
      child.material?.dispose();
      group.remove(child);
    }
  }

  // Move the camera to the { position, target, fov } of a view; `smoothly` animates the movement.
  fly(to, smoothly) {
    const from = { position: this.camera.position.clone(), target: this.controls.target.clone(), fov: this.camera.fov };
    const place = (share) => {
      this.camera.position.lerpVectors(from.position, to.position, share);
      this.controls.target.lerpVectors(from.target, to.target, share);
      this.camera.fov = from.fov + (to.fov - from.fov) * share;
      this.camera.updateProjectionMatrix();
      this.controls.update();
      this.draw();
    };
    cancelAnimationFrame(this.flight);
    if (!smoothly || window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
      place(1);
      return;
    }
    const begun = performance.now();
    const fly = (now) => {
      const share = Math.min(1, Math.max(0, (now - begun) / 450));
      place(share * share * (3 - 2 * share));
      if (share < 1) this.flight = requestAnimationFrame(fly);
    };
    this.flight = requestAnimationFrame(fly);
  }

  // The reader has moved the camera: no button is active any more.
  release() {
    cancelAnimationFrame(this.flight);
    this.mark(null);
  }

  mark(view) {
    for (const [name, button] of Object.entries(this.button)) button.setAttribute("aria-pressed", name === view);
  }

  // A click selects the object under it, and a mouse over an object marks it.
  pick(canvas) {
    let down = null;
    canvas.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
    canvas.addEventListener("click", (event) => {
      if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4) return;
      this.page.set({ selected: this.under(event) });
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && !event.buttons) this.page.set({ hovered: this.under(event) });
    });
    canvas.addEventListener("pointerleave", () => this.page.set({ hovered: null }));
  }

  // Return the id of the object at the place of an event, null if there is none; `targets()` returns the meshes that can be hit, each with
  // userData.id.
  under(event) {
    const area = this.renderer.domElement.getBoundingClientRect();
    const at = new THREE.Vector2(((event.clientX - area.left) / area.width) * 2 - 1, 1 - ((event.clientY - area.top) / area.height) * 2);
    const ray = new THREE.Raycaster();
    ray.setFromCamera(at, this.camera);
    const hits = ray.intersectObjects(this.targets()).map((hit) => hit.object);
    return hits.length ? this.aimed(hits).userData.id : null;
  }

  // Of the meshes along a line of sight, nearest first, return the one that the reader means.
  aimed(meshes) { return meshes[0]; }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    if (this.button[this.view].getAttribute("aria-pressed") === "true") this.look(this.view, false);
    this.draw();
  }

  draw() {
    cancelAnimationFrame(this.pending);
    this.pending = requestAnimationFrame(() => this.frame());
  }

  frame() { this.renderer.render(this.scene, this.camera); }
};
