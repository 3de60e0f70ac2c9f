// shapsight's viewer: an image, a heatmap over it, and what its values say. No libraries, no requests, no build step.
// mount(element, content) draws into an element; content is made by shapsight/drawing/viewer/content.py.

const MIDDLE = 128, NOT_A_NUMBER = 255, SMOOTH = 0.03, POWER = 0.8;
const RAISES = [196, 18, 47], LOWERS = [26, 100, 183], UNKNOWN = [125, 125, 125];
const DETAILS = { regions: "sums over regions", smooth: "smooth", pixels: "single pixels" };

export function mount(root, content) {
  root.classList.add("shapsight");
  root.replaceChildren();
  const images = content.images ?? [];
  if (!images.length || !images.some((image) => image.maps.length)) {
    root.append(made("p", { class: "soft" }, "There is no explanation to show."));
    return () => {};
  }
  const state = { image: 0, map: 0, detail: images[0].details[0], opacity: 1, threshold: 0, other: -1, cut: 1, box: null };
  const cache = new Map();
  const bar = made("div", { class: "bar" });
  const stage = made("div", { class: "stage", tabindex: "0", role: "img" });
  const canvas = made("canvas"), box = made("div", { class: "box", hidden: "" });
  const said = made("p", { class: "said", "aria-live": "polite" }), parts = made("div", { class: "parts" });
  stage.append(canvas, box);
  root.append(bar, stage, said, parts);
  if (content.coarser > 1)
    root.append(made("p", { class: "soft" }, `To keep this page small, values are sums over ${content.coarser} × ${content.coarser} pixels.`));

  const imageChoice = choice("image", images.map((image) => image.name), (n) => { state.image = n; state.map = Math.min(state.map, current().maps.length - 1); state.box = null; fill(); });
  const mapChoice = choice("output", [], (n) => { state.map = n; fill(); });
  const otherChoice = choice("compare with", [], (n) => { state.other = n - 1; state.cut = n ? 0.5 : 1; fill(); });
  const detailChoice = choice("detail", [], (n) => { state.detail = current().details[n]; fill(); });
  const opacity = slider("opacity", 1, (v) => { state.opacity = v; draw(); });
  const threshold = slider("hide below", 0, (v) => { state.threshold = v; draw(); });
  const cut = slider("left: this, right: the other", 0.5, (v) => { state.cut = v; draw(); });
  bar.append(imageChoice, mapChoice, otherChoice, detailChoice, opacity, threshold, cut);
  let turn = 0, ready = false;

  function current() { return images[state.image]; }

  function fill() {
    const image = current(), names = image.maps.map(nameOf);
    if (!image.details.includes(state.detail)) state.detail = image.details[0];
    refill(mapChoice, names, state.map);
    refill(otherChoice, ["nothing", ...names], state.other + 1);
    refill(detailChoice, image.details.map((name) => DETAILS[name] ?? name), image.details.indexOf(state.detail));
    if (state.other >= image.maps.length) state.other = -1;
    imageChoice.hidden = images.length < 2;
    mapChoice.hidden = otherChoice.hidden = names.length < 2;
    detailChoice.hidden = image.details.length < 2;
    cut.hidden = state.other < 0;
    draw();
  }

  async function loaded(number) {
    const image = images[number];
    if (!cache.has(number)) cache.set(number, (async () => ({
      picture: await bitmap(image.picture),
      regions: image.regions ? await levels(image.regions) : null,
      maps: await Promise.all(image.maps.map(async (map) => values(await levels(map.levels), map.step))),
    }))());
    return cache.get(number);
  }

  async function shown(number) {  // values at the chosen detail
    const data = await loaded(state.image), map = current().maps[number], key = `${state.image} ${number} ${state.detail}`;
    if (!cache.has(key)) {
      const own = data.maps[number];
      cache.set(key, state.detail === "regions" && data.regions ? evened(own, data.regions)
        : state.detail === "smooth" ? smoothed(own, map.width, map.height) : own);
    }
    return cache.get(key);
  }

  async function draw() {
    const mine = ++turn, image = current(), data = await loaded(state.image);
    const first = await shown(state.map), second = state.other < 0 ? null : await shown(state.other);
    if (mine !== turn) return;
    const map = image.maps[state.map];
    const scale = Math.max(2, Math.ceil(448 / Math.max(image.width, image.height)));
    canvas.width = image.width * (image.width > 448 ? 1 : scale);
    canvas.height = Math.round(canvas.width * image.height / image.width);
    canvas.classList.toggle("coarse", Math.max(image.width, image.height) <= 64);
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = Math.max(image.width, image.height) > 64;
    pen.filter = state.opacity > 0 ? "saturate(0.35)" : "none";
    pen.drawImage(data.picture, 0, 0, canvas.width, canvas.height);
    pen.filter = "none";
    const limit = Math.max(largest(first), second ? largest(second) : 0) || 1;
    const edge = second ? Math.round(canvas.width * state.cut) : canvas.width;
    paint(pen, first, map, limit, 0, edge);
    if (second) {
      paint(pen, second, image.maps[state.other], limit, edge, canvas.width);
      pen.fillStyle = "#fff"; pen.fillRect(edge - 1, 0, 2, canvas.height);
    }
    const change = map.prediction === null || map.base === null ? null : map.prediction - map.base;
    stage.setAttribute("aria-label", `${image.name}: ${nameOf(map)}${map.prediction === null ? "" : `, prediction ${short(map.prediction)} ${map.unit}`}. Arrow keys move the cursor.`);
    showParts(map, change);
    const each = { regions: "a pixel, evened over regions", smooth: "a pixel, smoothed", pixels: "a pixel" }[state.detail];
    parts.append(made("div", { class: "soft" }, `Full colour: ±${short(limit)} ${map.unit} ${each}.`));
    if (!ready) { ready = true; root.dataset.ready = "true"; }
    place();
    await tell();
  }

  function paint(pen, found, map, limit, from, to) {
    const heat = new ImageData(map.width, map.height);
    for (let i = 0; i < found.length; i++) {
      const value = found[i], size = Math.abs(value) / limit, at = 4 * i;
      const colour = Number.isNaN(value) ? UNKNOWN : value < 0 ? LOWERS : RAISES;
      heat.data[at] = colour[0]; heat.data[at + 1] = colour[1]; heat.data[at + 2] = colour[2];
      const is = Number.isNaN(value) ? 1 : size < state.threshold ? 0 : Math.min(1, size) ** POWER;
      heat.data[at + 3] = Math.round(255 * state.opacity * is);
    }
    const layer = made("canvas");
    layer.width = map.width; layer.height = map.height;
    layer.getContext("2d").putImageData(heat, 0, 0);
    pen.save();
    pen.beginPath(); pen.rect(from, 0, to - from, canvas.height); pen.clip();
    pen.imageSmoothingEnabled = state.detail === "smooth";
    pen.drawImage(layer, 0, 0, canvas.width, canvas.height);
    pen.restore();
  }

  function showParts(map, change) {
    parts.replaceChildren();
    if (change !== null)
      parts.append(made("div", { class: "soft" }, `prediction ${short(map.prediction)} = base value ${short(map.base)} + ${short(change)} ${map.unit}`));
    const most = Math.max(...map.parts.map((part) => Math.abs(part.value ?? 0)), 1e-30);
    for (const part of map.parts) {
      const row = made("div", { class: "part" }), track = made("div", { class: "track" }), fill = made("i");
      const share = 50 * Math.abs(part.value ?? 0) / most;
      fill.style.cssText = `width:${share}%;${part.value < 0 ? "right" : "left"}:50%;background:var(--${part.value < 0 ? "lower" : "raise"})`;
      track.append(fill);
      row.append(made("span", {}, part.name), track, made("span", { class: "amount" }, part.value === null ? "unknown" : `${part.value > 0 ? "+" : ""}${short(part.value)}`));
      parts.append(row);
    }
  }

  // --- what is under the cursor, and inside a box -------------------------------------------------------------------
  let cursor = null, dragged = null;

  function cellAt(event) {
    const edges = canvas.getBoundingClientRect(), map = current().maps[state.map];
    const x = Math.floor((event.clientX - edges.left) / edges.width * map.width);
    const y = Math.floor((event.clientY - edges.top) / edges.height * map.height);
    return { x: Math.min(map.width - 1, Math.max(0, x)), y: Math.min(map.height - 1, Math.max(0, y)) };
  }

  async function tell() {
    const image = current(), map = image.maps[state.map], own = (await loaded(state.image)).maps[state.map];
    const all = own.reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : value), 0);
    const share = (value) => all ? `, ${Math.round(100 * value / all)} % of the change` : "";
    root.dataset.sum = String(all);
    if (state.box) {
      const { x0, x1, y0, y1 } = state.box;
      let sum = 0;
      for (let y = y0; y <= y1; y++) for (let x = x0; x <= x1; x++) { const v = own[y * map.width + x]; if (!Number.isNaN(v)) sum += v; }
      said.textContent = `In the box (${x1 - x0 + 1} × ${y1 - y0 + 1}): ${short(sum)} ${map.unit}${share(sum)}.`;
      root.dataset.value = String(sum);
    } else if (cursor) {
      const at = cursor.y * map.width + cursor.x, value = own[at], data = await loaded(state.image);
      let text = `x ${cursor.x}, y ${cursor.y}: ${Number.isNaN(value) ? "no value" : `${short(value)} ${map.unit}`}`;
      if (state.detail === "regions" && data.regions) {
        let sum = 0;
        for (let i = 0; i < own.length; i++) if (data.regions[i] === data.regions[at] && !Number.isNaN(own[i])) sum += own[i];
        text += `; its region: ${short(sum)} ${map.unit}${share(sum)}`;
        root.dataset.region = String(sum);
      }
      said.textContent = `${text}.`;
      root.dataset.value = String(value);
    } else said.textContent = "Point at the picture for values; drag a box for a sum. Red raises the output, blue lowers it.";
  }

  function place() {
    const map = current().maps[state.map];
    box.hidden = !state.box;
    if (!state.box) return;
    const { x0, x1, y0, y1 } = state.box;
    box.style.cssText = `left:${100 * x0 / map.width}%;top:${100 * y0 / map.height}%;width:${100 * (x1 - x0 + 1) / map.width}%;height:${100 * (y1 - y0 + 1) / map.height}%`;
  }

  stage.addEventListener("pointerdown", (event) => { dragged = cellAt(event); state.box = null; stage.setPointerCapture?.(event.pointerId); place(); });
  stage.addEventListener("pointermove", (event) => {
    cursor = cellAt(event);
    if (dragged && (Math.abs(cursor.x - dragged.x) > 1 || Math.abs(cursor.y - dragged.y) > 1))
      state.box = { x0: Math.min(cursor.x, dragged.x), x1: Math.max(cursor.x, dragged.x), y0: Math.min(cursor.y, dragged.y), y1: Math.max(cursor.y, dragged.y) };
    place(); tell();
  });
  stage.addEventListener("pointerup", () => { dragged = null; });
  stage.addEventListener("pointerleave", () => { if (!dragged && !state.box) { cursor = null; tell(); } });
  stage.addEventListener("keydown", (event) => {
    const map = current().maps[state.map], far = event.shiftKey ? 10 : 1;
    const by = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[event.key];
    if (event.key === "Escape") { state.box = null; cursor = null; place(); tell(); }
    if (!by) return;
    event.preventDefault();
    cursor ??= { x: map.width >> 1, y: map.height >> 1 };
    cursor = { x: Math.min(map.width - 1, Math.max(0, cursor.x + by[0])), y: Math.min(map.height - 1, Math.max(0, cursor.y + by[1])) };
    state.box = null; place(); tell();
  });
  fill();
  return () => root.replaceChildren();
}

// --- values ---------------------------------------------------------------------------------------------------------

async function bitmap(data) {
  const response = Uint8Array.from(atob(data.split(",")[1]), (letter) => letter.charCodeAt(0));
  const type = data.slice(5, data.indexOf(";"));
  return createImageBitmap(new Blob([response], { type }), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}

async function levels(data) {
  const image = await bitmap(data), canvas = made("canvas");
  canvas.width = image.width; canvas.height = image.height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(image, 0, 0);
  const pixels = pen.getImageData(0, 0, image.width, image.height).data, found = new Uint8Array(pixels.length / 4);
  for (let i = 0; i < found.length; i++) found[i] = pixels[4 * i];
  return found;
}

function values(stored, step) {
  const found = new Float64Array(stored.length);
  for (let i = 0; i < found.length; i++) found[i] = stored[i] === NOT_A_NUMBER ? NaN : (stored[i] - MIDDLE) * step;
  return found;
}

function evened(own, regions) {
  const sums = new Float64Array(256), counts = new Float64Array(256);
  for (let i = 0; i < own.length; i++) if (!Number.isNaN(own[i])) { sums[regions[i]] += own[i]; counts[regions[i]]++; }
  return own.map((value, i) => Number.isNaN(value) ? NaN : sums[regions[i]] / counts[regions[i]]);
}

function smoothed(own, width, height) {  // a Gaussian of 3 % of the shorter side, mirrored at the borders
  const sigma = Math.max(0.3, SMOOTH * Math.min(width, height)), reach = Math.ceil(4 * sigma), weights = [];
  for (let i = -reach; i <= reach; i++) weights.push(Math.exp(-i * i / (2 * sigma * sigma)));
  const total = weights.reduce((a, b) => a + b, 0);
  const mirrored = (i, n) => { while (i < 0 || i >= n) i = i < 0 ? -i - 1 : 2 * n - i - 1; return i; };
  const known = own.map((v) => Number.isNaN(v) ? 0 : v), across = new Float64Array(own.length), found = new Float64Array(own.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    let sum = 0;
    for (let i = -reach; i <= reach; i++) sum += weights[i + reach] * known[y * width + mirrored(x + i, width)];
    across[y * width + x] = sum / total;
  }
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    let sum = 0;
    for (let i = -reach; i <= reach; i++) sum += weights[i + reach] * across[mirrored(y + i, height) * width + x];
    found[y * width + x] = Number.isNaN(own[y * width + x]) ? NaN : sum / total;
  }
  return found;
}

function largest(found) {  // all but the largest half percent stay below full colour
  const sizes = [];
  for (const value of found) if (!Number.isNaN(value)) sizes.push(Math.abs(value));
  sizes.sort((a, b) => a - b);
  return sizes.length ? sizes[Math.floor(0.995 * (sizes.length - 1))] || sizes[sizes.length - 1] : 0;
}

// --- elements -------------------------------------------------------------------------------------------------------

function made(tag, attributes = {}, text = "") {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;  // names of files and outputs are text, never markup
  return element;
}

function choice(name, options, on) {
  const label = made("label", {}, name), select = made("select");
  select.addEventListener("change", () => on(select.selectedIndex));
  label.append(select);
  refill(label, options, 0);
  return label;
}

function refill(label, options, chosen) {
  const select = label.querySelector("select");
  select.replaceChildren(...options.map((text) => made("option", {}, text)));
  select.selectedIndex = chosen;
}

function slider(name, value, on) {
  const label = made("label", {}, name), input = made("input", { type: "range", min: "0", max: "1", step: "0.01" });
  input.value = String(value);
  input.addEventListener("input", () => on(Number(input.value)));
  label.append(input);
  return label;
}

function nameOf(map) {
  return [map.output, map.method, map.model].filter(Boolean).join(" · ");
}

function short(value) {
  if (value === null || Number.isNaN(value)) return "unknown";
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 100000) ? value.toExponential(2) : String(Number(value.toPrecision(3)));
}
