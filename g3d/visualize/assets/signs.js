"use strict";
// Names of objects over a 3D view. They are parts of the page, not of the drawing, so that they are sharp at every zoom. Names that would
// overlap a more important name, or a control of the view, are hidden.

G3D.Signs = class Signs {
  static GAP = 2; // pixels between two names

  // `controls` are the elements over the view that no name may cover.
  constructor(root, controls) {
    this.controls = controls;
    this.layer = G3D.make("div", { class: "signs", "aria-hidden": "true" }); // the list of objects has the same names
    root.append(this.layer);
    this.entries = [];
  }

  // Replace all names. Each is given as { object, words, colour, place, below }: `place` is the point in the scene (THREE.Vector3) that the
  // name is above, or below if `below` is true.
  put(signs) {
    this.entries = signs.map((sign) => {
      const element = G3D.make("span", { class: sign.object.truth ? "sign truth" : "sign", "data-id": sign.object.id }, sign.words);
      element.style.borderColor = sign.colour;
      return { ...sign, element };
    });
    this.layer.replaceChildren(...this.entries.map((entry) => entry.element));
    for (const entry of this.entries) [entry.width, entry.height] = [entry.element.offsetWidth, entry.element.offsetHeight];
  }

  // Place the names for the current camera. The selected and the hovered object come first, then answers, then high scores, then near
  // objects. Names of objects behind the camera or outside the view are hidden.
  arrange(camera, state, width, height) {
    camera.updateMatrixWorld();
    const taken = this.occupied();
    const point = new THREE.Vector3();
    for (const entry of this.entries) {
      entry.away = camera.position.distanceTo(entry.place);
      point.copy(entry.place).applyMatrix4(camera.matrixWorldInverse);
      entry.ahead = point.z < -camera.near;
      point.applyMatrix4(camera.projectionMatrix);
      const [x, y] = [(point.x + 1) * 0.5 * width, (1 - point.y) * 0.5 * height];
      const left = Math.round(x - entry.width / 2);
      const top = Math.round(entry.below ? y + 3 : y - entry.height - 3);
      entry.area = [left, top, left + entry.width, top + entry.height];
      entry.inside = entry.ahead && left >= 0 && top >= 0 && left + entry.width <= width && top + entry.height <= height;
      entry.rank = entry.object.id === state.selected ? 3 : entry.object.id === state.hovered ? 2 : entry.object.answer ? 1 : 0;
    }
    const order = [...this.entries].sort((a, b) => b.rank - a.rank || (b.object.score ?? 0) - (a.object.score ?? 0) || a.away - b.away);
    for (const entry of order) {
      const [left, top, right, bottom] = entry.area;
      const free = entry.inside && taken.every(([l, t, r, b]) => right + Signs.GAP <= l || r + Signs.GAP <= left || bottom + Signs.GAP <= t || b + Signs.GAP <= top);
      entry.shown = free && (state.selected === null || entry.rank >= 2);
      if (entry.shown) taken.push(entry.area);
      entry.element.classList.toggle("selected", entry.rank === 3);
      entry.element.style.visibility = entry.shown ? "visible" : "hidden";
      entry.element.style.transform = `translate(${left}px, ${top}px)`;
    }
  }

  // Return the areas of the visible controls, as left, top, right and bottom in pixels of the view.
  occupied() {
    const from = this.layer.getBoundingClientRect();
    const areas = this.controls.map((part) => part.getBoundingClientRect()).filter((area) => area.width);
    return areas.map((area) => [area.left - from.left, area.top - from.top, area.right - from.left, area.bottom - from.top]);
  }

  // Return the id of the object whose name is at a place of the view, in pixels; null if there is none.
  under(x, y) {
    const hit = this.entries.find(({ shown, area: [left, top, right, bottom] = [] }) => shown && x >= left && x <= right && y >= top && y <= bottom);
    return hit ? hit.object.id : null;
  }
};
