// The page: shows the current step, and handles navigation.

const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

// Creates an element. Text from a trace is never parsed as HTML.
function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

let shown = -1;
let step = 0;
let trace = null;
let findings = [];
const traces = new Map();
const list = new CallList(byId("calls-list"), byId("calls-space"), (chosen) => go(chosen));

function header() {
  document.title = `${DATA.title} – gpu-buddy`;
  byId("title").textContent = DATA.title;
  byId("verdict").textContent = DATA.verdict;
  byId("verdict").className = DATA.tone;
  facts(byId("about"), DATA.about);
  if (DATA.parts.length) {
    const rows = DATA.parts.map(([name, tone, mark, summary]) =>
      make("tr", "", make("td", tone, make("b", "", mark)), make("td", "", name), make("td", "", summary)));
    byId("parts").append(make("table", "", make("tbody", "", ...rows)));
  }
  byId("notes").append(...DATA.notes.map((note) => make("li", "", note)));
  byId("notes-title").textContent = DATA.notes.length === 1 ? "1 note" : `${DATA.notes.length} notes`;
  byId("more").open = DATA.notes.length <= 6;
  byId("more").hidden = DATA.notes.length === 0;
  byId("findings").hidden = DATA.single;
  if (DATA.findings.length === 0) byId("findings-list").replaceWith(make("p", "", "None."));
  byId("findings-list").append(...DATA.findings.map((finding, index) => {
    const button = make("button", "",
      make("span", "number", `${index + 1}.`),
      make("span", `label ${finding.tone}`, finding.label),
      make("span", "", finding.kind));
    button.type = "button";
    button.addEventListener("click", () => show(index));
    return make("li", "", button);
  }));
}

function facts(parent, pairs) {
  parent.replaceChildren(...pairs.map(([name, value]) =>
    make("div", "", make("dt", "", name), make("dd", "", value))));
}

// Shows a finding, at the first failure in its trace.
function show(index, at) {
  const finding = DATA.findings[index];
  if (!finding) return;
  shown = index;
  for (const [other, item] of [...byId("findings-list").children].entries()) {
    const button = item.firstChild;
    if (other === index) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  byId("finding").hidden = DATA.single;
  byId("finding-title").textContent = `${index + 1}. ${finding.label}: ${finding.kind}`;
  const lines = finding.trace ? finding.lines : [...finding.lines, finding.not_run].filter(Boolean);
  byId("finding-lines").textContent = lines.join("\n");
  byId("remark").textContent = finding.trace?.remark ?? "";
  byId("text").textContent = finding.text ?? "";
  byId("stepper").hidden = byId("keys").hidden = !finding.trace;
  trace = null;
  if (!finding.trace) {
    history.replaceState(null, "", fragment());
    return;
  }
  if (!traces.has(index)) traces.set(index, new Trace(finding.trace));
  trace = traces.get(index);
  findings = [];
  for (const [at, call] of trace.steps.entries()) {
    if ((call.f ?? []).length) findings.push(at);
  }
  document.querySelector(".jumps").hidden = findings.length === 0;
  byId("slider").max = trace.length - 1;
  list.show(trace);
  const wrong = findings.find((at) => markOf(trace.steps[at])[0] === "✗") ?? findings[0];
  go(at ?? wrong ?? 0);
}

function fragment() {
  return DATA.single ? `#step=${step}` : `#finding=${shown + 1}&step=${step}`;
}

function go(to) {
  if (!trace) return;
  step = Math.max(0, Math.min(trace.length - 1, to));
  byId("slider").value = step;
  byId("slider").setAttribute("aria-valuetext", `${step}: ${trace.steps[step].w}`);
  byId("position").textContent = `${step} of ${trace.length - 1}`;
  byId("first").disabled = byId("previous").disabled = step === 0;
  byId("next").disabled = byId("last").disabled = step === trace.length - 1;
  byId("previous-finding").disabled = !findings.some((at) => at < step);
  byId("next-finding").disabled = !findings.some((at) => at > step);
  list.select(step);
  call();
  if (location.hash !== fragment()) history.replaceState(null, "", fragment());
}

// The current call.
function call() {
  const current = trace.steps[step];
  const { kernel, other } = trace.data;
  byId("call-comments").textContent = current.c ?? "";
  byId("call-title").textContent = current.w;
  const ran = trace.wasRun(step);
  byId("call-outcome").textContent = !ran ? "not run: the two sides differ, or the process has ended"
    : current.p ? `${kernel}: ${current.o || "done"}\n${other}: ${current.p}`
    : current.o ? `→ ${current.o}` : "";
  byId("call-notes").replaceChildren(...(current.f ?? []).map((note) => noteBox(note)));
  const steps = (count) => `${count} ${count === 1 ? "step" : "steps"}`;
  facts(byId("call-facts"), [
    ["line", current.n ? String(current.n) : ""],
    ["cost", current.s === undefined ? "" : steps(current.s)],
    [`cost, ${other}`, current.u === undefined ? "" : steps(current.u)],
    ["free", current.a ? current.a[0] : ""],
    ["free and clear", current.a ? current.a[1] : ""],
  ].filter(([, value]) => value));
  const before = step > 0 ? trace.after(step - 1, false) : new Map();
  const after = trace.after(step, false);
  const sides = [];
  const last = trace.read[step - 1];
  if (ran && step > 0) sides.push([last === step - 1 ? "Before" : `After step ${last}`, before]);
  if (trace.read[step] === step) {
    sides.push([current.e ? `After, ${kernel}` : step > 0 ? "After" : "Fresh", after]);
    if (current.e) sides.push([`After, ${other}`, trace.after(step, true)]);
  }
  drawMaps(sides);
  const read = trace.read[step] === step;
  drawTree(byId("tree"), trace, read ? touchedBy(step) : new Set(), sides, before);
}

const TITLES = {
  breach: ["bad", "Breaks a promise"],
  new: ["bad", "Breaks a promise that the base keeps"],
  divergence: ["bad", "The two sides differ in"],
  death: ["bad", "This call kills the process"],
  known: ["changed", "Known quirk"],
  in_base: ["changed", "Both break a promise"],
  fixed: ["good", "Keeps a promise that the base breaks"],
};

function noteBox(note) {
  const [tone, title] = TITLES[note.is];
  const box = make("div", `note ${tone}`, make("h3", "", note.name ? `${title}: ${note.name}` : title));
  if (note.answers) {
    const answers = make("dl", "");
    const { kernel, other } = trace.data;
    facts(answers, [[kernel, note.answers[0]], [other ?? "expected", note.answers[1]]]);
    box.append(answers);
  }
  if (note.text) box.append(make("p", "", note.text));
  if (note.why) box.append(make("p", "why", note.why));
  return box;
}

function touchedBy(step) {
  const keys = new Set();
  for (const changes of [trace.steps[step].d ?? [], trace.steps[step].e ?? []]) {
    for (let i = 0; i < changes.length; i += 2) {
      keys.add(keyOf(changes[i], Math.floor(changes[i + 1] / 8)));
    }
  }
  return keys;
}

function drawMaps(sides) {
  const touched = step > 0 ? touchedBy(step) : new Set();
  const leaves = sides.map(([, blocks]) => leavesOf(blocks));
  const part = partAround(trace, leaves, touched);
  const hovers = new Map();
  const drawn = [];
  const figures = sides.map(([name], index) => {
    const words = summaryOf(trace, leaves[index]);
    const under = make("div", "under");
    const caption = make("figcaption", "", make("b", "", name), make("span", "muted", words.join(" · ")));
    const figure = make("figure", "", caption);
    for (const which of part ? [undefined, part] : [undefined]) {
      const canvas = make("canvas", "");
      canvas.setAttribute("role", "img");
      const label = which ? "Enlarged, around this call" : "Map";
      canvas.setAttribute("aria-label", `${label}. ${name}: ${words.join(", ")}`);
      canvas.addEventListener("pointermove", (event) => {
        const block = hovers.get(canvas)?.(event.offsetX, event.offsetY);
        under.textContent = block
          ? `${trace.range(block)}  order ${block.order}  ${STATES[block.state]}` : "";
      });
      canvas.addEventListener("pointerleave", () => { under.textContent = ""; });
      if (which) figure.append(make("p", "enlarged", "enlarged around this call"));
      figure.append(canvas);
      drawn.push([canvas, leaves[index], which]);
    }
    figure.append(under);
    return figure;
  });
  byId("maps").replaceChildren(...figures);
  if (sides.length === 0 || trace.read[step] !== step) {
    const why = trace.wasRun(step) ? "The state was not read after this call." : "";
    byId("maps").append(make("p", "muted", why));
  }
  // A canvas has its width when it is in the page.
  for (const [canvas, of, which] of drawn) {
    hovers.set(canvas, drawMap(canvas, trace, of, touched, which));
  }
  byId("legend").hidden = sides.length === 0;
  drawLegend(byId("legend"));
}

// Goes to the step in the page's address.
function follow() {
  const words = new URLSearchParams(location.hash.slice(1));
  const number = (name) => (/^\d+$/.test(words.get(name) ?? "") ? Number(words.get(name)) : undefined);
  const index = DATA.single ? 0 : Math.max(0, (number("finding") ?? 1) - 1);
  if (index === shown && trace) go(number("step") ?? step);
  else show(index, number("step"));
}

const nextFinding = () => go(findings.find((at) => at > step) ?? step);
const previousFinding = () => go(findings.findLast((at) => at < step) ?? step);
const KEYS = {
  ArrowLeft: () => go(step - 1),
  ArrowRight: () => go(step + 1),
  Home: () => go(0),
  End: () => go(Infinity),
  n: nextFinding,
  p: previousFinding,
};
const LIST_KEYS = {
  ArrowUp: () => go(step - 1),
  ArrowDown: () => go(step + 1),
  PageUp: () => go(step - 20),
  PageDown: () => go(step + 20),
};

document.addEventListener("keydown", (event) => {
  // The slider handles its own keys.
  if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  const isSlider = event.target === byId("slider") && event.key.length > 1;
  const inList = event.target === byId("calls-list");
  const act = KEYS[event.key] ?? (inList ? LIST_KEYS[event.key] : undefined);
  if (!act || isSlider || !trace) return;
  event.preventDefault();
  act();
});
byId("slider").addEventListener("input", (event) => go(Number(event.target.value)));
for (const [id, act] of [
  ["first", KEYS.Home], ["previous", KEYS.ArrowLeft], ["next", KEYS.ArrowRight], ["last", KEYS.End],
  ["previous-finding", previousFinding], ["next-finding", nextFinding],
]) {
  byId(id).addEventListener("click", act);
}
window.addEventListener("hashchange", follow);
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (!trace || width === window.innerWidth) return;
  width = window.innerWidth;
  list.draw();
  call();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => trace && call());

header();
follow();
