// The viewer's own script: words of charts, keyboard, actions through the API, wall mode. Plain, without a toolkit.
"use strict";
window.gi = (() => {
  const state = { keys: [], words: {}, csrf: "", isWall: false, language: "en" };
  const escapeHtml = (text) =>
    String(text).replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);
  const number = (value) => {
    const size = Math.abs(value);
    const most = size >= 1000 || size === 0 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4;
    return value.toLocaleString("en-US", { maximumFractionDigits: most });
  };
  const at = (ms) => new Date(ms).toISOString().slice(5, 16).replace("T", " "); // civil time, see useUTC

  // -- charts

  const digits = (unit) => (value) => number(value) + (unit === "%" ? "%" : unit ? " " + unit : "");
  const tip = (units) => (points) => {
    if (!Array.isArray(points)) points = [points];
    const said = (p) => digits(units[p.seriesIndex])(p.value[1]);
    const rows = points.filter((p) => p.value && p.value[1] != null).sort((a, b) => b.value[1] - a.value[1]);
    if (!rows.length) return "";
    const lines = rows
      .slice(0, 12)
      .map((p) => `<tr><td>${p.marker}${escapeHtml(p.seriesName)}</td><td><b>${said(p)}</b></td></tr>`);
    const more = rows.length > 12 ? `<tr><td colspan="2">+ ${rows.length - 12}</td></tr>` : "";
    return `<div class="gi-tip"><div>${at(rows[0].value[0])}</div><table>${lines.join("")}${more}</table></div>`;
  };
  const lines = (p) => `<div class="gi-tip">${String(p.name).split("\n").map(escapeHtml).join("<br>")}</div>`;
  const note = (p) => `<div class="gi-tip gi-wrap">${at(p.value)}<br>${escapeHtml(p.name)}</div>`;
  const stretch = (isApart) => (params, api) => {
    const row = api.value(0);
    const from = api.coord([api.value(1), row]);
    const to = api.coord([api.value(2), row]);
    const height = Math.min(30, Math.max(3, api.size([0, 1])[1] * 0.82));
    const left = Math.max(from[0], params.coordSys.x);
    const right = Math.min(to[0], params.coordSys.x + params.coordSys.width);
    return {
      type: "rect",
      shape: { x: left, y: from[1] - height / 2, width: Math.max(1, right - left - (isApart ? 1.5 : 0.5)), height, r: 1.5 },
      style: { fill: api.visual("color") },
    };
  };

  const chartOf = (box) => window.getElement?.(Number(box.id.slice(1)))?.chart;

  // Dragged over, a stretch of time becomes the range; the page's server side knows the site's time.
  let dragged = null;
  document.addEventListener("pointerdown", (event) => {
    const box = event.button === 0 && !state.isWall && event.target.closest?.(".gi-chart");
    if (!box || !chartOf(box)) return;
    const shade = document.createElement("div");
    shade.className = "gi-shade";
    box.append(shade);
    dragged = { box, shade, left: box.getBoundingClientRect().left, from: event.clientX, to: event.clientX };
  });
  document.addEventListener("pointermove", (event) => {
    if (!dragged) return;
    dragged.to = event.clientX;
    const [low, high] = [dragged.from, dragged.to].map((x) => x - dragged.left).sort((a, b) => a - b);
    Object.assign(dragged.shade.style, { left: `${low}px`, width: `${high - low}px` });
  });
  document.addEventListener("pointerup", () => {
    if (!dragged) return;
    const { box, shade, left, from, to } = dragged;
    dragged = null;
    shade.remove();
    if (Math.abs(to - from) < 10) return;
    const ends = [from, to].map((x) => chartOf(box).convertFromPixel({ xAxisIndex: 0 }, x - left)).sort((a, b) => a - b);
    emitEvent("gi-zoom", { from: ends[0], to: ends[1] });
  });
  document.addEventListener("dblclick", (event) => {
    if (event.target.closest?.(".gi-chart")) emitEvent("gi-zoom", {});
  });

  // what has come onto the screen, for whoever waits for it
  const drawn = (id) => (document.getElementById(id).dataset.painted = "1");

  // -- the page

  function page(about) {
    Object.assign(state, about);
    document.body.classList.add("gi", `gi-${state.theme}`, ...(state.isWall ? ["gi-wall"] : []));
    const keep = (name, value) => (document.cookie = `${name}=${value};path=/;max-age=31536000;samesite=lax`);
    const asked = new URLSearchParams(location.search);
    if (asked.has("lang")) keep("gi_language", asked.get("lang"));
    if (asked.has("theme")) keep("gi_theme", asked.get("theme"));
    if (state.isWall) wall();
  }

  function wall() {
    const strip = document.querySelector("[data-next]");
    if (!strip) return setTimeout(wall, 200);
    const after = Number(strip.dataset.after);
    if (after > 0) {
      strip.querySelector("i").style.animationDuration = `${after}s`;
      strip.classList.add("gi-running");
      setTimeout(() => (location.href = strip.dataset.next), after * 1000);
    }
  }

  function toast(about) {
    let box = document.querySelector(".gi-toasts");
    if (!box) {
      box = document.createElement("div");
      box.className = "gi-toasts";
      box.setAttribute("role", "status");
      document.body.append(box);
    }
    const one = document.createElement(about.href && !state.isWall ? "a" : "div");
    if (about.href) one.href = about.href;
    one.className = "gi-toast";
    one.dataset.level = about.level || "";
    one.textContent = about.text;
    box.append(one);
    while (box.children.length > 4) box.firstChild.remove();
    setTimeout(() => one.remove(), about.level ? 15000 : 6000);
  }

  // The program of charts comes while nothing else is to be done: the next page may be a board.
  window.addEventListener("load", () => requestIdleCallback(() => import("nicegui-echart")));

  // What people do goes through the API, with its permissions: {ok, status, detail}.
  async function act(path, body) {
    const answer = await fetch(path, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "X-CSRF-Token": state.csrf,
        "Accept-Language": state.language,
        "Idempotency-Key": crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`,
      },
      body: JSON.stringify(body),
    });
    const said = await answer.json().catch(() => ({}));
    const detail = answer.ok ? state.words.sent : `${state.words.refused}: ${said.detail || answer.status}`;
    toast({ text: detail });
    return { ok: answer.ok, status: answer.status, detail };
  }

  async function signOut() {
    await fetch("/api/v1/session", { method: "DELETE", headers: { "X-CSRF-Token": state.csrf } });
    location.href = "/login";
  }

  // The dialog of an action; what it says goes to the page's server side, which knows the site's clock.
  let spoken = { words: {}, choices: {} };
  const dialogs = (about) => (spoken = about);

  function ask(act, id) {
    const { words, choices } = spoken;
    const box = document.createElement("div");
    box.className = "gi-help";
    const options = (choices[act]?.of || []).map(([value, said]) => `<option value="${escapeHtml(value)}">${escapeHtml(said)}</option>`).join("");
    const chosen = options && `<label>${escapeHtml(choices[act].label)}<select name="choice">${options}</select></label>`;
    const label = ["comment", "note_case", "reply_case"].includes(act) ? words.your_comment : words.reason;
    box.innerHTML = `<form class="gi-dialog" role="dialog"><h2>${escapeHtml(words[act])}</h2>${chosen}
      <label>${escapeHtml(label)}<textarea name="text" rows="3" maxlength="500" required></textarea></label>
      <div class="gi-dialog-acts"><button type="button" class="gi-act" data-cancel>${escapeHtml(words.cancel)}</button>
      <button class="gi-act gi-first">${escapeHtml(words.send)}</button></div></form>`;
    box.addEventListener("click", (event) => {
      if (event.target === box || event.target.closest("[data-cancel]")) box.remove();
    });
    box.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      const said = new FormData(event.target);
      emitEvent("gi-act", { act, id, text: said.get("text"), choice: said.get("choice") || "" });
      box.remove();
    });
    document.body.append(box);
    box.querySelector("textarea").focus();
  }

  // -- help and keyboard

  function help() {
    const there = document.querySelector(".gi-help");
    if (there) return there.remove();
    const box = document.createElement("div");
    box.className = "gi-help";
    const rows = state.keys.map(([key, what]) => {
      const said = key.split(" ").map((k) => `<kbd>${escapeHtml(k)}</kbd>`).join(" ");
      return `<tr><td>${said}</td><td>${escapeHtml(what)}</td></tr>`;
    });
    const { keys, about_viewer: about } = state.words;
    box.innerHTML = `<div role="dialog"><h2>${escapeHtml(keys)}</h2><table>${rows.join("")}</table><p>${escapeHtml(about)}</p></div>`;
    box.addEventListener("click", () => box.remove());
    document.body.append(box);
  }

  function toggleWall() {
    const url = new URL(location.href);
    if (!url.pathname.startsWith("/d/")) return;
    if (url.searchParams.get("wall") === "1") url.searchParams.delete("wall");
    else url.searchParams.set("wall", "1");
    location.href = url;
  }

  let before = "";
  document.addEventListener("keydown", (event) => {
    const into = event.target;
    if (event.key === "Escape") document.querySelector(".gi-help")?.remove();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (into.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(into.tagName)) return;
    const keys = before + event.key;
    before = event.key === "g" ? "g" : "";
    if (before) setTimeout(() => (before = ""), 1500);
    if (keys === "gb") location.href = "/";
    else if (keys === "ga") location.href = "/alerts";
    else if (keys === "gc") location.href = "/cases";
    else if (event.key === "t") document.querySelector("#gi-time")?.click();
    else if (event.key === "w") toggleWall();
    else if (event.key === "?") help();
    else return;
    event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    const key = event.target.closest?.(".gi-key");
    if (key) {
      const box = key.closest(".gi-panel")?.querySelector(".gi-chart");
      (box && chartOf(box))?.dispatchAction({ type: "legendToggleSelect", name: key.dataset.name });
      key.classList.toggle("gi-off");
    } else if (event.target.closest?.("[data-act]")) {
      const button = event.target.closest("[data-act]");
      if (!button.disabled) ask(button.dataset.act, button.dataset.id);
    } else if (event.target.closest?.("[data-help]")) help();
    else if (event.target.closest?.("[data-signout]")) signOut();
    const head = event.target.closest?.(".gi-table th");
    if (head) sort(head);
    for (const one of document.querySelectorAll("details.gi-others[open]")) if (!one.contains(event.target)) one.open = false;
  });

  function sort(head) {
    const table = head.closest("table");
    const n = [...head.parentNode.children].indexOf(head);
    const isDown = head.dataset.sorted !== "down";
    for (const one of head.parentNode.children) delete one.dataset.sorted;
    head.dataset.sorted = isDown ? "down" : "up";
    const of = (row) => row.children[n]?.dataset.key ?? row.children[n]?.textContent ?? "";
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [of(a), of(b)];
      const order = x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y, state.language);
      return isDown ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }

  return { digits, tip, lines, note, stretch, drawn, page, toast, act, dialogs, help, state };
})();
