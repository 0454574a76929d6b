const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const limited = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));

// Pictures: base64 in the page, or files in a folder beside it.
const addresses = new Map();
function address(name) {
  const folder = document.body.dataset.folder;
  if (folder) return `${folder}/${name}.webp`;
  if (!addresses.has(name)) {
    const bytes = Uint8Array.from(atob(document.getElementById(`p-${name}`).textContent), (c) => c.charCodeAt(0));
    addresses.set(name, URL.createObjectURL(new Blob([bytes], { type: "image/webp" })));
  }
  return addresses.get(name);
}

// Tables: sorting, and which rows are shown.
function numberIn(text) {
  if (text.startsWith("inf")) return Infinity;
  return Number.parseFloat(text.replace("−", "-"));
}

function sort(table, heading) {
  const button = heading.querySelector("button");
  const next = { none: button.dataset.first };
  next[button.dataset.first] = button.dataset.first === "ascending" ? "descending" : "ascending";
  const order = next[heading.ariaSort] ?? "none";
  all("th[aria-sort]", table).forEach((each) => (each.ariaSort = each === heading ? order : "none"));
  const column = [...heading.parentElement.children].indexOf(heading);
  const sign = order === "descending" ? -1 : 1;
  const compared = (a, b) => {
    if (order === "none") return a.dataset.place - b.dataset.place;
    const texts = [a, b].map((row) => row.children[column].textContent);
    const numbers = texts.map(numberIn);
    if (!heading.classList.contains("number")) return sign * texts[0].localeCompare(texts[1], undefined, { numeric: true });
    if (numbers.some(Number.isNaN)) return Number.isNaN(numbers[0]) - Number.isNaN(numbers[1]); // absent numbers come last
    return sign * (numbers[0] === numbers[1] ? 0 : numbers[0] - numbers[1]);
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(compared));
}

function wanted(field) {
  const parts = (field?.value ?? "").toLowerCase().split(",").map((part) => part.trim()).filter(Boolean);
  return (name) => !parts.length || parts.some((part) => name.toLowerCase().includes(part));
}

const fields = { methods: document.getElementById("methods"), items: document.getElementById("items") };
function filter() {
  const method = wanted(fields.methods), item = wanted(fields.items);
  for (const sheet of all(".sheet")) {
    const each = Boolean(sheet.querySelector("input:checked").value);
    const rows = [...sheet.querySelector("tbody").rows].filter((row) => Boolean(row.dataset.item) === each || (row.hidden = true, false));
    for (const row of rows) row.hidden = !(method(row.dataset.method) && (!each || item(row.dataset.item)));
    sheet.querySelector("table").classList.toggle("means", !each);
    sheet.querySelector("output").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  }
  for (const part of all(".scene [data-method], #speed [data-method]")) {
    part.toggleAttribute("hidden", part.dataset.method !== "" && !method(part.dataset.method));
  }
  for (const scene of all(".scene")) scene.hidden = !item(scene.dataset.item);
}

for (const table of all("table")) {
  [...table.tBodies[0].rows].forEach((row, place) => (row.dataset.place = place));
  all("th[aria-sort]", table).forEach((heading) => heading.firstChild.addEventListener("click", () => sort(table, heading)));
}
for (const radio of all(".sheet input")) radio.addEventListener("change", filter);
fields.methods?.addEventListener("input", filter); // a page of photographs has none
fields.items.addEventListener("input", () => {
  for (const radio of all(".sheet input")) radio.checked = Boolean(radio.value) === Boolean(fields.items.value.trim());
  filter();
});
document.getElementById("theme").addEventListener("change", (event) => {
  document.documentElement.dataset.theme = event.target.value;
});

// Before and after: a divider between two pictures, and one place enlarged in all of them.
class Viewer {
  constructor(root) {
    this.root = root;
    this.size = [Number(root.dataset.width), Number(root.dataset.height)];
    this.center = [root.dataset.x * this.size[0], root.dataset.y * this.size[1]];
    this.stage = root.querySelector(".stage");
    this.range = this.stage.querySelector("input");
    this.loupe = this.stage.querySelector(".loupe");
    this.tiles = all(".tile", root);
    this.zoom = root.querySelector(".zoom");
    this.selects = { left: root.querySelector("select.left"), right: root.querySelector("select.right") };
    this.stage.style.setProperty("--ratio", this.size[0] / this.size[1]);
    this.listen();
  }

  load() {
    for (const image of all(".lens img", this.root)) image.src ||= address(image.dataset.picture);
    this.loaded = true;
    this.choose();
    this.divide(50);
    this.enlarge();
  }

  listen() {
    for (const select of Object.values(this.selects)) select.addEventListener("change", () => this.choose());
    this.zoom.addEventListener("change", () => this.enlarge());
    this.range.addEventListener("input", () => this.divide(this.range.value));
    this.loupe.addEventListener("keydown", (event) => this.key(event));
    this.root.querySelector(".everywhere").addEventListener("click", () => viewers.forEach((each) => each.follow(this)));
    this.tiles.forEach((tile, n) => tile.addEventListener("click", () => ((this.selects.right.value = n), this.choose())));
    this.drag();
    new ResizeObserver(() => this.loaded && this.enlarge()).observe(this.stage);
  }

  drag() {
    let from = null; // where the pointer went down, and whether it has moved since
    const place = (event) => {
      const box = this.stage.getBoundingClientRect();
      return [limited((event.clientX - box.left) / box.width, 0, 1), limited((event.clientY - box.top) / box.height, 0, 1)];
    };
    const moveTo = (event) => this.enlarge(place(event).map((part, axis) => part * this.size[axis]));
    this.stage.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      from = { x: event.clientX, moved: false, loupe: event.target === this.loupe };
      this.stage.setPointerCapture(event.pointerId);
    });
    this.stage.addEventListener("pointermove", (event) => {
      if (!from) return;
      from.moved ||= Math.abs(event.clientX - from.x) > 3;
      if (from.loupe) moveTo(event);
      else if (from.moved) this.divide(100 * place(event)[0]);
    });
    this.stage.addEventListener("pointerup", (event) => {
      if (from && !from.moved && !from.loupe) moveTo(event);
      from = null;
    });
    this.stage.addEventListener("pointercancel", () => (from = null));
  }

  choose() {
    for (const [side, select] of Object.entries(this.selects)) {
      const image = this.stage.querySelector(`img.${side}`), title = select.selectedOptions[0].text;
      image.src = this.tiles[select.value].querySelector("img").src;
      image.alt = `${title} (${side})`;
      this.stage.querySelector(`.tag.${side}`).textContent = title;
    }
    this.tiles.forEach((tile, n) => (tile.ariaPressed = String(n === Number(this.selects.right.value))));
    this.divide(this.range.value);
  }

  divide(percent) {
    this.range.value = percent;
    this.range.ariaValueText = `${this.range.value} % ${this.selects.left.selectedOptions[0].text}`;
    this.stage.style.setProperty("--split", `${percent}%`);
  }

  enlarge(center = this.center) {
    const zoom = Number(this.zoom.value), [width, height] = this.size;
    const shown = this.tiles.map((tile) => tile.querySelector(".lens").clientWidth).find(Boolean) ?? 0;
    if (!shown) return;
    const side = shown / zoom; // of the place, in pixels of the picture
    this.center = center.map((value, axis) => limited(value, Math.min(side, this.size[axis]) / 2, this.size[axis] - side / 2));
    const [x, y] = this.center.map((value, axis) => Math.max(0, value - Math.min(side, this.size[axis]) / 2));
    for (const image of all(".lens img", this.root)) {
      image.style.width = `${width}px`;
      image.style.height = `${height}px`;
      image.style.transform = `scale(${zoom}) translate(${-x}px, ${-y}px)`;
    }
    const box = { left: x / width, top: y / height, width: Math.min(1, side / width), height: Math.min(1, side / height) };
    for (const [name, part] of Object.entries(box)) this.loupe.style[name] = `${100 * part}%`;
    this.loupe.ariaLabel = `Enlarged place: column ${Math.round(this.center[0])}, row ${Math.round(this.center[1])}`;
    this.stage.classList.toggle("enlarged", this.stage.clientWidth > 1.5 * width);
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key], zooms = { "+": 1, "=": 1, "-": -1 };
    if (step) this.enlarge(this.center.map((value, axis) => value + step[axis] * (event.shiftKey ? 1 : 8)));
    else if (event.key in zooms) {
      this.zoom.selectedIndex = limited(this.zoom.selectedIndex + zooms[event.key], 0, this.zoom.length - 1);
      this.enlarge();
    } else return;
    event.preventDefault();
  }

  follow(other) {
    for (const [side, select] of Object.entries(this.selects)) {
      const title = other.selects[side].selectedOptions[0].text;
      const found = [...select.options].find((option) => option.text === title);
      if (found) select.value = found.value;
    }
    this.zoom.value = other.zoom.value;
    if (this.loaded) {
      this.choose();
      this.enlarge();
    }
  }
}

const viewers = new Map(all(".viewer").map((root) => [root, new Viewer(root)]));
function load(scene) {
  const viewer = viewers.get(scene.querySelector(".viewer"));
  if (viewer && !viewer.loaded) viewer.load();
  for (const image of all("img.map", scene)) image.src ||= address(image.dataset.picture);
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((each) => each.isIntersecting)) {
    watcher.unobserve(entry.target);
    load(entry.target);
  }
}, { rootMargin: "600px" });
for (const scene of all(".scene")) watcher.observe(scene);
addEventListener("beforeprint", () => {
  all(".scene:not([hidden])").forEach(load);
  all("details").forEach((each) => (each.open = true));
});
filter();
document.documentElement.dataset.ready = "yes";
