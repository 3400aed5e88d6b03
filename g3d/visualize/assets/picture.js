"use strict";
// The image with its boxes. Projection and cutting were done in Python: this file only draws lines that are given in pixels of the image.

G3D.panels.picture = (root, page) => {
  const { make } = G3D;
  const sentence = make("p", { class: "sentence" });
  const image = make("img", { alt: "" });
  const map = make("img", { alt: "", class: "map" });
  const drawing = make("svg", { "aria-hidden": "true" });
  const tags = make("div");
  const stage = make("div", { class: "stage" }, image, map, drawing, tags);
  const legend = make("div", { class: "scale" });
  root.append(sentence, stage, legend);

  const box = (object) => {
    const colour = page.colour(object);
    const group = make("g", { class: object.truth ? "truth" : "found", "data-id": object.id });
    if (object.front.length) group.append(make("polygon", { class: "front", points: object.front.join(" "), fill: object.truth ? "none" : colour }));
    const line = ([x1, y1, x2, y2], kind, stroke) => make("line", { class: kind, x1, y1, x2, y2, ...(stroke && { stroke }) });
    object.edges.forEach((edge, k) => object.hidden[k] || group.append(line(edge, "casing")));
    object.edges.forEach((edge, k) => group.append(line(edge, object.hidden[k] ? "edge hidden" : "edge", colour)));
    if (page.state.boxes2d) {
      const [x1, y1, x2, y2] = object.box2d;
      group.append(make("rect", { class: "box2d", x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1), stroke: colour }));
    }
    return group;
  };

  // Invisible areas to click on, the small ones above the large ones.
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

  // Labels keep their size while the image scales. The nearest object chooses its place first, the others move up past it.
  const placeTags = (objects) => {
    const scale = stage.clientWidth / page.frame.size[0];
    const narrow = stage.clientWidth < 560;
    const onlyTruth = !page.frame.predictions.length;
    const chosen = objects.filter((o) => o.bounds && (o.id === page.state.selected || (page.state.labels && !narrow && (onlyTruth || !o.truth))));
    const taken = [];
    tags.replaceChildren();
    for (const object of chosen.sort((a, b) => a.distance - b.distance)) {
      const tag = make("div", { class: "tag", "data-id": object.id }, G3D.label(object));
      tag.style.whiteSpace = "pre";
      tag.style.background = page.colour(object);
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

  // The map over the image, and below it what its colours mean.
  const drawMap = () => {
    const shown = page.frame.maps[page.state.map];
    map.hidden = legend.hidden = !shown;
    if (!shown) return;
    map.src = page.data.pictures[shown.image];
    const { title, unit, colours } = page.data.maps[page.state.map];
    const bar = make("i");
    bar.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
    const value = (share) => `${Number((share * shown.reach).toPrecision(3))}${unit && ` ${unit}`}`;
    legend.replaceChildren(make("b", {}, title), make("span", {}, value(0)), bar, make("span", {}, value(1)));
  };

  // As wide as the panel, but never so high that the other panels leave the window.
  const fit = () => {
    const [width, height] = page.frame.size;
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
      const { frame, shown } = page;
      if (changed.includes("frame")) {
        if (image.src !== page.picture) image.src = page.picture;
        image.alt = `Frame ${frame.name}`;
        sentence.textContent = frame.expression ?? "";
        sentence.hidden = !frame.expression;
        drawing.setAttribute("viewBox", `-0.5 -0.5 ${frame.size[0]} ${frame.size[1]}`); // whole numbers are centres of pixels
        fit();
      }
      if (changed.includes("frame") || changed.includes("map")) drawMap();
      if (changed.some((name) => name !== "selected")) {
        const far = [...shown].sort((a, b) => (a.truth ?? false) === (b.truth ?? false) ? b.distance - a.distance : a.truth ? -1 : 1);
        drawing.replaceChildren(...far.map(box), ...hits(shown));
      }
      placeTags(shown);
      select();
    },
  };
};
