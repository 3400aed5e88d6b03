"use strict";
// The 3D view of scenes: a mesh or a cloud (z up, metres) in the colours of one layer, boxes with names, highlighted points, and cameras.

// Arrays are embedded as base64 of little-endian numbers.
G3D.array = (text, Type) => new Type(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

G3D.RoomSpace = class RoomSpace extends G3D.Space {
  static DIMMED = 0.45; // share of its own colour that a point outside the shown masks or the selected box keeps; the rest is grey
  static GREY = 150 / 255;
  static MARGIN = 1.06; // room around what a view shows

  constructor(root, page) {
    const views = { orbit: "Overview", top: "Top view", front: "Front", side: "Side", answer: "Close view" };
    super(root, page, views, { fov: 50, near: 0.02, far: 500 });
    this.camera.up.set(0, 0, 1);
    [this.boxes, this.cameras] = [new THREE.Group(), new THREE.Group()];
    this.scene.add(this.boxes, this.cameras);
    this.renderer.localClippingEnabled = true;
    this.cut = new THREE.Plane(new THREE.Vector3(0, 0, -1), Infinity);
    this.back = G3D.make("button", { type: "button", class: "back", title: "Show all objects (Escape)" }, "Show all");
    this.back.addEventListener("click", () => page.set({ selected: null }));
    root.append(this.back);
    this.signs = new G3D.Signs(root, [...Object.values(this.button), this.back, root.querySelector(".hint")]);
    page.space = this;
  }

  targets() { return this.boxes.children.filter((part) => part.isMesh && !part.isLineSegments2); }

  update(state, changed) {
    const any = (...names) => names.some((name) => changed.includes(name));
    const scene = this.page.data.scenes[this.page.item.scene];
    const opened = this.opened !== scene;
    if (opened) this.open(scene);
    if (opened || any("theme")) this.scene.background = this.colours().ground;
    if (opened || any("item", "layer", "truth", "threshold", "selected", "structure", "classes")) this.paint();
    if (opened || any("item", "boxes", "names", "truth", "threshold", "selected", "structure", "classes")) this.drawBoxes();
    if (opened || any("cut", "open")) this.slice(state);
    this.cameras.visible = state.cameras;
    this.back.hidden = state.selected === null;
    const located = this.page.item.predictions.some((o) => o.corners || o.spans) || this.page.item.truth?.length;
    this.button.answer.hidden = !located || !this.page.item.expression;
    if (opened || any("item")) this.openView(opened, Boolean(located));
    else if (any("selected")) this.follow(state.selected);
    this.draw();
  }

  frame() {
    super.frame();
    this.signs.arrange(this.camera, this.page.state, this.root.clientWidth, this.root.clientHeight);
  }

  // The smallest box, because it is the hardest to aim at, and larger boxes often enclose it.
  aimed(meshes) {
    return meshes.reduce((best, mesh) => (mesh.geometry.boundingSphere.radius < best.geometry.boundingSphere.radius ? mesh : best));
  }

  under(event) {
    const area = this.renderer.domElement.getBoundingClientRect();
    return this.signs.under(event.clientX - area.left, event.clientY - area.top) ?? super.under(event);
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
      this.surfaceMesh = new THREE.Points(geometry, new THREE.PointsMaterial({ vertexColors: true }));
    }
    this.surfaceMesh.material.clippingPlanes = [this.cut];
    this.page.state.cut = null;
    this.scene.add(this.surfaceMesh);
    this.bounds = new THREE.Box3().setFromBufferAttribute(geometry.attributes.position);
    if (!faces) this.surfaceMesh.material.size = this.pointSize(places.length / 3);
    this.empty(this.cameras);
    for (const { corners } of scene.cameras) {
      const [eye, ...rim] = corners;
      this.cameras.add(this.lines([...rim.flatMap((c) => [eye, c]), ...rim.flatMap((c, k) => [c, rim[(k + 1) % 4]])], "#f5a623", 1.5));
    }
  }

  // Return the size of points, in metres, at which points spread evenly over the sides of the bounds would nearly touch.
  pointSize(count) {
    const { x, y, z } = this.bounds.getSize(new THREE.Vector3());
    return Math.min(0.05, Math.max(0.008, 1.1 * Math.sqrt((2 * (x * y + y * z + z * x)) / count)));
  }

  // Leave out what is above the cut, and the backs of faces, which are walls between the reader and the inside of the room.
  slice({ cut, open }) {
    const { min, max } = this.bounds;
    const height = cut ?? this.opened.cut ?? Infinity;
    this.cut.constant = Math.min(height, max.z + 1);
    this.surfaceMesh.material.side = open && this.opened.inward ? THREE.FrontSide : THREE.DoubleSide;
    this.surfaceMesh.material.needsUpdate = true;
    this.page.showCut?.(height > max.z ? 1 : (height - min.z) / (max.z - min.z), height - min.z);
  }

  // Return the height at a share of the height of the scene.
  height(share) { return this.bounds.min.z + share * (this.bounds.max.z - this.bounds.min.z); }

  // The layer's colours, overlaid with the points of masks, or dimmed outside the selected box. Of several masks, the selected one or the answer is shown.
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
    const selected = this.page.shown.find((o) => o.id === this.page.state.selected);
    if (masks.length) this.highlight(masks);
    else if (selected?.corners) this.dim(this.outside(selected.corners));
    this.paints.needsUpdate = true;
  }

  // Return a test whether the point of a number lies outside a box, enlarged by 2 cm.
  outside(corners) {
    const origin = corners[0];
    const sides = [1, 3, 4].map((k) => corners[k].map((v, axis) => v - origin[axis]));
    const axes = sides.map((side) => {
      const length = Math.hypot(...side) || 1e-6;
      return { unit: side.map((v) => v / length), length };
    });
    const from = new Float64Array(3);
    return (k) => {
      for (let axis = 0; axis < 3; axis += 1) from[axis] = this.places[3 * k + axis] - origin[axis];
      return axes.some(({ unit, length }) => {
        const along = from[0] * unit[0] + from[1] * unit[1] + from[2] * unit[2];
        return along < -0.02 || along > length + 0.02;
      });
    };
  }

  // Blend the colours of some points with grey.
  dim(chosen) {
    const target = this.paints.array;
    const { DIMMED, GREY } = RoomSpace;
    const grey = new THREE.Color().setRGB(GREY, GREY, GREY, THREE.SRGBColorSpace).r;
    for (let k = 0; k < target.length; k += 1) {
      if (k % 3 === 0 && !chosen(k / 3)) k += 2;
      else target[k] = target[k] * DIMMED + grey * (1 - DIMMED);
    }
  }

  highlight(masks) {
    const target = this.paints.array;
    this.dim(() => true);
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
    const { state, shown } = this.page;
    const inOrder = [...shown.filter((o) => o.truth), ...shown.filter((o) => !o.truth)]; // predictions are drawn over labels
    const visible = inOrder.filter((o) => o.corners && (state.boxes || o.id === state.selected));
    for (const object of visible) this.drawBox(object);
    this.signs.put(state.names ? visible.map((object) => this.name(object)) : []);
  }

  // Draw the box of an object; while another object is selected, only a trace of it.
  drawBox(object) {
    const { state, item, data } = this.page;
    const { corners, colour } = object;
    const selected = object.id === state.selected;
    const aside = state.selected !== null && !selected;
    const ends = data.edges.flatMap(([a, b]) => [corners[a], corners[b]]);
    const width = selected ? 5 : aside ? 1 : object.answer ? 3.5 : object.truth ? 1.6 : 2.2;
    const faint = aside ? { transparent: true, opacity: 0.25 } : {};
    const dashes = object.truth && !item.expression ? { dashed: true, dashSize: 0.09, gapSize: 0.07 } : {};
    const parts = [this.lines(ends, colour, width, { ...faint, ...dashes }), this.surface(corners, RoomSpace.TRIANGLES, colour, selected ? 0.16 : object.answer ? 0.12 : 0)];
    const through = { depthTest: false, transparent: true, opacity: selected ? 0.6 : 0.22, ...dashes }; // visible through surfaces
    if (!aside) parts.push(this.lines(ends, colour, width, through));
    for (const part of parts) {
      part.userData.id = object.id;
      part.renderOrder = object.truth ? 1 : 2;
      this.boxes.add(part);
    }
  }

  // Return the sign of an object: the name of a label is below the top of its box, so that it does not hide that of a prediction.
  name(object) {
    const { corners, colour } = object;
    const found = this.page.item.predictions.length > 0;
    const words = object.truth ? `${object.class} (label)` : [object.class, object.score?.toFixed(2)].filter(Boolean).join("  ");
    const [x, y] = [0, 1].map((axis) => corners.reduce((sum, corner) => sum + corner[axis] / 8, 0));
    return { object, words, colour, place: new THREE.Vector3(x, y, Math.max(...corners.map((c) => c[2]))), below: Boolean(object.truth) && found };
  }

  static TRIANGLES = [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]].flatMap(([a, b, c, d]) => [a, b, c, a, c, d]);

  // ---- camera

  // Show the objects of a sentence from close by, until the reader chooses another view or moves the camera. The camera is then kept while
  // the scene stays the same.
  openView(opened, located) {
    if (this.before) this.following = this.before.following; // an object of the item before is selected
    const close = this.page.item.expression && located;
    if (opened || this.following) {
      this.look(close ? "answer" : "orbit", !opened);
      this.following = true;
    } else {
      this.goBack();
    }
  }

  release() {
    super.release();
    this.following = false;
  }

  // Fly to the selected object; without one, back to the view before the selection.
  follow(selected) {
    if (selected === null) {
      this.goBack();
      return;
    }
    const pressed = Object.keys(this.button).find((name) => this.button[name].getAttribute("aria-pressed") === "true");
    const { camera, controls, following } = this;
    this.before ??= { position: camera.position.clone(), target: controls.target.clone(), fov: camera.fov, view: pressed, following };
    const bounds = this.extent(this.page.shown.filter((o) => o.id === selected));
    if (bounds.isEmpty()) return;
    this.release();
    const towards = this.camera.position.clone().sub(this.controls.target).normalize();
    towards.z = Math.max(towards.z, 0.5);
    this.fly(this.fitted(bounds.expandByScalar(0.4), towards, 2.2), true);
    if (this.root.getBoundingClientRect().top < 0) this.root.scrollIntoView({ block: "start" });
  }

  // Fly back to the view before the selection, unless the reader has chosen another view since.
  goBack() {
    const { before } = this;
    if (!before) return;
    this.before = null;
    this.release();
    if (before.view) this.look(before.view, true);
    else this.fly(before, true);
    this.following = before.following;
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

  // Return the viewpoint in a direction from which bounds fill the view, but no nearer than `nearest` metres.
  fitted(bounds, towards, nearest = 0) {
    const { fov, aspect } = this.camera;
    const tangent = Math.tan((fov / 2) * (Math.PI / 180));
    const back = towards.clone().normalize();
    const right = new THREE.Vector3().crossVectors(this.camera.up, back).normalize();
    const up = new THREE.Vector3().crossVectors(back, right);
    const target = bounds.getCenter(new THREE.Vector3());
    const corners = Array.from({ length: 8 }, (_, k) => new THREE.Vector3(...["x", "y", "z"].map((axis, bit) => (k >> bit & 1 ? bounds.max : bounds.min)[axis])));
    let away = 0;
    for (let round = 0; round < 4; round += 1) { // a new middle of the view changes the distance, and the distance the middle
      const seen = corners.map((corner) => {
        const from = corner.clone().sub(target);
        return [from.dot(right), from.dot(up), from.dot(back)];
      });
      away = Math.max(nearest, ...seen.map(([x, y, z]) => z + RoomSpace.MARGIN * Math.max(Math.abs(x) / aspect, Math.abs(y)) / tangent));
      const middle = (k) => {
        const shares = seen.map((place) => place[k] / (away - place[2]));
        return ((Math.max(...shares) + Math.min(...shares)) / 2) * away;
      };
      target.addScaledVector(right, middle(0)).addScaledVector(up, middle(1));
    }
    return { position: target.clone().addScaledVector(back, away), target, fov, away };
  }

  // Of several directions, the one from which the scene appears largest: a long room lies along the long side of the view.
  viewpoint(view) {
    const ways = {
      orbit: [[-0.25, -0.75, 0.95], [-0.75, -0.25, 0.95]],
      top: [[0, -1e-3, 1], [-1e-3, 0, 1]],
      front: [[0, -1, 0.12]],
      side: [[1, 0, 0.12]],
    }[view];
    const whole = this.bounds.clone();
    whole.max.z = Math.min(whole.max.z, Math.max(this.cut.constant, (whole.min.z + whole.max.z) / 2)); // what is cut off needs no space
    if (ways) return ways.map((way) => this.fitted(whole, new THREE.Vector3(...way))).reduce((best, other) => (other.away < 0.97 * best.away ? other : best));
    const shown = this.page.item.expression ? this.page.shown.filter((o) => o.answer || o.truth) : this.page.shown;
    const close = this.extent(shown.length ? shown : this.page.shown);
    const bounds = close.isEmpty() ? this.bounds : close;
    const [centre, middle] = [this.bounds, bounds].map((box) => box.getCenter(new THREE.Vector3()));
    const inward = centre.sub(middle).setZ(0); // from the side of the scene's centre, so that no wall is in between
    if (inward.length() < 0.1) inward.set(-0.3, -1, 0);
    return this.fitted(bounds.clone().expandByScalar(0.4), inward.normalize().setZ(0.85), 3.5);
  }

  look(view, smoothly) {
    this.view = view;
    this.before = null;
    this.following = view === "answer";
    this.mark(view);
    this.fly(this.viewpoint(view), smoothly);
  }
};

G3D.panels.scene = G3D.Space.panel(G3D.RoomSpace);
