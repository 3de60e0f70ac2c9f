// shapsight's viewer: an image, a heatmap over it, and what its values say. No libraries, no requests, no build step.
// What is drawn is made by shapsight/drawing/viewer/content.py:
//   mount(element, content, { image, map, detail })   the whole viewer; gives { show(image, map), destroy() }
//   still(element, image, { map, detail, width })     one of content.images as a picture without controls; a promise

export const { mount, still } = (() => {
  const MIDDLE = 128, NOT_A_NUMBER = 255, SMOOTH = 0.03, POWER = 0.8;
  const RAISES = [196, 18, 47], LOWERS = [26, 100, 183], UNKNOWN = [125, 125, 125];
  const MARKS = { target: "#ffd23f", prediction: "#5ce1ff", other: "#ffffff" }, RIM = "#202020", REGION = "#7dff5a";
  const DETAILS = { regions: "sums over regions", smooth: "smooth", pixels: "single pixels" };
  const SHOWN = { regions: ", evened over its region", smooth: ", smoothed", pixels: "" };
  const SMALL = 64;  // up to so many pixels a side, pixels stay squares
  const LARGE = 768;  // pixels of the canvas along the longer side, at least
  const KEPT = 6;  // images that stay decoded
  const MANY = 12;  // from so many on, there is a field to find one

  function mount(root, content, { image, map, detail } = {}) {
    root.classList.add("shapsight");
    root.replaceChildren();
    const images = content.images ?? [];
    if (!images.length) root.append(made("p", { class: "soft" }, "There is no explanation to show."));
    if (!images.length) return { show() {}, destroy: () => root.replaceChildren() };
    const open = keeper(images), every = images.flatMap((one) => one.maps);
    const told = ["output", "method", "model"].filter((field, n) => !n || new Set(every.map((map) => map[field]).filter(Boolean)).size > 1);
    const namesOf = (one) => one.maps.map((map) => told.map((field) => map[field]).filter(Boolean).join(" · "))
      .map((name, n, all) => all.indexOf(name) < n ? `${name} (${n + 1})` : name);
    const state = { image: 0, output: "", detail, opacity: 1, threshold: 0, other: "", cut: 0.5, box: null, slice: images[0].slice ?? 0 };
    let cursor = null, corner = null, dragged = null, byKey = false, turn = 0;

    const [nav, left, right, stage, box, key, marks, parts] = ["nav", "left", "right", "stage", "box", "key", "marks", "parts"]
      .map((name) => made("div", { class: name }));
    const canvas = made("canvas"), counted = made("span", { class: "soft" }), caption = made("p", { class: "caption" });
    const said = made("p", { class: "said", "aria-live": "polite" });
    const enter = (n) => { state.image = n; state.slice = images[n].slice ?? 0; state.box = cursor = corner = null; };
    const pictures = choice("image", (n) => { enter(n); fill(); });
    const outputs = choice("output", (n) => { state.output = namesOf(current())[n]; fill(); });
    const others = choice("compare with", (n) => { state.other = others.values[n]; fill(); });
    const details = choice("detail", (n) => { state.detail = current().details[n]; fill(); });
    const opacity = slider("opacity", state.opacity, (v) => { state.opacity = v; draw(); });
    const threshold = slider("hide weak values", state.threshold, (v) => { state.threshold = v; draw(); });
    const slices = slider("slice", 0, (v) => { state.slice = v; draw(); });  // of a volume
    const cut = slider("left of here: this; right: what it is compared with", state.cut, (v) => { state.cut = v; draw(); });
    const back = button("‹", "previous image", () => pictures.step(-1)), on = button("›", "next image", () => pictures.step(1));
    cut.classList.add("cut");
    nav.append(back, on, pictures.element, counted);
    nav.hidden = images.length < 2;
    Object.assign(stage, { tabIndex: 0, role: "img" }).append(canvas, box);
    left.append(stage, cut, key, marks);
    right.append(caption, slices, said, outputs.element, others.element, details.element, opacity, threshold, parts);
    root.append(nav, left, right);
    pictures.fill(images.map((one) => [one.name, one.group].filter(Boolean).join(" · ")), 0);

    const keyed = (name) => !name ? -1 : images.findIndex((one) => one.key === name);
    const named = (one, name) => Math.max(namesOf(one).indexOf(name), one.maps.length ? 0 : -1);
    const current = () => images[state.image], chosen = () => named(current(), state.output), shownMap = () => current().maps[chosen()];

    function other() {  // the image and the map on the right half, or nothing
      if (!state.other) return null;
      if (state.other !== "beside") return { image: state.image, map: named(current(), state.other) };
      const image = keyed(current().beside);
      return { image, map: named(images[image], namesOf(current())[chosen()]) };
    }

    function fill() {
      const one = current(), names = namesOf(one), beside = keyed(one.beside);
      others.values = ["", ...names, ...(beside < 0 ? [] : ["beside"])];
      if (!others.values.includes(state.other)) state.other = "";
      pictures.choose(state.image);
      outputs.fill(names, chosen());
      others.fill(["nothing", ...names, ...(beside < 0 ? [] : [`the image ${images[beside].name}`])], others.values.indexOf(state.other));
      details.fill(one.details.map((name) => DETAILS[name] ?? name), one.details.indexOf(detailOf(one, state.detail)));
      outputs.element.hidden = names.length < 2;
      others.element.hidden = others.values.length < (beside < 0 ? 3 : 2);
      details.element.hidden = one.details.length < 2 || !names.length;
      opacity.hidden = threshold.hidden = key.hidden = said.hidden = !names.length;
      cut.hidden = state.other === "";
      slices.hidden = !one.slices;
      Object.assign(slices.lastChild, { step: 1, max: (one.slices?.length ?? 1) - 1, value: state.slice });
      counted.textContent = pictures.place();
      caption.textContent = [nav.hidden && one.name, !one.caption.startsWith(one.group) && one.group, one.caption].filter(Boolean).join(" · ");
      caption.hidden = !caption.textContent;
      draw();
    }

    const draw = () => drawn().catch((error) => { said.hidden = false; said.textContent = `This image cannot be shown here: ${error.message}.`; });
    async function drawn() {
      const mine = ++turn, one = current(), map = shownMap(), second = other();
      const here = await seen(open(state.image), one, chosen(), state.detail, state.slice);
      const beside = second && await seen(open(second.image), images[second.image], second.map, state.detail, state.slice);
      if (mine !== turn) return;
      const pen = sized(canvas, one, LARGE);
      stage.style.maxWidth = `${36 * Math.min(1, one.width / one.height)}rem`;  // tall images fit on a screen
      const limit = Math.max(here.limit, beside ? beside.limit : 0);
      const edge = beside ? Math.round(canvas.width * state.cut) : canvas.width, size = Math.max(canvas.width, canvas.height) / 64;
      paint(pen, here, { ...state, limit }, 0, edge, size);
      if (beside) {
        paint(pen, beside, { ...state, limit }, edge, canvas.width, size);
        pen.fillStyle = "#fff"; pen.fillRect(edge - 1, 0, 3, canvas.height);
      }
      const heat = map ? `, heatmap of ${namesOf(one)[chosen()]}` : "";
      stage.setAttribute("aria-label", `${one.name}${heat}. Arrow keys move the cursor, Enter begins and ends a box, Page Up and Page Down change the image.`);
      showKey(map, limit);
      marks.replaceChildren(...one.marks.map((mark) => explained(mark, one)));
      showParts(map);
      Object.assign(root.dataset, { ready: "true", image: one.key });
      place();
      await tell();
      slices.firstChild.textContent = `slice ${state.slice} of 0 to ${(one.slices?.length ?? 1) - 1}`;
    }

    function showKey(map, limit) {
      key.replaceChildren(...(limit ? [] : [made("span", { class: "soft" }, "All values are 0.")]));
      if (!limit) return;
      key.append(made("span", {}, `−${short(limit)}`), made("i", { class: "ramp" }), made("span", {}, `+${amount(limit, map)}`));
      const pixel = current().block > 1 ? `block of ${current().block} × ${current().block} pixels, to keep this page small` : "pixel";
      const text = `Blue lowers ${map.output}, red raises it: for each ${pixel}${SHOWN[detailOf(current(), state.detail)] ?? ""}. Values are stored to ±${amount(map.step, map)}.`;
      key.append(made("span", { class: "soft" }, text));
    }

    function showParts(map) {
      parts.replaceChildren();
      if (!map) return;
      const change = map.prediction - map.base, most = Math.max(...map.parts.map((part) => Math.abs(part.value ?? 0)), 1e-30);
      if (map.prediction !== null && map.base !== null) {
        const from = `${change < 0 ? "minus" : "plus"} ${amount(Math.abs(change), map)} from the pixels`;
        parts.append(made("p", {}, `Prediction ${amount(map.prediction, map)}: base value ${amount(map.base, map)}, ${from}.`));
      }
      if (map.method) parts.append(made("p", { class: "soft" }, `Heatmap of ${map.output} by ${map.method}${map.model ? `, model ${map.model}` : ""}.`));
      parts.append(...map.parts.map((part) => weighed(part, most, map)));
    }

    // --- what is under the cursor, and inside a box -----------------------------------------------------------------
    async function tell() {
      const map = shownMap();
      if (!map) return;
      const mine = turn, kept = open(state.image), own = await kept.own(chosen());
      const regions = detailOf(current(), state.detail) === "regions" && await kept.regions();
      const second = other(), isAlike = second && images[second.image].maps[second.map]?.width === map.width;
      const beside = isAlike ? await open(second.image).own(second.map) : null;
      if (mine !== turn) return;
      const start = current().slices ? state.slice * map.width * map.height : 0;
      const all = sumOf(own, () => true), name = state.other === "beside" ? "the other image" : state.other;
      const both = (value) => `${amount(value(own), map)}${beside ? ` (${name}: ${amount(value(beside), map)})` : ""}`;
      const summed = (isIn) => `${both((found) => sumOf(found, isIn))}${share(sumOf(own, isIn), all)}`;
      if (state.box) {
        const { x0, x1, y0, y1 } = state.box, column = (i) => i % map.width, row = (i) => Math.floor((i - start) / map.width);
        const isIn = (i) => column(i) >= x0 && column(i) <= x1 && row(i) >= y0 && row(i) <= y1;
        said.textContent = `In the box (${x1 - x0 + 1} × ${y1 - y0 + 1}${current().slices ? ", this slice" : ""}): ${summed(isIn)}.`;
        root.dataset.value = String(sumOf(own, isIn));
      } else if (cursor) {
        const at = start + cursor.y * map.width + cursor.x, by = current().block;
        const region = regions ? `; its region: ${summed((i) => regions[i] === regions[at])}` : "";
        said.textContent = `x ${cursor.x * by}, y ${cursor.y * by}: ${both((found) => found[at])}${region}.`;
        root.dataset.value = String(own[at]);
      } else said.textContent = "Point at the picture for values; drag a box for a sum.";
    }

    function place() {
      const map = shownMap(), cell = byKey && cursor && between(cursor, cursor), at = map && (state.box ?? cell);
      box.hidden = !at;
      if (!at) return;
      const percent = (n, of) => `${100 * Math.min(n, of) / of}%`;
      box.style.cssText = `left:${percent(at.x0, map.columns)};top:${percent(at.y0, map.rows)};width:${percent(at.x1 - at.x0 + 1, map.columns)};height:${percent(at.y1 - at.y0 + 1, map.rows)}`;
    }

    function point(event) {
      const map = shownMap(), edges = canvas.getBoundingClientRect(), starts = event.type === "pointerdown";
      if (!map || (!starts && !dragged && state.box)) return;
      const along = (at, count, length) => Math.floor(at / length * count);
      cursor = inside(map, along(event.clientX - edges.left, map.columns, edges.width), along(event.clientY - edges.top, map.rows, edges.height));
      byKey = false;
      if (starts) { dragged = cursor; state.box = corner = null; stage.setPointerCapture?.(event.pointerId); }
      if (dragged && Math.max(Math.abs(cursor.x - dragged.x), Math.abs(cursor.y - dragged.y)) > 1) state.box = between(dragged, cursor);
      place(); tell();
    }
    for (const name of ["pointerdown", "pointermove"]) stage.addEventListener(name, point);
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => { dragged = null; });
    stage.addEventListener("pointerleave", () => { if (!dragged && !state.box && !byKey) { cursor = null; tell(); } });
    stage.addEventListener("keydown", (event) => {
      const map = shownMap(), far = event.shiftKey ? 10 : 1;
      const by = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[event.key];
      const pages = { PageUp: -1, PageDown: 1 }[event.key];
      if (pages) pictures.step(pages);
      else if (!map || !(by || ["Enter", " ", "Escape"].includes(event.key))) return;
      else if (event.key === "Escape") {
        if (!state.box && !cursor) return;  // a dialog around it may close
        state.box = cursor = corner = null;
        event.stopPropagation();
      } else {
        byKey = true;
        cursor ??= { x: map.width >> 1, y: map.height >> 1 };
        if (by) cursor = inside(map, cursor.x + by[0], cursor.y + by[1]);
        else corner = corner ? null : cursor;
        if (by && !corner) state.box = null;
        if (corner) state.box = between(corner, cursor);
      }
      event.preventDefault();
      place(); tell();
    });
    nav.addEventListener("keydown", (event) => {
      const by = event.target.tagName === "BUTTON" && { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) pictures.step(by);
    });

    function show(image, map) {
      const number = typeof image === "number" ? image : keyed(image);
      if (images[number]) enter(number);
      if (map !== undefined) state.output = typeof map === "number" ? namesOf(current())[map] : map;
      fill();
    }

    show(image, map);
    return { show, destroy() { turn++; root.replaceChildren(); } };
  }

  async function still(root, image, { map = 0, detail, width } = {}) {
    const canvas = made("canvas", { role: "img" }), number = image.maps[map] ? map : -1, heat = number < 0 ? "" : `, heatmap of ${image.maps[number].output}`;
    canvas.setAttribute("aria-label", `${image.name}${image.caption ? `: ${image.caption}` : ""}${heat}`);
    const dense = Math.min(2, globalThis.devicePixelRatio || 1), wide = dense * ((width ?? root.clientWidth) || 224);
    const pen = sized(canvas, image, wide * Math.max(1, image.height / image.width));
    root.classList.add("shapsight-still");
    root.replaceChildren(canvas);
    const ready = await seen(opened(image), image, number, detail, image.slice ?? 0);
    paint(pen, ready, { limit: ready.limit, opacity: 1, threshold: 0 }, 0, canvas.width, 6 * dense);
    ready.picture.close();
  }

  // --- drawing --------------------------------------------------------------------------------------------------------
  function sized(canvas, image, longer) {
    const longest = Math.max(image.width, image.height), scale = longest <= SMALL ? Math.ceil(longer / longest) : longer / longest;
    canvas.width = Math.round(image.width * scale);
    canvas.height = Math.round(image.height * scale);
    return canvas.getContext("2d");
  }

  async function seen(kept, image, number, detail, slice) {  // all that is needed to draw an image, or a slice of it, at once
    const at = image.slices ? slice : 0, map = image.maps[number], as = detailOf(image, detail);
    const [picture, outline, about, found, limit] = await Promise.all([kept.picture(at), kept.outline(), kept.about(number), map ? kept.at(number, as) : null, map ? kept.limit(number, as) : 0]);
    const part = (data, { width, height }) => data.subarray(at * width * height, (at + 1) * width * height);
    const edge = (of) => of && { ...of, data: part(of.data, of) };
    return { image, picture, outline: edge(outline), about: edge(about), found: found && part(found, map), limit, map, isSmooth: as === "smooth" };
  }

  function paint(pen, { image, picture, outline, about, found, map, isSmooth }, look, from, to, size) {
    const { width, height } = pen.canvas;
    pen.save();
    pen.beginPath(); pen.rect(from, 0, to - from, height); pen.clip();
    pen.imageSmoothingEnabled = Math.max(image.width, image.height) > SMALL;
    pen.drawImage(picture, 0, 0, width, height);
    if (found && look.opacity > 0) {
      pen.globalCompositeOperation = "saturation";  // pale, so that the heatmap's colours stand out
      pen.fillStyle = "rgb(128 128 128 / 0.65)";
      pen.fillRect(0, 0, width, height);
      pen.globalCompositeOperation = "source-over";
      pen.imageSmoothingEnabled = isSmooth;
      pen.drawImage(coloured(found, map, look), 0, 0, width * map.width / map.columns, height * map.height / map.rows);
    }
    if (outline) surround(pen, outline, width, height, size / 6, REGION);
    if (about) surround(pen, about, width, height, size / 6, MARKS.target);
    for (const mark of image.marks) {
      const x = mark.x / image.width * width, y = mark.y / image.height * height;
      const near = (at, side) => Math.min(side - 1.5 * size, Math.max(1.5 * size, at)), shownX = near(x, width), shownY = near(y, height);
      if (isOutside(mark, image)) sketch(pen, mark.kind, shownX, shownY, size, Math.atan2(y - shownY, x - shownX));
      else sketch(pen, mark.kind, x, y, size);
    }
    pen.restore();
  }

  const detailOf = (image, wanted) => image.details.includes(wanted) ? wanted : image.details[0];
  const isOutside = (mark, image) => mark.x < 0 || mark.y < 0 || mark.x > image.width || mark.y > image.height;

  function explained(mark, image) {  // a mark beside its name
    const row = made("span"), sign = made("canvas", { width: "36", height: "36", "aria-hidden": "true" });
    sketch(sign.getContext("2d"), mark.kind, 18, 18, 11);
    const outside = isOutside(mark, image) ? ", outside the picture" : "";
    row.append(sign, `${mark.label || (mark.kind === "other" ? "mark" : mark.kind)} (x ${short(mark.x)}, y ${short(mark.y)}${outside})`);
    return row;
  }

  function coloured(found, map, { limit, opacity, threshold }) {
    const layer = made("canvas", { width: map.width, height: map.height }), heat = new ImageData(map.width, map.height);
    found.forEach((value, i) => {
      const isUnknown = Number.isNaN(value), size = isUnknown ? 1 : Math.min(1, Math.abs(value) / (limit || 1));
      const colour = isUnknown ? UNKNOWN : value < 0 ? LOWERS : RAISES;
      for (let n = 0; n < 3; n++) heat.data[4 * i + n] = colour[n];
      heat.data[4 * i + 3] = Math.round(255 * opacity * (size < threshold ? 0 : size ** POWER));
    });
    layer.getContext("2d").putImageData(heat, 0, 0);
    return layer;
  }

  function surround(pen, { width, height, data }, across, down, thick, colour) {  // the edge of a region
    pen.beginPath();
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      const i = y * width + x, left = x / width * across, top = y / height * down;
      if (x && data[i] !== data[i - 1]) { pen.moveTo(left, top); pen.lineTo(left, (y + 1) / height * down); }
      if (y && data[i] !== data[i - width]) { pen.moveTo(left, top); pen.lineTo((x + 1) / width * across, top); }
    }
    stroked(pen, colour, thick);
  }

  function sketch(pen, kind, x, y, size, towards) {  // a mark; with a direction, an arrowhead
    pen.beginPath();
    if (towards !== undefined) {
      const at = (turn, far) => [x + far * size * Math.cos(towards + turn), y + far * size * Math.sin(towards + turn)];
      pen.moveTo(...at(2.5, 1.1)); pen.lineTo(...at(0, 1.3)); pen.lineTo(...at(-2.5, 1.1)); pen.closePath();
    } else if (kind === "prediction") {
      const arm = 0.8 * size;
      pen.moveTo(x - arm, y - arm); pen.lineTo(x + arm, y + arm); pen.moveTo(x - arm, y + arm); pen.lineTo(x + arm, y - arm);
    } else pen.arc(x, y, kind === "target" ? size : size / 3, 0, 2 * Math.PI);
    stroked(pen, MARKS[kind], size / 3);
    if (kind === "other") { pen.fillStyle = MARKS.other; pen.fill(); }
  }

  function stroked(pen, colour, thick) {
    pen.lineWidth = 2 * thick; pen.strokeStyle = RIM; pen.stroke();
    pen.lineWidth = thick; pen.strokeStyle = colour; pen.stroke();
  }

  // --- values ---------------------------------------------------------------------------------------------------------
  function keeper(images) {  // only the images looked at last stay decoded
    const kept = new Map();
    return (number) => {
      const found = kept.get(number) ?? opened(images[number]);
      kept.delete(number); kept.set(number, found);
      if (kept.size > KEPT) kept.delete(kept.keys().next().value);
      return found;
    };
  }

  function opened(image) {  // what is in an image, decoded when it is asked for, once
    const made = new Map(), once = (name, make) => made.get(name) ?? made.set(name, make()).get(name);
    const kept = {
      picture: (slice) => once(`picture ${slice}`, () => bitmap(image.slices?.[slice] ?? image.picture)),
      outline: () => once("outline", () => region(image.outline)),
      about: (n) => once(`about ${n}`, () => region(image.maps[n]?.about)),
      regions: () => once("regions", async () => image.regions && unpacked(image.regions)),
      own: (n) => once(`own ${n}`, async () => values(await unpacked(image.maps[n].levels), image.maps[n].step)),
      at: (n, detail) => once(`${detail} ${n}`, async () => {
        const own = await kept.own(n), regions = detail === "regions" && await kept.regions();
        return regions ? evened(own, regions) : detail === "smooth" ? smoothed(own, image.maps[n].width, image.maps[n].height) : own;
      }),
      limit: (n, detail) => once(`limit ${detail} ${n}`, async () => {  // of the slice that reaches farthest: a lesion is a small part of a volume
        const all = await kept.at(n, detail), size = image.maps[n].width * image.maps[n].height;
        return Math.max(...Array.from({ length: all.length / size }, (_, at) => largest(all.subarray(at * size, (at + 1) * size))));
      }),
    };
    return kept;
  }

  const bytes = (text) => { const letters = atob(text); return new Uint8Array(letters.length).map((_, i) => letters.charCodeAt(i)); };
  const bitmap = (data) => createImageBitmap(new Blob([bytes(data.split(",")[1])], { type: data.slice(5, data.indexOf(";")) }));
  const inflated = (blob) => new Response(blob.stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
  const unpacked = async (text) => new Uint8Array(await inflated(new Blob([bytes(text)])));
  const region = async (found) => found && { ...found, data: await unpacked(found.levels) };
  const values = (stored, step) => new Float32Array(stored).map((level) => level === NOT_A_NUMBER ? NaN : (level - MIDDLE) * step);
  const sumOf = (found, isIn) => found.reduce((sum, value, i) => Number.isNaN(value) || !isIn(i) ? sum : sum + value, 0);
  const within = (at, count) => Math.min(count - 1, Math.max(0, at));
  const inside = (map, x, y) => ({ x: within(x, map.width), y: within(y, map.height) });
  const between = (a, b) => ({ x0: Math.min(a.x, b.x), x1: Math.max(a.x, b.x), y0: Math.min(a.y, b.y), y1: Math.max(a.y, b.y) });

  function evened(own, regions) {  // each region's sum, spread evenly over its pixels
    const sums = new Float64Array(256), counts = new Float64Array(256);
    own.forEach((value, i) => { if (!Number.isNaN(value)) { sums[regions[i]] += value; counts[regions[i]]++; } });
    return own.map((value, i) => Number.isNaN(value) ? NaN : sums[regions[i]] / counts[regions[i]]);
  }

  function smoothed(own, width, height) {  // under a Gaussian; what would go to no number goes to the others
    const sides = [width, height].filter((side) => side > 1), spread = SMOOTH * (sides.length ? Math.min(...sides) : 1);
    if (!own.some(Number.isNaN)) return blurred(own, width, height, spread);
    const known = own.map((value) => Number.isNaN(value) ? 0 : 1), reached = blurred(known, width, height, spread);
    const shared = blurred(own.map((value, i) => known[i] ? value / reached[i] : 0), width, height, spread);
    return shared.map((value, i) => known[i] ? value : NaN);
  }

  function blurred(own, width, height, spread) {  // mirrored at the borders
    const reach = Math.round(4 * spread), weights = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-(((i - reach) / spread) ** 2) / 2));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const mirrored = (at, side) => { const round = ((at % (2 * side)) + 2 * side) % (2 * side); return round < side ? round : 2 * side - 1 - round; };
    const taps = weights.length;
    const along = (from, side, stride) => {
      const near = Int32Array.from({ length: side * taps }, (_, n) => stride * mirrored(Math.floor(n / taps) + n % taps - reach, side));
      return from.map((_, i) => {
        const at = Math.floor(i / stride) % side, first = i - at * stride;
        let sum = 0;
        for (let j = 0; j < taps; j++) sum += weights[j] * from[first + near[at * taps + j]];
        return sum / total;
      });
    };
    return along(along(own, width, 1), height, width);
  }

  function largest(found) {  // all but the largest half percent stay below full colour
    const sizes = (found ?? new Float32Array()).map(Math.abs).filter((size) => !Number.isNaN(size)).sort();
    return sizes.length ? sizes[Math.floor(0.995 * (sizes.length - 1))] || sizes[sizes.length - 1] : 0;
  }

  // --- elements and words ---------------------------------------------------------------------------------------------
  function made(tag, attributes = {}, text = "") {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;  // names of files and outputs are text, never markup
    return element;
  }

  function button(sign, name, on) {
    const found = made("button", { type: "button", "aria-label": name, title: name }, sign);
    found.addEventListener("click", on);
    return found;
  }

  function choice(name, on) {  // a list to choose from; where there are many, with a field that narrows it
    const element = made("div", { class: "choice" }), label = made("label", {}, name), select = made("select");
    const search = made("input", { type: "search", "aria-label": `find ${name}`, placeholder: "find", hidden: "" });
    let all = [], kept = [], at = 0;
    label.append(select);
    element.append(label, search);
    const list = () => { select.replaceChildren(...kept.map((n) => made("option", {}, all[n]))); select.selectedIndex = kept.indexOf(at); };
    select.addEventListener("change", () => on(kept[select.selectedIndex]));
    search.addEventListener("input", () => {
      const words = search.value.toLowerCase().split(/\s+/);
      kept = all.flatMap((text, n) => words.every((word) => text.toLowerCase().includes(word)) ? [n] : []);
      list();
      if (kept.length) on(kept.includes(at) ? at : kept[0]);
    });
    const choose = (n) => {
      at = n;
      if (!kept.includes(n)) { search.value = ""; kept = [...all.keys()]; list(); }
      select.selectedIndex = kept.indexOf(n);
    };
    const fill = (texts, n) => {
      if (texts.join("\n") !== all.join("\n")) { all = texts; kept = []; }
      search.hidden = all.length < MANY;
      choose(n);
    };
    const step = (by) => { const next = kept[kept.indexOf(at) + by]; if (next !== undefined) on(next); };
    const place = () => `${kept.indexOf(at) + 1} of ${kept.length}${kept.length < all.length ? " found" : ""}`;
    return { element, fill, choose, step, place };
  }

  function weighed({ name, value }, most, map) {  // a part of the image, and what it adds as a bar
    const row = made("div", { class: "part" }), track = made("div", { class: "track" }), bar = made("i");
    const from = value < 0 ? "right:50%;background:var(--lower)" : "left:50%;background:var(--raise)";
    bar.style.cssText = `width:${50 * Math.abs(value ?? 0) / most}%;${from}`;
    track.append(bar);
    row.append(made("span", {}, name), track, made("span", { class: "amount" }, `${value > 0 ? "+" : ""}${amount(value, map)}`));
    return row;
  }

  function slider(name, value, on) {
    const label = made("label", {}, name), input = made("input", { type: "range", min: "0", max: "1", step: "0.01", value: String(value) });
    input.addEventListener("input", () => on(Number(input.value)));
    label.append(input);
    return label;
  }

  function short(value) {
    if (value === null || Number.isNaN(value)) return "unknown";
    const size = Math.abs(value), isPlain = size === 0 || (size >= 0.00001 && size < 1000000);
    return (isPlain ? String(Number(value.toPrecision(3))) : value.toExponential(1)).replaceAll("-", "−");
  }

  function share(value, all) {
    const percent = Math.round(100 * value / all);
    return Math.abs(percent) <= 300 ? `, ${short(percent)} % of the change` : "";  // of a change near 0 there are no shares
  }

  const amount = (value, map) => `${short(value)}${map.unit && short(value) !== "unknown" ? ` ${map.unit}` : ""}`;

  return { mount, still };
})();
