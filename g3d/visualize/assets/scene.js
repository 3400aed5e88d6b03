"use strict";
// The 3D view: boxes, ground and camera in the camera frame (x right, y down, z forward, metres), turned about x so that up is up.

G3D.panels.scene = (root, page) => {
  const { make } = G3D;
  const probe = document.createElement("canvas").getContext("webgl2");
  if (!probe) {
    root.append(make("p", { class: "missing" }, "The 3D view needs WebGL, which this browser does not offer here. Everything else on this page works without it."));
    return { update() {} };
  }
  probe.getExtension("WEBGL_lose_context")?.loseContext();
  return new G3D.Scene(root, page);
};

G3D.Scene = class {
  static PICTURE_DEPTH = 3; // metres ahead of the camera where the picture hangs in its frustum

  constructor(root, page) {
    this.root = root;
    this.page = page;
    this.renderer = new THREE.WebGLRenderer({ antialias: true });
    this.renderer.setPixelRatio(Math.min(2, window.devicePixelRatio));
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(50, 1, 0.1, 1000);
    this.world = new THREE.Group(); // what is in the camera frame
    this.world.rotation.x = Math.PI;
    this.scene.add(this.world);
    this.ground = this.layer();
    this.rig = this.layer();
    this.boxes = this.layer();
    const canvas = this.renderer.domElement;
    canvas.setAttribute("aria-label", "3D view: drag to turn, wheel to zoom, right drag to move");
    this.controls = new THREE.OrbitControls(this.camera, canvas);
    this.controls.maxPolarAngle = Math.PI * 0.495;
    this.controls.minDistance = 0.5;
    this.controls.maxDistance = 400;
    this.controls.addEventListener("change", () => this.draw());
    this.controls.addEventListener("start", () => this.release());
    root.append(canvas, this.buttons(), G3D.make("p", { class: "hint" }, "drag to turn, wheel to zoom"));
    this.view = "orbit";
    this.pick(canvas);
    new ResizeObserver(() => this.resize()).observe(root);
  }

  layer() {
    const group = new THREE.Group();
    this.world.add(group);
    return group;
  }

  buttons() {
    const names = { orbit: "Orbit", camera: "Camera view", top: "Top view" };
    this.button = {};
    for (const [view, words] of Object.entries(names)) {
      this.button[view] = G3D.make("button", { type: "button", "data-view": view }, words);
      this.button[view].addEventListener("click", () => this.look(view, true));
    }
    return G3D.make("div", { class: "views" }, ...Object.values(this.button));
  }

  update(state, changed) {
    if (changed.includes("frame") || changed.includes("theme")) {
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => new THREE.Color(style.getPropertyValue(name).trim());
      this.theme = { ground: colour("--scene"), line: colour("--scene-line"), strong: colour("--scene-line-strong"), words: style.getPropertyValue("--quiet").trim() };
      this.scene.background = this.theme.ground;
      this.drawGround();
    }
    if (changed.includes("frame")) this.drawRig();
    if (changed.some((name) => ["frame", "threshold", "truth", "theme", "selected"].includes(name))) this.drawBoxes();
    if (changed.includes("frame")) this.look(this.view, false);
    this.draw();
  }

  // ---- what is drawn

  // Lines given as pairs of points, `width` in pixels.
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

  empty(group) {
    for (const child of [...group.children]) {
      child.geometry?.dispose();
      child.material?.map?.dispose();
      child.material?.dispose();
      group.remove(child);
    }
  }

  drawGround() {
    this.empty(this.ground);
    const { line, strong, words } = this.theme;
    const y = this.page.frame.ground;
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
      const label = this.words(`${r} m`, words);
      label.position.set(0, y, r);
      this.ground.add(label);
    }
  }

  // A small sign that always faces the viewer and keeps its size on the screen.
  words(text, colour) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [128, 48];
    const pen = canvas.getContext("2d");
    pen.font = "26px system-ui, sans-serif";
    pen.fillStyle = colour;
    pen.textBaseline = "middle";
    pen.fillText(text, 8, 22);
    const map = new THREE.CanvasTexture(canvas);
    map.colorSpace = THREE.SRGBColorSpace;
    const sprite = new THREE.Sprite(new THREE.SpriteMaterial({ map, sizeAttenuation: false, depthTest: false, transparent: true }));
    sprite.scale.set(0.128, 0.048, 1);
    sprite.center.set(0, 0);
    return sprite;
  }

  // The camera: its frustum with the picture in it. The picture is painted before everything else, so that boxes always lie over it.
  drawRig() {
    this.empty(this.rig);
    const { eye, rays } = this.page.frame.camera;
    const corners = rays.map((ray) => ray.map((v, k) => eye[k] + v * G3D.Scene.PICTURE_DEPTH));
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
    image.src = this.page.picture;
  }

  drawBoxes() {
    this.empty(this.boxes);
    const { edges, faces, front } = this.page.data.box;
    const triangles = ([a, b, c, d]) => [a, b, c, a, c, d];
    for (const object of this.page.shown.filter((o) => o.corners)) {
      const { corners } = object;
      const color = this.page.colour(object, !this.page.dark.matches);
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

  // On the ground, from the middle of the box to beyond its front.
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

  // ---- where it is seen from

  reach() {
    const { predictions, truth } = this.page.frame;
    const depths = [...predictions, ...(truth ?? [])].filter((o) => o.corners).map((o) => Math.max(...o.corners.map((c) => c[2])));
    return Math.min(120, Math.max(30, 10 * Math.ceil((depths.length ? Math.max(...depths) : 40) / 10)));
  }

  // Position, target and field of view; `world` turns y and z.
  viewpoint(view) {
    const turned = (x, y, z) => new THREE.Vector3(x, -y, -z);
    const { ground, camera: { eye, rays } } = this.page.frame;
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
    this.ground.visible = this.frustum.visible = view !== "camera"; // there, the picture says it all
    const from = { position: this.camera.position.clone(), target: this.controls.target.clone(), fov: this.camera.fov };
    const to = this.viewpoint(view);
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

  // The user has taken over: no button describes the view any more.
  release() {
    cancelAnimationFrame(this.flight);
    this.ground.visible = this.frustum.visible = true;
    this.mark(null);
  }

  mark(view) {
    for (const [name, button] of Object.entries(this.button)) button.setAttribute("aria-pressed", name === view);
  }

  pick(canvas) {
    let down = null;
    canvas.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
    canvas.addEventListener("click", (event) => {
      if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4) return;
      const area = canvas.getBoundingClientRect();
      const at = new THREE.Vector2(((event.clientX - area.left) / area.width) * 2 - 1, 1 - ((event.clientY - area.top) / area.height) * 2);
      const ray = new THREE.Raycaster();
      ray.setFromCamera(at, this.camera);
      const [hit] = ray.intersectObjects(this.boxes.children.filter((part) => part.isMesh && !part.isLineSegments2));
      this.page.set({ selected: hit ? hit.object.userData.id : null });
    });
  }

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
    this.pending = requestAnimationFrame(() => this.renderer.render(this.scene, this.camera));
  }
};
