// The list of calls. The page has only the visible rows.

const HEIGHT = 24;
const FINDING = new Set(["breach", "new", "divergence", "death"]);

// The mark of a call: a finding, a known quirk, a breach of the base, or nothing.
function markOf(step) {
  const notes = step.f ?? [];
  if (notes.some((note) => FINDING.has(note.is))) return ["✗", "bad", "finding"];
  if (notes.some((note) => note.is === "known")) return ["!", "changed", "known quirk"];
  if (notes.some((note) => note.is === "in_base")) return ["!", "changed", "breach in both"];
  if (notes.some((note) => note.is === "fixed")) return ["+", "good", "breach in the base only"];
  return [" ", "", ""];
}

class CallList {
  constructor(list, space, choose) {
    this.list = list;
    this.space = space;
    this.choose = choose;
    this.rows = new Map();
    list.addEventListener("scroll", () => this.draw());
    space.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) choose(Number(row.dataset.step));
    });
  }

  show(trace) {
    this.trace = trace;
    this.rows.clear();
    this.space.replaceChildren();
    this.space.style.height = `${trace.length * HEIGHT}px`;
    this.list.style.height = `calc(min(var(--list), ${trace.length * HEIGHT + 4}px))`;
    this.list.scrollTop = 0;
  }

  // Marks the current step, and scrolls to it.
  select(step) {
    const old = this.rows.get(this.step);
    if (old) old.setAttribute("aria-selected", "false");
    this.step = step;
    const top = step * HEIGHT;
    const { scrollTop, clientHeight } = this.list;
    if (top < scrollTop) this.list.scrollTop = top;
    if (top + HEIGHT > scrollTop + clientHeight) {
      this.list.scrollTop = top + HEIGHT - clientHeight;
    }
    this.draw();
    this.rows.get(step)?.setAttribute("aria-selected", "true");
    this.list.setAttribute("aria-activedescendant", `row-${step}`);
  }

  draw() {
    if (!this.trace) return;
    const first = Math.max(0, Math.floor(this.list.scrollTop / HEIGHT) - 5);
    const seen = Math.ceil(this.list.clientHeight / HEIGHT) + 10;
    const last = Math.min(this.trace.length, first + seen);
    for (const [step, row] of this.rows) {
      if (step < first || step >= last) {
        row.remove();
        this.rows.delete(step);
      }
    }
    for (let step = first; step < last; step++) {
      if (!this.rows.has(step)) this.rows.set(step, this.row(step));
    }
  }

  row(step) {
    const call = this.trace.steps[step];
    const [mark, tone, says] = markOf(call);
    const outcome = call.o ?? "";
    const row = make("div", "row",
      make("span", "number", String(step)),
      make("span", `mark ${tone}`, mark),
      make("span", "words", call.w),
      make("span", "short", outcome));
    if (!this.trace.wasRun(step)) row.classList.add("not-run");
    row.id = `row-${step}`;
    row.dataset.step = step;
    row.style.top = `${step * HEIGHT}px`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(step === this.step));
    row.setAttribute("aria-setsize", this.trace.length);
    row.setAttribute("aria-posinset", step + 1);
    row.setAttribute("aria-label", [call.w, outcome, says].filter(Boolean).join(", "));
    this.space.append(row);
    return row;
  }
}
