// The page of the monitor. What comes from the bus is put into the page as text (textContent), never as HTML.
"use strict";

const RATES = ["published", "delivered", "requests", "dropped"];
const FIGURES = [
  ["connections", "clients"], ["subscriptions", "subscriptions"], ["services", "services"],
  ["requests_pending", "requests pending"], ["deliveries_held", "deliveries held"], ["buffered_bytes", "bytes waiting"],
  ["dropped", "dropped in all"], ["denied", "denied in all"],
];
const DASHES = [[], [7, 4], [2, 3], [12, 3, 3, 3]]; // so that nobody has to tell lines apart by colour
const POINTS = 120;
const RETRY = 2000; // milliseconds, where the browser itself gives up

// A column: its field, its title, and what kind of value it has.
const TABLES = {
  lag: {sort: "dropped", columns: [
    ["topic", "topic", "text"], ["name", "client", "text"], ["identity", "identity", "text"], ["dropped", "missed", "count"],
    ["held", "held", "count"], ["free", "free places", "count"], ["window", "window", "count"], ["delivered", "delivered", "count"],
  ]},
  clients: {sort: "received_rate", columns: [
    ["name", "name", "text"], ["identity", "identity", "text"], ["received_rate", "in/s", "rate"], ["sent_rate", "out/s", "rate"],
    ["received_bytes_rate", "bytes in/s", "bytes"], ["sent_bytes_rate", "bytes out/s", "bytes"],
    ["waiting_bytes", "waiting", "bytes"], ["held", "held", "count"], ["dropped", "missed", "count"],
    ["subscriptions", "subs", "count"], ["services", "services", "count"], ["requests", "requests", "count"],
    ["calls", "calls", "count"], ["received", "in", "count"], ["sent", "out", "count"],
    ["age", "age", "time"], ["wire", "wire", "text"], ["address", "address", "text"],
  ]},
  services: {sort: "calls_rate", columns: [
    ["topic", "topic", "text"], ["name", "client", "text"], ["identity", "identity", "text"], ["calls_rate", "calls/s", "rate"],
    ["calls", "calls", "count"], ["pending", "pending", "count"], ["window", "window", "count"], ["server", "server", "text"],
  ]},
  members: {sort: "received_rate", columns: [
    ["name", "name", "text"], ["node", "node", "text"], ["received_rate", "in/s", "rate"], ["sent_rate", "out/s", "rate"],
    ["received_bytes_rate", "bytes in/s", "bytes"], ["sent_bytes_rate", "bytes out/s", "bytes"],
    ["unacknowledged", "not acknowledged", "count"], ["waiting_bytes", "waiting", "bytes"], ["held", "held", "count"],
    ["dropped", "missed", "count"], ["groups", "groups", "count"], ["services", "services", "count"],
    ["requests", "requests", "count"], ["calls", "calls", "count"], ["received", "in", "count"], ["sent", "out", "count"],
    ["heard", "heard", "time"], ["age", "age", "time"],
  ]},
  topics: {sort: "messages_rate", columns: [
    ["topic", "topic", "text"], ["messages_rate", "messages/s", "rate"], ["bytes_rate", "bytes/s", "bytes"],
    ["messages", "messages", "count"], ["bytes", "bytes", "bytes"], ["age", "last", "time"],
  ]},
};

const byId = (id) => document.getElementById(id);
const history = []; // of {published: …, …}, newest last

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// --- values as people read them

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const short = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 1});

function shown(value, kind) {
  if (value === null || value === undefined) return "–";
  switch (kind) {
    case "count": return whole.format(value);
    case "rate": return value > 0 && value < 10 ? value.toFixed(1) : whole.format(value);
    case "bytes": return short.format(value);
    case "time": return duration(value);
    default: return String(value);
  }
}

function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
}

// --- tables

class Table {
  constructor(id, {columns, sort}) {
    this.columns = columns;
    this.section = byId(id);
    this.sort = sort;
    this.descending = true;
    this.rows = [];
    const box = element("div", undefined, "table");
    box.tabIndex = 0; // so that it can be scrolled by keyboard
    box.setAttribute("role", "region");
    box.setAttribute("aria-labelledby", `${id}-title`);
    const table = element("table");
    const line = table.createTHead().insertRow();
    this.heads = columns.map(([field, title, kind]) => {
      const head = element("th", undefined, kind === "text" ? "" : "number");
      head.scope = "col";
      const button = element("button", title);
      button.type = "button";
      button.addEventListener("click", () => this.sortBy(field, kind));
      head.append(button);
      line.append(head);
      return head;
    });
    this.body = table.createTBody();
    box.append(table);
    this.section.append(box);
    this.draw();
  }

  sortBy(field, kind) {
    this.descending = this.sort === field ? !this.descending : kind !== "text";
    this.sort = field;
    this.draw();
  }

  show({total, rows}) {
    this.rows = rows;
    const note = this.section.querySelector(".note");
    note.textContent = rows.length < total ? `the ${rows.length} that moved most, of ${whole.format(total)}` : whole.format(total);
    this.draw();
  }

  draw() {
    this.columns.forEach(([field], place) => {
      const order = field === this.sort ? (this.descending ? "descending" : "ascending") : "none";
      this.heads[place].setAttribute("aria-sort", order);
    });
    const sign = this.descending ? -1 : 1;
    const sorted = [...this.rows].sort((one, other) => sign * compare(one[this.sort], other[this.sort]));
    const lines = sorted.map((row) => {
      const line = element("tr");
      for (const [field, , kind] of this.columns) {
        const cell = element("td", shown(row[field], kind), kind === "text" ? "text" : "number");
        if (kind === "text") cell.title = String(row[field]);
        line.append(cell);
      }
      return line;
    });
    if (!lines.length) {
      const line = element("tr");
      const cell = element("td", "none", "empty");
      cell.colSpan = this.columns.length;
      line.append(cell);
      lines.push(line);
    }
    this.body.replaceChildren(...lines);
  }
}

function compare(one, other) {
  if (typeof one === "string") return one.localeCompare(other);
  return (one ?? -1) - (other ?? -1);
}

// --- the plot

function draw() {
  const canvas = byId("plot");
  const scale = window.devicePixelRatio || 1;
  const {width, height} = canvas.getBoundingClientRect();
  canvas.width = width * scale;
  canvas.height = height * scale;
  const colours = getComputedStyle(document.documentElement);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "12px system-ui, sans-serif";
  const most = niceAbove(Math.max(1, ...history.flatMap((point) => RATES.map((name) => point[name] ?? 0))));
  const top = 18, bottom = height - 8;
  const at = (value) => bottom - (bottom - top) * value / most;
  pen.strokeStyle = colours.getPropertyValue("--line");
  pen.fillStyle = colours.getPropertyValue("--dim");
  for (const part of [0, 0.5, 1]) {
    pen.beginPath();
    pen.moveTo(0, at(part * most));
    pen.lineTo(width, at(part * most));
    pen.stroke();
    if (part) pen.fillText(short.format(part * most), 6, at(part * most) - 4);
  }
  pen.lineWidth = 1.8;
  RATES.forEach((name, place) => {
    pen.strokeStyle = colours.getPropertyValue(`--rate-${place}`);
    pen.setLineDash(DASHES[place]);
    pen.beginPath();
    history.forEach((point, index) => {
      const x = width - (history.length - 1 - index) * width / (POINTS - 1);
      index ? pen.lineTo(x, at(point[name])) : pen.moveTo(x, at(point[name]));
    });
    pen.stroke();
  });
}

function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((bound) => bound >= value);
}

// --- a moment of the bus

const tables = Object.fromEntries(Object.entries(TABLES).map(([id, table]) => [id, new Table(id, table)]));

function show(moment) {
  byId("version").textContent = moment.version;
  const among = moment.node ? [`server ${moment.name} (${moment.node}) of bus ${moment.bus}`] : [];
  byId("about").textContent = [...among, `process ${moment.process}`, `up ${duration(moment.age)}`, ...moment.addresses].join(" · ");
  const few = byId("few");
  few.hidden = moment.takes_claims !== false;
  few.textContent = few.hidden ? "" : `too few servers are here for new services: it takes ${moment.min_members}`;
  byId("members").hidden = !moment.node;
  const figures = moment.node ? [["members", "other servers"], ...FIGURES] : FIGURES;
  byId("figures").replaceChildren(...figures.map(([field, title]) => {
    const figure = element("div");
    figure.append(element("dt", title), element("dd", shown(moment.counts[field], field.endsWith("bytes") ? "bytes" : "count")));
    return figure;
  }));
  if (moment.rates.published !== null) {
    history.push(moment.rates);
    if (history.length > POINTS) history.shift();
  }
  byId("legend").replaceChildren(...RATES.map((name, place) => (
    element("li", `${name} ${shown(moment.rates[name], "rate")}`, `rate-${place}`)
  )));
  byId("plot").dataset.points = history.length;
  draw();
  for (const [id, table] of Object.entries(tables)) table.show(moment[id]);
}

function say(text, isLost) {
  const state = byId("state");
  if (state.textContent !== text) state.textContent = text; // a screen reader reads it out
  state.className = isLost ? "lost" : "";
}

function watch() {
  const source = new EventSource("events");
  source.addEventListener("message", ({data}) => {
    const moment = JSON.parse(data);
    if (moment.error) return say(moment.error, true);
    say("live", false);
    show(moment);
  });
  source.addEventListener("error", () => {
    say("the monitor does not answer; trying again", true);
    if (source.readyState === EventSource.CLOSED) setTimeout(watch, RETRY);
  });
}

window.addEventListener("resize", draw);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
watch();
