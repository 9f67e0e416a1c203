// What points of the diagrams show: hover for a glance, click to keep, arrow keys to walk.
(() => {
  "use strict";
  const found = document.getElementById("numbers");
  if (!found) return;
  const { sets, columns } = JSON.parse(found.textContent);
  const sheets = sets.map((_, s) => document.getElementById(`sheet-${s}`));
  const tip = document.getElementById("tip");
  const panel = document.getElementById("panel");
  const REACH = 16; // CSS pixels between the pointer and a dot that it means
  const SVG = "http://www.w3.org/2000/svg";

  const element = (name, text, kind) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };

  // The same stretch for all: thumbnails are drawn as they are, only larger.
  const thumbnail = (galaxy, side) => {
    const { tile, across } = sets[galaxy.set];
    const canvas = element("canvas");
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(side * ratio);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = tile > 24;
    context.imageSmoothingQuality = "high";
    const x = (galaxy.row % across) * tile;
    const y = Math.floor(galaxy.row / across) * tile;
    context.drawImage(sheets[galaxy.set], x, y, tile, tile, 0, 0, canvas.width, canvas.height);
    return canvas;
  };

  const number = (value, digits = 4) => {
    if (value === null) return "not measured";
    return String(Number(value.toPrecision(digits))).replace("-", "\u2212");
  };

  const head = (galaxy) => {
    const box = element("div", undefined, "head");
    const { title, names } = sets[galaxy.set];
    box.append(element("strong", names[galaxy.row]));
    box.append(element("span", title, `kind s${galaxy.set}`));
    return box;
  };

  // `few` leaves out what a glance does not need.
  const values = (galaxy, few) => {
    const { values: rows, detected } = sets[galaxy.set];
    const table = element("table");
    if (!detected[galaxy.row]) table.append(row("No galaxy detected", ""));
    columns.slice(0, few ? 4 : columns.length).forEach((column, c) => {
      const range = !few && column.range ? column.range.map((end) => number(end, 3)).join(" to ") : "";
      table.append(row(column.label, number(rows[c][galaxy.row]), range));
    });
    return table;
  };

  const row = (label, value, range) => {
    const made = element("tr");
    made.append(element("th", label), element("td", value));
    if (range !== undefined) made.append(element("td", range, "range"));
    return made;
  };

  // Diagrams: where each galaxy is in each of them.
  const plots = [...document.querySelectorAll("figure.galaxies svg")].map((svg) => {
    const dots = [...svg.querySelectorAll(".points circle")].map((circle) => ({
      set: Number(circle.parentNode.dataset.set),
      row: Number(circle.dataset.k),
      x: Number(circle.getAttribute("cx")),
      y: Number(circle.getAttribute("cy")),
      circle,
    }));
    const of = new Map(dots.map((dot) => [`${dot.set}/${dot.row}`, dot]));
    const marks = document.createElementNS(SVG, "g");
    svg.append(marks);
    svg.tabIndex = 0;
    svg.setAttribute("role", "application");
    svg.setAttribute("aria-roledescription", "diagram of galaxies");
    const label = svg.getAttribute("aria-label");
    svg.setAttribute("aria-label", `${label}. Arrow keys go from galaxy to galaxy, Enter keeps one.`);
    return { svg, dots, of, marks };
  });

  let shown = null; // under the pointer or the keys
  let kept = null; // in the panel
  const hidden = new Set();
  const key = (galaxy) => `${galaxy.set}/${galaxy.row}`;

  // The galaxy stands out in every diagram that has it.
  const mark = () => {
    plots.forEach(({ of, marks }) => {
      marks.replaceChildren();
      [[kept, "kept"], [shown, "shown"]].forEach(([galaxy, kind]) => {
        const dot = galaxy && !hidden.has(galaxy.set) && of.get(key(galaxy));
        if (!dot) return;
        const ring = document.createElementNS(SVG, "circle");
        ring.setAttribute("class", `ring ${kind} s${dot.set}`);
        ring.setAttribute("cx", dot.x);
        ring.setAttribute("cy", dot.y);
        ring.setAttribute("r", kind === "kept" ? 8 : 6.5);
        marks.append(ring);
      });
    });
  };

  const place = (x, y) => {
    const { width, height } = tip.getBoundingClientRect();
    // Beside the panel rather than on it, where there is room.
    const beside = panel.hidden ? 0 : panel.getBoundingClientRect().left;
    const right = beside > x + 20 ? beside : document.documentElement.clientWidth;
    const left = x + 16 + width > right - 4 ? x - 16 - width : x + 16;
    const top = Math.min(Math.max(4, y - height / 2), window.innerHeight - height - 4);
    tip.style.left = `${Math.max(4, Math.min(left, right - width - 4))}px`;
    tip.style.top = `${Math.max(4, top)}px`;
  };

  const glance = (dot, x, y) => {
    if (!dot) {
      if (shown) {
        shown = null;
        tip.hidden = true;
        mark();
      }
      return;
    }
    if (!shown || key(shown) !== key(dot)) {
      tip.replaceChildren(thumbnail(dot, 112), head(dot), values(dot, true));
      tip.hidden = false;
    }
    shown = dot;
    place(x, y);
    mark();
  };

  // `y` on the screen: on a narrow one the panel leaves that half free.
  const keep = (dot, y) => {
    kept = dot;
    panel.classList.toggle("above", y > window.innerHeight / 2);
    const close = element("button", "\u00d7", "close");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    close.addEventListener("click", release);
    const range = element("p", "On the right: the middle 68 % of real galaxies.", "note");
    panel.replaceChildren(close, thumbnail(dot, 208), head(dot), values(dot, false), range);
    panel.hidden = false;
    panel.scrollTop = 0;
    mark();
  };

  const release = () => {
    kept = null;
    panel.hidden = true;
    mark();
  };

  const visible = (plot) => plot.dots.filter((dot) => !hidden.has(dot.set));

  const under = (plot, event) => {
    const matrix = plot.svg.getScreenCTM();
    const scale = Math.hypot(matrix.a, matrix.b);
    const x = (event.clientX - matrix.e) / matrix.a;
    const y = (event.clientY - matrix.f) / matrix.d;
    let best = null;
    let least = REACH / scale;
    visible(plot).forEach((dot) => {
      const distance = Math.hypot(dot.x - x, dot.y - y);
      if (distance < least) [best, least] = [dot, distance];
    });
    return best;
  };

  const onScreen = (plot, dot) => {
    const matrix = plot.svg.getScreenCTM();
    return [dot.x * matrix.a + matrix.e, dot.y * matrix.d + matrix.f];
  };

  // The nearest dot in the direction of an arrow key; what lies aside counts twice.
  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = (plot, way) => {
    const from = shown && plot.of.get(key(shown));
    const dots = visible(plot);
    if (!from || hidden.has(from.set)) return dots[0] || null;
    let best = from;
    let least = Infinity;
    dots.forEach((dot) => {
      const along = (dot.x - from.x) * way[0] + (dot.y - from.y) * way[1];
      const aside = Math.abs((dot.x - from.x) * way[1]) + Math.abs((dot.y - from.y) * way[0]);
      const distance = along + 2 * aside;
      if (along > 0 && distance < least) [best, least] = [dot, distance];
    });
    return best;
  };

  plots.forEach((plot) => {
    const { svg } = plot;
    svg.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") glance(under(plot, event), event.clientX, event.clientY);
    });
    svg.addEventListener("pointerleave", () => glance(null));
    svg.addEventListener("blur", () => glance(null));
    svg.addEventListener("click", (event) => {
      const dot = under(plot, event);
      if (dot) keep(dot, event.clientY);
    });
    svg.addEventListener("keydown", (event) => {
      if (event.key in WAYS) {
        const dot = step(plot, WAYS[event.key]);
        if (dot) glance(dot, ...onScreen(plot, dot));
      } else if (event.key === "Enter" && shown) {
        keep(shown, onScreen(plot, shown)[1]);
      } else {
        return;
      }
      event.preventDefault();
    });
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    glance(null);
    release();
  });

  // Legends: a click hides a set in all diagrams, and shows it again.
  const buttons = [...document.querySelectorAll(".legend button")];
  buttons.forEach((button) => {
    button.addEventListener("click", () => {
      const set = Number(button.dataset.set);
      if (!hidden.delete(set)) hidden.add(set);
      const off = hidden.has(set);
      document.body.classList.toggle(`hide-${set}`, off);
      buttons
        .filter((other) => Number(other.dataset.set) === set)
        .forEach((other) => other.setAttribute("aria-pressed", String(!off)));
      glance(null);
      mark();
    });
  });

  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
  });
})();
